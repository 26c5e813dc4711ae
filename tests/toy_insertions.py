"""A directory as insert_lesions leaves it: previews of whole images, and rows of patches."""

import json
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.run_directory import write_json

WIDTH, HEIGHT = 120, 160
LEVELS = {"before": 40, "after": 200}
BOXES = ((12, 20, 48, 60), (70, 90, 100, 130))


def write_toy_insertions(directory: Path, images: int = 3, task: str = "mass") -> Path:
    """Dark images before, bright ones after; the first two have a box or two."""
    entries = [
        {
            "name": f"film {number} & <b>",
            **_pictures(directory / "previews", f"film {number}", (HEIGHT, WIDTH)),
            "size": [WIDTH, HEIGHT],
            "boxes": BOXES[: 2 - number] if number < 2 else [],
            "categories": [task] * max(0, 2 - number),
        }
        for number in range(images)
    ]
    write_json(directory / "previews/previews.json", {"images": entries})
    row = {"name": "film 0", **_pictures(directory / "figure3", "row", (32, 160))}
    write_json(
        directory / "figure3/figure3.json", {"rows": [row | {"patches": 5, "size": [160, 32]}]}
    )
    header = {"program": "insert_lesions", "task": task, "flags": {}}
    (directory / "manifest.json").write_text(json.dumps(header), encoding="utf-8")
    return directory


def _pictures(directory: Path, name: str, shape: tuple[int, int]) -> dict[str, str]:
    directory.mkdir(parents=True, exist_ok=True)
    files = {when: f"{name}_{when}.png" for when in LEVELS}
    for when, file in files.items():
        png = cv2.imencode(".png", np.full(shape, LEVELS[when], np.uint8))[1]
        (directory / file).write_bytes(png.tobytes())
    return files
