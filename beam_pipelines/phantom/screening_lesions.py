"""Lesions of a screening population, drawn: additive layers like those of phantom_lesions.

The words are those of BI-RADS (D'Orsi et al., ACR BI-RADS Atlas, 5th edition, 2013): a mass has a
shape, a margin and a density; calcifications have a morphology and a distribution. A finding that
is no lesion (a node, a cyst, a vessel's wall) is drawn by the same functions.
"""

import dataclasses

import numpy as np

from beam_pipelines.phantom.fields import power_law_field
from beam_pipelines.phantom.lesions import LesionLook, blurred, speck


@dataclasses.dataclass(frozen=True)
class MassShape:
    """The body of a mass; lengths are shares of its radius unless they say mm.

    Attributes:
      aspect: longest over shortest diameter. lobes: amplitude of the border's slow waves.
      microlobes: of its fast ones. edge_mm: over which the border fades.
      flatness: 0.5 is a ball's chord, smaller is flatter. texture: contrast of its inner structure;
        texture_mm: its scale.
      hilum: depth of the fatty notch of a lymph node. halo: depth of a dark rim.
      hidden: share of the border that surrounding tissue obscures.
    """

    aspect: float = 1.2
    lobes: float = 0.08
    microlobes: float = 0.0
    edge_mm: float = 1.0
    flatness: float = 0.5
    texture: float = 0.1
    texture_mm: float = 2.0
    hilum: float = 0.0
    halo: float = 0.0
    hidden: float = 0.0


@dataclasses.dataclass(frozen=True)
class Spicules:
    """Lines that leave the centre.

    Attributes:
      count, reach (radii from the centre), width_mm, strength (share of the mass's contrast).
      order: 1 evenly around and straight to the centre, 0 crossing past it in few directions, as
        strands do that merely overlap.
    """

    count: int
    reach: float
    width_mm: float
    strength: float
    order: float = 1.0


@dataclasses.dataclass(frozen=True)
class Specks:
    """Calcifications.

    Attributes:
      count. size_mm: median across; spread: of its logarithm, of the contrast's too.
      contrast: of a typical one. elongation: longest length over width.
      distribution: grouped, linear (along a duct), branching, segmental (a wedge), scattered (over
        the crop), tram (both walls of a vessel) or rim (a shell).
    """

    count: int
    size_mm: float
    spread: float
    contrast: float
    elongation: float
    distribution: str


@dataclasses.dataclass(frozen=True)
class ScreeningLook(LesionLook):
    """A look whose parts are chosen freely; `family` names the recipe it came from."""

    family: str = ""
    mass: MassShape | None = None
    spicules: Spicules | None = None
    calcifications: Specks | None = None


def draw_screening_lesion(
    rng: np.random.Generator, look: ScreeningLook, spacing_mm: float
) -> np.ndarray:
    """The layer: float32 [n, n], its centre in the middle, 0 at the border."""
    half = round((1.9 * look.size_mm / 2 + 4.0) / spacing_mm)
    axis = (np.arange(-half, half + 1) * spacing_mm).astype(np.float32)
    y, x = axis[:, None], axis[None, :]
    layer = np.zeros((len(axis), len(axis)), np.float32)
    radius = look.size_mm / 2
    if look.mass:
        layer += look.contrast * _mass(rng, look.mass, radius, y, x, spacing_mm)
    if look.spicules:
        layer += look.contrast * _spicules(rng, look.spicules, radius, y, x)
    if look.calcifications:
        layer += _calcifications(rng, look.calcifications, radius, y, x, spacing_mm)
    reach = float(axis[-1])
    return layer * np.clip((reach - np.hypot(x, y)) / (0.15 * reach), 0, 1)


def _mass(
    rng: np.random.Generator,
    shape: MassShape,
    radius: float,
    y: np.ndarray,
    x: np.ndarray,
    spacing: float,
) -> np.ndarray:
    """A body of peak about 1."""
    turn, stretch = rng.uniform(0, np.pi), np.sqrt(shape.aspect)
    u = (x * np.cos(turn) + y * np.sin(turn)) / stretch
    v = (-x * np.sin(turn) + y * np.cos(turn)) * stretch
    theta, distance = np.arctan2(v, u), np.hypot(u, v)
    border = _waves(rng, theta, range(2, 6), shape.lobes)
    border += _waves(rng, theta, range(7, 15), shape.microlobes)
    inward = radius * np.clip(1 + border, 0.5, 1.6) - distance  # mm inside the border
    chord = np.clip(1 - (distance / (1.25 * radius)) ** 2, 0, 1) ** shape.flatness
    edge = np.full_like(inward, shape.edge_mm)
    if shape.hidden:
        side = np.cos(theta - rng.uniform(0, 2 * np.pi)) + 2 * shape.hidden - 1
        edge += 0.8 * radius / (1 + np.exp(-5 * side))
    body = chord / (1 + np.exp(-np.clip(2.5 * inward / edge, -30, 30)))
    body *= np.clip(
        1 + shape.texture * power_law_field(rng, body.shape, spacing, 3.0, 10.0, shape.texture_mm),
        0.2,
        1.8,
    )
    if shape.hilum:
        notch = np.hypot(u - 0.35 * radius, v) / (0.55 * radius)
        body *= 1 - shape.hilum * np.exp(-(notch**2))
    if shape.halo:
        body -= shape.halo * np.exp(-(((inward + 0.9) / 0.7) ** 2))
    return blurred(body.astype(np.float32), 0.15 / spacing)


def _waves(rng: np.random.Generator, theta: np.ndarray, orders: range, size: float) -> np.ndarray:
    """Random harmonics of the angle; nothing where their size is 0."""
    total = np.zeros_like(theta)
    if size:
        for order in orders:
            weight = size * rng.normal() * np.sqrt(2 / len(orders))
            total += weight * np.cos(order * theta + rng.uniform(0, 2 * np.pi))
    return total


def _spicules(
    rng: np.random.Generator, spicules: Spicules, radius: float, y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Tapering, slightly bent lines; without order they pass the centre by."""
    count, order = spicules.count, spicules.order
    even = np.arange(count) * 2 * np.pi / count + rng.uniform(-0.8, 0.8, count) * np.pi / count
    bundle = rng.uniform(0, np.pi) + rng.normal(0, 0.6, count) + np.pi * rng.integers(0, 2, count)
    total = np.zeros((y.size, x.size), np.float32)
    for angle in even if order > 0.5 else bundle:
        aside = (1 - order) * rng.uniform(-1.2, 1.2) * radius
        along = x * np.cos(angle) + y * np.sin(angle)
        across = -x * np.sin(angle) + y * np.cos(angle) - aside
        across = across - rng.normal(0, 0.05 if order > 0.5 else 0.12) * along**2 / radius
        reach = spicules.reach * radius * rng.uniform(0.6, 1.2)
        begin = 0.25 * radius if order > 0.5 else -reach
        taper = np.clip((reach - along) / (0.6 * reach), 0, 1)
        taper = taper * np.clip((along - begin) / (0.3 * radius), 0, 1)
        width = spicules.width_mm * rng.uniform(0.7, 1.4) * (0.6 + 0.4 * taper)
        line = np.exp(-((across / width) ** 2)) * taper
        total = np.maximum(total, rng.uniform(0.5, 1.2) * line)
    return spicules.strength * total


def _calcifications(
    rng: np.random.Generator,
    specks: Specks,
    radius: float,
    y: np.ndarray,
    x: np.ndarray,
    spacing: float,
) -> np.ndarray:
    places, angles = _places(rng, specks, radius)
    half = float(x[0, -1])
    layer = np.zeros((y.size, x.size), np.float32)
    sizes = specks.size_mm * np.exp(rng.normal(0, specks.spread, specks.count))
    values = specks.contrast * np.exp(rng.normal(0, specks.spread, specks.count))
    for (px, py), angle, size, value in zip(places, angles, sizes, values, strict=True):
        if max(abs(px), abs(py)) < half - 2.0:
            length = size * rng.uniform(1.0, max(1.0, specks.elongation))
            _stamp(layer, (px, py), (length, size), angle, value, spacing)
    return np.minimum(layer, 1.3)


def _places(
    rng: np.random.Generator, specks: Specks, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Centres in mm [count, 2] and directions [count] of the specks."""
    count = specks.count
    turn = rng.uniform(0, 2 * np.pi)
    free = rng.uniform(0, np.pi, count)
    along, across = rng.uniform(-1, 1, count) * radius, rng.normal(0, 1, count)
    match specks.distribution:
        case "linear":
            places, angles = np.stack([along, 0.05 * radius * across], 1), 0.25 * across
        case "branching":
            arm = rng.integers(0, 3, count)
            bend = np.array([0.0, 0.5, -0.6])[arm] * rng.uniform(0.7, 1.3)
            step = np.where(arm == 0, -np.abs(along), np.abs(along))
            places = np.stack([step * np.cos(bend), step * np.sin(bend) + 0.15 * across], 1)
            angles = bend + 0.1 * across
        case "segmental":
            step = radius * np.sqrt(rng.uniform(0.02, 4, count)) - radius
            places = np.stack([step, 0.22 * (step + 1.2 * radius) * across], 1)
            angles = free
        case "tram":
            bow = rng.uniform(-0.25, 0.25) * (along**2 / radius - 0.5 * radius)
            wall = rng.choice((-1, 1), count) * rng.uniform(0.6, 1.1)
            places, angles = np.stack([1.6 * along, bow + wall], 1), 0.1 * across
        case "rim":
            around = rng.uniform(0, 2 * np.pi, count)
            places = radius * np.stack([np.cos(around), np.sin(around)], 1)
            angles = around + np.pi / 2
        case "scattered":
            places, angles = rng.uniform(-1.5, 1.5, (count, 2)) * radius, free
        case _:
            squeeze = np.array([1.0, rng.uniform(0.5, 1.0)])
            places, angles = rng.normal(0, 0.42, (count, 2)) * radius * squeeze, free
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return places @ rotation, angles + turn


def _stamp(
    layer: np.ndarray,
    centre: tuple[float, float],
    axes: tuple[float, float],
    turn: float,
    value: float,
    spacing: float,
) -> None:
    """Adds one speck of height `value`."""
    middle = layer.shape[0] // 2
    reach = round(2.0 / spacing)
    column, row = (round(place / spacing) + middle for place in centre)
    offsets = np.arange(-reach, reach + 1)
    dx = ((column + offsets - middle) * spacing - centre[0])[None, :]
    dy = ((row + offsets - middle) * spacing - centre[1])[:, None]
    near = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
    layer[near] += speck(dx, dy, axes, turn, value, spacing)
