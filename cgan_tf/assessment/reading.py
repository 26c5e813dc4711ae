"""What quality reads of patches: the lesion of each, its change, and the values that measures take.

Synthetic lesions are set beside held-out real ones. For removal, what is left of a lesion is set
beside held-out normal patches measured at the same places, and the spread of what is taken away
beside that of real lesions.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from cgan_tf.assessment.distributions import ValueTable, value_table
from cgan_tf.assessment.features import Points
from cgan_tf.assessment.lesions import (
    SIDE,
    Lesions,
    LesionShape,
    describe_lesions,
    estimate_lesion,
    lesion_shape,
)
from cgan_tf.data.keyed import keyed_generator, unit_hash
from cgan_tf.data.lesion_layer import Box
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.data.records import LEVELS, PatchRecord
from cgan_tf.labels import MALIGNANT_CLASSES
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.candidates import RESULT_CLASS
from cgan_tf.synthesis.postprocess import Extraction, extract_lesion
from cgan_tf.synthesis.removal import share_removed

_BACKGROUNDS = 2000  # as many as repetition compares
_OF_A_PATIENT = 5  # lesions that are kept, one for each draw of differing lesions
_FAINT = 0.5  # of a mask's peak; below it its soft edge begins


@dataclasses.dataclass(frozen=True)
class Change:
    """How a synthetic patch differs from its source.

    Counted in the levels that records store, of which 65,535 make the range [-1, 1]: what storage
    rounds is then exact, and every difference is a fault.

    Attributes:
      outside: greatest difference where the mask is zero; 0 is right.
      inside: greatest difference from clip(source + lesion) anywhere; 1 is right, because lesion
        and patch are rounded one by one. Where the lesion is at an end of [-1, 1], all that records
        store, the patch may have changed by more.
    """

    outside: int
    inside: int


def change_of(record: PatchRecord, source: np.ndarray) -> Change | None:
    """The change of a record's patch from its source; None without mask or lesion.

    The mask's tail below half a level of [0, 1] is stored as zero. Times a lesion of at most 1 it
    is a quarter of a patch's level at most, so a right patch still has the source's levels there.

    Args:
      source: float [size, size], grey levels in [-1, 1].
    """
    if record.mask is None or record.lesion is None:
        return None
    made = stored_levels(record.patch)
    difference = np.abs(made - stored_levels(source))
    outside = difference[record.mask == 0]
    expected = stored_levels(np.clip(source + record.lesion, -1, 1))
    within = np.abs(record.lesion) < 1
    return Change(
        outside=int(outside.max(initial=0)),
        inside=int(np.abs(made - expected)[within].max(initial=0)),
    )


def stored_levels(patch: np.ndarray) -> np.ndarray:
    """Grey levels float [...] in [-1, 1] as the integers 0 to 65,535 of their PNG, int64 [...]."""
    return np.rint((patch.astype(np.float64) + 1) / 2 * LEVELS).astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class PatchView:
    """A patch as measures see it.

    Attributes:
      patch: float [size, size], grey levels in [-1, 1].
      lesion: float32 [SIDE, SIDE], above its background; None without an estimate.
      changed_box: where synthesis changed the patch, or would have; () for nowhere.
      threshold: grey levels beyond which a pixel belongs to the lesion.
    """

    patch: np.ndarray
    lesion: np.ndarray | None
    changed_box: Box
    threshold: float


# Takes values of a patch, by name; what is undefined is left out.
ValuesOf = Callable[[PatchView], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """How patches are read.

    Attributes:
      threshold: grey levels beyond which a pixel belongs to the lesion.
      values_of: what measures take of every patch. advance: called after each patch.
    """

    threshold: float
    values_of: Sequence[ValuesOf]
    advance: Callable[[], object]


class PatchReadings:
    """What was read of a set of patches; lists have an entry a patch.

    Attributes:
      patch_ids, patients: text. places: (box of the lesion, box of what was changed).
      shapes: of the lesion, or of what was taken away; None where there is nothing.
      changes: of synthetic patches only; None where a record has no mask.
      shares_removed: of cleaned patches only, `removal.share_removed`.
      backgrounds: (patient, source patch [SIDE, SIDE]) of the first few thousand synthetic patches.
    """

    def __init__(self, reader: Reader):
        self.reader = reader
        self.patch_ids: list[str] = []
        self.patients: list[str] = []
        self.places: list[tuple[Box, Box]] = []
        self.shapes: list[LesionShape | None] = []
        self.changes: list[Change | None] = []
        self.shares_removed: list[float] = []
        self.backgrounds: list[tuple[str, np.ndarray]] = []
        self._rows: list[dict[str, float]] = []
        self._lesions: list[np.ndarray | None] = []

    def __len__(self) -> int:
        return len(self.patch_ids)

    def add(
        self,
        record: PatchRecord,
        lesion_box: Box,
        changed_box: Box,
        taken: np.ndarray | None = None,
    ) -> None:
        """Reads a patch.

        Args:
          lesion_box: where its lesion is or was. changed_box: where it was changed.
          taken: what removal took away, float [size, size]; the shape is then that of `taken`.
        """
        threshold = self.reader.threshold
        lesion = estimate_lesion(record.patch, lesion_box) if lesion_box else None
        view = PatchView(record.patch, lesion, changed_box, threshold)
        self.patch_ids.append(record.patch_id)
        self.patients.append(record.client_id)
        self.places.append((lesion_box, changed_box))
        self.shapes.append(lesion_shape(lesion if taken is None else taken, threshold))
        self._rows.append({k: v for take in self.reader.values_of for k, v in take(view).items()})
        self._lesions.append(lesion)
        self.reader.advance()

    def values(self, *names: str) -> ValueTable:
        """The values that measures took of the patches, by name."""
        return value_table(self._rows, self.patients, names)

    @functools.cached_property
    def described(self) -> Lesions:
        """The described lesions; read when the set is complete."""
        return describe_lesions(zip(self.patch_ids, self.patients, self._lesions, strict=True))

    def points(self, features: np.ndarray) -> Points:
        """The patches with their features [n, d]."""
        return Points(features, np.array(self.patients), np.array(self.patch_ids))


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingLesions:
    """The lesions that a generator learned from.

    Attributes:
      described: all of them. by_patient: a few estimates [SIDE, SIDE] of each patient.
    """

    described: Lesions
    by_patient: Mapping[str, Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class CriticScores:
    """What a classifier that has seen real patches only makes of patches.

    Attributes:
      synthetic, real, lesions: logits float32 [n], of the sets of `Readings`.
      selected: whether it also chose which synthetic patches were kept.
    """

    synthetic: np.ndarray
    real: np.ndarray
    lesions: np.ndarray
    selected: bool


@dataclasses.dataclass(frozen=True, eq=False)
class PatchScores:
    """A score for each patch, and whose it is.

    Attributes:
      scores: float64 [n]. patients: text [n].
    """

    scores: np.ndarray
    patients: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class DiscriminatorScores:
    """What the discriminator of a run makes of real patches of the class that is real to it.

    Attributes:
      members: log-odds of "real" for patches of women it learned from; others: of other women.
    """

    members: PatchScores
    others: PatchScores


@dataclasses.dataclass(frozen=True, eq=False)
class Readings:
    """A synthetic set and what it is set beside: all that measures are computed from.

    Attributes:
      task: mass, calcification or removal. seed, splits: of the random halves of real patches.
      synthetic: the set. lesions: held-out real lesions.
      real: held-out real patches of the class that the synthetic ones claim.
      training: lesions that the generator learned from; None for removal, which makes none.
      differing: draws of `differing_lesions`; empty for removal.
      critic: of a removal, with --critic.
      discriminator: of the run that made the set, with --gan_dirs.
      over_z: lesions of one patch with many draws of the random scalars; None without a generator.
      points: (synthetic, real) patches in every feature space, networks' first.
    """

    task: str
    seed: int
    splits: int
    synthetic: PatchReadings
    lesions: PatchReadings
    real: PatchReadings
    training: Lesions | None = None
    differing: Sequence[Lesions] = ()
    critic: CriticScores | None = None
    discriminator: DiscriminatorScores | None = None
    over_z: Sequence[LesionShape | None] | None = None
    points: Mapping[str, tuple[Points, Points]] = dataclasses.field(default_factory=dict)


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
    """Classes of the real lesions that a task's are set beside."""
    return MALIGNANT_CLASSES if task == "removal" else (RESULT_CLASS[task],)


def read_synthetic(
    patches: PatchSet, synthetic: PatchPool, removal: bool, reader: Reader
) -> PatchReadings:
    """A synthetic set; `UserError` when its sources are not among the patches."""
    source_ids = [record.source_patch_id for record in synthetic.descriptions()]
    indices, numbers = find_sources(patches, source_ids)
    sources, readings = PatchPool(indices), PatchReadings(reader)
    for number, source_number in enumerate(numbers):
        record, source = synthetic.record(number), sources.record(source_number)
        if source.patch.shape != record.patch.shape:
            raise UserError(
                f"{synthetic.indices[0].name}: expected {len(source.patch)} px patches as in "
                f"{patches.directory}, found {len(record.patch)} px"
            )
        readings.changes.append(change_of(record, source.patch))
        if number < _BACKGROUNDS:
            readings.backgrounds.append((record.client_id, _reduced(source.patch)))
        if removal:
            taken = source.patch - record.patch
            readings.shares_removed.append(share_removed(source.patch, record.patch, source.box))
            readings.add(record, source.box, mask_box(record.mask), taken)
        else:
            readings.add(record, record.box, record.box)
    return readings


def _reduced(patch: np.ndarray) -> np.ndarray:
    """A patch float32 [size, size] on the grid of estimates, [SIDE, SIDE]."""
    return cv2.resize(patch, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def read_real(pool: PatchPool, reader: Reader) -> PatchReadings:
    """Real lesions."""
    readings = PatchReadings(reader)
    for number in range(len(pool)):
        record = pool.record(number)
        readings.add(record, record.box, record.box)
    return readings


def read_normals(pool: PatchPool, cleaned: PatchReadings, reader: Reader) -> PatchReadings:
    """Real normal patches, read at the places of the cleaned ones, which take turns."""
    readings = PatchReadings(reader)
    for number, boxes in zip(range(len(pool)), itertools.cycle(cleaned.places), strict=False):
        readings.add(pool.record(number), *boxes)
    return readings


def read_training(pool: PatchPool, reader: Reader) -> TrainingLesions:
    """The lesions of a pool, without any values."""
    kept: dict[str, list[tuple[float, np.ndarray]]] = {}

    def read(number: int) -> tuple[str, str, np.ndarray | None]:
        record = pool.record(number)
        reader.advance()
        lesion = estimate_lesion(record.patch, record.box) if record.box else None
        if lesion is not None:
            own = kept.setdefault(record.client_id, [])
            own.append((unit_hash(record.patch_id), lesion))
            own.sort(key=lambda each: each[0])
            del own[_OF_A_PATIENT:]
        return record.patch_id, record.client_id, lesion

    described = describe_lesions(map(read, range(len(pool))))
    by_patient = {patient: [lesion for _, lesion in own] for patient, own in kept.items()}
    return TrainingLesions(described, by_patient)


def differing_lesions(
    training: TrainingLesions,
    backgrounds: Sequence[tuple[str, np.ndarray]],
    how: Extraction,
    seed: int,
) -> list[Lesions]:
    """What lesions that differ look like after synthesis: training lesions, each draw with one of
    each patient, post-processed, added to source patches and described as synthetic ones are.

    Args:
      shares_removed: of cleaned patches only, `removal.share_removed`.
      backgrounds: (patient, source patch [SIDE, SIDE]). how: for patches of SIDE pixels.
    """
    return [
        describe_lesions(
            _added(training, backgrounds, how, keyed_generator(seed, "differing", draw), draw)
        )
        for draw in range(_OF_A_PATIENT if backgrounds else 0)
    ]


def _added(
    training: TrainingLesions,
    backgrounds: Sequence[tuple[str, np.ndarray]],
    how: Extraction,
    rng: np.random.Generator,
    draw: int,
) -> Iterator[tuple[str, str, np.ndarray | None]]:
    """(training patient, patient of the background, estimate); patients whose lesions are all
    rejected are left out."""
    places = rng.permutation(len(backgrounds))
    for number, patient in enumerate(sorted(training.by_patient)):
        own = training.by_patient[patient]
        turns = (extract_lesion(own[(draw + n) % len(own)], how) for n in range(len(own)))
        lesion = next((each for each in turns if not each.rejected), None)
        if lesion is not None and lesion.lesion is not None and lesion.box is not None:
            source_patient, background = backgrounds[places[number % len(places)]]
            patch = np.clip(background + lesion.lesion, -1, 1)
            yield patient, source_patient, estimate_lesion(patch, lesion.box)


def mask_box(mask: np.ndarray | None) -> Box:
    """The box of a soft mask [size, size] without its faint edge; () without a mask."""
    if mask is None or not mask.any():
        return ()
    strong = mask >= _FAINT * mask.max()
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    return tuple(map(float, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
