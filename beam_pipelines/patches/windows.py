"""Where a patch is cut and how it is flipped, rotated and resized: random, in a stream per draw.

A draw is keyed by (seed, split, SOP instance uid, class, index), so it does not depend on the order
of the work, the number of workers, or other images.

"Then, the patch is randomly flipped (left/right), rotated (90, 180, or 270 degrees), and resized
(uniformly from 0.8 to 1.2x)": here the resize comes first. It sets the side of the window to be
cut, round(size / scale) pixels, which is resampled once to size x size; flip and rotation then move
pixels without changing them.

A breast mask is about an eighth of the size of its mammogram and is never enlarged: the sum over a
window of the image is interpolated in the mask's integral image, which is exact.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.sources.base import Box
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import digest, generator_of

_PROPOSALS = 256

Place = tuple[np.ndarray, np.ndarray]  # whole parts of indices, fractional parts


@dataclasses.dataclass(frozen=True, eq=False)
class Integral:
    """Sums over a mask, for windows of the image that it belongs to.

    Attributes:
      table: int32 [h+1, w+1], the integral image of the mask.
      shape: (H+1, W+1), that of an integral image of the image.
    """

    table: np.ndarray
    shape: tuple[int, int]


def integral_of(mask: np.ndarray, shape: tuple[int, int] | None = None) -> Integral:
    """The integral of a mask [h, w] of an image of `shape` (H, W), by default that of the mask."""
    height, width = shape or mask.shape
    return Integral(cv2.integral(mask, sdepth=cv2.CV_32S), (height + 1, width + 1))


def tissue_fraction(
    integral: Integral, x: int | np.ndarray, y: int | np.ndarray, side: int
) -> np.ndarray:
    """Fraction of tissue in square windows with the given left and top edges, in image pixels."""
    table = integral.table
    (h, w), (height, width) = _sizes(integral)
    rows, columns = (
        [_place(edge, h, height) for edge in (y, y + side)],
        [_place(edge, w, width) for edge in (x, x + side)],
    )
    upper, lower = (_at(table, row, columns[1]) - _at(table, row, columns[0]) for row in rows)
    return (lower - upper) * (height * width / (h * w * side * side))


def tissue_in(
    mask: np.ndarray, shape: tuple[int, int], left: int, top: int, side: int
) -> np.ndarray:
    """bool [side, side]: where a window of an image of `shape` (H, W) lies in its mask [h, w]."""
    (h, w), (height, width) = mask.shape, shape
    rows, columns = np.arange(top, top + side), np.arange(left, left + side)
    return mask[np.ix_(rows * h // height, columns * w // width)] > 0


def valid_windows(integral: Integral, side: int, min_tissue: float) -> np.ndarray:
    """bool [H-side+1, W-side+1]: whether the window with that top-left corner has the tissue.

    Empty when the image is smaller than the window.
    """
    rows, columns = (length - side for length in integral.shape)
    if rows < 1 or columns < 1:
        return np.zeros((0, 0), bool)
    (h, w), (height, width) = _sizes(integral)
    strips = _between(integral.table, np.arange(rows), side, height)  # [H-side+1, w+1]
    total = _between(strips.T, np.arange(columns), side, width).T * (height * width / (h * w))
    return total >= min_tissue * side * side - 1e-6


def _between(table: np.ndarray, starts: np.ndarray, length: int, whole: int) -> np.ndarray:
    """Differences along the first axis, from places of the image to others `length` further."""
    return _rows(table, starts + length, whole) - _rows(table, starts, whole)


def _rows(table: np.ndarray, places: np.ndarray, whole: int) -> np.ndarray:
    """Rows of a table at places 0 to `whole` of the image, linearly interpolated."""
    row, part = _place(places, len(table) - 1, whole)
    return table[row] + (table[row + 1] - table[row]) * part[:, None]


def _at(table: np.ndarray, row: Place, column: Place) -> np.ndarray:
    """Values of a table between its rows and columns, linearly interpolated."""
    (above, down), (before, right) = row, column
    upper, lower = (
        table[row, before] + (table[row, before + 1] - table[row, before]) * right
        for row in (above, above + 1)
    )
    return upper + (lower - upper) * down


def _place(place: int | np.ndarray, length: int, whole: int) -> Place:
    """Where 0 to `whole` of the image is in 0 to `length` of the mask: (whole part, the rest)."""
    exact = np.asarray(place) * (length / whole)
    before = np.minimum(exact.astype(np.int64), length - 1)
    return before, exact - before


def _sizes(integral: Integral) -> tuple[tuple[int, int], tuple[int, int]]:
    """((h, w) of the mask, (H, W) of the image)."""
    (h, w), (height, width) = integral.table.shape, integral.shape
    return (h - 1, w - 1), (height - 1, width - 1)


def draw_key(seed: int, split: str, sop_uid: str, patch_class: str, index: int) -> bytes:
    """16 bytes that name a draw: the key of its stream and its place among other draws."""
    return digest(seed, split, sop_uid, patch_class, index)


def draw_stream(key: bytes) -> np.random.Generator:
    """The random numbers of one draw; only `random` is used, whose values NumPy keeps stable."""
    return generator_of(key, "big")


def lesion_window(
    generator: np.random.Generator,
    box: Box,
    shape: tuple[int, int],
    side: int,
    size: int,
    max_offset: int,
    pixels: np.ndarray | None = None,
) -> tuple[int, int]:
    """(left, top) of a window around a random pixel of a lesion.

    "A random pixel on the lesion is chosen, and then a random x and y offset is chosen between 0
    to 128 pixels in either direction."

    Args:
      box: of the lesion, inside an image of `shape` (H, W) that holds the window.
      side: of the window in image pixels. size: of the patch.
      max_offset: in patch pixels. The offset is a whole number and smaller than this in either
        direction, so that the chosen pixel stays in the window.
      pixels: int [N, 2], (x, y) of the lesion's pixels; by default all pixels of the box.

    Returns:
      The window, moved into the image if needed. It holds the chosen pixel.
    """
    x_place, x_shift, y_place, y_shift = generator.random(4)
    if pixels is None:
        pixel_xy = box[0] + (box[2] - box[0]) * x_place, box[1] + (box[3] - box[1]) * y_place
    else:
        pixel_xy = tuple(pixels[int(x_place * len(pixels))])
    edges = []
    for place, shift, length in zip(pixel_xy, (x_shift, y_shift), shape[::-1], strict=True):
        pixel = min(int(place), length - 1)
        offset = int((2 * max_offset - 1) * shift) - (max_offset - 1)
        edge = round(pixel + offset * side / size - side / 2)
        edge = min(max(edge, pixel - side + 1), pixel)
        edge = min(max(edge, 0), length - side)
        assert edge <= pixel < edge + side
        edges.append(edge)
    return edges[0], edges[1]


def tissue_window(
    generator: np.random.Generator,
    integral: Integral,
    side: int,
    min_tissue: float,
    lesions: Sequence[Box] = (),
    distance: int = 0,
) -> tuple[int, int] | None:
    """(left, top) of a random window with enough breast tissue, far from all lesions.

    Uniform among the windows with at least `min_tissue` of tissue whose edges are at least
    `distance` pixels from the boxes of all `lesions`; None if there are none. The first batch of
    uniform proposals nearly always has a valid one; if not, all valid windows are listed.
    """
    rows, columns = integral.shape[0] - side, integral.shape[1] - side
    if rows < 1 or columns < 1:
        return None
    proposals = generator.random((_PROPOSALS, 2))
    xs = (proposals[:, 0] * columns).astype(np.int64)
    ys = (proposals[:, 1] * rows).astype(np.int64)
    fit = tissue_fraction(integral, xs, ys, side) >= min_tissue - 1e-9
    for (first_x, end_x), (first_y, end_y) in _too_near(lesions, side, distance):
        fit &= (xs < first_x) | (xs >= end_x) | (ys < first_y) | (ys >= end_y)
    good = np.flatnonzero(fit)
    if len(good):
        return int(xs[good[0]]), int(ys[good[0]])
    valid = valid_windows(integral, side, min_tissue)
    for x_range, y_range in _too_near(lesions, side, distance):
        valid[slice(*y_range), slice(*x_range)] = False
    places = np.flatnonzero(valid)
    if not len(places):
        return None
    place = int(places[int(generator.random() * len(places))])
    return place % columns, place // columns


def _too_near(
    lesions: Sequence[Box], side: int, distance: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """For each lesion: (first, end) of the left edges and of the top edges of windows that are
    less than `distance` from it both ways."""
    for x0, y0, x1, y1 in lesions:
        x_range, y_range = (
            (max(0, math.floor(low - side - distance) + 1), max(0, math.ceil(high + distance)))
            for low, high in ((x0, x1), (y0, y1))
        )
        yield x_range, y_range


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The drawn values of one patch.

    Attributes:
      flip: mirrored left to right, before the rotation.
      rotation: 0, 90, 180 or 270 degrees counter-clockwise.
      side: of the window in pixels.
    """

    flip: bool
    rotation: int
    side: int


def draw_augmentation(generator: np.random.Generator, config: PatchesConfig, split: str):
    """Draws an `Augmentation`, always with three numbers: later draws must not depend on flags."""
    flip, rotation, scale = generator.random(3)
    if split != "train" and not config.augment_eval:
        return Augmentation(False, 0, config.size)
    drawn = config.scale_min + (config.scale_max - config.scale_min) * scale
    return Augmentation(
        flip=bool(flip < config.flip_probability),
        rotation=90 * int(4 * rotation) if config.rotate else 0,
        side=max(1, round(config.size / drawn)),
    )


def cut_patch(
    grey: np.ndarray | GreyLevels, left: int, top: int, augmentation: Augmentation, size: int
) -> np.ndarray:
    """The window of `grey` [H, W] at (left, top), as float32 [size, size] in [-1, 1]."""
    side = augmentation.side
    window = grey[top : top + side, left : left + side]
    if window.shape != (side, side):
        raise ValueError(f"window {left},{top} of {side} px leaves the image {grey.shape}")
    if side != size:  # the cubic kernel overshoots, hence the clip
        way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        window = cv2.resize(window, (size, size), interpolation=way).clip(-1.0, 1.0)
    if augmentation.flip:
        window = window[:, ::-1]
    return np.ascontiguousarray(np.rot90(window, augmentation.rotation // 90), np.float32)


def box_in_patch(box: Box, left: int, top: int, augmentation: Augmentation, size: int) -> Box:
    """A box of the image in pixels of the patch that `cut_patch` gives, clipped to the patch."""
    scale = size / augmentation.side
    x0, y0, x1, y1 = (
        min(max((edge - origin) * scale, 0.0), float(size))
        for edge, origin in zip(box, (left, top, left, top), strict=True)
    )
    if augmentation.flip:
        x0, x1 = size - x1, size - x0
    for _ in range(augmentation.rotation // 90):  # (x, y) goes to (y, size - x)
        x0, y0, x1, y1 = y0, size - x1, y1, size - x0
    return x0, y0, x1, y1
