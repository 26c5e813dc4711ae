"""Scores a whole mammogram with a patch classifier: window by window, or in one pass.

Window by window is exact: every window is a patch. In one pass ResNet-50's convolutions run over
the whole image, and the logit of a window is the mean of the places' logits where it lies. That is
another function, since a patch ends in zeros on all sides and a window in its neighbours; it does a
fraction of the work, as windows overlap. Group normalisation takes its statistics from all that it
is shown, so a network with it cannot be asked so.
"""

import cv2
import numpy as np

from cgan_tf.detection.heat_maps import PLACE, Grid, window_batches
from cgan_tf.models.patch_classifier import PatchClassifier

# ResNet-50's field of view is 483 px: so far from a tile's edge its maps are those of the image.
_TILE, _MARGIN = 1024, 256


def score_windows(
    model: PatchClassifier, grey: np.ndarray, corners: np.ndarray, size: int, batch_size: int
) -> np.ndarray:
    """Logits float32 [n] of the windows of an image at `corners`, int [n, 2].

    Args:
      grey: float32 [H, W] in [-1, 1].
    """
    logits = [np.zeros(0, np.float32)]
    for windows in window_batches(grey, corners, size, batch_size):
        logits.append(model.infer(windows)[0].numpy())
    return np.concatenate(logits)


def score_dense(model: PatchClassifier, grey: np.ndarray, grid: Grid) -> np.ndarray:
    """Logits float32 [R, C] of all windows of a `dense_grid`, from one pass over the image.

    Args:
      grey: float32 [H, W] in [-1, 1].
    """
    table = cv2.integral(place_logits(model, grey), sdepth=cv2.CV_64F)
    side = grid.size // PLACE
    tops, lefts = grid.tops // PLACE, grid.lefts // PLACE
    rows = table[tops + side] - table[tops]  # [R, W/32 + 1]
    return ((rows[:, lefts + side] - rows[:, lefts]) / side**2).astype(np.float32)


def place_logits(
    model: PatchClassifier, grey: np.ndarray, tile: int = _TILE, margin: int = _MARGIN
) -> np.ndarray:
    """The logit of every place of a whole image, float32 [H // 32, W // 32].

    A large image goes through the network in tiles with margins as wide as the field of view
    reaches: memory is bounded, and the values are those of one piece.

    Args:
      grey: float32 [H, W] in [-1, 1]. tile, margin: in pixels, multiples of 32.
    """
    height, width = (length // PLACE for length in grey.shape)
    logits = np.zeros((height, width), np.float32)
    for rows, row_tile in _tiles(grey.shape[0], tile, margin):
        for columns, column_tile in _tiles(grey.shape[1], tile, margin):
            part = np.ascontiguousarray(grey[row_tile, column_tile], np.float32)
            found = model.infer_places(part[None, ..., None])[0].numpy()
            skipped = (
                rows.start - row_tile.start // PLACE,
                columns.start - column_tile.start // PLACE,
            )
            inside = found[skipped[0] :, skipped[1] :]
            logits[rows, columns] = inside[: rows.stop - rows.start, : columns.stop - columns.start]
    return logits


def _tiles(length: int, tile: int, margin: int) -> list[tuple[slice, slice]]:
    """(places, pixels of them with their margin) of each tile along an axis."""
    places, step = length // PLACE, tile // PLACE
    tiles = []
    for start in range(0, places, step):
        end = min(start + step, places)
        first, last = start * PLACE - margin, end * PLACE + margin
        tiles.append((slice(start, end), slice(max(0, first), min(length, last))))
    return tiles
