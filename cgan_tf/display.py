"""Patches as eight-bit pictures."""

import cv2
import numpy as np

SHOWN_PX = 192  # a smaller patch is enlarged by a whole factor up to about this side


def to_levels(view: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8, out-of-range values clipped."""
    return np.rint(np.clip(view, 0, 1) * 255).astype(np.uint8)


def patch_levels(patches: np.ndarray) -> np.ndarray:
    """Grey levels in [-1, 1], of any shape, to uint8; out-of-range values clipped."""
    return to_levels((patches + 1.0) / 2.0)


def shown_factor(size: int) -> int:
    """How many times a patch of `size` pixels a side is enlarged to be looked at."""
    return max(1, round(SHOWN_PX / size))


def enlarge(levels: np.ndarray) -> np.ndarray:
    """A small patch enlarged by a whole factor, smoothly: square pixels would look like noise."""
    factor = shown_factor(len(levels))
    if factor == 1:
        return levels
    return cv2.resize(levels, None, fx=factor, fy=factor, interpolation=cv2.INTER_LANCZOS4)


def mosaic(tiles: np.ndarray, columns: int, empty: int = 0) -> np.ndarray:
    """Tiles uint8 [n, h, w] in rows of `columns`; places left over have the level `empty`."""
    missing = -len(tiles) % columns
    tiles = np.pad(tiles, ((0, missing), (0, 0), (0, 0)), constant_values=empty)
    _, height, width = tiles.shape
    rows = len(tiles) // columns
    grid = tiles.reshape(rows, columns, height, width).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width)
