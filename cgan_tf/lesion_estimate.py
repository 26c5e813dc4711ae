"""The lesion in a patch that has no lesion channel, and a description of it to compare.

Real patches come without a lesion layer, so real and synthetic ones go through the same operator:
the box of the lesion is filled with the harmonic function that continues the pixels around it, as
a drum skin would, and what the patch has beyond that is the estimate. In the phantom, where the
true layer is known, the correlation of the two has a median near 0.9 (tests/test_lesion_estimate).
"""

import functools

import cv2
import numpy as np

SIDE = 64  # larger patches are reduced first: descriptions are coarser still
_GRID = 32


def estimate_lesion(patch: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
    """The patch minus the background continued from around the box; 0 outside the box.

    Args:
      patch: float [size, size] in [-1, 1]. box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.

    Returns:
      float32 [SIDE, SIDE], or None when the box leaves nothing around it.
    """
    scale = SIDE / len(patch)
    reduced = cv2.resize(patch.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    edges = [*np.floor(np.multiply(box[:2], scale)), *np.ceil(np.multiply(box[2:], scale))]
    x0, y0, x1, y1 = (int(edge) for edge in np.clip(edges, 0, SIDE))
    rows, columns = slice(y0, y1), slice(x0, x1)
    lesion = np.zeros((SIDE, SIDE), np.float32)
    inside = lesion[rows, columns]
    if inside.size in (0, lesion.size):
        return None
    inside[:] = reduced[rows, columns] - _continued(reduced, rows, columns)
    return lesion


def describe_lesion(lesion: np.ndarray) -> np.ndarray:
    """A unit vector float32 [1024]: the lesion on a 32 x 32 grid with its `centre` in the middle.

    Dot products of two compare shape and size, whatever place and strength. A lesion without
    anything bright gives zeros.

    Args:
      lesion: float32 [size, size], of `estimate_lesion` or a lesion channel.
    """
    if not (lesion > 0).any():
        return np.zeros(_GRID**2, np.float32)
    size = len(lesion)
    x, y = centre(lesion)
    middle = (size - 1) / 2
    move = np.array([[1, 0, middle - x], [0, 1, middle - y]], np.float32)
    centred = cv2.warpAffine(lesion.astype(np.float32), move, (size, size))
    coarse = cv2.resize(centred, (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel()
    return (coarse / np.linalg.norm(coarse)).astype(np.float32)


def centre(lesion: np.ndarray) -> tuple[float, float]:
    """(x, y) of the centre of the bright part in pixels; NaN without anything bright.

    Pixels under half of the peak are left out: boxes are drawn more or less tightly, and what lies
    between lesion and box must not move the centre.
    """
    if not (lesion > 0).any():
        return np.nan, np.nan
    peak = np.quantile(lesion[lesion > 0], 0.99)
    bright = np.where(lesion > peak / 2, lesion, 0).astype(np.float64)
    along = np.arange(len(lesion))
    x, y = bright.sum(axis=0) @ along, bright.sum(axis=1) @ along
    return float(x / bright.sum()), float(y / bright.sum())


def _continued(image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The harmonic continuation of `image` into a box from around it, float64 [rows, columns].

    The box's Laplacian is a sum of one along the rows and one along the columns, so it is inverted
    on their eigenvectors (Lynch, Rice and Thomas 1964, "fast diagonalisation").
    """
    known = image.astype(np.float64)
    known[rows, columns] = 0
    around = np.pad(known, 1)  # at the border of the patch the slope is 0: nothing comes from there
    height, width = rows.stop - rows.start, columns.stop - columns.start
    top, left = rows.start, columns.start  # one less in the padded image
    inflow = np.zeros((height, width))
    inflow[0] += around[top, left + 1 : left + 1 + width]
    inflow[-1] += around[rows.stop + 1, left + 1 : left + 1 + width]
    inflow[:, 0] += around[top + 1 : top + 1 + height, left]
    inflow[:, -1] += around[top + 1 : top + 1 + height, columns.stop + 1]
    along_y, y = _eigenvectors(height, rows.start == 0, rows.stop == SIDE)
    along_x, x = _eigenvectors(width, columns.start == 0, columns.stop == SIDE)
    return y @ ((y.T @ inflow @ x) / (along_y[:, None] + along_x)) @ x.T


@functools.cache
def _eigenvectors(length: int, starts: bool, ends: bool) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of the negative second difference over `length` pixels.

    `starts` and `ends`: whether the first and the last pixel are at the border of the patch.
    """
    matrix = 2 * np.eye(length) - np.eye(length, k=1) - np.eye(length, k=-1)
    matrix[0, 0] -= starts
    matrix[-1, -1] -= ends
    return np.linalg.eigh(matrix)
