"""Pictures of one image before and after: the whole, its lesions pixel for pixel, and Figure 3."""

import os
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from beam_pipelines.insertion.generator import Setup
from beam_pipelines.insertion.places import Prepared
from beam_pipelines.insertion.tables import Detail, MadeImage, Preview, Strip
from beam_pipelines.storage import files
from cgan_tf.labels import PAPER_SIZE
from cgan_tf.pages.patches import patch_levels

PREVIEWS, FIGURE_3, DETAILS = "previews", "figure3", "details"
LONGEST_SIDE = 1600  # pixels of a preview
DETAIL_PX, DETAIL_MARGIN_PX = 384, 48  # least side of a detail, and around a larger lesion


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
        source_file=made.source_file,
        details=write_details(setup, made, before, after),
    )


def write_details(
    setup: Setup, made: MadeImage, before: np.ndarray, after: np.ndarray
) -> tuple[Detail, ...]:
    """Writes every lesion of both images with what is around it, pixel for pixel.

    Lesions beside one another are shown once.

    Args:
      before, after: float32 [H, W] grey levels in [-1, 1].
    """
    details: list[Detail] = []
    for rows, columns in detail_parts([lesion.box for lesion in made.lesions], before.shape):
        size = columns.stop - columns.start, rows.stop - rows.start
        name = f"{made.name}_{len(details) + 1}"
        pair = _write_pair(setup, DETAILS, name, size, before[rows, columns], after[rows, columns])
        boxes = _scaled_boxes(made, (columns.start, rows.start), (1, 1))
        details.append(Detail(*pair, *size, boxes))
    return tuple(details)


def detail_parts(
    boxes: Sequence[tuple[int, int, int, int]], shape: tuple[int, ...]
) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) of as few parts of an image as show every box whole, taken in their order."""
    shown: list[tuple[slice, slice]] = []
    for x0, y0, x1, y1 in boxes:
        if any(r.start <= y0 and y1 <= r.stop and c.start <= x0 and x1 <= c.stop for r, c in shown):
            continue
        shown.append((_around(y0, y1, shape[0]), _around(x0, x1, shape[1])))
        yield shown[-1]


def _around(low: int, high: int, length: int) -> slice:
    """The places from `low` to `high` of `length`, in the middle of as many as a detail has."""
    side = min(length, max(DETAIL_PX, high - low + 2 * DETAIL_MARGIN_PX))
    start = min(max(0, (low + high - side) // 2), length - side)
    return slice(start, start + side)


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
