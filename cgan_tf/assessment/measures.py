"""The measures of a synthetic set, one class each, and the tuple `MEASURES` that readers go by.

A verdict says that a fault is seen, is not seen, or cannot be looked for. The limits are wide
enough for a set as good as real patches to pass with a few dozen lesions, and they mean "look
here", not "bad": docs/synthesis.md explains each.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cgan_tf.assessment import overlap
from cgan_tf.assessment.appearance import AppearanceMeasure, LesionMeasure
from cgan_tf.assessment.base import Check, Measure, Pair, PairKind, Row, number, probability
from cgan_tf.assessment.copies import (
    Memorisation,
    Repetition,
    measure_memorisation,
    measure_repetition,
)
from cgan_tf.assessment.distributions import Quantiles, quantiles
from cgan_tf.assessment.lesions import Spread, lesion_spread
from cgan_tf.assessment.membership import MembershipMeasure
from cgan_tf.assessment.overlap import SIDES, STATISTICS, Overlap
from cgan_tf.assessment.pictures import examples, likely_copies, nearest_real
from cgan_tf.assessment.reading import Readings
from cgan_tf.pages.html import Table

P_LIMIT = 0.05  # of the KID, and of resembling training patients
AUC_ABOVE_CEILING = 0.15  # of a classifier that tells real from synthetic
SHARE_OF_CEILING = 0.75  # of mixing, precision, recall, coverage
SHARE_OF_SPREAD = 0.5  # of the real lesions' spread of place, size and contrast
SHARE_OVER_Z = 0.25  # the same over the scalars: one patch leaves less room than many
COPIES = 0.15  # share of lesions nearer to a training lesion than 95% of held-out ones are
ALIKE_ABOVE_REAL = 0.2  # mean likeness of two lesions
REPEATS_OF_NULL = 1.3  # share of lesions with a twin nearer than 95% of real ones have, over that
REPEATS_ABOVE_NULL = 0.1  # of as many lesions that differ; and above it
SHARE_REMOVED = 0.6  # median; a perfect removal has about 0.9, see `removal.share_removed`
MALIGNANT_ABOVE_REAL = 0.1  # share of patches that the critic calls malignant
ROUNDING = 1  # stored levels between a patch and its source with the lesion added
BY_CHANCE = 0.05  # share of lesions beyond 95% of the real ones


@dataclasses.dataclass(frozen=True)
class ChangeSummary:
    """How the patches of a set differ from their sources, in stored levels (see reading.Change).

    Attributes:
      patches: that have a mask. changed: how many differ outside it.
      outside, inside: greatest of all patches. worst: patch that differs most outside; None: none.
    """

    patches: int
    changed: int
    outside: int
    worst: str | None
    inside: int


class ChangeMeasure(Measure[ChangeSummary]):
    """Is every patch its source where the mask is zero, and its source plus the lesion inside?"""

    name = "change"
    verdict_rank = table_rank = 0

    def compute(self, readings: Readings) -> ChangeSummary:
        ids, changes = readings.synthetic.patch_ids, readings.synthetic.changes
        known = [(each, name) for name, each in zip(ids, changes, strict=True) if each is not None]
        outside = max((each.outside for each, _ in known), default=0)
        worst = next(name for each, name in known if each.outside == outside) if outside else None
        return ChangeSummary(
            patches=len(known),
            changed=sum(each.outside > 0 for each, _ in known),
            outside=outside,
            worst=worst,
            inside=max((each.inside for each, _ in known), default=0),
        )

    def verdict(self, values: ChangeSummary, task: str) -> Sequence[Check]:
        outside = "a change outside the mask"
        inside = "a patch that is not its source with the lesion added"
        if not values.patches:
            return [Check(name, None, "no patch has a mask") for name in (outside, inside)]
        text = f"none in {values.patches:,} patches, to the stored level"
        if values.outside:
            text = (
                f"{values.changed:,} of {values.patches:,} patches, up to {values.outside:,} of "
                f"65,535 levels, most in {values.worst}"
            )
        differ = f"they differ by {values.inside:,} of 65,535 levels at most"
        return [
            Check(outside, values.outside > 0, text),
            Check(inside, values.inside > ROUNDING, differ),
        ]

    def rows(self, values: ChangeSummary) -> Iterator[Row]:
        yield Row("change", "outside_levels", values.outside, 0)
        yield Row("change", "patches_changed_outside", values.changed, 0)


@dataclasses.dataclass(frozen=True)
class Spreads:
    """How much the lesions of a set differ: over patches, of real lesions, and over the scalars."""

    synthetic: Spread
    real: Spread
    over_z: Spread | None


class SpreadMeasure(Measure[Spreads]):
    """Do lesions vary in place, area and contrast as much as real ones do?"""

    name = "spread"
    verdict_rank = 3
    words: Mapping[str, str] = {
        "position": "place",
        "area_spread": "area",
        "contrast_spread": "contrast",
    }

    def compute(self, readings: Readings) -> Spreads:
        return Spreads(
            synthetic=lesion_spread(readings.synthetic.shapes),
            real=lesion_spread(readings.lesions.shapes),
            over_z=None if readings.over_z is None else lesion_spread(readings.over_z),
        )

    def verdict(self, values: Spreads, task: str) -> Sequence[Check]:
        real = values.real
        checks = [self._check("over patches", values.synthetic, real, SHARE_OF_SPREAD)]
        if values.over_z and task != "removal":  # there is one healthy tissue
            checks.append(self._check("over the scalars", values.over_z, real, SHARE_OVER_Z))
        return checks

    def _check(self, where: str, ours: Spread, real: Spread, least: float) -> Check:
        name = f"too little variety {where}"
        if ours.position is None or real.position is None:
            return Check(name, None, "fewer than two lesions to measure")
        shares = {
            word: getattr(ours, key) / getattr(real, key) if getattr(real, key) else math.inf
            for key, word in self.words.items()
        }
        text = "of the real lesions' spread: " + ", ".join(
            f"{word} {share:.0%}" if math.isfinite(share) else f"{word} undefined"
            for word, share in shares.items()
        )
        return Check(name, min(shares.values()) < least, text)

    def rows(self, values: Spreads) -> Iterator[Row]:
        for key in self.words:
            real = getattr(values.real, key)
            yield Row("spread over patches", key, getattr(values.synthetic, key), real)
            if values.over_z:
                yield Row("spread over scalars", key, getattr(values.over_z, key), real)

    def tables(self, values: Spreads, task: str) -> Sequence[Table]:
        titled = {"Over patches": values.synthetic, "Over z, one patch": values.over_z}
        sides = {title: each for title, each in (titled | {"Real": values.real}).items() if each}
        rows = [
            (f"Spread of {word}", *(number(getattr(each, key), 3) for each in sides.values()))
            for key, word in self.words.items()
        ]
        return [Table("spread", ("Variety", *sides), rows)]


class RepetitionMeasure(Measure[Repetition | None]):
    """Are the lesions of a set all alike, whatever their place and strength? None of removal."""

    name = "repetition"
    verdict_rank = 2

    def compute(self, readings: Readings) -> Repetition | None:
        if readings.training is None:
            return None
        ours, real = readings.synthetic.described, readings.lesions.described
        return measure_repetition(
            ours, real, readings.seed, readings.splits, null=readings.differing
        )

    def verdict(self, values: Repetition | None, task: str) -> Sequence[Check]:
        name = "lesions repeat"
        if values is None:
            return []
        if values.repeats is None or values.alike is None or values.real_alike is None:
            return [Check(name, None, values.note)]
        null = values.repeats_null
        beside = "too few patients to say what lesions that differ have"
        if null is not None:
            beside = f"{null:.0%} of as many lesions that differ, post-processed alike"
        text = (
            f"mean likeness of two lesions {values.alike:.2f} (real {values.real_alike:.2f}); "
            f"{values.repeats:.0%} have a twin more alike than 95% of the real ones have ({beside})"
        )
        seen = values.alike > values.real_alike + ALIKE_ABOVE_REAL
        if null is not None:
            most = max(REPEATS_OF_NULL * null, null + REPEATS_ABOVE_NULL)
            seen = seen or values.repeats > most
        return [Check(name, seen, text)]

    def rows(self, values: Repetition | None) -> Iterator[Row]:
        if values:
            yield Row(self.name, "alike", values.alike, values.real_alike)
            yield Row(self.name, "twin", values.twin, values.real_twin)
            yield Row(self.name, "repeats", values.repeats, values.repeats_null)


@dataclasses.dataclass(frozen=True)
class RemovalSummary:
    """What of the lesions is gone, and what a critic says of it.

    Attributes:
      share: `QUANTILES` of `removal.share_removed`; None without an estimate.
      malignant, malignant_real, malignant_lesions: share of the cleaned patches, of real normal
        ones and of real lesions whose score is above 0.5; None without a critic.
      selected: whether the critic also chose which patches were kept.
    """

    share: Quantiles | None
    malignant: float | None
    malignant_real: float | None
    malignant_lesions: float | None
    selected: bool


class RemovalMeasure(Measure[RemovalSummary | None]):
    """Is the lesion gone? None of tasks that add lesions."""

    name = "removal"
    verdict_rank = 1

    def compute(self, readings: Readings) -> RemovalSummary | None:
        if readings.task != "removal":
            return None
        shares = np.array(readings.synthetic.shares_removed)
        share = quantiles(shares[np.isfinite(shares)])
        critic = readings.critic
        if critic is None:
            return RemovalSummary(share, None, None, None, False)
        sides = (critic.synthetic, critic.real, critic.lesions)
        ours, real, lesions = (float((logits > 0).mean()) for logits in sides)
        return RemovalSummary(share, ours, real, lesions, critic.selected)

    def verdict(self, values: RemovalSummary | None, task: str) -> Sequence[Check]:
        return [] if values is None else [self._share(values), self._critic(values)]

    def _share(self, values: RemovalSummary) -> Check:
        name = "much of the lesion is left"
        if values.share is None:
            return Check(name, None, "no lesion to measure")
        low, _, median, _, high = values.share
        text = (
            f"of its bright part {median:.0%} is gone ({low:.0%} to {high:.0%}); of a perfect "
            "removal about 90%, by the same estimate"
        )
        return Check(name, median < SHARE_REMOVED, text)

    def _critic(self, values: RemovalSummary) -> Check:
        name = "a critic sees lesions in cleaned patches"
        if values.malignant is None or values.malignant_real is None:
            return Check(name, None, "no --critic")
        text = (
            f"it calls {values.malignant:.0%} malignant (of real normal patches "
            f"{values.malignant_real:.0%}, of real lesions {values.malignant_lesions:.0%})"
        )
        if values.selected:
            text += "; it chose which patches were kept, so ask another one as well"
        return Check(name, values.malignant > values.malignant_real + MALIGNANT_ABOVE_REAL, text)

    def rows(self, values: RemovalSummary | None) -> Iterator[Row]:
        if values:
            median = values.share[2] if values.share else None
            yield Row(self.name, "share_removed_median", median, None)
            yield Row(self.name, "called_malignant", values.malignant, values.malignant_real)


class MemorisationMeasure(Measure[Memorisation | None]):
    """Are the lesions of a set copies of training lesions? None of removal."""

    name = "memorisation"
    verdict_rank = 1
    pair_kinds = (
        PairKind(
            "copy",
            "Most like a training lesion",
            "synthetic (left) and training patch (right); similarity of the lesions",
        ),
    )

    def compute(self, readings: Readings) -> Memorisation | None:
        if readings.training is None:
            return None
        ours, held_out = readings.synthetic.described, readings.lesions.described
        return measure_memorisation(ours, held_out, readings.training)

    def verdict(self, values: Memorisation | None, task: str) -> Sequence[Check]:
        name = "copies of training lesions"
        if values is None:
            return []
        if values.copies is None or values.from_training_p is None:
            return [Check(name, None, values.note)]
        interval = "" if values.low is None else f", {values.low:.2f} to {values.high:.2f}"
        text = (
            f"{values.copies:.0%} of the lesions are nearer to a training lesion than 95% of the "
            f"held-out ones are (5% by chance; AUC {values.auc:.2f}{interval}); the nearest real "
            f"lesion of {values.from_training:.0%} is a training one "
            f"({values.from_training_expected:.0%} by chance, p = {values.from_training_p:.2g})"
        )
        # Plain lesions are near to training ones and as near to held-out ones: they are no copies.
        seen = values.copies > COPIES and values.from_training_p < P_LIMIT
        return [Check(name, seen and (values.low is None or values.low > 0.5), text)]

    def rows(self, values: Memorisation | None) -> Iterator[Row]:
        if values:
            expected = values.from_training_expected
            yield Row(self.name, "copies", values.copies, BY_CHANCE)
            yield Row(self.name, "auc", values.auc, 0.5)
            yield Row(self.name, "from_training", values.from_training, expected)

    def pairs(self, readings: Readings, values: Memorisation | None) -> Sequence[Pair]:
        return likely_copies(values.nearest) if values else ()


class OverlapMeasure(Measure[dict[str, Overlap]]):
    """Do synthetic patches lie where real ones do, in every feature space?"""

    name = "overlap"
    verdict_rank, table_rank = 4, 1
    pair_kinds = tuple(
        PairKind(
            name,
            title,
            "synthetic (left) and its nearest real patch (right); distance in {space} features",
        )
        for name, title in (
            ("best", "Nearest to a real patch"),
            ("median", "In the middle"),
            ("worst", "Farthest from any"),
        )
    )

    def compute(self, readings: Readings) -> dict[str, Overlap]:
        return {
            space: overlap.compare(
                real.features,
                ours.features,
                real.patients,
                readings.seed,
                ours.patients,
                splits=readings.splits,
            )
            for space, (ours, real) in readings.points.items()
        }

    def verdict(self, values: dict[str, Overlap], task: str) -> Sequence[Check]:
        return [check for space, each in values.items() for check in self._checks(space, each)]

    def _checks(self, space: str, values: Overlap) -> Iterator[Check]:
        features, p_value, kid = f"({space} features)", values.kid_p, values.measures.kid
        if values.note or p_value.synthetic is None:
            yield Check(f"overlap {features}", None, values.note)
            return
        text = (
            f"KID {kid.synthetic:.3g}, p = {p_value.synthetic:.2g} (real against real: "
            f"{kid.ceiling:.3g}, p = {p_value.ceiling:.2g})"
        )
        yield Check(f"distribution differs from real {features}", p_value.synthetic < P_LIMIT, text)
        auc = values.measures.classifier_auc
        if auc.synthetic is not None and auc.ceiling is not None:
            seen = auc.synthetic > max(0.5, auc.ceiling) + AUC_ABOVE_CEILING
            text = f"AUC {auc.synthetic:.2f} (real against real: {auc.ceiling:.2f})"
            yield Check(f"a classifier tells synthetic from real {features}", seen, text)
        for statistic in STATISTICS:
            each = statistic.of(values.measures)
            if statistic.low and each.synthetic is not None and each.ceiling is not None:
                seen = each.synthetic < SHARE_OF_CEILING * each.ceiling
                text = f"{each.synthetic:.2f} (real against real: {each.ceiling:.2f})"
                yield Check(f"low {statistic.low} {features}", seen, text)

    def rows(self, values: dict[str, Overlap]) -> Iterator[Row]:
        for space, each in values.items():
            kind = f"overlap, {space}"
            for statistic in STATISTICS:
                value = statistic.of(each.measures)
                yield Row(kind, statistic.name, value.synthetic, value.ceiling)
            yield Row(kind, "kid_p", each.kid_p.synthetic, each.kid_p.ceiling)

    def pairs(self, readings: Readings, values: dict[str, Overlap]) -> Sequence[Pair]:
        """In the first space."""
        for ours, real in readings.points.values():
            return examples(nearest_real(ours, real))
        return ()

    def tables(self, values: dict[str, Overlap], task: str) -> Sequence[Table]:
        """A column for each side of each space."""
        if not values:
            return ()
        sides = [(each, side) for each in values.values() for side in SIDES]
        rows = [
            (each.title, *(each.text(getattr(each.of(of.measures), side)) for of, side in sides))
            for each in STATISTICS
        ]
        p_values = (getattr(of.kid_p, side) for of, side in sides)
        rows.append(("p of the KID", *map(probability, p_values)))
        sides_in_words = ("synthetic", "reference")
        headings = [f"{space}: {side}" for space in values for side in sides_in_words]
        return [Table("overlap", ("Overlap, features of", *headings), rows)]


LESIONS, APPEARANCE, OVERLAP = LesionMeasure(), AppearanceMeasure(), OverlapMeasure()
MEMBERSHIP = MembershipMeasure()

# In the order of quality.json.
MEASURES: tuple[Measure[Any], ...] = (
    ChangeMeasure(),
    LESIONS,
    APPEARANCE,
    SpreadMeasure(),
    RepetitionMeasure(),
    RemovalMeasure(),
    MemorisationMeasure(),
    MEMBERSHIP,
    OVERLAP,
)
