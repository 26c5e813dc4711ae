"""The lesion in a patch that has no lesion channel, and a description of it to compare.

Real patches come without a lesion layer, so real and synthetic ones go through the same operator:
the box of the lesion is filled with the harmonic function that continues the pixels around it, as
a drum skin would, and what the patch has beyond that is the estimate. In the phantom, where the
true layer is known, the correlation of the two has a median near 0.9 (tests/test_lesion_estimate).
"""

import functools

import cv2
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import LaplacianNd, spsolve

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
    x0, y0 = (int(np.floor(edge * scale)) for edge in box[:2])
    x1, y1 = (int(np.ceil(edge * scale)) for edge in box[2:])
    inside = np.zeros((SIDE, SIDE), bool)
    inside[max(0, y0) : y1, max(0, x0) : x1] = True
    if inside.all() or not inside.any():
        return None
    lesion = np.zeros((SIDE, SIDE), np.float32)
    lesion[inside] = reduced[inside] - _continued(reduced, inside)
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


@functools.cache
def _laplacian() -> csr_array:
    # At the border of the patch the slope is 0; at that of the box the pixels around it are given.
    grid = LaplacianNd((SIDE, SIDE), boundary_conditions="neumann", dtype=np.float64)
    return csr_array(grid.tosparse())


def _continued(image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The harmonic continuation of `image` from outside to the pixels inside, float64 [pixels]."""
    rows = _laplacian()[np.flatnonzero(inside)]
    known = rows[:, np.flatnonzero(~inside)] @ image[~inside].astype(np.float64)
    return spsolve(rows[:, np.flatnonzero(inside)].tocsc(), -known)
