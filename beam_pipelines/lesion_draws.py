"""Draws of the random scalars for each place of an image until a lesion is accepted.

Everything an image is given to the generator for depends on that image alone: the bits of its
lesions are the same whatever other images a worker has, and in whatever order.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from beam_pipelines.lesion_places import Box
from cgan_tf.postprocess import Lesion, extract_lesion

ELSEWHERE = "elsewhere"  # the largest object is not at the lesion that is to be removed
SATURATED = "saturated"  # most of it is lost at the end of the grey scale
OUTSIDE = "outside"  # it glows beyond the skin
_SHOWN = 0.5  # of a lesion's sum at least
_OUTSIDE = 0.05  # of a lesion's sum at most

Generate = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """The places of one image.

    Attributes:
      patches: float32 [n, size, size]. scalars: float32 [n, draws, z_width].
      tissue: bool [n, size, size], where the breast is.
      boxes: [n], what a lesion must touch, wherever it is; None: it must lie in tissue.
    """

    patches: np.ndarray
    scalars: np.ndarray
    tissue: np.ndarray
    boxes: tuple[Box | None, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What was drawn for a request.

    Attributes:
      lesions: [n], None where nothing was accepted. draws: [n], the number of draws made.
      rejected: how many draws were rejected, by reason.
    """

    lesions: tuple[Lesion | None, ...]
    draws: tuple[int, ...]
    rejected: dict[str, int]


def draw_lesions(generate: Generate, request: Request, extraction: Mapping[str, object]) -> Answer:
    """The first accepted lesion of each place.

    Args:
      generate: patches [n, size, size] and scalars [n, z_width] to lesion channels.
      extraction: the arguments of `extract_lesion`.
    """
    lesions: list[Lesion | None] = [None] * len(request.patches)
    draws = [0] * len(lesions)
    rejected: collections.Counter[str] = collections.Counter()
    for draw in range(request.scalars.shape[1]):
        places = [place for place, lesion in enumerate(lesions) if lesion is None]
        if not places:
            break
        channels = generate(request.patches[places], request.scalars[places, draw])
        for place, channel in zip(places, channels, strict=True):
            draws[place] = draw + 1
            lesion = extract_lesion(channel, **extraction)  # type: ignore[arg-type]
            fault = lesion.rejected or _fault(lesion, request, place)
            if fault:
                rejected[fault] += 1
            else:
                lesions[place] = lesion
    return Answer(tuple(lesions), tuple(draws), dict(sorted(rejected.items())))


def _fault(lesion: Lesion, request: Request, place: int) -> str:
    """Why a lesion of the paper's rules is no use in a whole image; empty when it is of use."""
    assert lesion.lesion is not None
    assert lesion.box is not None
    patch, box = request.patches[place], request.boxes[place]
    change = np.abs(lesion.lesion)
    shown = np.clip(patch + lesion.lesion, -1.0, 1.0) - patch
    if np.abs(shown).sum() < _SHOWN * change.sum():
        return SATURATED
    if box is None:
        beyond = change[~request.tissue[place]].sum()
        return OUTSIDE if beyond > _OUTSIDE * change.sum() else ""
    x0, y0, x1, y1 = lesion.box
    touches = x0 < box[2] and box[0] < x1 and y0 < box[3] and box[1] < y1
    return "" if touches else ELSEWHERE
