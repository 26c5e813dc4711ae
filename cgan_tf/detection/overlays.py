"""Pictures of a scored mammogram: its heat map over it, candidates and known lesions as boxes."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from cgan_tf.detection.heat_maps import HeatMap
from cgan_tf.detection.predictions import Candidate, ImagePrediction
from cgan_tf.pages.patches import patch_levels

MAMMOGRAMS, OVERLAYS = "mammograms", "overlays"  # folders of the pictures
LONGEST_SIDE = 1200  # pixels of a picture; a smaller image is enlarged twice at most
SHOWN_CANDIDATES = 5
COOLEST = 0.1  # below this probability nothing is coloured
_DEEPEST = 0.5  # share of the colour at a probability of 1
_HOTTEST = 190  # of 255: the map's yellow, beyond which it turns white
# Blue, green, red.
_CANDIDATE, _MALIGNANT, _BENIGN = (255, 255, 255), (0, 176, 255), (255, 190, 90)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def reduced(grey: np.ndarray) -> np.ndarray:
    """Grey levels float32 [H, W] in [-1, 1] as a picture uint8 [h, w] for a screen."""
    height, width = grey.shape
    factor = min(2.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return patch_levels(cv2.resize(np.ascontiguousarray(grey), size, interpolation=way))


def overlay(
    picture: np.ndarray, prediction: ImagePrediction, heat: HeatMap | None = None
) -> np.ndarray:
    """uint8 [h, w, 3], blue, green, red: the picture of an image with what is predicted of it.

    Known lesions are amber, benign ones blue; the first candidates are white, with their scores.
    The colour of a pixel is the probability of the window around it, from none through red to
    yellow; between windows it is interpolated, at the edge it is that of the last window.

    Args:
      picture: uint8 [h, w] of the whole image.
    """
    canvas = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    image = prediction.image
    scale = picture.shape[1] / image.width, picture.shape[0] / image.height
    if heat is not None:
        canvas = _heated(canvas, heat, scale)
    thickness = max(1, round(max(picture.shape) / 600))
    for lesion in prediction.lesions:
        colour = _MALIGNANT if lesion.malignant else _BENIGN
        _rectangle(canvas, lesion.box, scale, colour, thickness + 1)
    for candidate in reversed(shown_candidates(prediction.candidates)):
        corner = _rectangle(canvas, candidate.box, scale, _CANDIDATE, thickness)
        _label(canvas, f"{candidate.score:.2f}", corner)
    return canvas


def shown_candidates(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that a picture shows: the first ones, as far as they are coloured."""
    return [each for each in candidates[:SHOWN_CANDIDATES] if each.score >= COOLEST]


def png_bytes(picture: np.ndarray) -> bytes:
    """uint8 [h, w] or [h, w, 3] in blue, green, red as PNG."""
    encoded, data = cv2.imencode(".png", picture)
    assert encoded
    return data.tobytes()


def heat_on(heat: HeatMap, shape: tuple[int, int], scale: tuple[float, float]) -> np.ndarray:
    """float32 [h, w]: the probability around each pixel of a picture; 0 where nothing was scored.

    Args:
      shape: (h, w). scale: (x, y) pixels of the picture for a stored pixel.
    """
    known = np.isfinite(heat.logits)
    values = np.where(known, heat.probabilities, 0.0).astype(np.float32)
    columns = np.interp((np.arange(shape[1]) + 0.5) / scale[0], heat.x, np.arange(len(heat.x)))
    rows = np.interp((np.arange(shape[0]) + 0.5) / scale[1], heat.y, np.arange(len(heat.y)))
    x, y = (each.astype(np.float32) for each in np.meshgrid(columns, rows))
    sums, weights = (
        cv2.remap(each, x, y, cv2.INTER_LINEAR) for each in (values, known.astype(np.float32))
    )
    return np.where(weights >= 0.5, sums / np.maximum(weights, 0.5), 0.0).astype(np.float32)


def _heated(canvas: np.ndarray, heat: HeatMap, scale: tuple[float, float]) -> np.ndarray:
    shape = canvas.shape[0], canvas.shape[1]
    warm = np.clip((heat_on(heat, shape, scale) - COOLEST) / (1 - COOLEST), 0, 1)
    colours = cv2.applyColorMap((warm * _HOTTEST).astype(np.uint8), cv2.COLORMAP_HOT)
    share = (_DEEPEST * np.sqrt(warm))[..., None]
    return (canvas * (1 - share) + colours * share).astype(np.uint8)


def _rectangle(
    canvas: np.ndarray,
    box: Iterable[float],
    scale: tuple[float, float],
    colour: tuple[int, int, int],
    thickness: int,
) -> tuple[int, int]:
    """Draws a box of the stored image; returns its left and top in the picture."""
    x0, y0, x1, y1 = (round(edge * scale[axis % 2]) for axis, edge in enumerate(box))
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), (0, 0, 0), thickness + 2)
    cv2.rectangle(canvas, (x0, y0), (x1 - 1, y1 - 1), colour, thickness)
    return x0, y0


def _label(canvas: np.ndarray, text: str, corner: tuple[int, int]) -> None:
    """A text above a corner, or inside the picture where there is no room above."""
    size = max(0.4, max(canvas.shape[:2]) / 2000)
    (width, height), _ = cv2.getTextSize(text, _FONT, size, 1)
    x = min(max(corner[0], 0), canvas.shape[1] - width - 4)
    y = max(corner[1] - 3, height + 4)
    cv2.rectangle(canvas, (x, y - height - 3), (x + width + 3, y + 2), (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (x + 2, y), _FONT, size, _CANDIDATE, 1, cv2.LINE_AA)
