"""Boxes of many images as COCO's JSON and as CSV.

A mask as the run lengths that COCO's own tools read.

Pictures to look at: whole images, and rows of patches (Figure 3), before and after.
"""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from beam_pipelines.insertion.generator import Setup
from beam_pipelines.insertion.places import Prepared
from beam_pipelines.storage import files
from cgan_tf.labels import PAPER_SIZE, TASKS
from cgan_tf.pages.patches import patch_levels


def mask_runs(support: np.ndarray, left: int, top: int, height: int) -> list[int]:
    """Run lengths of a mask in an image of `height` rows, column by column.

    Runs of zeros and of ones take turns, zeros first; the last run of zeros is left out, and
    `whole_runs` puts it back.

    Args:
      support: bool [h, w], the part of the mask at (left, top).
    """
    columns, rows = np.nonzero(support.T)
    places = (left + columns) * height + (top + rows)
    if not len(places):
        return []
    starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(places))
    begins = places[starts]
    gaps = begins - np.concatenate([[0], (begins + lengths)[:-1]])
    return [int(n) for n in np.stack([gaps, lengths], axis=1).ravel()]


def whole_runs(runs: list[int], height: int, width: int) -> list[int]:
    """The run lengths of the whole image."""
    return [*runs, height * width - sum(runs)]


# The same number in every set, so that sets can be merged.
CATEGORIES = {task: number for number, task in enumerate(TASKS, 1)}
COLUMNS = (
    "file", "mask", "label", "category", "x0", "y0", "x1", "y1", "area_px", "client_id",
    "study_uid", "sop_uid", "source_sop_uid", "laterality", "view", "width", "height",
    "spacing_mm", "place", "patch_left", "patch_top", "draw", "object_px", "removed_class",
)  # fmt: skip

Row = dict[str, Any]


def coco(rows: Sequence[Row], task: str, about: dict[str, Any]) -> dict[str, Any]:
    """The object-detection format of cocodataset.org; x, y, width, height in stored pixels.

    Segmentations are uncompressed run lengths. A box of category removal is where a lesion was:
    the image has none there.
    """
    images, annotations = [], []
    for number, row in enumerate(rows, 1):
        images.append(
            {
                "id": number,
                "file_name": row["file"],
                "width": row["width"],
                "height": row["height"],
                "client_id": row["client_id"],
                "laterality": row["laterality"],
                "view": row["view"],
                "source_sop_uid": row["source_sop_uid"],
                "synthetic": True,
            }
        )
        for lesion in row["lesions"]:
            annotations.append(_annotation(len(annotations) + 1, number, row, lesion, task))
    categories = [
        {"id": number, "name": name, "supercategory": "lesion"}
        for name, number in CATEGORIES.items()
    ]
    info = {"description": "Synthetic lesions in mammograms, for research only", **about}
    return {
        "info": info,
        "licenses": [],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }


def boxes_csv(rows: Sequence[Row], task: str) -> Iterator[bytes]:
    """One row a lesion, an image at a time; x1 and y1 are exclusive."""
    yield (",".join(COLUMNS) + "\n").encode()
    for row in rows:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        for lesion in row["lesions"]:
            edges = dict(zip(("x0", "y0", "x1", "y1"), lesion["box"], strict=True))
            left, top = lesion["patch"]
            place = {"patch_left": left, "patch_top": top, "category": task}
            writer.writerow({**row, **lesion, **edges, **place, "sop_uid": row["name"]})
        yield text.getvalue().encode()


def _annotation(number: int, image: int, row: Row, lesion: Row, task: str) -> dict[str, Any]:
    x0, y0, x1, y1 = lesion["box"]
    height, width = row["height"], row["width"]
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORIES[task],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": lesion["area_px"],
        "iscrowd": 0,
        "segmentation": {
            "size": [height, width],
            "counts": whole_runs(lesion["runs"], height, width),
        },
    }


PREVIEWS, FIGURE_3 = "previews", "figure3"
LONGEST_SIDE = 1600

Box = tuple[float, float, float, float]


def write_preview(
    setup: Setup, row: dict[str, Any], before: np.ndarray, after: np.ndarray
) -> dict[str, Any]:
    """Writes an image before and after in grey levels, and returns its entry of previews.json."""
    height, width = before.shape
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scale = size[0] / width, size[1] / height
    return {
        "name": row["name"],
        **_write_pair(setup, PREVIEWS, row["name"], size, before, after),
        "width": size[0],
        "height": size[1],
        "category": setup.task,
        "laterality": row["laterality"],
        "view": row["view"],
        "boxes": [_scaled(lesion["box"], (0, 0), scale) for lesion in row["lesions"]],
    }


def write_figure3(
    setup: Setup,
    row: dict[str, Any],
    prepared: Prepared,
    before: np.ndarray,
    after: np.ndarray,
) -> dict[str, Any]:
    """Writes the row of patches cut out of both images, each patch 256 px a side."""
    first, count = prepared.places[0], len(prepared.places)
    scale_x, scale_y = prepared.scale
    left, top = round(first.left / scale_x), round(first.top / scale_y)
    right = round((first.left + count * setup.size) / scale_x)
    bottom = round((first.top + setup.size) / scale_y)
    strip = slice(top, bottom), slice(left, right)
    size = count * PAPER_SIZE, PAPER_SIZE
    scale = size[0] / (right - left), size[1] / (bottom - top)
    return {
        **_write_pair(setup, FIGURE_3, row["name"], size, before[strip], after[strip]),
        "patches": count,
        "boxes": [_scaled(lesion["box"], (left, top), scale) for lesion in row["lesions"]],
    }


def png_bytes(picture: np.ndarray) -> bytes:
    """uint8 [H, W] as PNG."""
    found, data = cv2.imencode(".png", picture)
    assert found
    return data.tobytes()


def _write_pair(
    setup: Setup,
    folder: str,
    name: str,
    size: tuple[int, int],
    before: np.ndarray,
    after: np.ndarray,
) -> dict[str, str]:
    paths = {}
    for moment, grey in (("before", before), ("after", after)):
        way = cv2.INTER_AREA if size[0] < grey.shape[1] else cv2.INTER_CUBIC
        levels = patch_levels(cv2.resize(np.ascontiguousarray(grey), size, interpolation=way))
        paths[moment] = f"{folder}/{name}_{moment}.png"
        path = os.path.join(setup.config.output_dir, paths[moment])
        files.write_atomically(path, png_bytes(levels))
    return paths


def _scaled(box: Box, corner: tuple[int, int], scale: tuple[float, float]) -> list[float]:
    """A box of the image in pixels of a picture of a part of it."""
    return [round((edge - corner[axis % 2]) * scale[axis % 2], 2) for axis, edge in enumerate(box)]
