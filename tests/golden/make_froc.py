"""Writes froc.json: what MONAI 1.6.1 and picai_eval 1.4.13 give, for tests of FROC.

In an environment of its own, as neither belongs beside the project's packages:

    python -m venv froc && froc/bin/pip install --no-deps monai==1.6.1 picai-eval==1.4.13
    froc/bin/pip install numpy scikit-learn scipy tqdm SimpleITK
    froc/bin/python tests/golden/make_froc.py

monai.metrics.froc is CAMELYON16's evaluation: marks are points, lesions are regions of a mask, and
false positives count on all images. picai_eval is PI-CAI's, from lists of hits and misses. Both are
Apache-2.0.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np

SIDE = 64  # of the masks, pixels
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def monai_froc():
    """The module alone: it needs torch only to tell tensors from arrays, and gets none."""
    sys.modules["torch"] = types.SimpleNamespace(Tensor=type("Tensor", (), {}))
    sys.modules["monai.config"] = types.SimpleNamespace(NdarrayOrTensor=np.ndarray)
    place = Path(importlib.util.find_spec("monai").origin).parent / "metrics" / "froc.py"
    spec = importlib.util.spec_from_file_location("monai_froc", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn_case(seed: int, images: int, ties: bool) -> dict:
    """Images with 0 to 2 lesions and 0 to 12 marks: boxes x, y, width, height; some in lesions."""
    rng = np.random.default_rng(seed)
    case = {"lesions": [], "marks": []}
    for image in range(images):
        corners = ((4, 6), (36, 34))[: rng.choice(3, p=(0.4, 0.4, 0.2))]
        boxes = [(x, y, *rng.integers(6, 20, 2).tolist()) for x, y in corners]
        case["lesions"] += [(image, *box) for box in boxes]
        for _ in range(rng.integers(0, 13)):
            point, score = rng.integers(0, SIDE, 2), rng.beta(1, 3)
            if boxes and rng.random() < 0.25:
                x, y, width, height = boxes[rng.integers(len(boxes))]
                point, score = (x + rng.integers(width), y + rng.integers(height)), rng.beta(2, 2)
            score = round(float(score), 1) + 0.05 if ties else float(score)
            # Boxes of 2 x 2 around the middle of a pixel, so that a mask knows what is inside.
            case["marks"].append((image, point[0] - 0.5, point[1] - 0.5, 2, 2, score))
    case["images"] = images
    return json.loads(json.dumps(case, default=float))


def of_monai(froc, case: dict) -> list[float]:
    """Sensitivities at `RATES` by monai.metrics.froc."""
    false, true, targets = [], [], 0
    for image in range(case["images"]):
        mask = np.zeros((SIDE, SIDE), int)
        boxes = [box for number, *box in case["lesions"] if number == image]
        for label, (x, y, width, height) in enumerate(boxes, 1):
            mask[y : y + height, x : x + width] = label
        marks = np.array([mark[1:] for mark in case["marks"] if mark[0] == image]).reshape(-1, 5)
        missed, hit, count = froc.compute_fp_tp_probs(
            marks[:, 4], marks[:, 1] + 0.5, marks[:, 0] + 0.5, mask
        )
        false, true, targets = [*false, *missed], [*true, *hit.astype(float)], targets + count
    # Hits come as float32; the scores of the case are those again.
    scores = np.array([0.0, *(mark[-1] for mark in case["marks"])])
    true = scores[np.abs(scores[:, None] - true).argmin(axis=0)]
    curve = froc.compute_froc_curve_data(np.array(false), true, targets, case["images"])
    return [float(froc.compute_froc_score(*curve, (rate,))) for rate in RATES]


def of_picai(case: dict) -> dict:
    """Sensitivities at `RATES` and the AUC of images by picai_eval."""
    from picai_eval.metrics import Metrics

    results: dict[int, list] = {image: [] for image in range(case["images"])}
    best = [0.0] * len(case["lesions"])
    for image, x, y, _, _, score in case["marks"]:
        hits = [
            number
            for number, (own, left, top, width, height) in enumerate(case["lesions"])
            if own == image and left <= x + 1 < left + width and top <= y + 1 < top + height
        ]
        for number in hits:
            best[number] = max(best[number], score)
        if not hits:
            results[image].append((0, score, 0.0))
    for (image, *_), score in zip(case["lesions"], best, strict=True):
        results[image].append((1, score, 1.0))
    metrics = Metrics(lesion_results=results)
    return {
        "sensitivities": [float(metrics.lesion_TPR_at_FPR(rate)) for rate in RATES],
        "image_auc": float(metrics.auroc),
    }


def main() -> None:
    """Writes the file."""
    froc, cases = monai_froc(), []
    for seed, (images, ties) in enumerate(((8, False), (30, False), (60, True), (200, True))):
        case = drawn_case(seed, images, ties)
        case["monai"] = of_monai(froc, case)
        if not ties:  # picai_eval takes a staircase where others take a slope
            case["picai_eval"] = of_picai(case)
        cases.append(case)
    path = Path(__file__).with_name("froc.json")
    path.write_text(json.dumps({"rates": RATES, "cases": cases}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
