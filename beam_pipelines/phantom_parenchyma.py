"""Fat and gland of the phantom: power-law clouds, and strands that run towards the nipple.

The strands are ridged noise (1 - |field|): bright septa with rounded fat lobules between them, as
Cooper's ligaments make them, in polar coordinates about the nipple, so that they converge on it.
"""

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

STRETCH = 2.8  # of the strands along the direction to the nipple
ARC_MM = 55.0  # distance from the nipple at which strands are as wide as their scale
# Scale (mm) and weight of each octave of strands.
OCTAVES = ((26.0, 1.0), (13.0, 0.75), (6.5, 0.6), (3.4, 0.45))


def draw_parenchyma(
    seed: int,
    key: tuple[object, ...],
    body: Body,
    outline: Outline,
    shape: tuple[int, int],
    spacing: float,
) -> np.ndarray:
    """Display values of thick tissue, without skin and muscle: float32 [rows, columns]."""
    ridges = _ridges(keyed_generator(seed, *key, "strands"), outline, shape)
    gland = upsample(_gland(seed, key, body, outline), shape)
    gland = scipy.special.expit((gland + 0.30 * ridges) / 0.36)
    cloud = power_law_field(keyed_generator(seed, *key, "cloud"), shape, spacing, 2.65)
    dense = 0.38 + 0.1 * body.density
    tissue = body.fat_level + gland * dense
    tissue += cloud * (0.065 + 0.035 * gland) + ridges * (0.032 + 0.016 * gland)
    return tissue.astype(np.float32, copy=False)


def _gland(seed: int, key: tuple[object, ...], body: Body, outline: Outline) -> np.ndarray:
    """Tendency to be gland on the coarse grid, 0 at its edge: a fan behind the nipple."""
    rng = keyed_generator(seed, *key, "gland")
    y, x = pixel_axes(COARSE_SHAPE, COARSE_MM)
    nipple_x, nipple_y = outline.nipple
    radius_y = body.half_height_mm * rng.uniform(0.58, 0.72)
    # The gland reaches towards the upper outer quadrant, up on both views of this phantom.
    centre_y = nipple_y - rng.uniform(2, 14)
    radius = np.hypot((x - nipple_x * 0.52) / (nipple_x * 0.5), (y - centre_y) / radius_y)
    ragged = power_law_field(rng, COARSE_SHAPE, COARSE_MM, 3.2, 45.0, 2.0)
    reach = 0.9 - radius + 0.36 * ragged + 1.6 * (body.density - 0.5)
    # Fat lies under the skin and in front of the chest wall.
    skin = outline.width_at(y[:, 0])[:, None] - x
    at_nipple = np.exp(-(((y - nipple_y) / 14) ** 2))
    under_skin = np.clip(1 - (skin - 3 - 3 * ragged) / 14, 0, 1.5) * (1 - 0.7 * at_nipple)
    behind = np.clip(1 - (x + 4 * ragged) / 14, 0, 1)
    return (np.minimum(reach, 0.9) - 1.4 * under_skin - 0.7 * behind).astype(np.float32)


def _ridges(rng: np.random.Generator, outline: Outline, shape: tuple[int, int]) -> np.ndarray:
    """Ridged noise of several octaves, each strongest on the ridges of the one before.

    Returns:
      float32 [rows, columns], mean about 0, standard deviation about 1.
    """
    along, around = _nipple_coordinates(rng, outline)
    total = np.zeros(shape, np.float32)
    carrier = np.ones(shape, np.float32)
    for scale, weight in OCTAVES:
        field = power_law_field(rng, COARSE_SHAPE, COARSE_MM, 5.0, 2.2 * scale, 0.35 * scale)
        field = upsample(sample_field(field, around, along / STRETCH), shape)
        ridge = np.exp(-1.6 * np.sqrt(field * field + 0.01))
        total += weight * carrier * (ridge - 0.38)
        carrier = np.clip(0.35 + 1.3 * ridge, 0, 1.5)
    total = (total - total.mean()) / total.std()
    # Behind the nipple the strands would crowd into a point.
    return total * upsample(np.clip((along - 8) / 26, 0.15, 1), shape)


def _nipple_coordinates(
    rng: np.random.Generator, outline: Outline
) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the nipple and arc about it, in mm, on the coarse grid, gently warped."""
    y, x = pixel_axes(COARSE_SHAPE, COARSE_MM)
    warp = [power_law_field(rng, COARSE_SHAPE, COARSE_MM, 4.0, 60.0, 4.0) for _ in range(2)]
    dx = outline.nipple[0] + 12 - x + 7 * warp[0]
    dy = y - outline.nipple[1] + 7 * warp[1]
    # The seam of the angle lies in front of the nipple, in air.
    return np.hypot(dx, dy), np.arctan2(dy, dx) * ARC_MM + 116.0
