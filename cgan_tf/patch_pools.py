"""Several patch indices read as one: the streams of training, the sets of an evaluation."""

import bisect
import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from cgan_tf.config import MALIGNANT_CLASSES, NORMAL
from cgan_tf.errors import UserError
from cgan_tf.patch_sets import PatchIndex, PatchSet
from cgan_tf.records import PatchRecord


@dataclasses.dataclass(frozen=True, eq=False)
class PatchPool:
    """Several patch indices read as one; may be empty."""

    indices: tuple[PatchIndex, ...]

    @property
    def starts(self) -> list[int]:
        """Position of each index's first patch, and the total."""
        return list(itertools.accumulate((len(index) for index in self.indices), initial=0))

    def __len__(self) -> int:
        return sum(len(index) for index in self.indices)

    def pixels(self, number: int) -> np.ndarray:
        """float32 [S, S] in [-1, 1]."""
        index, place = self._place(number)
        return index.pixels(place)

    def record(self, number: int) -> PatchRecord:
        """The whole record."""
        index, place = self._place(number)
        return index.record(place)

    def descriptions(self) -> list[PatchRecord]:
        """Every record without its images: `patch`, `lesion` and `mask` are empty."""
        none = np.zeros((0, 0), np.float32)
        return [
            dataclasses.replace(index.record(place), patch=none, lesion=None, mask=None)
            for index in self.indices
            for place in range(len(index))
        ]

    def subset(self, numbers: np.ndarray) -> "PatchPool":
        """The patches with these numbers, which ascend."""
        starts = self.starts
        parts = [
            numbers[(numbers >= start) & (numbers < end)] - start
            for start, end in itertools.pairwise(starts)
        ]
        return PatchPool(
            tuple(
                dataclasses.replace(index, places=index.places[part])
                for index, part in zip(self.indices, parts, strict=True)
                if len(part)
            )
        )

    def _place(self, number: int) -> tuple[PatchIndex, int]:
        starts = self.starts
        owner = bisect.bisect_right(starts, number) - 1
        return self.indices[owner], number - starts[owner]


def evaluation_pool(patches: PatchSet, split: str) -> tuple[PatchPool, np.ndarray]:
    """(patches, labels int [n]) of a split: normal against malignant, as in the paper.

    Benign and unlabelled patches never count.
    """
    negatives, positives = patches.count(split, NORMAL), patches.count(split, *MALIGNANT_CLASSES)
    if not negatives or not positives:
        raise UserError(
            f"{patches.directory}: {split}: expected normal and malignant patches, found "
            f"{negatives} and {positives}"
        )
    pool = PatchPool((patches.index(split, NORMAL), patches.index(split, *MALIGNANT_CLASSES)))
    return pool, np.repeat([0, 1], [negatives, positives])


def patch_size(pools: Sequence[PatchPool]) -> int:
    """Side of the first patch."""
    return len(next(pool for pool in pools if len(pool)).pixels(0))


def check_sizes(pools: Sequence[PatchPool]) -> None:
    """Raises `UserError` when the sets hold patches of different sizes."""
    indices = [index for pool in pools for index in pool.indices]
    expected = len(indices[0].pixels(0))
    for index in indices:
        found = len(index.pixels(0))
        if found != expected:
            raise UserError(
                f"{index.name}: expected {expected} px patches as in {indices[0].name}, "
                f"found {found} px"
            )
