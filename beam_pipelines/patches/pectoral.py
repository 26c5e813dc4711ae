"""The pectoral muscle on an MLO view: what lies beyond the straight line that it ends at best.

The muscle is brighter than the breast before it, and its edge runs from the top of the film to the
chest wall, steeper than 35 degrees. Every such line is tried; the best one has the largest mean
step of exposure across it, along its whole length. The edge of a real muscle is a little curved.
"""

import cv2
import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.patches.breast_mask import chest_wall_is_left, working_size

MLO = "MLO"  # the view that shows the muscle
# Lengths are in pixels of the mask, 416 to the long side of a film.
_BLUR = 3.0  # sigma; the fibres of the muscle and the noise are finer
_STEP_ACROSS = 4.0  # from the line to where the levels on its two sides are read
_BETWEEN_LINES = (4.0, 5.0)  # along the top, along the chest wall
_FROM_TOP, _FROM_CHEST_WALL = (0.04, 1.0), (0.1, 1.3)  # of the breast's width there, the height
_STEEPEST, _FLATTEST = 85.0, 35.0  # degrees to the horizontal
_POINTS = 48  # at which a line is looked at; half of them must be in the breast
_LARGEST_STEP = 0.5  # of the median exposure: a label beside the line counts no more
_UNEVEN = (
    0.5  # of its standard deviation is taken from the mean step: a gland is brighter in places
)


def pectoral_mask(grey: np.ndarray | GreyLevels, breast: np.ndarray) -> np.ndarray:
    """The part of the breast mask that is pectoral muscle, of an MLO view.

    Args:
      grey: float32 [H, W] in [-1, 1], without padding. breast: uint8 [h, w], its `breast_mask`.

    Returns:
      uint8 [h, w]; empty where nothing gets darker across any line.
    """
    exposure, unit, _ = working_size(grey)
    way = slice(None) if chest_wall_is_left(breast) else slice(None, None, -1)
    exposure, inside = (np.ascontiguousarray(image[:, way]) for image in (exposure, breast))
    lines = _lines(inside, unit)
    found = np.zeros_like(inside)
    if len(lines):
        scores = _scores(cv2.GaussianBlur(exposure, (0, 0), _BLUR * unit), inside, lines, unit)
        best = int(np.argmax(scores))
        if scores[best] > 0:
            x, y = lines[best]
            rows, columns = np.ogrid[: inside.shape[0], : inside.shape[1]]
            found = inside * (columns / x + rows / y < 1)
    return np.ascontiguousarray(found[:, way])


def _lines(inside: np.ndarray, unit: float) -> np.ndarray:
    """float64 [n, 2]: the x at the top and the y at the chest wall of every line to be tried."""
    height = len(inside)
    top = np.flatnonzero(inside[: max(1, round(0.03 * height))].any(axis=0))
    if not len(top):
        return np.zeros((0, 2))
    starts, ends = (
        np.arange(low * length, high * length, step * unit)
        for (low, high), length, step in zip(
            (_FROM_TOP, _FROM_CHEST_WALL), (int(top[-1]), height), _BETWEEN_LINES, strict=True
        )
    )
    lines = np.stack(np.meshgrid(starts[starts > 0], ends, indexing="ij"), axis=-1).reshape(-1, 2)
    angle = np.degrees(np.arctan2(lines[:, 1], lines[:, 0]))
    return lines[(angle > _FLATTEST) & (angle < _STEEPEST)]


def _scores(exposure: np.ndarray, inside: np.ndarray, lines: np.ndarray, unit: float) -> np.ndarray:
    """float [n]: the mean fall across each line, less what it varies, more for longer lines."""
    part = (np.arange(_POINTS) + 0.5) / _POINTS
    x, y = lines[:, :1] * (1 - part), lines[:, 1:] * part  # [n, points]
    length = np.hypot(*lines.T)
    across_x, across_y = (_STEP_ACROSS * unit * lines[:, place] / length for place in (1, 0))
    muscle = _read(exposure, x - across_x[:, None], y - across_y[:, None])
    before = _read(exposure, x + across_x[:, None], y + across_y[:, None])
    used = (y < len(inside) - 1) & (_read(inside, x, y, cv2.INTER_NEAREST) > 0)
    bound = _LARGEST_STEP * float(np.median(exposure[inside > 0]))
    falls = np.clip(muscle - before, -bound, bound)
    count = used.sum(axis=1)
    mean = np.where(used, falls, 0).sum(axis=1) / np.maximum(count, 1)
    variance = np.where(used, (falls - mean[:, None]) ** 2, 0).sum(axis=1) / np.maximum(count, 1)
    score = (mean - _UNEVEN * np.sqrt(variance)) * np.sqrt(length * count)
    return np.where(count >= _POINTS // 2, score, -np.inf)


def _read(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, way: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """Values of an image at places, that of the nearest edge beyond it."""
    return cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), way, borderMode=cv2.BORDER_REPLICATE
    )
