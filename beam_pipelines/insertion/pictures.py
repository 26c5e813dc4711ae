"""Pictures of made images, before and after: whole images, and rows of patches (Figure 3)."""

import os

import cv2
import numpy as np

from beam_pipelines.insertion.generator import Setup
from beam_pipelines.insertion.places import Prepared
from beam_pipelines.insertion.tables import MadeImage, Preview, Strip
from beam_pipelines.storage import files
from cgan_tf.labels import PAPER_SIZE
from cgan_tf.pages.patches import patch_levels

PREVIEWS, FIGURE_3 = "previews", "figure3"
LONGEST_SIDE = 1600


def write_preview(
    setup: Setup, made: MadeImage, before: np.ndarray, after: np.ndarray, strip: Strip | None
) -> Preview:
    """Writes an image before and after, and returns its entry of previews.json.

    Args:
      before, after: float32 [H, W] grey levels in [-1, 1].
    """
    height, width = before.shape
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    scale = size[0] / width, size[1] / height
    first, second = _write_pair(setup, PREVIEWS, made.name, size, before, after)
    return Preview(
        name=made.name,
        before=first,
        after=second,
        width=size[0],
        height=size[1],
        category=setup.task,
        laterality=made.laterality,
        view=made.view,
        boxes=_scaled_boxes(made, (0, 0), scale),
        figure3=strip,
    )


def write_figure3(
    setup: Setup, made: MadeImage, prepared: Prepared, before: np.ndarray, after: np.ndarray
) -> Strip:
    """Writes the row of patches cut out of both images, each patch 256 px a side.

    Args:
      before, after: float32 [H, W] grey levels in [-1, 1].
    """
    first, count = prepared.places[0], len(prepared.places)
    scale_x, scale_y = prepared.scale
    left, top = round(first.left / scale_x), round(first.top / scale_y)
    right = round((first.left + count * setup.size) / scale_x)
    bottom = round((first.top + setup.size) / scale_y)
    strip = slice(top, bottom), slice(left, right)
    size = count * PAPER_SIZE, PAPER_SIZE
    scale = size[0] / (right - left), size[1] / (bottom - top)
    pair = _write_pair(setup, FIGURE_3, made.name, size, before[strip], after[strip])
    return Strip(*pair, count, _scaled_boxes(made, (left, top), scale))


def png_bytes(picture: np.ndarray) -> bytes:
    """uint8 [H, W] as PNG."""
    encoded, data = cv2.imencode(".png", picture)
    assert encoded
    return data.tobytes()


def _write_pair(
    setup: Setup,
    folder: str,
    name: str,
    size: tuple[int, int],
    before: np.ndarray,
    after: np.ndarray,
) -> tuple[str, str]:
    """Writes both at `size` (width, height); returns their files in the output directory."""
    for moment, grey in (("before", before), ("after", after)):
        way = cv2.INTER_AREA if size[0] < grey.shape[1] else cv2.INTER_CUBIC
        levels = patch_levels(cv2.resize(np.ascontiguousarray(grey), size, interpolation=way))
        path = os.path.join(setup.config.output_dir, f"{folder}/{name}_{moment}.png")
        files.write_atomically(path, png_bytes(levels))
    return f"{folder}/{name}_before.png", f"{folder}/{name}_after.png"


def _scaled_boxes(
    made: MadeImage, corner: tuple[int, int], scale: tuple[float, float]
) -> tuple[tuple[float, ...], ...]:
    """The lesions' boxes in pixels of a picture of the part of the image at `corner` (x, y)."""
    return tuple(
        tuple(
            round((edge - corner[axis % 2]) * scale[axis % 2], 2)
            for axis, edge in enumerate(lesion.box)
        )
        for lesion in made.lesions
    )
