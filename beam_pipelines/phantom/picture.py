"""One mammogram of the phantom: healthy breast, lesions, quantum noise, burnt-in label."""

import dataclasses

import cv2
import numpy as np

from beam_pipelines.phantom.breast import (
    AIR,
    IMAGE_SHAPES,
    QUANTUM_NOISE,
    SPACINGS_MM,
    Body,
    Outline,
    draw_breast,
    draw_outline,
)
from beam_pipelines.phantom.lesions import add_layer, blurred, draw_lesion, visible_box
from beam_pipelines.phantom.plan import PlannedLesion, draw_harmless, draw_imitators
from beam_pipelines.phantom.screening_lesions import ScreeningLook, draw_screening_lesion
from beam_pipelines.phantom.strands import draw_strands
from cgan_tf.data.keyed import keyed_generator

LABEL_SHARE = 0.6  # of images carry a burnt-in view label
LABEL_LEVEL = 0.9
GRAIN_OF_A_WOMAN = 1.3  # median of the screening population's noise over QUANTUM_NOISE


@dataclasses.dataclass(frozen=True, eq=False)
class DrawnLesion:
    """A lesion in one image.

    Attributes:
      layer: float32 [n, n], what was added to the healthy breast, in display values.
      corner: (x, y) of its top left pixel in the image; may be negative.
      box: (x0, y0, x1, y1) of its visible part, clipped to the image, x1 and y1 exclusive.
    """

    lesion: PlannedLesion
    layer: np.ndarray
    corner: tuple[int, int]
    box: tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A mammogram in display values.

    Attributes:
      display: float32 [rows, columns] in [-1, 1]. mask: bool, the breast.
      labelled: has a burnt-in view label. noise: standard deviation of a pixel of mid-grey.
    """

    display: np.ndarray
    mask: np.ndarray
    lesions: tuple[DrawnLesion, ...]
    labelled: bool
    noise: float


def draw_picture(
    seed: int,
    key: tuple[object, ...],
    body: Body,
    lesions: tuple[PlannedLesion, ...],
    side: str,
    view: str,
    size: str,
    difficulty: str = "easy",
) -> Picture:
    """Draws one view; `key` names the client and the episode."""
    woman = keyed_generator(seed, key[0], "habits")
    key = (*key, side, view)
    spacing = SPACINGS_MM[size]
    outline = draw_outline(keyed_generator(seed, *key, "outline"), body, view)
    image, mask = draw_breast(seed, key, body, outline, size)
    grain = 1.0
    if difficulty == "screening":
        grain = GRAIN_OF_A_WOMAN * float(np.exp(woman.normal(0, 0.3)))
        lines = keyed_generator(seed, *key, "lines")
        habit = float(np.exp(woman.normal(0, 0.5)))
        strands = draw_strands(lines, habit, outline, image.shape, spacing)
        image = np.where(mask, image + strands, image)
    if side == "R":
        image, mask = np.fliplr(image).copy(), np.fliplr(mask).copy()
    drawn = tuple(
        _draw_lesion(seed, key, lesion, outline, side, view, size)
        for lesion in lesions
        if lesion.side == side
    )
    rng = keyed_generator(seed, *key, "harmless")
    easy = difficulty == "easy"
    for harmless in draw_harmless(rng, side) if easy else draw_imitators(woman, rng, side):
        found = _draw_lesion(seed, (*key, "harmless"), harmless, outline, side, view, size)
        add_layer(image, found.layer, found.corner)
    for lesion in drawn:
        add_layer(image, lesion.layer, lesion.corner)
    rng = keyed_generator(seed, *key, "noise")
    image = _with_noise(rng, image, mask, spacing, grain)
    labelled = bool(rng.uniform() < LABEL_SHARE)
    if labelled:
        _burn_label(image, f"{side} {view}", side, spacing)
    return Picture(np.clip(image, -1, 1), mask, drawn, labelled, _noise_sigma(spacing, grain))


def _draw_lesion(
    seed: int,
    key: tuple[object, ...],
    lesion: PlannedLesion,
    outline: Outline,
    side: str,
    view: str,
    size: str,
) -> DrawnLesion:
    rng = keyed_generator(seed, *key, "lesion", lesion.number)
    spacing = SPACINGS_MM[size]
    rows, columns = IMAGE_SHAPES[size]
    seen = dataclasses.replace(lesion.look, size_mm=lesion.look.size_mm * rng.uniform(0.92, 1.08))
    layer = (
        draw_screening_lesion(rng, seen, spacing)
        if isinstance(seen, ScreeningLook)
        else draw_lesion(rng, seen, spacing)
    )
    x, y = (round(mm / spacing) for mm in lesion_place(lesion, outline, view))
    if side == "R":
        x = columns - 1 - x
    corner = (x - layer.shape[1] // 2, y - layer.shape[0] // 2)
    x0, y0, x1, y1 = visible_box(layer, spacing)
    box = (
        max(0, corner[0] + x0),
        max(0, corner[1] + y0),
        min(columns, corner[0] + x1),
        min(rows, corner[1] + y1),
    )
    return DrawnLesion(lesion, layer, corner, box)


def lesion_place(lesion: PlannedLesion, outline: Outline, view: str) -> tuple[float, float]:
    """Centre (x, y) in mm: as far from the nipple in both views, as radiologists measure it."""
    nipple_x, nipple_y = outline.nipple
    margin = 0.5 * lesion.look.size_mm + 6.0
    muscle = _muscle_width(outline, nipple_y)
    x = float(np.clip(nipple_x * (1 - lesion.forward), muscle + margin + 1, nipple_x - margin - 1))
    rows = outline.rows_mm
    inside = rows[(outline.width > x + margin) & (x > _muscle_width(outline, rows) + margin)]
    lateral = lesion.lateral[view]
    edge = inside.min() if lateral < 0 else inside.max()
    return x, float(nipple_y + abs(lateral) * (edge - nipple_y))


def _muscle_width(outline: Outline, y_mm: np.ndarray | float) -> np.ndarray:
    """The pectoral muscle's border at a height, 0 where there is none."""
    if outline.pectoral is None:
        return np.zeros_like(y_mm, dtype=float)
    top, bottom = outline.pectoral
    return np.maximum(0.0, top * (1 - np.asarray(y_mm) / bottom))


def _with_noise(
    rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, spacing: float, grain: float
) -> np.ndarray:
    """Quantum noise: stronger where the breast lets fewer quanta through, blurred by the detector.

    The noise of a pixel grows as its area shrinks; the blur (about 0.05 mm) matters at 0.07 mm.
    """
    noise: np.ndarray = rng.standard_normal(image.shape, np.float32)
    sigma = _noise_sigma(spacing, grain)
    if spacing < 0.1:
        noise = blurred(noise, 0.7) * 2.0
    return np.where(mask, image + sigma * (1 + 0.5 * image) * noise, AIR).astype(np.float32)


def _noise_sigma(spacing: float, grain: float) -> float:
    return grain * QUANTUM_NOISE * (0.28 / spacing) ** 0.6


def _burn_label(image: np.ndarray, text: str, side: str, spacing: float) -> None:
    """The view's name in the upper corner away from the chest wall."""
    scale = 0.25 / spacing
    thickness = max(1, round(0.5 / spacing))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = round(8 / spacing)
    x = image.shape[1] - margin - width if side == "L" else margin
    canvas = np.zeros(image.shape, np.uint8)
    place = (x, margin + height)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    ink = canvas[: 2 * margin + height].astype(np.float32) / 255
    top = image[: 2 * margin + height]
    top += ink * (LABEL_LEVEL - top)
