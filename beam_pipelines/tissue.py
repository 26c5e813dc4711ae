"""Breast mask of a mammogram, and the windows that hold enough tissue.

Otsu's threshold on grey levels loses fatty tissue and the skin line; in the logarithm of the
exposure both are as far from the background as dense tissue is. The skin itself is fainter still:
the breast begins half way between the background and Otsu's threshold.
"""

import cv2
import numpy as np

from beam_pipelines.rejections import Reason, Rejected

# Long side of the image that the mask is computed on, about: 1/8 of a 3328x2560 mammogram. The
# lengths below are in pixels at that size.
_WORKING_SIDE = 416
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


def breast_mask(grey: np.ndarray) -> np.ndarray:
    """The breast, burnt-in labels and the fogged edges of films left out.

    Args:
      grey: float32 [H, W] in [-1, 1], background dark.

    Returns:
      uint8 [H, W], 1 inside the breast.

    Raises `Rejected` when it covers less than 3% or more than 90% of the image.
    """
    height, width = grey.shape
    shrink = max(1, round(max(height, width) / _WORKING_SIDE))
    size = (max(1, width // shrink), max(1, height // shrink))
    unit = max(size) / _WORKING_SIDE
    exposure = 0.5 * (cv2.resize(grey, size, interpolation=cv2.INTER_AREA) + 1.0)
    clear = np.maximum(exposure - _fog(exposure, unit), 0.0)
    mask = _breast_component(_above_background(clear), unit)
    covered = float(mask.mean())
    if not _SMALLEST <= covered <= _LARGEST:
        raise Rejected(Reason.IMPLAUSIBLE_TISSUE_MASK, f"{covered:.1%} of the image")
    smooth = cv2.resize(mask * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    return smooth >> 7


def integral_of(mask: np.ndarray) -> np.ndarray:
    """int32 [H+1, W+1] integral image of a mask, for `window_tissue`."""
    return cv2.integral(mask, sdepth=cv2.CV_32S)


def window_tissue(
    integral: np.ndarray, x: int | np.ndarray, y: int | np.ndarray, side: int
) -> np.ndarray:
    """Fraction of tissue in square windows with the given left and top edges."""
    total = (
        integral[y + side, x + side]
        - integral[y, x + side]
        - integral[y + side, x]
        + integral[y, x]
    )
    return total / float(side * side)


def valid_windows(integral: np.ndarray, side: int, min_tissue: float) -> np.ndarray:
    """bool [H-side+1, W-side+1]: whether the window with that top-left corner has the tissue.

    Empty when the image is smaller than the window.
    """
    if integral.shape[0] <= side or integral.shape[1] <= side:
        return np.zeros((0, 0), bool)
    total = (integral[side:, side:] - integral[:-side, side:] - integral[side:, :-side]) + integral[
        :-side, :-side
    ]
    return total >= np.ceil(min_tissue * side * side - 1e-9)


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
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    if len(stats) < 2:
        return np.zeros_like(mask)
    largest = (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)
    outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(largest), outlines, -1, 1, cv2.FILLED)
    return np.pad(filled, frame, mode="edge")
