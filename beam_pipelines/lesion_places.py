"""Where in an image lesions go: patches of the generator's size.

The paper takes "a random location ... that contains at least 90% breast tissue", and for its
Figure 3 "five 256x256px patches in a row". To be removed, a lesion is put into the middle.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from beam_pipelines.sources import Mark
from beam_pipelines.tissue import Integral, valid_windows

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Place:
    """One patch.

    Attributes:
      key: names the place in its image. left, top: of the patch.
      mark: the lesion to be removed. box: of it, in pixels of the patch.
    """

    key: str
    left: int
    top: int
    mark: Mark | None = None
    box: Box | None = None


def random_places(
    generator: np.random.Generator, integral: Integral, side: int, min_tissue: float, count: int
) -> list[Place]:
    """Up to `count` patches with enough tissue, none overlapping: each uniform among the rest."""
    valid = valid_windows(integral, side, min_tissue)
    places: list[Place] = []
    while len(places) < count and valid.any():
        left, top = _uniform(generator, valid)
        places.append(Place(str(len(places)), left, top))
        valid[max(0, top - side + 1) : top + side, max(0, left - side + 1) : left + side] = False
    return places


def row_places(
    generator: np.random.Generator, integral: Integral, side: int, min_tissue: float, count: int
) -> list[Place]:
    """`count` patches side by side, each with enough tissue; none where no row has it."""
    valid = valid_windows(integral, side, min_tissue)
    width = valid.shape[1] - (count - 1) * side
    if width < 1:
        return []
    rows = np.logical_and.reduce([valid[:, n * side : n * side + width] for n in range(count)])
    if not rows.any():
        return []
    left, top = _uniform(generator, rows)
    return [Place(str(n), left + n * side, top) for n in range(count)]


def lesion_place(mark: Mark, shape: tuple[int, int], side: int) -> Place:
    """The patch around a mark (in pixels of an image of `shape`), moved inside the image."""
    x0, y0, x1, y1 = mark.box
    left = min(max(round((x0 + x1 - side) / 2), 0), shape[1] - side)
    top = min(max(round((y0 + y1 - side) / 2), 0), shape[0] - side)
    return Place(mark.mark_id, left, top, mark, (x0 - left, y0 - top, x1 - left, y1 - top))


def patches_of(grey: np.ndarray, places: Sequence[Place], side: int) -> np.ndarray:
    """float32 [n, side, side]: what the generator is shown."""
    windows = [grey[p.top : p.top + side, p.left : p.left + side] for p in places]
    return np.stack(windows).astype(np.float32)


def _uniform(generator: np.random.Generator, valid: np.ndarray) -> tuple[int, int]:
    """(x, y) of a true element, each as likely; without a list of all of them."""
    in_rows = np.count_nonzero(valid, axis=1).cumsum()
    number = int(generator.random() * in_rows[-1])
    row = int(np.searchsorted(in_rows, number, side="right"))
    before = int(in_rows[row - 1]) if row else 0
    return int(np.flatnonzero(valid[row])[number - before]), row
