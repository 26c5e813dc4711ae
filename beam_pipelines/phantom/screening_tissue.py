"""Healthy tissue of a screening population: every woman has a pattern of her own.

Lines (vessels, fibrous strands, folds of the skin) run roughly towards the nipple, cross one
another and end anywhere, so that a line alone is no spicule. Strengths are display values.
"""

import dataclasses

import cv2
import numpy as np

from beam_pipelines.phantom.breast import STANDARD, Outline, Texture
from beam_pipelines.phantom.lesions import blurred

# Expected number an image, width in mm, length in mm, strength, bend (radians over the length).
VESSELS = (3.0, (1.2, 3.2), (35.0, 110.0), (0.05, 0.16), 1.0)
STRANDS = (26.0, (0.35, 0.9), (8.0, 45.0), (0.06, 0.22), 0.4)
FOLDS = (0.25, (2.0, 4.0), (40.0, 120.0), (0.08, 0.2), 0.5)
STEP_MM = 1.0
GRAIN_OF_A_WOMAN = 1.3  # median of a woman's noise over QUANTUM_NOISE


@dataclasses.dataclass(frozen=True)
class Habits:
    """What all pictures of a woman share, beside her body.

    Attributes:
      grain: noise of a pixel over QUANTUM_NOISE. lines: her share of the expected number of lines.
      texture: of her parenchyma.
    """

    grain: float = 1.0
    lines: float = 0.0
    texture: Texture = STANDARD


def draw_habits(rng: np.random.Generator) -> Habits:
    """A woman's habits: nodular, fibrous or smooth tissue, much noise or little.

    The exponent of a mammogram's power spectrum ranges from 1.5 to 3.5, 2.8 on average (Burgess,
    Proc SPIE 5034, 2003).
    """
    spread = rng.normal(size=6)
    return Habits(
        grain=GRAIN_OF_A_WOMAN * float(np.exp(0.35 * spread[0])),
        lines=float(np.exp(0.8 * spread[1])),
        texture=Texture(
            beta=float(np.clip(2.65 + 0.35 * spread[2], 2.0, 3.4)),
            cloud=float(np.exp(0.3 * spread[3])),
            ridges=float(np.exp(0.6 * spread[4])),
            nodules=0.07 * float(np.exp(0.8 * spread[5])),
            nodule_mm=float(rng.uniform(2.0, 5.0)),
        ),
    )


def draw_strands(
    rng: np.random.Generator, habit: float, outline: Outline, shape: tuple[int, int], spacing: float
) -> np.ndarray:
    """All lines of a left breast: float32 [rows, columns] to be added to it.

    Args:
      habit: the woman's own share of the expected number.
    """
    total = np.zeros(shape, np.float32)
    for number, widths, lengths, strengths, bend in (VESSELS, STRANDS, FOLDS):
        for width in np.geomspace(*widths, 2):
            canvas = np.zeros(shape, np.uint8)
            for _ in range(int(rng.poisson(0.5 * number * habit))):
                strength = rng.uniform(*strengths) / strengths[1]
                points = _curve(rng, outline, rng.uniform(*lengths), bend)
                _draw_line(canvas, points / spacing, strength, width / spacing)
            line = blurred(canvas.astype(np.float32), 0.35 * width / spacing)
            total += line * (strengths[1] / 255)
    return total


def _curve(rng: np.random.Generator, outline: Outline, length: float, bend: float) -> np.ndarray:
    """Points (x, y) in mm, a step apart, from a random place of the breast towards the nipple."""
    nipple = np.array(outline.nipple)
    y = rng.uniform(nipple[1] - 75, nipple[1] + 75)
    x = rng.uniform(0.0, 0.9) * float(outline.width_at(y))
    count = max(3, round(length / STEP_MM))
    heading = np.arctan2(nipple[1] - y, nipple[0] + 25 - x) + rng.normal(0, 0.45)
    turns = np.cumsum(rng.normal(0, 0.09, count)) + np.linspace(0, rng.normal(0, bend), count)
    steps = STEP_MM * np.stack([np.cos(heading + turns), np.sin(heading + turns)], 1)
    return np.array([x, y]) + np.cumsum(steps, 0)


def _draw_line(canvas: np.ndarray, points: np.ndarray, strength: float, width: float) -> None:
    """Draws into uint8 [rows, columns], fading in and out; a line thinner than a pixel is fainter
    instead."""
    level = 255 * strength * min(1.0, width)
    fixed = np.rint(points * 16).astype(np.int32)
    thickness = max(1, round(width))
    fade = np.clip(np.minimum(np.arange(len(points)), np.arange(len(points))[::-1]) / 8, 0.1, 1)
    for start in range(0, len(points) - 1, 2):
        part = fixed[start : start + 3].reshape(-1, 1, 2)
        grey = round(level * float(fade[start]))
        cv2.polylines(canvas, [part], False, grey, thickness, cv2.LINE_AA, shift=4)
