"""A directory as insert_lesions leaves it: previews of whole images, and a row of patches."""

import json
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.runs.directory import write_json

WIDTH, HEIGHT = 120, 160
LEVELS = {"before": 40, "after": 200}
LONG_NAME = f"2.25.{'7' * 38}"
BOXES = ((12, 20, 48, 60), (70, 90, 100, 130))


def write_toy_insertions(directory: Path, task: str = "mass", rows: bool = True) -> Path:
    """Three images, dark before and bright after, with two boxes, one and none; a row in each."""
    images = []
    for number in range(3):
        entry = {
            "name": f"film {number} & <b>" if number < 2 else LONG_NAME,
            **_pictures(directory, "previews", f"film {number}", (HEIGHT, WIDTH)),
            "width": WIDTH,
            "height": HEIGHT,
            "category": task,
            "laterality": "R",
            "view": "MLO",
            "boxes": BOXES[: 2 - number],
        }
        if rows:
            row = _pictures(directory, "figure3", f"film {number}", (32, 160))
            entry["figure3"] = {**row, "patches": 5, "boxes": []}
        images.append(entry)
    write_json(directory / "previews.json", {"format": 1, "task": task, "images": images})
    header = {"program": "insert_lesions", "task": task, "flags": {}}
    (directory / "manifest.json").write_text(json.dumps(header), encoding="utf-8")
    return directory


def _pictures(root: Path, folder: str, name: str, shape: tuple[int, int]) -> dict[str, str]:
    (root / folder).mkdir(parents=True, exist_ok=True)
    files = {when: f"{folder}/{name}_{when}.png" for when in LEVELS}
    for when, file in files.items():
        png = cv2.imencode(".png", np.full(shape, LEVELS[when], np.uint8))[1]
        (root / file).write_bytes(png.tobytes())
    return files
