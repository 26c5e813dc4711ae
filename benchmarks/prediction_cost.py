"""What predict_images costs beside the network alone: 1.2 times its seconds at most.

python -m benchmarks.prediction_cost [--rounds=5] [--images=4] [--quick]

Ours is all that a worker does for an image: file, decoding, reduction, breast mask, windows,
network, candidates, heat map, result. The bound is the network on the same batches of windows (or
on the same image, with --dense), which are ready in memory. Weights are random: they cost the same.
Seconds are those of the processor, with one thread, so that what else the machine does counts less.
"""

import dataclasses
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from beam_pipelines.scoring.classifier import setup_of
from beam_pipelines.scoring.images import ScoreImages, score_image, work_item
from beam_pipelines.scoring.job import as_patches
from beam_pipelines.sources.index import open_source, read_index
from benchmarks import frame
from cgan_tf.config import ClassifierConfig, PredictImagesConfig
from cgan_tf.detection.heat_maps import window_batches
from cgan_tf.runs.directory import sha256, write_json
from cgan_tf.runs.flags import config_to_dict
from cgan_tf.runs.machine import Threads, set_threads

MOST_TIMES = 1.2  # the seconds of the network alone
NETWORK = "the network alone"
THREADS = Threads(1, 1)
OPTIONS = {"rounds": 5, "images": 4}
QUICK = {"rounds": 1, "images": 1}
# (name, network, side of a patch, image size of the phantom, further flags)
CASES = (
    ("small, 64 px, images of 582x448", "small", 64, "coarse", {}),
    ("ResNet-50, 64 px, images of 582x448", "resnet50", 64, "coarse", {}),
    ("ResNet-50, --dense, images of 582x448", "resnet50", 64, "coarse",
     {"dense": True, "stride": 128}),
)  # fmt: skip


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """One a network."""
    set_threads(THREADS)
    with tempfile.TemporaryDirectory() as root:
        for name, network, size, image_size, flags in CASES:
            works = works_of(Path(root), network, size, image_size, options.images, flags)
            seconds = frame.take_turns(works, options.rounds, clock=time.process_time)
            yield frame.Case(name, seconds, NETWORK, {NETWORK: 1 / MOST_TIMES})


def works_of(
    root: Path, network: str, size: int, image_size: str, images: int, flags: dict[str, object]
) -> dict[str, Callable[[], object]]:
    """Ours, and the network alone, on the same windows of the same images."""
    model = write_classifier(root / network, network, size)
    config = PredictImagesConfig(
        classifier=str(root / network), input_dir=str(phantom(root, image_size)), **flags
    )
    setup = setup_of(config)
    found = read_index(open_source(as_patches(config))).images[:images]
    shown: list[tuple[np.ndarray, list[np.ndarray]]] = []
    outputs = (str(root / f"{network}{config.dense}" / str(n)) for n in itertools.count())

    def ours() -> None:
        output = dataclasses.replace(config, output_dir=next(outputs))
        score = ScoreImages(dataclasses.replace(setup, config=output), THREADS)
        for image in found:
            score(work_item(image, False))

    def keep(grey, grid, chosen):  # type: ignore[no-untyped-def]
        shown.append((grey, list(window_batches(grey, grid.corners(chosen), size, 64))))
        return np.zeros(int(chosen.sum()), np.float32)

    for image in found:
        score_image(image, setup, keep, [])

    def alone() -> None:
        for grey, batches in shown:
            if config.dense:
                model.infer_places(grey[None, ..., None]).numpy()
            else:
                for batch in batches:
                    model.infer(batch)[0].numpy()

    return {frame.OURS: ours, NETWORK: alone}


def write_classifier(directory: Path, network: str, size: int):  # type: ignore[no-untyped-def]
    """A run's directory with random weights; returns the network."""
    from cgan_tf.models.networks import build_classifier

    model = build_classifier(network, "inference")
    if not directory.exists():
        directory.mkdir()
        weights = directory / "best.weights.h5"
        model.save_weights(weights)
        content = {
            "program": "train_classifier",
            "weights": weights.name,
            "weights_sha256": sha256(weights),
            "patch_size": size,
            "resolution": {"resample_spacing_mm": 0.0, "reduction": 1},
            "flags": config_to_dict(ClassifierConfig(network=network, weights="none")),
        }
        write_json(directory / "manifest.json", content)
    return model


def phantom(root: Path, image_size: str) -> Path:
    """Two women, drawn once."""
    directory = root / image_size
    if not directory.exists():
        command = [
            *(sys.executable, "-m", "beam_pipelines.make_phantom", f"--output_dir={directory}"),
            *("--clients=4", "--broken_files=0", f"--image_size={image_size}"),
            *("--content=lean", "--difficulty=screening", "--workers=1"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return directory


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
