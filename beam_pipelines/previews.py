"""Pictures to look at: whole images, and rows of patches (Figure 3), before and after."""

import os
from typing import Any

import cv2
import numpy as np

from beam_pipelines import files
from beam_pipelines.insertion_prepare import Prepared
from beam_pipelines.insertion_setup import Setup
from cgan_tf.config import PAPER_SIZE
from cgan_tf.display import patch_levels

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
