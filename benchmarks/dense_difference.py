"""How far --dense of predict_images is from exact windows, with a trained ResNet-50.

python -m benchmarks.dense_difference --classifier=RUNS/classifier/resnet --input_dir=PHANTOM \
    --patches_dir=PATCHES --split=test [--images=60] [--stride=128]

Scores the same windows both ways, those of the dense grid, and prints as JSON: Spearman's
correlation of the logits (the median over the images, and over all windows), the AUC of images by
the maximum of each, the correlation of these maxima, and the seconds of each.
"""

import argparse
import contextlib
import json
import time
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from beam_pipelines.rejections import Rejected
from beam_pipelines.scoring.classifier import setup_of
from beam_pipelines.scoring.images import score_image
from beam_pipelines.scoring.job import as_patches, chosen_images
from beam_pipelines.sources.index import open_source, read_index
from cgan_tf.config import PredictImagesConfig
from cgan_tf.detection.heat_maps import Grid
from cgan_tf.runs.console import progress_bar
from cgan_tf.statistics.auc import exact_auc

WAYS = ("exact", "dense")


class Both:
    """Scores windows both ways and keeps what came out.

    Attributes:
      logits: float32 [n] of each image, by way. seconds: in all, by way.
    """

    def __init__(self, model: Any, size: int):
        self.model, self.size = model, size
        self.logits: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
        self.seconds = dict.fromkeys(WAYS, 0.0)

    def __call__(self, grey: np.ndarray, grid: Grid, chosen: np.ndarray) -> np.ndarray:
        """Returns the exact logits of the chosen windows."""
        from cgan_tf.classifier.windows import score_dense, score_windows

        ways = {
            "exact": lambda: score_windows(self.model, grey, grid.corners(chosen), self.size, 64),
            "dense": lambda: score_dense(self.model, grey, grid)[chosen],
        }
        for way, score in ways.items():
            start = time.perf_counter()
            self.logits[way].append(score())
            self.seconds[way] += time.perf_counter() - start
        return self.logits["exact"][-1]


def main() -> None:
    """Prints the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("classifier", "input_dir", "patches_dir"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--stride", type=int, default=128, help="at 256, as of predict_images")
    config = PredictImagesConfig(dense=True, **vars(parser.parse_args()))
    setup = setup_of(config)
    images = chosen_images(read_index(open_source(as_patches(config))), setup)
    from cgan_tf.classifier.scoring import load_classifier

    both = Both(load_classifier(config.classifier, setup.manifest), setup.size)
    truth = []
    with progress_bar(len(images), "Both ways", "images") as bar:
        for image in images:
            with contextlib.suppress(Rejected):
                truth.append(score_image(image, setup, both, []).prediction.image.malignant)
            bar.update()
    print(json.dumps(differences(truth, both), indent=1))


def differences(truth: list[int | None], both: Both) -> dict[str, Any]:
    """What is printed."""
    exact, dense = (both.logits[way] for way in WAYS)
    pairs = [(a, b) for a, b in zip(exact, dense, strict=True) if len(a) > 2]
    best = {way: np.array([values.max() for values in both.logits[way]]) for way in WAYS}
    known = np.array([value is not None for value in truth])
    labels = np.array([value == 1 for value in truth])[known]
    return {
        "images": len(exact),
        "malignant": int(labels.sum()),
        "windows": sum(map(len, exact)),
        "rank_correlation_of_windows": {
            "median_of_images": float(np.median([spearmanr(a, b)[0] for a, b in pairs])),
            "all": float(spearmanr(np.concatenate(exact), np.concatenate(dense))[0]),
        },
        "rank_correlation_of_images": float(spearmanr(best["exact"], best["dense"])[0]),
        "image_auc": {way: float(exact_auc(labels, best[way][known])) for way in WAYS},
        "seconds": both.seconds,
    }


if __name__ == "__main__":
    main()
