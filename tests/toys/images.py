"""Small sets of images with lesions, as make_images writes them."""

from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.data.images import KINDS, ImageRecord, encode_image
from cgan_tf.data.patch_sets import splits_json, write_patch_set
from cgan_tf.data.provenance import patient_digest
from cgan_tf.runs.directory import write_json

SHAPE = (60, 44)  # of a reduced image; half a stored one's, whose first column is cut off


def toy_image(name: str, boxes: Any = (), classes: Any = None, seed: int = 0) -> ImageRecord:
    """A noisy image, bright in its boxes: x0, y0, x1, y1 of the stored image."""
    boxes = np.array(boxes, float).reshape(-1, 4)
    classes = ("malignant_mass",) * len(boxes) if classes is None else classes
    pixels = np.random.default_rng(seed).uniform(-0.5, 0.0, SHAPE).astype(np.float32)
    for x0, y0, x1, y1 in (boxes / 2 - [1, 0, 1, 0]).round().astype(int):
        pixels[y0:y1, x0:x1] = 0.9
    return ImageRecord(
        sop_uid=name,
        client_id=name.partition("/")[0],
        study_uid=f"study of {name}",
        laterality="L",
        view="CC",
        source_file=f"{name.replace('/', '_')}.dcm",
        pixels=pixels,
        rows=120,
        columns=90,
        spacing_mm=0.1,
        scale=(0.5, 0.5),
        origin=(1.0, 0.0),
        boxes=boxes,
        mark_ids=tuple(f"m{number}" for number in range(len(boxes))),
        box_classes=tuple(classes),
    )


def write_toy_images(
    directory: Path,
    women: dict[str, int],
    prefix: str = "w",
    healthy: bool = True,
    seed: int = 0,
    **content: Any,
) -> Path:
    """A set with as many women of each split: each has a lesion, and a healthy breast if so said.

    Args:
      content: of the manifest, beside what every set has.
    """
    rng = np.random.default_rng(seed)
    splits, patients = {}, {}
    for split, count in women.items():
        payloads: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        names = [f"{prefix}{split}{number}" for number in range(count)]
        for name in names:
            x, y = rng.integers([4, 4], [56, 86])
            images = [
                toy_image(f"{name}/1", [[x, y, x + 30, y + 30]], seed=len(payloads["normal"]))
            ]
            images += [toy_image(f"{name}/2", seed=int(x + y))] if healthy else []
            for image in images:
                payloads[image.kind].append(encode_image(image))
        splits[split] = {
            kind: write_patch_set(directory, split, kind, own, 1_000_000)
            for kind, own in payloads.items()
            if own
        }
        patients[split] = sorted(map(patient_digest, names))
    manifest = {"format": 1, "program": "make_images", "largest": list(SHAPE), "flags": {}}
    manifest |= {"splits": splits_json(splits), "patients": patients, **content}
    write_json(directory / "manifest.json", manifest)
    return directory
