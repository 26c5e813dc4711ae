"""Which candidates hit which lesions, and which are false positives.

A candidate hits a malignant lesion when its centre is in the lesion's box, or when the two boxes
overlap by a least intersection over union. Of several lesions that it could hit it counts for one:
the one whose centre is nearest, or that it overlaps most. Several candidates on one lesion count
once, and none of them is a false positive.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from cgan_tf.data.keyed import keyed_generator
from cgan_tf.detection.predictions import Candidate, KnownLesion, Predictions, ScoredImage
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.froc import FreeResponse

CENTRE, IOU = "centre", "iou"
HEALTHY, ALL = "healthy", "all"
FALSE_POSITIVE, NEITHER = "false_positive", "neither"


@dataclasses.dataclass(frozen=True)
class Rules:
    """What counts as a hit, and what as a false positive.

    Attributes:
      hit: `CENTRE` or `IOU`. least_iou: of `IOU`, above 0 to 1.
      false_positives_on: `HEALTHY`, images without a malignant lesion, or `ALL`.
      benign_marks: what a candidate on a benign lesion is, `FALSE_POSITIVE` or `NEITHER`.
    """

    hit: str = CENTRE
    least_iou: float = 0.2
    false_positives_on: str = HEALTHY
    benign_marks: str = FALSE_POSITIVE


def fits(candidates: np.ndarray, lesions: np.ndarray, rules: Rules) -> np.ndarray:
    """How well candidates fit lesions, float64 [c, l], higher is better; -inf is no hit.

    Args:
      candidates: float [c, 4]: x0, y0, x1, y1, x1 and y1 exclusive. lesions: the same, [l, 4].
    """
    boxes, marked = candidates[:, None], lesions[None]  # [c, 1, 4], [1, l, 4]
    if rules.hit == CENTRE:
        centres = (boxes[..., :2] + boxes[..., 2:]) / 2
        inside = ((centres >= marked[..., :2]) & (centres < marked[..., 2:])).all(axis=-1)
        away = ((centres - (marked[..., :2] + marked[..., 2:]) / 2) ** 2).sum(axis=-1)
        return np.where(inside, -away, -np.inf)
    overlap = np.minimum(boxes[..., 2:], marked[..., 2:]) - np.maximum(
        boxes[..., :2], marked[..., :2]
    )
    shared = np.clip(overlap, 0, None).prod(axis=-1)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=-1) for each in (boxes, marked)]
    iou = shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)  # a box may be empty
    return np.where(iou >= rules.least_iou, iou, -np.inf)


@dataclasses.dataclass(frozen=True, eq=False)
class Truth:
    """The images that classifiers are compared on, and what is known of them.

    Attributes:
      images: those of which it is known whether they show a malignant lesion.
      lesions: on them, benign ones too.
    """

    images: tuple[ScoredImage, ...]
    lesions: tuple[KnownLesion, ...]

    @property
    def malignant(self) -> tuple[KnownLesion, ...]:
        """The lesions to be found."""
        return tuple(lesion for lesion in self.lesions if lesion.malignant)

    @property
    def benign(self) -> tuple[KnownLesion, ...]:
        """The others."""
        return tuple(lesion for lesion in self.lesions if not lesion.malignant)

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each image by its name."""
        return {image.sop_uid: number for number, image in enumerate(self.images)}


def truth_of(predictions: Predictions, split: str, rules: Rules) -> Truth:
    """The images of a split, or all of them where no image has a split.

    Raises `UserError` where no image is left, none shows a lesion, or none counts false positives.
    """
    where, images = str(predictions.directory), predictions.images
    if any(image.split for image in images):
        images = tuple(image for image in images if image.split == split)
        where += f", {split} split"
        if not images:
            raise UserError(f"{where}: expected images, found none")
    images = tuple(image for image in images if image.malignant is not None)
    known = {image.sop_uid for image in images}
    truth = Truth(images, tuple(each for each in predictions.lesions if each.sop_uid in known))
    if not truth.malignant:
        raise UserError(f"{where}: expected malignant lesions with their boxes, found none")
    if rules.false_positives_on == HEALTHY and all(image.malignant for image in images):
        raise UserError(
            f"{where}: expected images without a malignant lesion, found none; "
            "--false_positives_on=all counts false positives beside lesions"
        )
    return truth


@dataclasses.dataclass(frozen=True, eq=False)
class Marks:
    """The candidates of one classifier on the images of a truth.

    Attributes:
      boxes: float64 [n, 4], x0, y0, x1, y1. scores: float64 [n].
      images: int [n], the number of each one's image among them.
    """

    truth: Truth
    boxes: np.ndarray
    scores: np.ndarray
    images: np.ndarray


def marks_of(candidates: Sequence[Candidate], truth: Truth) -> Marks:
    """The candidates that are on the images."""
    candidates = [each for each in candidates if each.sop_uid in truth.numbers]
    return Marks(
        truth,
        _boxes(candidates),
        np.array([each.score for each in candidates], np.float64),
        np.array([truth.numbers[each.sop_uid] for each in candidates], int),
    )


def _boxes(boxed: Sequence[Candidate] | Sequence[KnownLesion]) -> np.ndarray:
    return np.array([each.box for each in boxed], np.float64).reshape(-1, 4)


def free_response(marks: Marks, rules: Rules) -> FreeResponse:
    """Hits of the malignant lesions, in their order, and false positives."""
    malignant, benign = marks.truth.malignant, marks.truth.benign
    boxes, benign_boxes = _boxes(malignant), _boxes(benign)
    of_image = _by_image(marks.truth, malignant)
    benign_of_image = _by_image(marks.truth, benign) if rules.benign_marks == NEITHER else {}
    found, false = np.full(len(malignant), -np.inf), np.ones(len(marks.scores), bool)
    order = np.argsort(marks.images, kind="stable")
    starts = np.searchsorted(marks.images[order], np.arange(len(marks.truth.images) + 1))
    for image in of_image.keys() | benign_of_image.keys():
        own = order[starts[image] : starts[image + 1]]
        if image in of_image:
            lesions = np.array(of_image[image])
            fit = fits(marks.boxes[own], boxes[lesions], rules)
            hits = fit.max(axis=1) > -np.inf
            best = lesions[fit.argmax(axis=1)]
            np.maximum.at(found, best[hits], marks.scores[own[hits]])
            false[own[hits]] = False
        if image in benign_of_image:
            fit = fits(marks.boxes[own], benign_boxes[benign_of_image[image]], rules)
            false[own[fit.max(axis=1) > -np.inf]] = False
    return _counted(marks, rules, found, false)


def _by_image(truth: Truth, lesions: Sequence[KnownLesion]) -> dict[int, list[int]]:
    """Numbers of lesions by the number of their image."""
    by_image: dict[int, list[int]] = {}
    for number, lesion in enumerate(lesions):
        by_image.setdefault(truth.numbers[lesion.sop_uid], []).append(number)
    return by_image


def _counted(marks: Marks, rules: Rules, found: np.ndarray, false: np.ndarray) -> FreeResponse:
    """With the false positives of those images on which they count."""
    images = marks.truth.images
    counted = np.array(
        [rules.false_positives_on == ALL or not image.malignant for image in images], bool
    )
    false = false & counted[marks.images]
    return FreeResponse(
        lesion_scores=found,
        lesion_patients=np.array([lesion.client_id for lesion in marks.truth.malignant]),
        false_scores=marks.scores[false],
        false_images=(np.cumsum(counted) - 1)[marks.images[false]],
        image_patients=np.array([image.client_id for image in images])[counted],
    )


def elsewhere(marks: Marks, seed: int, draw: int = 0) -> Marks:
    """The same candidates on other images: what they find there is chance.

    They keep how many there are on an image, their scores and their places in the breast, and lose
    what they knew of the lesions. Images of one side and view stand in a circle, in random order,
    and each gets the candidates of the one before. Those alone in their group stand together.
    Every `draw` of a seed gives another order.
    """
    images = marks.truth.images
    groups: dict[tuple[str, str], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault((image.laterality, image.view), []).append(number)
    alone = [group[0] for group in groups.values() if len(group) == 1]
    rng = keyed_generator(seed, "candidates elsewhere", draw)
    target = np.full(len(images), -1)
    for group in (*(each for each in groups.values() if len(each) > 1), alone):
        if len(group) > 1:
            circle = rng.permutation(group)
            target[circle] = np.roll(circle, 1)
    moved = target[marks.images] >= 0
    sizes = np.array([(image.width, image.height) for image in images], np.float64)
    there = target[marks.images[moved]]
    scale = sizes[there] / sizes[marks.images[moved]]
    return Marks(marks.truth, marks.boxes[moved] * np.tile(scale, 2), marks.scores[moved], there)
