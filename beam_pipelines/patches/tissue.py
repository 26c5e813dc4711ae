"""Breast mask of a mammogram, and the windows that hold enough tissue.

Otsu's threshold on grey levels loses fatty tissue and the skin line; in the logarithm of the
exposure both are as far from the background as dense tissue is. The skin itself is fainter still:
the breast begins half way between the background and Otsu's threshold.

The mask has about an eighth of a mammogram's size, and it is not blown up to that again: the sum
over any window of the image is interpolated in the mask's integral, which is exact.
"""

import dataclasses

import cv2
import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.rejections import Reason, Rejected
from cgan_tf.synthesis.postprocess import largest_object

# Long side of the image that the mask is computed on, about: 1/8 of a 3328x2560 mammogram. The
# lengths below are in pixels at that size.
_WORKING_SIDE = 416
_SAMPLES = 4  # rows and columns of the image that make one of the mask, at least
_OPENING = 15  # removes view labels and the films' scratches
_FRAME = 4  # films have a bright rim
_LEVELS = 4095.0  # grey levels before the logarithm: 12 bits, the commonest depth
_SKIN = 0.5  # of the way from the background to Otsu's threshold, in the logarithm
_SMALLEST, _LARGEST = 0.03, 0.9  # of the image; outside, the mask is not of a breast
# Films are fogged along their edges: most at the edge, and gone within a few millimetres of it. The
# bound keeps what is brighter, which is the skin of the abdomen on an MLO.
_FOG = 0.18  # at the edge, of the brightest exposure
_FOG_DECAY = 11.0  # until it is 1/e of that
_FOG_VARIES = 1.2  # from the corner to the breast, at most so many times
_CORNER = (8, 32)  # rows from the top or the bottom that show an edge's fog


Place = tuple[np.ndarray, np.ndarray]  # the whole parts of some indices, and the rests


@dataclasses.dataclass(frozen=True, eq=False)
class Integral:
    """Sums over a mask, for windows of the image that it belongs to.

    Attributes:
      table: int32 [h+1, w+1], the integral image of the mask.
      shape: (H+1, W+1), what the integral image of the image has.
    """

    table: np.ndarray
    shape: tuple[int, int]


def breast_mask(grey: np.ndarray | GreyLevels) -> np.ndarray:
    """The breast, burnt-in labels and the fogged edges of films left out.

    Args:
      grey: float32 [H, W] in [-1, 1], background dark.

    Returns:
      uint8 [h, w], 1 inside the breast; a pixel is the average of several pixels of the image
      each way, about `_WORKING_SIDE` in all.

    Raises `Rejected` when it covers less than 3% or more than 90% of the image.
    """
    height, width = grey.shape
    shrink = max(1, round(max(height, width) / _WORKING_SIDE))
    size = (max(1, width // shrink), max(1, height // shrink))
    unit = max(size) / _WORKING_SIDE
    step = max(1, shrink // _SAMPLES)
    sampled = np.ascontiguousarray(grey[::step, ::step])
    exposure = 0.5 * (cv2.resize(sampled, size, interpolation=cv2.INTER_AREA) + 1.0)
    clear = np.maximum(exposure - _fog(exposure, unit), 0.0)
    mask = _breast_component(_above_background(clear), unit)
    covered = float(mask.mean())
    if not _SMALLEST <= covered <= _LARGEST:
        raise Rejected(Reason.IMPLAUSIBLE_TISSUE_MASK, f"{covered:.1%} of the image")
    return mask


def integral_of(mask: np.ndarray, shape: tuple[int, int] | None = None) -> Integral:
    """The integral of a mask [h, w] of an image of `shape` (H, W), its own without one."""
    height, width = shape or mask.shape
    return Integral(cv2.integral(mask, sdepth=cv2.CV_32S), (height + 1, width + 1))


def window_tissue(
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


def _fog(exposure: np.ndarray, unit: float) -> np.ndarray:
    """float32 [W]: a film's fog in every column, from the darker of the upper and lower corners."""
    rows = slice(*(round(row * unit) for row in _CORNER))
    upper, lower = exposure[rows], exposure[::-1][rows]
    if not upper.size:
        return np.zeros(exposure.shape[1], np.float32)
    decay = np.exp(np.arange(exposure.shape[1], dtype=np.float32) / (-_FOG_DECAY * unit))
    seen = _FOG_VARIES * np.minimum(np.median(upper, axis=0), np.median(lower, axis=0))
    return np.minimum(seen, _FOG * (decay + decay[::-1]))


def _above_background(exposure: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: 1 where there is more than background."""
    logarithm = np.log1p(exposure * _LEVELS)
    scaled = cv2.normalize(logarithm, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    otsu, _ = cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    background = float(np.median(scaled[scaled <= otsu]))
    return (scaled > background + _SKIN * (otsu - background)).astype(np.uint8)


def _breast_component(mask: np.ndarray, unit: float) -> np.ndarray:
    """The largest opened component without holes, found inside the frame and extended over it."""
    frame = max(1, round(_FRAME * unit))
    inner = mask[frame:-frame, frame:-frame]
    if not inner.size:
        return np.zeros_like(mask)
    opening = 2 * round(0.5 * (_OPENING - 1) * unit) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening, opening))
    opened = cv2.morphologyEx(inner, cv2.MORPH_OPEN, kernel)
    largest, area = largest_object(opened)
    if not area:
        return np.zeros_like(mask)
    outlines, _ = cv2.findContours(
        largest.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = cv2.drawContours(np.zeros_like(opened), outlines, -1, 1, cv2.FILLED)
    return np.pad(filled, frame, mode="edge")
