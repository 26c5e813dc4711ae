"""Geometry of the phantom's breasts: the body that all views share, and the outline of each view.

Millimetres, with the chest wall at x = 0 and y downwards from the top of the image.

The healthy breast of the phantom: outline, thickness, skin, gland, strands, pectoral muscle.

Everything is computed in millimetres with the chest wall at column 0 (a left breast); the caller
mirrors it for a right breast. Grey levels are display values: -1 is air, fatty tissue lies near
-0.4, dense tissue near 0.2, the pectoral muscle near 0.25, so that a lesion of +0.4 rarely clips.

Fat and gland of the phantom: power-law clouds, and strands that run towards the nipple.

The strands are ridged noise (1 - |field|): bright septa with rounded fat lobules between them, as
Cooper's ligaments make them, in polar coordinates about the nipple, so that they converge on it.
"""

import dataclasses
import math

import cv2
import numpy as np
import scipy.special
from scipy.interpolate import PchipInterpolator

from beam_pipelines.phantom.fields import (
    COARSE_MM,
    COARSE_SHAPE,
    pixel_axes,
    power_law_field,
    sample_field,
    upsample,
)
from cgan_tf.data.keyed import keyed_generator

FIELD_MM = (232.96, 179.2)  # 3328 x 2560 pixels of 0.07 mm


@dataclasses.dataclass(frozen=True)
class Body:
    """What the views of one woman share.

    Attributes:
      depth_mm: nipple to chest wall. half_height_mm: of the breast on CC.
      thickness_mm: of the compressed breast.
      density: 0 (fatty) to 1 (extremely dense). fat_level: display value of thick fat.
    """

    depth_mm: float
    half_height_mm: float
    thickness_mm: float
    density: float
    fat_level: float

    @property
    def exposure_mas(self) -> float:
        """As automatic exposure control chooses it: the same signal behind every breast.

        25 mAs at 20 mm, 3.5% more for each further mm, and up to 30% more for dense tissue.
        """
        return 25.0 * math.exp(0.035 * (self.thickness_mm - 20.0)) * (0.85 + 0.3 * self.density)


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """One view's geometry in mm.

    Attributes:
      width: skin's distance from the chest wall at each of `rows_mm`.
      nipple: (x, y). pectoral: (x at the top edge, y at the chest wall), or None on CC.
    """

    rows_mm: np.ndarray
    width: np.ndarray
    nipple: tuple[float, float]
    pectoral: tuple[float, float] | None

    def width_at(self, y_mm: np.ndarray | float) -> np.ndarray:
        """Distance in mm of the skin from the chest wall at heights in mm, of their shape."""
        return np.interp(y_mm, self.rows_mm, self.width)


def draw_body(rng: np.random.Generator) -> Body:
    """A woman: compressed breasts are 30 to 75 mm thick, density in four equal classes of BI-RADS
    a to d with 10, 40, 40 and 10% of women (Sprague et al., JNCI 106:dju255, 2014)."""
    birads = rng.choice(4, p=(0.1, 0.4, 0.4, 0.1))
    depth = float(np.clip(rng.normal(98, 16), 65, 135))
    return Body(
        depth_mm=depth,
        half_height_mm=float(np.clip(0.52 * depth + rng.normal(36, 7), 65, 108)),
        thickness_mm=float(np.clip(rng.normal(54, 11), 30, 75)),
        density=float((birads + rng.uniform()) / 4),
        fat_level=float(rng.uniform(-0.5, -0.36)),
    )


def draw_outline(rng: np.random.Generator, body: Body, view: str) -> Outline:
    """The breast's outline on CC or MLO."""
    rows = np.arange(0.0, FIELD_MM[0] + 1, 1.0)
    depth = body.depth_mm * rng.uniform(0.95, 1.04)
    if view == "CC":
        nipple_y = FIELD_MM[0] / 2 + rng.normal(0, 6)
        width = _cc_width(rng, rows, depth, body.half_height_mm, nipple_y)
        pectoral = None
    else:
        nipple_y = FIELD_MM[0] * rng.uniform(0.52, 0.6)
        width = _mlo_width(rng, rows, depth, nipple_y)
        pectoral = (rng.uniform(38, 62), rng.uniform(95, 150))
    wobble = sum(
        rng.normal(0, 0.8) * np.sin(2 * np.pi * rows / length + rng.uniform(0, 6.3))
        for length in (95.0, 60.0, 38.0)
    )
    nipple_height = rng.uniform(3.0, 6.5)
    bump = nipple_height * np.exp(-0.5 * ((rows - nipple_y) / rng.uniform(3.5, 5.0)) ** 2)
    width = np.where(width > 0, width + wobble * np.minimum(1, width / 40) + bump, 0.0)
    nipple_x = float(np.interp(nipple_y, rows, width)) - nipple_height
    return Outline(rows, np.clip(width, 0, FIELD_MM[1] - 8), (nipple_x, float(nipple_y)), pectoral)


def _cc_width(
    rng: np.random.Generator, rows: np.ndarray, depth: float, half_height: float, centre: float
) -> np.ndarray:
    """A rounded half disc: flatter than an ellipse at the nipple when `power` is above 2."""
    power, root = rng.uniform(2.0, 2.4), rng.uniform(1.6, 1.9)
    lean = 1 + rng.normal(0, 0.05) * np.sign(rows - centre)
    u = np.abs(rows - centre) / (half_height * lean)
    return depth * np.maximum(0.0, 1 - u**power) ** (1 / root)


def _mlo_width(
    rng: np.random.Generator, rows: np.ndarray, depth: float, nipple_y: float
) -> np.ndarray:
    """From the axilla at the top over the nipple to the fold below the breast."""
    fold = min(FIELD_MM[0] - 6, nipple_y + rng.uniform(72, 88))
    strip = rng.uniform(6, 22)  # skin of the abdomen under the fold
    points = (
        (-1.0, rng.uniform(0.5, 0.66)),
        (0.3 * nipple_y, rng.uniform(0.66, 0.76)),
        (0.68 * nipple_y, rng.uniform(0.88, 0.93)),
        (nipple_y, 1.0),
        (nipple_y + 0.38 * (fold - nipple_y), rng.uniform(0.88, 0.92)),
        (nipple_y + 0.76 * (fold - nipple_y), rng.uniform(0.5, 0.6)),
        (fold, strip / depth),
        (FIELD_MM[0] + 2, strip / depth * rng.uniform(0.7, 1.2)),
    )
    return depth * PchipInterpolator(*zip(*points, strict=True))(rows)


@dataclasses.dataclass(frozen=True)
class Texture:
    """How a woman's tissue differs from the phantom's standard.

    Attributes:
      beta: exponent of the clouds' spectrum. cloud, ridges: their strength as a share of the
        standard's. nodules: display value of nodules of gland, about `nodule_mm` across.
    """

    beta: float = 2.65
    cloud: float = 1.0
    ridges: float = 1.0
    nodules: float = 0.0
    nodule_mm: float = 3.0


STANDARD = Texture()

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
    texture: Texture,
) -> np.ndarray:
    """Display values of thick tissue, without skin and muscle: float32 [rows, columns]."""
    ridges = _ridges(keyed_generator(seed, *key, "strands"), outline, shape)
    gland = upsample(_gland(seed, key, body, outline), shape)
    gland = scipy.special.expit((gland + 0.30 * ridges) / 0.36)
    cloud = power_law_field(keyed_generator(seed, *key, "cloud"), shape, spacing, texture.beta)
    dense = 0.38 + 0.1 * body.density
    tissue = body.fat_level + gland * dense
    clouds, lines = texture.cloud * cloud, texture.ridges * ridges
    tissue += clouds * (0.065 + 0.035 * gland) + lines * (0.032 + 0.016 * gland)
    if texture.nodules:
        rng = keyed_generator(seed, *key, "nodules")
        tissue += texture.nodules * (0.3 + 0.7 * gland) * _nodules(rng, texture.nodule_mm, shape)
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


def _nodules(rng: np.random.Generator, across_mm: float, shape: tuple[int, int]) -> np.ndarray:
    """Rounded lumps where a field of one scale is high: float32 [rows, columns], mostly 0 to 2."""
    field = power_law_field(rng, COARSE_SHAPE, COARSE_MM, 2.0, 3 * across_mm, 0.45 * across_mm)
    return upsample(np.maximum(field - 0.5, 0), shape)


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


IMAGE_SHAPES = {"clinical": (3328, 2560), "small": (832, 640), "coarse": (582, 448)}
SPACINGS_MM = {"clinical": 0.07, "small": 0.28, "coarse": 0.4}
AIR = -1.0
# Standard deviation of the noise of one 0.28 mm pixel, as a share of the display's half range;
# it grows with finer pixels as the number of quanta in a pixel falls.
QUANTUM_NOISE = 0.014


def draw_breast(
    seed: int,
    key: tuple[object, ...],
    body: Body,
    outline: Outline,
    size: str,
    texture: Texture = STANDARD,
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
    depth = (_distance_to_air(mask) - 0.5).clip(0) * np.float32(spacing)
    tissue = draw_parenchyma(seed, key, body, outline, shape, spacing, texture)
    if outline.pectoral:
        tissue = _with_pectoral(seed, key, tissue, outline.pectoral, y, x)
    return _under_skin(tissue, depth, body, mask), mask


def _distance_to_air(mask: np.ndarray) -> np.ndarray:
    """Pixels to the nearest one outside, float32 of the mask's shape.

    The last bit of OpenCV's distances depends on where its output lies in memory, and the phantom's
    bytes must not: the output begins with a cache line.
    """
    space = np.empty(4 * mask.size + 64, np.uint8)
    begin = -space.ctypes.data % 64
    output = space[begin : begin + 4 * mask.size].view(np.float32).reshape(mask.shape)
    cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE, output)
    return output


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
