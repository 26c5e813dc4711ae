"""Breast mask of a mammogram, and the windows that hold enough tissue.

Otsu's threshold on grey levels loses fatty tissue and the skin line; in the logarithm of the
exposure both are as far from the background as dense tissue is.
"""

import cv2
import numpy as np

from beam_pipelines.rejections import Reason, Rejected

# Long side of the image that the mask is computed on: 1/16 of a 3328x2560 mammogram.
_WORKING_SIDE = 208
_OPENING = 11  # px at that size: removes view labels and the films' scratches
_FRAME = 2  # px: films have a bright rim
_LEVELS = 4095.0  # grey levels before the logarithm: 12 bits, the commonest depth
_SMALLEST, _LARGEST = 0.03, 0.9  # of the image; outside, the mask is not of a breast


def breast_mask(grey: np.ndarray) -> np.ndarray:
    """The breast, burnt-in labels left out.

    Args:
      grey: float32 [H, W] in [-1, 1], background dark.

    Returns:
      uint8 [H, W], 1 inside the breast.

    Raises `Rejected` when it covers less than 3% or more than 90% of the image.
    """
    height, width = grey.shape
    shrink = max(1, round(max(height, width) / _WORKING_SIDE))
    size = (max(1, width // shrink), max(1, height // shrink))
    mask = _breast_component(_log_otsu(cv2.resize(grey, size, interpolation=cv2.INTER_AREA)))
    covered = float(mask.mean())
    if not _SMALLEST <= covered <= _LARGEST:
        raise Rejected(Reason.IMPLAUSIBLE_TISSUE_MASK, f"{covered:.1%} of the image")
    smooth = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return (smooth >= 0.5).astype(np.uint8)


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


def _log_otsu(small: np.ndarray) -> np.ndarray:
    # Blurred after the logarithm: before it, the breast's edge would move outwards by a pixel.
    logarithm = cv2.GaussianBlur(np.log1p((small + 1.0) * (0.5 * _LEVELS)), (0, 0), 1.0)
    scaled = cv2.normalize(logarithm, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    return cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]


def _breast_component(mask: np.ndarray) -> np.ndarray:
    """The largest opened component without holes, found inside the frame and extended over it."""
    inner = mask[_FRAME:-_FRAME, _FRAME:-_FRAME]
    if not inner.size:
        return np.zeros_like(mask)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_OPENING, _OPENING))
    opened = cv2.morphologyEx(inner, cv2.MORPH_OPEN, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    if len(stats) < 2:
        return np.zeros_like(mask)
    largest = (labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])).astype(np.uint8)
    outlines, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(largest), outlines, -1, 1, cv2.FILLED)
    return np.pad(filled, _FRAME, mode="edge")
