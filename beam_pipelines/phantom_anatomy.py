"""The healthy breast of the phantom: outline, thickness, skin, gland, strands, pectoral muscle.

Everything is computed in millimetres with the chest wall at column 0 (a left breast); the caller
mirrors it for a right breast. Grey levels are display values: -1 is air, fatty tissue lies near
-0.4, dense tissue near 0.2, the pectoral muscle near 0.25, so that a lesion of +0.4 rarely clips.
"""

import cv2
import numpy as np
import scipy.special

from beam_pipelines.phantom_noise import (
    COARSE_MM,
    COARSE_SHAPE,
    keyed_generator,
    pixel_axes,
    power_law_field,
    sample_field,
    upsample,
)
from beam_pipelines.phantom_outline import Body, Outline
from beam_pipelines.phantom_parenchyma import draw_parenchyma

IMAGE_SHAPES = {"clinical": (3328, 2560), "small": (832, 640)}
SPACINGS_MM = {"clinical": 0.07, "small": 0.28}
AIR = -1.0
# Standard deviation of the noise of one 0.28 mm pixel, as a share of the display's half range;
# it grows with finer pixels as the number of quanta in a pixel falls.
QUANTUM_NOISE = 0.014


def draw_breast(
    seed: int, key: tuple[object, ...], body: Body, outline: Outline, size: str
) -> tuple[np.ndarray, np.ndarray]:
    """The healthy breast without quantum noise.

    Args:
      key: names the client, the side and the view. size: clinical or small.

    Returns:
      float32 display values [rows, columns], and the breast's mask (bool).
    """
    shape = IMAGE_SHAPES[size]
    spacing = SPACINGS_MM[size]
    y, x = pixel_axes(shape, spacing)
    mask = x < outline.width_at(y[:, 0])[:, None]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth = (depth - 0.5).clip(0) * np.float32(spacing)
    tissue = draw_parenchyma(seed, key, body, outline, shape, spacing)
    if outline.pectoral:
        tissue = _with_pectoral(seed, key, tissue, outline.pectoral, y, x)
    return _under_skin(tissue, depth, body, mask), mask


def _with_pectoral(
    seed: int,
    key: tuple[object, ...],
    tissue: np.ndarray,
    pectoral: tuple[float, float],
    y: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """The muscle's triangle at the top of the chest wall, with a slightly convex border."""
    rng = keyed_generator(seed, *key, "pectoral")
    top, bottom = pectoral
    bulge = rng.uniform(0.0, 6.0)
    along = np.clip(y / bottom, 0, 1.2)
    border = top * (1 - along) + bulge * np.sin(np.pi * np.clip(along, 0, 1))
    inside = scipy.special.expit((border - x) / rng.uniform(0.6, 1.6))
    level = rng.uniform(0.10, 0.24) + 0.12 * (1 - along)
    muscle = level + _muscle_fibres(rng, pectoral, tissue.shape) + 0.3 * (tissue - tissue.mean())
    return (tissue + inside * (muscle - tissue)).astype(np.float32)


def _muscle_fibres(
    rng: np.random.Generator, pectoral: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Streaks along the muscle's border, fanning out a little."""
    y, x = pixel_axes(COARSE_SHAPE, COARSE_MM)
    slope = np.arctan2(pectoral[1], -pectoral[0]) + rng.normal(0, 0.08)
    along = x * np.cos(slope) + y * np.sin(slope)
    across = -x * np.sin(slope) + y * np.cos(slope)
    field = power_law_field(rng, COARSE_SHAPE, COARSE_MM, 2.6, 20.0, 0.8)
    streaks = sample_field(field, across, along / 6)
    return 0.045 * upsample(streaks, shape)


def _under_skin(tissue: np.ndarray, depth: np.ndarray, body: Body, mask: np.ndarray) -> np.ndarray:
    """Roll-off of the thickness towards the edge, the skin line, and air outside.

    The edge of a compressed breast is nearly a half circle; the root after it stands for the
    peripheral equalisation that every manufacturer applies.
    """
    radius = 0.42 * body.thickness_mm
    rest = 1 - np.minimum(depth, radius) / radius
    thickness = np.sqrt(1 - rest**2)
    image = AIR + (tissue - AIR) * np.sqrt(thickness)
    image += 0.16 * np.exp(-(((depth - 1.0) / 0.6) ** 2))
    return np.where(mask, image, AIR).astype(np.float32)
