"""The cases of a reader study: drawn by seed, balanced, matched by kind and size.

Every synthetic picture has a real one of the same kind, of like size and in like tissue, of another
patient. No patch is used twice, neither as a picture nor as what a synthetic picture was made from.
Each patient has as few pictures as the sets allow: to know a breast again must gain nothing.
"""

import dataclasses
import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from cgan_tf.config import ReaderStudyConfig
from cgan_tf.data.keyed import digest, keyed_generator
from cgan_tf.data.patch_sets import PatchIndex, PatchSet
from cgan_tf.data.records import PatchRecord, decode_text
from cgan_tf.labels import MALIGNANT_CALCIFICATION, MALIGNANT_MASS, NORMAL, SPLITS
from cgan_tf.runs.errors import UserError

REAL = "real"
# The kinds of pictures that are compared with one another, and the class of their patches.
KINDS = {
    "mass": MALIGNANT_MASS,
    "calcification": MALIGNANT_CALCIFICATION,
    "normal": NORMAL,
}
REAL_OR_SYNTHETIC, TWO_ALTERNATIVES, LESION = "real_or_synthetic", "two_alternatives", "lesion"

_LOOKED_THROUGH = 20_000  # patches of a class whose patients are read
_DRAWN = (3, 8)  # synthetic, real patches decoded for each one that is needed
_LATER_TURN = 0.05  # of log size: how much worse a further patch of the same patient is


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A patch that is shown.

    Attributes:
      record: the patch. origin: `REAL`, or the name of its synthetic set. kind: one of `KINDS`.
      turn: patches of its patient that were drawn before it.
    """

    record: PatchRecord
    origin: str
    kind: str
    turn: int = 0

    @property
    def synthetic(self) -> bool:
        """Whether a program made it."""
        return self.origin != REAL

    @property
    def size(self) -> float:
        """What it is matched by: the lesion's extent in pixels, or the share of tissue."""
        record = self.record
        if self.kind == "normal":
            return max(record.tissue_fraction, 0.01)
        if record.box:
            x0, y0, x1, y1 = record.box
            return math.sqrt(max(x1 - x0, 0.0) * max(y1 - y0, 0.0))
        return math.sqrt(record.lesion_area_px)

    @functools.cached_property
    def surround(self) -> float:
        """Mean grey level of the outermost pixels, in [-1, 1]: how dense the tissue is."""
        patch = self.record.patch
        return float(
            np.concatenate(
                [patch[:2].ravel(), patch[-2:].ravel(), patch[:, :2].ravel(), patch[:, -2:].ravel()]
            ).mean()
        )

    @property
    def patches(self) -> set[str]:
        """Ids of what must not be seen elsewhere in the study."""
        return {self.record.patch_id, self.record.source_patch_id} - {""}


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One picture, or the two of a forced choice.

    Attributes:
      case_id: says nothing of the truth. pictures: in an order that says nothing either.
    """

    case_id: str
    pictures: tuple[Picture, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Cases:
    """What a study shows.

    Attributes:
      training: with the answer. study: the cases that count, in the order of their ids.
      repeated: ids of those that come twice.
    """

    training: tuple[Case, ...]
    study: tuple[Case, ...]
    repeated: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Sets:
    """The patch sets of a study: real ones, and synthetic ones by name."""

    real: PatchSet
    synthetic: dict[str, PatchSet]


def set_names(directories: Sequence[str]) -> list[str]:
    """The last part of each path, with a number where another set has it, or it is `REAL`."""
    taken: Counter[str] = Counter({REAL: 1})
    names = []
    for directory in directories:
        name = PatchSet(directory).directory.resolve().name
        taken[name] += 1
        names.append(name if taken[name] == 1 else f"{name}-{taken[name]}")
    return names


def draw_cases(config: ReaderStudyConfig, sets: Sets, secret: str) -> Cases:
    """The cases of a study.

    Args:
      secret: what no reader knows, a checksum of the patches say: with the seed alone, who has this
        program could work out which picture is which.

    Raises `UserError` where the sets have too few patches that match.
    """
    draw = _Draw(config, sets, secret)
    training, study = draw.cases()
    if config.repeats > len(study):
        raise UserError(
            f"--repeats: expected at most {len(study)}, the number of cases, found {config.repeats}"
        )
    return Cases(
        training=tuple(draw.identified(training, "training")),
        study=tuple(sorted(identified := draw.identified(study, "case"), key=lambda c: c.case_id)),
        repeated=tuple(sorted(case.case_id for case in identified[: config.repeats])),
    )


Shown = tuple[Picture, ...]  # the pictures of one case
Pairs = list[tuple[Picture, Picture]]
Drawn = tuple[list[Shown], list[Shown]]  # for training, for the study


class _Draw:
    """One drawing: the patches that are used, and the random streams."""

    def __init__(self, config: ReaderStudyConfig, sets: Sets, secret: str):
        self.config, self.sets, self.key = config, sets, (config.seed, secret)
        self.used: set[str] = set()

    def cases(self) -> Drawn:
        """(training, study), each alternating between its kinds and between real and synthetic."""
        config = self.config
        if config.question == TWO_ALTERNATIVES:
            return self._parts(self._pairs(config.training, config.cases))
        if config.question == REAL_OR_SYNTHETIC:
            return self._parts(self._pairs(-(-config.training // 2), config.cases // 2), True)
        return self._lesion_cases()

    def _parts(self, drawn: tuple[Pairs, Pairs], singly: bool = False) -> Drawn:
        training, study = (_single(part) if singly else list[Shown](part) for part in drawn)
        return training[: self.config.training], study

    def _pairs(
        self, training: int, study: int, kinds: Iterable[str] = KINDS
    ) -> tuple[Pairs, Pairs]:
        """Matched (synthetic, real) pairs, spread evenly over the sets and their kinds."""
        groups = [
            (name, kind)
            for name, patches in self.sets.synthetic.items()
            for kind in kinds
            if _count(patches, SPLITS, kind)
        ]
        if not groups:
            return [], []
        shares = Counter(itertools.islice(itertools.cycle(groups), study))
        trials = Counter(itertools.islice(itertools.cycle(groups), training))
        parts = []
        for group in groups:
            pairs = self._matched(*group, shares[group] + trials[group])
            parts.append((pairs[: trials[group]], pairs[trials[group] :]))
        training_pairs, study_pairs = zip(*parts, strict=True)
        return _taking_turns(training_pairs), _taking_turns(study_pairs)

    def _matched(self, name: str, kind: str, count: int) -> Pairs:
        if not count:
            return []
        synthetic = self._drawn(self.sets.synthetic[name], SPLITS, name, kind, _DRAWN[0] * count)
        real = self._drawn(self.sets.real, self.config.real_splits, REAL, kind, _DRAWN[1] * count)
        pairs = matched_pairs(synthetic, real, self.config.size_ratio)
        if len(pairs) < count:
            directory = self.sets.synthetic[name].directory
            raise UserError(
                f"{directory}: expected {count} patches of kind {kind} with a real one of like "
                f"size, found {len(pairs)}; ask for fewer --cases, or admit a larger --size_ratio "
                f"than {self.config.size_ratio:g}"
            )
        for pair in pairs[:count]:
            self._use(pair)
        return pairs[:count]

    def _lesion_cases(self) -> Drawn:
        """Half lesions, half normals; half of each synthetic, where there are such sets."""
        quarter, trial = self.config.cases // 4, -(-self.config.training // 4)
        lesions = self._pairs(trial, quarter, ("mass", "calcification"))
        normals = self._pairs(trial, quarter, ("normal",))
        if not lesions[1]:
            lesions = self._only_real(trial, quarter, ("mass", "calcification"))
        if not normals[1]:
            normals = self._only_real(trial, quarter, ("normal",))
        training, study = (
            [(picture,) for picture in _taking_turns([_flat(lesions[part]), _flat(normals[part])])]
            for part in (0, 1)
        )
        return [*training[: self.config.training]], [*study]

    def _only_real(self, training: int, study: int, kinds: Sequence[str]) -> tuple[Pairs, Pairs]:
        """Real pictures of these kinds, two at a time, as if they were pairs."""
        kinds = [kind for kind in kinds if _count(self.sets.real, self.config.real_splits, kind)]
        needed = 2 * (training + study)
        drawn = [
            self._drawn(self.sets.real, self.config.real_splits, REAL, kind, needed)
            for kind in kinds
        ]
        pictures = _taking_turns(drawn)[:needed]
        if len(pictures) < needed:
            splits = " and ".join(self.config.real_splits)
            raise UserError(
                f"{self.sets.real.directory}: expected {needed} patches of "
                f"{' or '.join(kinds) or 'any kind'} in {splits}, found {len(pictures)}; ask for "
                "fewer --cases"
            )
        self._use(pictures)
        pairs = list(zip(pictures[::2], pictures[1::2], strict=True))
        return pairs[:training], pairs[training:]

    def _use(self, pictures: Iterable[Picture]) -> None:
        for picture in pictures:
            self.used |= picture.patches

    def _drawn(
        self, patches: PatchSet, splits: Sequence[str], origin: str, kind: str, most: int
    ) -> list[Picture]:
        """At most `most` unused patches at random, the first of every patient before the second
        of any, one for each source patch."""
        found: list[tuple[int, float, PatchIndex, int]] = []
        generator = keyed_generator("draw", *self.key, origin, kind)
        for split in splits:
            if not patches.count(split, KINDS[kind]):
                continue
            index, seen = patches.index(split, KINDS[kind]), Counter[str]()
            for number in generator.permutation(len(index))[:_LOOKED_THROUGH]:
                patient = decode_text(index.payload(int(number)), "client_id", index.name)
                found.append((seen[patient], generator.random(), index, int(number)))
                seen[patient] += 1
        pictures: list[Picture] = []
        taken = set(self.used)
        for turn, _, index, number in sorted(found, key=lambda each: each[:2]):
            if len(pictures) == most:
                break
            picture = Picture(index.record(number), origin, kind, turn)
            if not picture.patches & taken and picture.size > 0:
                taken |= picture.patches
                pictures.append(picture)
        return pictures

    def identified(self, drawn: Sequence[Shown], what: str) -> list[Case]:
        """The cases with ids and orders of their pictures that say nothing; in the order drawn."""
        places = keyed_generator("places", *self.key, what).permutation(len(drawn))
        cases = []
        for place, pictures in zip(places, drawn, strict=True):
            case_id = digest("reader study", *self.key, what, int(place)).hex()[:10]
            turned = keyed_generator("sides", *self.key, case_id).integers(2)
            cases.append(Case(case_id, pictures[::-1] if turned else pictures))
        return cases


def matched_pairs(synthetic: Sequence[Picture], real: Sequence[Picture], ratio: float) -> Pairs:
    """(synthetic, real) pairs of other patients whose sizes differ by `ratio` at most, in the order
    of the synthetic ones; as many as there can be, and of these the ones most alike in size and in
    the tissue around."""
    if not synthetic or not real:
        return []
    sizes = [np.log([picture.size for picture in side]) for side in (synthetic, real)]
    apart = np.abs(sizes[0][:, None] - sizes[1])
    patients = [np.array([p.record.client_id for p in side]) for side in (synthetic, real)]
    same = (patients[0][:, None] == patients[1]) & (patients[0] != "")[:, None]
    forbidden = (apart > math.log(ratio) + 1e-9) | same
    tissue = [np.array([picture.surround for picture in side]) for side in (synthetic, real)]
    cost = apart + np.abs(tissue[0][:, None] - tissue[1])
    cost += _LATER_TURN * np.array([picture.turn for picture in real])
    cost = np.where(forbidden, 1e6, cost)
    rows, columns = linear_sum_assignment(cost)
    return [
        (synthetic[row], real[column])
        for row, column in zip(rows, columns, strict=True)
        if not forbidden[row, column]
    ]


def _flat(pairs: Pairs) -> list[Picture]:
    return [picture for pair in pairs for picture in pair]


def _single(pairs: Pairs) -> list[Shown]:
    return [(picture,) for picture in _flat(pairs)]


def _count(patches: PatchSet, splits: Iterable[str], kind: str) -> int:
    return sum(patches.count(split, KINDS[kind]) for split in splits)


def _taking_turns(parts: Iterable[Sequence]) -> list:
    """The first of every part, then the second of every part, to the end of the longest."""
    missing = object()
    turns = itertools.zip_longest(*parts, fillvalue=missing)
    return [each for turn in turns for each in turn if each is not missing]
