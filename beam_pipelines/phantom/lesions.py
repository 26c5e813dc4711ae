"""Masses, calcification clusters and distortions: additive layers in display values.

A lesion is drawn in millimetres into a square crop; adding the crop to the healthy breast gives the
picture, so the crop is the exact lesion layer that a test may compare with.
"""

import dataclasses

import cv2
import numpy as np

from beam_pipelines.phantom.fields import power_law_field

MASS = "mass"
CALCIFICATION = "calcification"
MASS_WITH_CALCIFICATION = "mass_with_calcification"
DISTORTION = "distortion"

# What a radiologist would call the lesion's extent: where the layer exceeds this, or a quarter of
# its peak if it is faint.
VISIBLE = 0.05
BOX_MARGIN_MM = 1.5
# Across. BI-RADS' coarse heterogeneous calcifications are 0.5 to 1 mm, fine ones below 0.5 mm; here
# coarse ones prevail, since a small image's pixel is 0.28 mm.
SPECK_MM, SPECK_RANGE_MM = 0.65, (0.3, 1.3)


@dataclasses.dataclass(frozen=True)
class LesionLook:
    """How a lesion looks, in every view.

    Attributes:
      kind: mass, calcification, mass_with_calcification or distortion.
      margin: well_defined, ill_defined or spiculated (of the mass).
      morphology: pleomorphic, linear or round (of the calcifications).
      size_mm: diameter of the mass, or of the cluster. contrast: display value at the mass's centre
        (for a pure cluster, of its diffuse density, which may be 0).
      specks: number of calcifications. speck_contrast: of a typical one.
    """

    kind: str
    margin: str
    morphology: str
    size_mm: float
    contrast: float
    specks: int
    speck_contrast: float


def draw_lesion(rng: np.random.Generator, look: LesionLook, spacing_mm: float) -> np.ndarray:
    """The lesion layer: float32 [n, n], its centre in the middle, 0 at the border."""
    half = round(1.9 * look.size_mm / spacing_mm / 2 + 4.0 / spacing_mm)
    axis = (np.arange(-half, half + 1) * spacing_mm).astype(np.float32)
    y, x = axis[:, None], axis[None, :]
    layer = np.zeros((len(axis), len(axis)), np.float32)
    if look.kind in (MASS, MASS_WITH_CALCIFICATION):
        layer += _mass(rng, look, y, x, spacing_mm)
    if look.kind == DISTORTION:
        layer += _distortion(rng, look, y, x)
    if look.kind == CALCIFICATION:
        layer += _density(rng, look, y, x, spacing_mm)
    if look.kind in (CALCIFICATION, MASS_WITH_CALCIFICATION):
        spread = 0.33 if look.kind == CALCIFICATION else 0.24
        layer += _specks(rng, look, y, x, spread * look.size_mm, spacing_mm)
    return layer * _fade(y, x, float(axis[-1]))


def visible_box(layer: np.ndarray, spacing_mm: float) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) in pixels of the visible part of a layer, float32 [h, w], with a margin.

    x1 and y1 are exclusive.
    """
    smooth = blurred(layer, 0.7 / spacing_mm)  # the eye finds a faint density by its whole
    shown = (layer > VISIBLE) | (smooth > min(VISIBLE, 0.25 * float(smooth.max())))
    columns, rows = np.flatnonzero(shown.any(0)), np.flatnonzero(shown.any(1))
    margin = round(BOX_MARGIN_MM / spacing_mm)
    return (
        int(columns[0]) - margin,
        int(rows[0]) - margin,
        int(columns[-1]) + margin + 1,
        int(rows[-1]) + margin + 1,
    )


def _fade(y: np.ndarray, x: np.ndarray, radius: float) -> np.ndarray:
    """1 inside, 0 on the crop's border, so that no layer ends in a step."""
    return np.clip((radius - np.hypot(x, y)) / (0.15 * radius), 0, 1)


def _mass(
    rng: np.random.Generator, look: LesionLook, y: np.ndarray, x: np.ndarray, spacing: float
) -> np.ndarray:
    """A projected ellipsoid with a lobed border; the margin decides edge, lobes and spicules."""
    radius = look.size_mm / 2
    theta, distance = _ellipse(rng, y, x, 1.5 if look.margin == "well_defined" else 1.35)
    lobes = {"well_defined": 0.05, "ill_defined": 0.11, "spiculated": 0.13}[look.margin]
    border = radius * _lobed(rng, theta, lobes)
    rho = distance / border
    if look.margin == "well_defined":
        # The chord through an ellipsoid; compressed tissue gives a faint dark rim (halo).
        body = blurred(np.sqrt(np.clip(1 - rho**2, 0, 1)), 0.3 / spacing)
        body -= 0.07 * np.exp(-(((rho - 1.13) / 0.07) ** 2)) * rng.integers(0, 2)
    else:
        softness = rng.uniform(1.5, 2.4)
        scale = 0.84 if look.margin == "ill_defined" else 0.76
        body = np.exp(-((rho / scale) ** softness))
    texture = 1 + 0.13 * power_law_field(rng, body.shape, spacing, 3.0, 12.0, 0.5)
    layer = look.contrast * body * np.clip(texture, 0.5, 1.5)
    if look.margin == "spiculated":
        layer = layer + look.contrast * _spicules(rng, radius, y, x, int(rng.integers(8, 20)), 0.38)
    return layer


def _ellipse(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray]:
    """Polar coordinates about the centre, stretched to a random ellipse of the same area."""
    turn, aspect = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.0, most))
    u = (x * np.cos(turn) + y * np.sin(turn)) / aspect
    v = (-x * np.sin(turn) + y * np.cos(turn)) * aspect
    return np.arctan2(v, u), np.hypot(u, v)


def _lobed(rng: np.random.Generator, theta: np.ndarray, amplitude: float) -> np.ndarray:
    """A border's radius over the angle: 1 with a few random harmonics."""
    border = np.ones_like(theta)
    for k in range(2, 8):
        border += amplitude * rng.normal() * (2 / k) * np.cos(k * theta + rng.uniform(0, 6.3))
    return np.clip(border, 0.6, 1.5)


def _spicules(
    rng: np.random.Generator,
    radius: float,
    y: np.ndarray,
    x: np.ndarray,
    count: int,
    strength: float,
) -> np.ndarray:
    """Thin lines that radiate from the core and taper, the longest about 1.7 radii from the
    centre."""
    theta, distance = np.arctan2(y, x), np.hypot(x, y)
    total = np.zeros_like(distance)
    angles = (np.arange(count) + rng.uniform(-0.7, 0.7, count)) * 2 * np.pi / count
    for angle in angles:
        reach = radius * rng.uniform(0.9, 1.8)
        bend = rng.normal(0, 0.30) / radius
        turned = (theta - angle - bend * distance + np.pi) % (2 * np.pi) - np.pi
        across = turned * distance
        width = rng.uniform(0.25, 0.55) * np.clip(1.25 - distance / reach, 0.35, 1)
        along = np.clip((reach - distance) / (0.5 * reach), 0, 1)
        along = along * np.clip(distance / (0.5 * radius), 0, 1)
        line = np.exp(-((across / width) ** 2)) * along * (np.abs(turned) < 1.2)
        total = np.maximum(total, rng.uniform(0.35, 1.1) * line)
    return strength * total


def _distortion(
    rng: np.random.Generator, look: LesionLook, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Lines that converge on a point without a mass."""
    lines = _spicules(rng, look.size_mm / 2, y, x, int(rng.integers(10, 18)), 0.6)
    centre = 0.2 * np.exp(-((np.hypot(x, y) / (0.25 * look.size_mm)) ** 2))
    return 0.8 * look.contrast * (lines + centre)


def _density(
    rng: np.random.Generator, look: LesionLook, y: np.ndarray, x: np.ndarray, spacing: float
) -> np.ndarray:
    """The faint diffuse density that many clusters lie in."""
    theta, distance = _ellipse(rng, y, x, 1.6)
    rho = distance / (0.5 * look.size_mm * _lobed(rng, theta, 0.12))
    texture = 1 + 0.2 * power_law_field(rng, rho.shape, spacing, 3.0, 10.0, 0.5)
    return look.contrast * np.exp(-((rho / 0.85) ** 2)) * np.clip(texture, 0.4, 1.6)


def _specks(
    rng: np.random.Generator,
    look: LesionLook,
    y: np.ndarray,
    x: np.ndarray,
    spread_mm: float,
    spacing: float,
) -> np.ndarray:
    """Calcifications: small ellipses whose contrast grows with their thickness."""
    layer = np.zeros((y.size, x.size), np.float32)
    half = float(y[-1, 0])
    places = _speck_places(rng, look, spread_mm)
    for px, py in places:
        uneven = {"round": 0.2, "pleomorphic": 0.45, "linear": 0.35}[look.morphology]
        across = float(np.clip(SPECK_MM * np.exp(rng.normal(0, uneven)), *SPECK_RANGE_MM))
        longer = {"round": 1.0, "pleomorphic": 1.5, "linear": 2.6}[look.morphology]
        length = across * rng.uniform(1.0, longer)
        turn = rng.uniform(0, np.pi)
        if look.morphology == "linear":
            turn = rng.normal(0.0, 0.5)
        value = look.speck_contrast * across / SPECK_MM * rng.uniform(0.7, 1.2)
        if max(abs(px), abs(py)) > half - 1.5:
            continue
        _stamp(layer, y, x, (px, py), (length, across), turn, value, spacing)
    return np.minimum(layer, 1.3)


def _speck_places(rng: np.random.Generator, look: LesionLook, spread: float) -> np.ndarray:
    """Centres in mm [count, 2]: a clump, or along a duct for linear ones."""
    places = rng.normal(0, spread * 0.62, (look.specks, 2))
    if look.morphology == "linear":
        places = rng.normal(0, 1, (look.specks, 2)) * (spread * 1.0, spread * 0.28)
        turn = rng.uniform(-0.4, 0.4)
        places = places @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.clip(places, -1.45 * spread, 1.45 * spread)


def _stamp(
    layer: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    centre: tuple[float, float],
    axes: tuple[float, float],
    turn: float,
    value: float,
    spacing: float,
) -> None:
    """Adds one speck with the pixel's own blur: smaller than a pixel, it loses contrast."""
    reach = round(2.0 / spacing)
    column = int(np.clip(np.searchsorted(x[0], centre[0]), reach, x.size - reach - 1))
    row = int(np.clip(np.searchsorted(y[:, 0], centre[1]), reach, y.size - reach - 1))
    near = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
    dx, dy = x[:, near[1]] - centre[0], y[near[0]] - centre[1]
    layer[near] += speck(dx, dy, axes, turn, value, spacing)


def speck(
    dx: np.ndarray,
    dy: np.ndarray,
    axes: tuple[float, float],
    turn: float,
    value: float,
    spacing: float,
) -> np.ndarray:
    """A speck with the blur of a pixel and of the detector: a small one loses contrast.

    Args:
      dx, dy: places from its middle, in mm, [1, n] and [n, 1]. axes: its lengths, in mm. turn: of
        the first, in radians. value: its height without blur. spacing: of a pixel, in mm.

    Returns:
      float64 [n, n].
    """
    u = dx * np.cos(turn) + dy * np.sin(turn)
    v = -dx * np.sin(turn) + dy * np.cos(turn)
    blur = 0.42 * spacing  # sigma of a pixel and of the detector, in mm
    su, sv = (np.hypot(axis / 3.0, blur) for axis in axes)
    loss = (axes[0] / 3.0) * (axes[1] / 3.0) / (su * sv)
    drawn: np.ndarray = value * loss**0.5 * np.exp(-0.5 * ((u / su) ** 2 + (v / sv) ** 2))
    return drawn


def add_layer(image: np.ndarray, layer: np.ndarray, corner: tuple[int, int]) -> None:
    """Adds a layer [h, w] to an image [H, W] in place.

    The layer's top left pixel lies at `corner` (x, y); it is cut at the image's border.
    """
    rows, columns = layer.shape
    x0, y0 = corner
    top, left = max(0, -y0), max(0, -x0)
    bottom = min(rows, image.shape[0] - y0)
    right = min(columns, image.shape[1] - x0)
    if top < bottom and left < right:
        image[y0 + top : y0 + bottom, x0 + left : x0 + right] += layer[top:bottom, left:right]


def blurred(image: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur of an image, float32 [H, W]."""
    return cv2.GaussianBlur(image, (0, 0), sigma_px)
