"""What quality reads of patches: figures of every lesion, and of every patch around it.

Synthetic lesions are set beside held-out real ones. What removal leaves of a lesion is set beside
held-out normal patches, measured at the same places; how variously it takes away, beside lesions.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cgan_tf.candidates import RESULT_CLASS
from cgan_tf.config import MALIGNANT_CLASSES
from cgan_tf.errors import UserError
from cgan_tf.evaluation_sources import find_sources
from cgan_tf.lesion_estimate import estimate_lesion
from cgan_tf.lesion_figures import LesionFigures, figures_of
from cgan_tf.lesion_table import (
    LESION_COLUMNS,
    PATCH_COLUMNS,
    LesionTable,
    lesion_values,
    patch_values,
    table_of,
)
from cgan_tf.memorisation import Lesions, describe
from cgan_tf.outside_change import Change, change_of
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.quality_features import Points
from cgan_tf.records import PatchRecord

Box = tuple[float, ...]  # (x0, y0, x1, y1), or () for none
Advance = Callable[[], Any]  # called after every patch, for a progress bar
_FAINT = 0.5  # of a mask's peak; below it its soft edge begins


class Measured:
    """A set of patches, as far as it has been read.

    Attributes:
      patch_ids, clients: of every patch. places: (box of the lesion, box of what was changed).
      figures: of each lesion, or of what was taken away; None where there is nothing.
      changes: of synthetic patches; None where a record has no mask.
    """

    def __init__(self, threshold: float):
        """`threshold`: grey levels beyond which a pixel is of the lesion."""
        self.threshold = threshold
        self.patch_ids: list[str] = []
        self.clients: list[str] = []
        self.places: list[tuple[Box, Box]] = []
        self.figures: list[LesionFigures | None] = []
        self.changes: list[Change | None] = []
        self._rows: list[dict[str, float]] = []
        self._lesions: list[np.ndarray | None] = []

    def add(
        self,
        record: PatchRecord,
        lesion_box: Box,
        changed_box: Box,
        taken: np.ndarray | None = None,
    ) -> None:
        """A patch: where its lesion is or was, and where it was changed.

        `taken`: what removal took away, [size, size]; its figures are then those of the lesion.
        """
        lesion = estimate_lesion(record.patch, lesion_box) if lesion_box else None
        values = lesion_values(lesion, self.threshold) | patch_values(record.patch, changed_box)
        self.patch_ids.append(record.patch_id)
        self.clients.append(record.client_id)
        self.places.append((lesion_box, changed_box))
        self.figures.append(figures_of(lesion if taken is None else taken, self.threshold))
        self._rows.append(values)
        self._lesions.append(lesion)

    @property
    def lesions(self) -> LesionTable:
        """Of the lesions, or of what is left of them."""
        return table_of(self._rows, self.clients, LESION_COLUMNS)

    @property
    def appearance(self) -> LesionTable:
        """Of the patches where they were changed and beside it."""
        return table_of(self._rows, self.clients, PATCH_COLUMNS)

    @functools.cached_property
    def described(self) -> Lesions:
        """The lesions for likeness; read when the set is complete."""
        return describe(zip(self.patch_ids, self.clients, self._lesions, strict=True))

    def points(self, features: np.ndarray) -> Points:
        """The patches with their features [n, d]."""
        return Points(features, np.array(self.clients), np.array(self.patch_ids))


def real_pool(patches: PatchSet, splits: Sequence[str], classes: Sequence[str]) -> PatchPool:
    """The patches of some classes; `UserError` when there are none."""
    pairs = [pair for pair in itertools.product(splits, classes) if patches.count(*pair)]
    if not pairs:
        raise UserError(
            f"{patches.directory}: expected {' or '.join(classes)} patches in {' or '.join(splits)}"
            ", found none"
        )
    return PatchPool(tuple(patches.index(*pair) for pair in pairs))


def lesion_classes(task: str) -> tuple[str, ...]:
    """Real lesions that a task's are set beside."""
    return MALIGNANT_CLASSES if task == "removal" else (RESULT_CLASS[task],)


def measure_synthetic(
    patches: PatchSet,
    synthetic: PatchPool,
    manifest: dict[str, Any],
    advance: Advance,
) -> Measured:
    """A synthetic set; `UserError` when its sources are not among the patches.

    Args:
      manifest: of synthesize.
    """
    source_ids = [record.source_patch_id for record in synthetic.descriptions()]
    indices, numbers = find_sources(patches, source_ids)
    sources, found = PatchPool(indices), Measured(manifest["flags"]["threshold"])
    for number, source_number in enumerate(numbers):
        record, source = synthetic.record(number), sources.record(source_number)
        if source.patch.shape != record.patch.shape:
            raise UserError(
                f"{synthetic.indices[0].name}: expected {len(source.patch)} px patches as in "
                f"{patches.directory}, found {len(record.patch)} px"
            )
        if manifest["task"] == "removal":
            taken = source.patch - record.patch
            found.add(record, source.box, mask_box(record.mask), taken)
        else:
            found.add(record, record.box, record.box)
        found.changes.append(change_of(record, source.patch))
        advance()
    return found


def measure_real(pool: PatchPool, threshold: float, advance: Advance) -> Measured:
    """Real lesions."""
    found = Measured(threshold)
    for number in range(len(pool)):
        record = pool.record(number)
        found.add(record, record.box, record.box)
        advance()
    return found


def measure_normals(pool: PatchPool, cleaned: Measured, advance: Advance) -> Measured:
    """Real normal patches at the places of cleaned ones, which take turns."""
    found = Measured(cleaned.threshold)
    for number, boxes in zip(range(len(pool)), itertools.cycle(cleaned.places), strict=False):
        found.add(pool.record(number), *boxes)
        advance()
    return found


def described_lesions(pool: PatchPool, advance: Advance) -> Lesions:
    """The lesions of a pool, for likeness alone."""

    def read(number: int) -> tuple[str, str, np.ndarray | None]:
        record = pool.record(number)
        advance()
        lesion = estimate_lesion(record.patch, record.box) if record.box else None
        return record.patch_id, record.client_id, lesion

    return describe(map(read, range(len(pool))))


def mask_box(mask: np.ndarray | None) -> Box:
    """(x0, y0, x1, y1) of a soft mask without its faint edge; () without a mask."""
    if mask is None or not mask.any():
        return ()
    strong = mask >= _FAINT * mask.max()
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    return tuple(map(float, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
