"""The windows that hold enough tissue.

A breast mask has about an eighth of a mammogram's size, and it is not blown up to that again: the
sum over any window of the image is interpolated in the mask's integral, which is exact.
"""

import dataclasses

import cv2
import numpy as np

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
