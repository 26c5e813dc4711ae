"""What quality reads of patches: figures of every lesion, and of every patch around it.

Synthetic lesions are set beside held-out real ones. What removal leaves of a lesion is set beside
held-out normal patches, measured at the same places; how variously it takes away, beside lesions.

Does a synthetic patch differ from its source where its mask is zero? It must not.

Counted in the levels that records store, of which 65,535 make the range [-1, 1]: what storage
rounds is then exact, and every difference is a fault.

Feature spaces that patches are compared in: a baseline classifier's, an ImageNet network's.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.assessment.copies import Lesions, describe
from cgan_tf.assessment.lesions import (
    LESION_COLUMNS,
    PATCH_COLUMNS,
    LesionFigures,
    LesionTable,
    estimate_lesion,
    figures_of,
    lesion_values,
    patch_values,
    table_of,
)
from cgan_tf.classifier.results import read_evaluations, read_features
from cgan_tf.config import QualityConfig
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.data.records import LEVELS, PatchRecord
from cgan_tf.labels import MALIGNANT_CLASSES
from cgan_tf.models.weights_file import imagenet_path
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.candidates import RESULT_CLASS


@dataclasses.dataclass(frozen=True)
class Change:
    """How a synthetic patch differs from its source.

    Attributes:
      outside: greatest difference where the mask is zero, in stored levels; 0 is right.
      inside: greatest difference from clip(source + lesion) anywhere, in stored levels; 1 is right,
        because lesion and patch are rounded one by one.
      pixels: those outside that differ.
    """

    outside: int
    inside: int
    pixels: int


def change_of(record: PatchRecord, source: np.ndarray) -> Change | None:
    """The change of a record's patch from `source` [size, size]; None without mask or lesion.

    The mask's tail below half a level of [0, 1] is stored as zero. Times a lesion of at most 1 it
    is a quarter of a patch's level at most, so a right patch still has the source's levels there.
    """
    if record.mask is None or record.lesion is None:
        return None
    made = stored_levels(record.patch)
    difference = np.abs(made - stored_levels(source))
    outside = difference[record.mask == 0]
    expected = stored_levels(np.clip(source + record.lesion, -1, 1))
    return Change(
        outside=int(outside.max(initial=0)),
        inside=int(np.abs(made - expected).max()),
        pixels=int(np.count_nonzero(outside)),
    )


def stored_levels(patch: np.ndarray) -> np.ndarray:
    """Grey levels in [-1, 1] as the integers of their PNG, int64."""
    return np.rint((patch.astype(np.float64) + 1) / 2 * LEVELS).astype(np.int64)


# Of the patches of a pool, whose ids are given too: float [n, d].
Features = Callable[[PatchPool, Sequence[str]], np.ndarray]
CLASSIFIER, IMAGENET = "classifier", "ImageNet"


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Patches in a feature space: features float [n, d]; patients and ids, text [n]."""

    features: np.ndarray
    clients: np.ndarray
    patch_ids: np.ndarray


def feature_spaces(config: QualityConfig) -> dict[str, Features]:
    """The spaces asked for, by name.

    Raises `UserError` for a classifier that has seen synthetic patches (it learned to tell them
    apart, or not to), or for weights that are missing.
    """
    spaces: dict[str, Features] = {}
    if config.classifier:
        manifest = read_manifest(config.classifier, ("train_classifier", "evaluate"))
        read = _evaluated if manifest["program"] == "evaluate" else _computed
        spaces[CLASSIFIER] = read(config, manifest)
    if config.imagenet_weights:
        spaces[IMAGENET] = _imagenet(config)
    return spaces


def _evaluated(config: QualityConfig, manifest: dict) -> Features:
    """The features that an evaluation has already computed."""
    evaluation = read_evaluations((config.classifier,))[0]
    arrays = read_features(evaluation)
    ids = {"test": evaluation.patch_ids} | {
        name: arrays[f"{name}_patch_id"] for name in ("validation", "synthetic")
    }
    places = {
        patch_id: (name, place)
        for name, own in ids.items()
        for place, patch_id in enumerate(own.tolist())
    }

    def features(pool: PatchPool, patch_ids: Sequence[str]) -> np.ndarray:
        missing = [patch_id for patch_id in patch_ids if patch_id not in places]
        if missing:
            raise UserError(
                f"{config.classifier}: expected the features of patch '{missing[0]}' and "
                f"{len(missing) - 1} more; evaluate with --synthetic_dirs, or give --classifier a "
                "work directory of train_classifier"
            )
        return np.stack([arrays[name][place] for name, place in map(places.get, patch_ids)])

    return features


def _computed(config: QualityConfig, manifest: dict) -> Features:
    share = manifest["flags"]["synthetic_fraction"]
    if share:
        raise UserError(
            f"{config.classifier}: expected a baseline, trained on real patches only, found "
            f"{share:.0%} synthetic ones"
        )
    from cgan_tf.classifier.scoring import load_classifier, score

    model = load_classifier(Path(config.classifier), manifest)
    return lambda pool, _: score(model, pool, config.batch_size)[1]


def _imagenet(config: QualityConfig) -> Features:
    named = config.imagenet_weights == "imagenet"
    path = imagenet_path() if named else Path(config.imagenet_weights).expanduser()
    if not path.is_file():
        raise UserError(f"--imagenet_weights: expected {path}, found none")
    from cgan_tf.classifier.scoring import score
    from cgan_tf.models.pretrained import load_weights
    from cgan_tf.models.resnet import PatchClassifier

    model = PatchClassifier("frozen")
    load_weights(model, "imagenet" if named else str(path))
    return lambda pool, _: score(model, pool, config.batch_size)[1]


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
