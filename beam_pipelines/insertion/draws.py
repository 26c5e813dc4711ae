"""Draws of the generator at each place until a lesion will do: which draw is taken, and why others
are not."""

import collections
import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from beam_pipelines.insertion.real_lesions import contrast
from beam_pipelines.sources.base import Box
from cgan_tf.synthesis.postprocess import Extraction, Lesion, extract_lesion

ELSEWHERE = "elsewhere"  # not at the lesion that is to be removed, or not where one is wanted
SATURATED = "saturated"  # most of it is lost at the end of the grey scale
OUTSIDE = "outside"  # it glows beyond the skin
OFF_SIZE, OFF_CONTRAST = "off_size", "off_contrast"  # not what --*_quantiles ask for
OTHER_NEARER = "other_nearer"  # another draw is nearer to what is wanted
OTHER_VIEW = "other_view"  # the same draw was rejected on the other view of the breast
VIEWS_DIFFER = "views_differ"  # it is much larger on one view than on the other
_SHOWN = 0.5  # of a lesion's sum at least
_OUTSIDE = 0.05  # of a lesion's sum at most
_NEAR = 0.1  # of the real lesions' spread: near enough to stop drawing
_RATIO = 1.5  # of sizes on two views at most

Generate = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a size or a contrast must be: within `low` and `high`, and as near to `target` as can
    be, in units of `spread`."""

    low: float
    high: float
    target: float
    spread: float

    def holds(self, value: float) -> bool:
        """Whether a value is within; NaN is not."""
        return self.low <= value <= self.high

    def distance(self, value: float) -> float:
        """From the target."""
        return abs(value - self.target) / self.spread


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the lesion of a place has to be, where that is not left to chance.

    Attributes:
      point: (x, y) in pixels of the patch, in its box.
      size: of its box's longest side, in pixels of the patch. contrast: see
        `real_lesions.contrast`.
      pixel: side of a pixel of the patch, to compare sizes on two views.
    """

    point: tuple[float, float] | None = None
    size: Limits | None = None
    contrast: Limits | None = None
    pixel: float = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """The places of one image, or of both views of a breast.

    Attributes:
      patches: float32 [n, size, size]. scalars: float32 [n, draws, z_width].
      tissue: bool [n, size, size], where the breast is.
      boxes: [n], what a lesion must touch, wherever it is; None: it must lie in tissue.
      wanted: [n], or () where anything will do.
      groups: [n], places of the same number have the same draw accepted; or (): each its own.
    """

    patches: np.ndarray
    scalars: np.ndarray
    tissue: np.ndarray
    boxes: tuple[Box | None, ...]
    wanted: tuple[Wanted, ...] = ()
    groups: tuple[int, ...] = ()

    def members(self) -> list[list[int]]:
        """The places of each group."""
        groups = self.groups or tuple(range(len(self.patches)))
        return [[n for n, own in enumerate(groups) if own == group] for group in sorted({*groups})]

    def want(self, place: int) -> Wanted:
        """What is wanted at a place."""
        return self.wanted[place] if self.wanted else Wanted()


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What was drawn for a request.

    Attributes:
      lesions: [n], None where nothing was accepted. draws: [n], the number of draws made.
      rejected: how many draws were rejected, by reason.
      chosen: [n], the number of the draw that gave each lesion, from 0; -1 without one.
    """

    lesions: tuple[Lesion | None, ...]
    draws: tuple[int, ...]
    rejected: dict[str, int]
    chosen: tuple[int, ...]

    def part(self, places: slice) -> "Answer":
        """The answer for some places; the rejected draws are those of all."""
        return Answer(self.lesions[places], self.draws[places], self.rejected, self.chosen[places])


@dataclasses.dataclass(eq=False)
class _Best:
    """The best draw of a group so far: its number, its lesions, how far from what is wanted."""

    draw: int = -1
    lesions: tuple[Lesion, ...] = ()
    distance: float = math.inf


def draw_lesions(generate: Generate, request: Request, extraction: Extraction) -> Answer:
    """The lesion of each place: the first one accepted, or, where sizes or contrasts are wanted,
    the accepted one that is nearest to them.

    Args:
      generate: patches [n, size, size] and scalars [n, z_width] to lesion channels.
      extraction: the settings of `extract_lesion`.
    """
    groups = {tuple(members): _Best() for members in request.members()}
    draws = [0] * len(request.patches)
    rejected: collections.Counter[str] = collections.Counter()
    for draw in range(request.scalars.shape[1]):
        open_groups = [group for group, best in groups.items() if best.distance > _NEAR]
        places = sorted(place for group in open_groups for place in group)
        if not places:
            break
        channels = generate(request.patches[places], request.scalars[places, draw])
        lesions = {
            place: extract_lesion(channel, extraction, request.boxes[place] or ())
            for place, channel in zip(places, channels, strict=True)
        }
        for place in places:
            draws[place] = draw + 1
        for group in open_groups:
            found = tuple(lesions[place] for place in group)
            rejected.update(_judged(group, found, request, groups[group], draw))
    return _answer(groups, draws, rejected)


def _answer(
    groups: Mapping[tuple[int, ...], _Best],
    draws: list[int],
    rejected: collections.Counter[str],
) -> Answer:
    lesions: list[Lesion | None] = [None] * len(draws)
    chosen = [-1] * len(draws)
    for group, best in groups.items():
        for place, lesion in zip(group, best.lesions, strict=bool(best.lesions)):
            lesions[place], chosen[place] = lesion, best.draw
    return Answer(tuple(lesions), tuple(draws), dict(sorted(rejected.items())), tuple(chosen))


def _judged(
    group: tuple[int, ...], lesions: tuple[Lesion, ...], request: Request, best: _Best, draw: int
) -> list[str]:
    """Why a draw of a group, or the one that was the best so far, is rejected, for each place;
    empty where it is the first one accepted. Keeps the better one in `best`."""
    faults = [
        lesion.rejected or _fault(lesion, request, place)
        for place, lesion in zip(group, lesions, strict=True)
    ]
    if any(faults):
        return [fault or OTHER_VIEW for fault in faults]
    if len(group) > 1:
        sizes = [
            longest_side(lesion) * request.want(place).pixel
            for place, lesion in zip(group, lesions, strict=True)
        ]
        if max(sizes) > _RATIO * min(sizes):
            return [VIEWS_DIFFER] * len(group)
    distance = max(
        _distance(lesion, request, place) for place, lesion in zip(group, lesions, strict=True)
    )
    first = not best.lesions
    if distance < best.distance:
        best.draw, best.lesions, best.distance = draw, lesions, distance
    return [] if first else [OTHER_NEARER] * len(group)


def longest_side(lesion: Lesion) -> int:
    """Of its box, in pixels of the patch."""
    assert lesion.box is not None
    x0, y0, x1, y1 = lesion.box
    return max(x1 - x0, y1 - y0)


def _contrast(lesion: Lesion, patch: np.ndarray) -> float:
    assert lesion.lesion is not None
    assert lesion.box is not None
    return contrast(np.clip(patch + lesion.lesion, -1.0, 1.0), lesion.box)


def _distance(lesion: Lesion, request: Request, place: int) -> float:
    """From the size and the contrast that are wanted, the larger one; 0 where none are."""
    want = request.want(place)
    distances = [0.0]
    if want.size:
        distances.append(want.size.distance(longest_side(lesion)))
    if want.contrast:
        distances.append(want.contrast.distance(_contrast(lesion, request.patches[place])))
    return max(distances)


def _fault(lesion: Lesion, request: Request, place: int) -> str:
    """Why a lesion that passed the paper's rules is unusable in a whole image; or empty."""
    assert lesion.lesion is not None
    assert lesion.box is not None
    patch, box = request.patches[place], request.boxes[place]
    change = np.abs(lesion.lesion)
    shown = np.clip(patch + lesion.lesion, -1.0, 1.0) - patch
    if np.abs(shown).sum() < _SHOWN * change.sum():
        return SATURATED
    x0, y0, x1, y1 = lesion.box
    if box is not None:
        touches = x0 < box[2] and box[0] < x1 and y0 < box[3] and box[1] < y1
        return "" if touches else ELSEWHERE
    beyond = change[~request.tissue[place]].sum()
    if beyond > _OUTSIDE * change.sum():
        return OUTSIDE
    want = request.want(place)
    if want.point and not (x0 <= want.point[0] <= x1 and y0 <= want.point[1] <= y1):
        return ELSEWHERE
    if want.size and not want.size.holds(longest_side(lesion)):
        return OFF_SIZE
    if want.contrast and not want.contrast.holds(_contrast(lesion, patch)):
        return OFF_CONTRAST
    return ""
