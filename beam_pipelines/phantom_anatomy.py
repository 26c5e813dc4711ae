"""The healthy breast of the phantom: outline, thickness, skin, gland, strands, pectoral muscle.

Everything is computed in millimetres with the chest wall at column 0 (a left breast); the caller
mirrors it for a right breast. Grey levels are display values: -1 is air, fatty tissue lies near
-0.4, dense tissue near 0.2, the pectoral muscle near 0.4, so that a lesion of +0.4 rarely clips.
"""

import dataclasses

import cv2
import numpy as np
import scipy.special
from scipy.interpolate import PchipInterpolator

from beam_pipelines.phantom_noise import keyed_generator, power_law_field

FIELD_MM = (232.96, 179.2)  # 3328 x 2560 pixels of 0.07 mm
IMAGE_SHAPES = {"clinical": (3328, 2560), "small": (832, 640)}
SPACINGS_MM = {"clinical": 0.07, "small": 0.28}
COARSE_SHAPE = (208, 160)  # anatomy larger than a few millimetres is drawn here, for both sizes
COARSE_MM = 1.12
AIR = -1.0
# Standard deviation of the noise of one 0.28 mm pixel, as a share of the display's half range;
# it grows with finer pixels as the number of quanta in a pixel falls.
QUANTUM_NOISE = 0.014


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
        """Distance of the skin from the chest wall at a height."""
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


def draw_breast(
    seed: int, key: tuple[object, ...], body: Body, outline: Outline, size: str
) -> tuple[np.ndarray, np.ndarray]:
    """The healthy breast without quantum noise.

    Args:
      key: names the client, the side and the view. size: clinical or small.

    Returns:
      float32 display values [rows, columns], and the breast's mask (bool).
    """
    rows, columns = IMAGE_SHAPES[size]
    spacing = SPACINGS_MM[size]
    y = ((np.arange(rows) + 0.5) * spacing).astype(np.float32)[:, None]
    x = ((np.arange(columns) + 0.5) * spacing).astype(np.float32)[None, :]
    mask = x < outline.width_at(y[:, 0])[:, None]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth = (depth - 0.5).clip(0) * np.float32(spacing)
    gland = _upsample(_gland(seed, key, body, outline), (rows, columns))
    tissue = _texture(seed, key, body, gland, (rows, columns), spacing)
    tissue += _strands(seed, key, gland, outline, y, x)
    if outline.pectoral:
        tissue = _with_pectoral(seed, key, tissue, outline.pectoral, y, x)
    return _under_skin(tissue, depth, body, mask), mask


def _gland(seed: int, key: tuple[object, ...], body: Body, outline: Outline) -> np.ndarray:
    """Share of gland, 0 to 1, on the coarse grid: a fan behind the nipple with a ragged edge."""
    rng = keyed_generator(seed, *key, "gland")
    y = ((np.arange(COARSE_SHAPE[0]) + 0.5) * COARSE_MM)[:, None]
    x = ((np.arange(COARSE_SHAPE[1]) + 0.5) * COARSE_MM)[None, :]
    nipple_x, nipple_y = outline.nipple
    radius_x = nipple_x * 0.5
    radius_y = body.half_height_mm * rng.uniform(0.58, 0.72)
    # The gland reaches towards the upper outer quadrant, up on both views of this phantom.
    centre_y = nipple_y - rng.uniform(2, 14)
    radius = np.hypot((x - nipple_x * 0.52) / radius_x, (y - centre_y) / radius_y)
    ragged = power_law_field(rng, COARSE_SHAPE, COARSE_MM, 3.0, 45.0, 1.5)
    fine = power_law_field(rng, COARSE_SHAPE, COARSE_MM, 2.4, 14.0, 1.0)
    reach = 1.0 - radius + 0.42 * ragged + 0.13 * fine + 1.5 * (body.density - 0.52)
    share = scipy.special.expit(reach / 0.2)
    # Fat lies under the skin and in front of the chest wall.
    skin = outline.width_at(y[:, 0])[:, None] - x
    under_skin = np.clip((skin - 5 - 3 * ragged) / 12, 0, 1) ** 1.5
    behind = np.clip((x + 2 + 6 * ragged) / 16, 0.1, 1)
    return (share * under_skin * behind).astype(np.float32)


def _texture(
    seed: int,
    key: tuple[object, ...],
    body: Body,
    gland: np.ndarray,
    shape: tuple[int, int],
    spacing: float,
) -> np.ndarray:
    """Fat and gland with power-law structure, stronger in gland."""
    rng = keyed_generator(seed, *key, "texture")
    cloud = power_law_field(rng, shape, spacing)
    dense = 0.50 + 0.1 * body.density
    return body.fat_level + gland * dense + cloud * (0.085 + 0.075 * gland)


def _strands(
    seed: int,
    key: tuple[object, ...],
    gland: np.ndarray,
    outline: Outline,
    y: np.ndarray,
    x: np.ndarray,
) -> np.ndarray:
    """Ligaments and ducts: thin bright lines where smooth fields cross zero, nipple-ward."""
    rng = keyed_generator(seed, *key, "strands")
    total = np.zeros(gland.shape, np.float32)
    for outer, inner, width, strength in ((32.0, 3.5, 0.055, 0.085), (18.0, 2.2, 0.075, 0.06)):
        field = _upsample(
            power_law_field(rng, COARSE_SHAPE, COARSE_MM, 3.6, outer, inner), gland.shape
        )
        gate = _upsample(power_law_field(rng, COARSE_SHAPE, COARSE_MM, 3.0, 25.0, 2.0), gland.shape)
        total += strength * np.exp(-((field / width) ** 2)) * np.clip(0.5 + 0.6 * gate, 0, 1.4)
    return total


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
    level = rng.uniform(0.28, 0.42) + 0.10 * (1 - along)
    fibres = _upsample(power_law_field(rng, COARSE_SHAPE, COARSE_MM, 3.0, 30.0, 1.5), tissue.shape)
    muscle = level + 0.04 * fibres + 0.3 * (tissue - tissue.mean())
    return (tissue + inside * (muscle - tissue)).astype(np.float32)


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


def _upsample(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
