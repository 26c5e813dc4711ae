"""Geometry of the phantom's breasts: the body that all views share, and the outline of each view.

Millimetres, with the chest wall at x = 0 and y downwards from the top of the image.
"""

import dataclasses

import numpy as np
from scipy.interpolate import PchipInterpolator

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
