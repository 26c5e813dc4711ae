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
from beam_pipelines.phantom.lesions import (
    CALCIFICATION,
    MASS,
    LesionLook,
    add_layer,
    blurred,
    draw_lesion,
    visible_box,
)
from beam_pipelines.phantom.plan import PlannedLesion
from beam_pipelines.phantom.screening import imitators
from beam_pipelines.phantom.screening_lesions import ScreeningLook, draw_screening_lesion
from beam_pipelines.phantom.screening_tissue import Habits, draw_habits, draw_strands
from cgan_tf.data.keyed import keyed_generator

LABEL_SHARE = 0.6  # of images carry a burnt-in view label
LABEL_LEVEL = 0.9
# Share of images, kind, margin, range of sizes (mm), contrast, calcifications.
HARMLESS = (
    (0.30, CALCIFICATION, "ill_defined", (10.0, 20.0), 0.0, 1),
    (0.25, CALCIFICATION, "ill_defined", (10.0, 20.0), 0.0, 3),
    (0.15, MASS, "well_defined", (5.0, 8.0), 0.22, 0),
    (0.30, MASS, "ill_defined", (7.0, 14.0), 0.18, 0),
)


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
    habits = Habits() if difficulty == "easy" else draw_habits(woman)
    key = (*key, side, view)
    spacing = SPACINGS_MM[size]
    outline = draw_outline(keyed_generator(seed, *key, "outline"), body, view)
    image, mask = _draw_healthy(seed, key, body, outline, size, habits)
    if side == "R":
        image, mask = np.fliplr(image).copy(), np.fliplr(mask).copy()
    own = [lesion for lesion in lesions if lesion.side == side]
    drawn = tuple(_draw_lesion(seed, key, lesion, outline, side, view, size) for lesion in own)
    rng = keyed_generator(seed, *key, "harmless")
    plain = difficulty == "easy"
    for harmless in draw_harmless(rng, side) if plain else draw_imitators(woman, rng, side):
        names = (*key, "harmless")
        add_layer(image, *_draw_layer(seed, names, harmless, outline, side, view, size))
    for lesion in drawn:
        add_layer(image, lesion.layer, lesion.corner)
    rng = keyed_generator(seed, *key, "noise")
    sigma = habits.grain * QUANTUM_NOISE * (0.28 / spacing) ** 0.6
    image = _with_noise(rng, image, mask, spacing, sigma)
    labelled = bool(rng.uniform() < LABEL_SHARE)
    if labelled:
        _burn_label(image, f"{side} {view}", side, spacing)
    return Picture(np.clip(image, -1, 1), mask, drawn, labelled, sigma)


def _draw_healthy(
    seed: int,
    key: tuple[object, ...],
    body: Body,
    outline: Outline,
    size: str,
    habits: Habits,
) -> tuple[np.ndarray, np.ndarray]:
    """A left breast and its mask."""
    image, mask = draw_breast(seed, key, body, outline, size, habits.texture)
    if habits.lines:
        rng = keyed_generator(seed, *key, "lines")
        lines = draw_strands(rng, habits.lines, outline, image.shape, SPACINGS_MM[size])
        image = np.where(mask, image + lines, image)
    return image, mask


def draw_harmless(rng: np.random.Generator, side: str) -> tuple[PlannedLesion, ...]:
    """What any image may show and nobody marks: lone calcifications, a lymph node, a shadow of
    superimposed tissue. They keep normal patches from being recognisable by their emptiness."""
    return tuple(
        PlannedLesion(
            side=side,
            number=str(place),
            pathology="normal",
            look=LesionLook(
                kind, margin, "round", float(rng.uniform(*size)), contrast, specks, 0.5
            ),
            forward=float(rng.uniform(0.15, 0.85)),
            lateral=dict.fromkeys(("CC", "MLO"), float(rng.uniform(-0.8, 0.8))),
            conspicuity="",
            evidence="",
        )
        for place, (share, kind, margin, size, contrast, specks) in enumerate(HARMLESS)
        if rng.uniform() < share
    )


def draw_imitators(
    woman: np.random.Generator, image: np.random.Generator, side: str
) -> tuple[PlannedLesion, ...]:
    """The same for the screening population: many more, and alike to lesions."""
    return tuple(
        PlannedLesion(
            side=side,
            number=str(place),
            pathology="normal",
            look=look,
            forward=float(image.uniform(0.08, 0.92)),
            lateral=dict.fromkeys(("CC", "MLO"), float(image.uniform(-0.9, 0.9))),
            conspicuity="",
            evidence="",
        )
        for place, look in enumerate(imitators(woman, image))
    )


def _draw_lesion(
    seed: int,
    key: tuple[object, ...],
    lesion: PlannedLesion,
    outline: Outline,
    side: str,
    view: str,
    size: str,
) -> DrawnLesion:
    layer, corner = _draw_layer(seed, key, lesion, outline, side, view, size)
    rows, columns = IMAGE_SHAPES[size]
    x0, y0, x1, y1 = visible_box(layer, SPACINGS_MM[size])
    box = (
        max(0, corner[0] + x0),
        max(0, corner[1] + y0),
        min(columns, corner[0] + x1),
        min(rows, corner[1] + y1),
    )
    return DrawnLesion(lesion, layer, corner, box)


def _draw_layer(
    seed: int,
    key: tuple[object, ...],
    lesion: PlannedLesion,
    outline: Outline,
    side: str,
    view: str,
    size: str,
) -> tuple[np.ndarray, tuple[int, int]]:
    """The layer of a lesion or an imitator, and where its top left pixel lies."""
    rng = keyed_generator(seed, *key, "lesion", lesion.number)
    spacing = SPACINGS_MM[size]
    seen = dataclasses.replace(lesion.look, size_mm=lesion.look.size_mm * rng.uniform(0.92, 1.08))
    if isinstance(seen, ScreeningLook):
        layer = draw_screening_lesion(rng, seen, spacing)
    else:
        layer = draw_lesion(rng, seen, spacing)
    x, y = (round(mm / spacing) for mm in lesion_place(lesion, outline, view))
    if side == "R":
        x = IMAGE_SHAPES[size][1] - 1 - x
    return layer, (x - layer.shape[1] // 2, y - layer.shape[0] // 2)


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
    rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, spacing: float, sigma: float
) -> np.ndarray:
    """Quantum noise: stronger where the breast lets fewer quanta through, blurred by the detector.

    The noise of a pixel grows as its area shrinks; the blur (about 0.05 mm) matters at 0.07 mm.
    """
    noise: np.ndarray = rng.standard_normal(image.shape, np.float32)
    if spacing < 0.1:
        noise = blurred(noise, 0.7) * 2.0
    return np.where(mask, image + sigma * (1 + 0.5 * image) * noise, AIR).astype(np.float32)


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
