"""Overlap of real and synthetic patches in a feature space, beside what real patches reach.

Real patches are split by patient into two halves. One half is compared with as many synthetic
patches and with the other half; the second comparison is the ceiling, the value of each statistic
for two samples of one population. Several random splits show how much the split matters.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from cgan_tf.assessment.two_samples import (
    FeatureSet,
    classifier_auc,
    enough_neighbours,
    equal_groups,
    feature_sets,
    fid,
    kid,
    mixing,
    precision_recall,
)
from cgan_tf.pages.style import minus, value_and_spread


@dataclasses.dataclass(frozen=True)
class Statistic:
    """A statistic of two sets and how it is shown.

    Attributes:
      name: in quality.json. title: in tables. form: of its numbers, a format specification.
      equal: what two equal distributions give.
      low: its name in the verdict on too low a value; empty where that is no fault.
    """

    name: str
    title: str
    form: str
    equal: str
    low: str = ""

    def of(self, values: "OverlapStatistics") -> "BesideCeiling":
        """Its values among those of an overlap."""
        own: BesideCeiling = getattr(values, self.name)
        return own

    def text(self, value: float | None) -> str:
        """A value as tables show it."""
        if value is None:
            return "undefined"
        return minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:{self.form}}")


STATISTICS = (
    Statistic("mixing", "Neighbours of the other set", ".3f", "0.5", "mixing of neighbours"),
    Statistic("kid", "Kernel distance (KID)", ".3g", "0"),
    Statistic("fid", "Fréchet distance (FID)", ".3g", "the reference"),
    Statistic("classifier_auc", "AUC of a classifier that tells them apart", ".3f", "0.5"),
    Statistic("precision", "Precision", ".3f", "the reference", "precision"),
    Statistic("recall", "Recall", ".3f", "the reference", "recall"),
    Statistic("density", "Density", ".3f", "the reference"),
    Statistic("coverage", "Coverage", ".3f", "the reference", "coverage"),
)
SIDES = ("synthetic", "ceiling")  # what half of the real patches is compared with


@dataclasses.dataclass(frozen=True)
class BesideCeiling:
    """A statistic of the synthetic set and of real patches against real ones.

    Attributes:
      synthetic, ceiling: means over the splits. synthetic_spread, ceiling_spread: their standard
        deviations. None where undefined.
    """

    synthetic: float | None
    synthetic_spread: float | None
    ceiling: float | None
    ceiling_spread: float | None

    def text(self, statistic: Statistic, side: str) -> str:
        """The value of a side, with ± its spread where there is one."""
        value, spread = getattr(self, side), getattr(self, f"{side}_spread")
        if value is None or spread is None:
            return statistic.text(value)
        spreads = (self.synthetic_spread, self.ceiling_spread)
        return value_and_spread(value, spread, max(each for each in spreads if each is not None))


@dataclasses.dataclass(frozen=True)
class OverlapStatistics:
    """Each of `STATISTICS`."""

    mixing: BesideCeiling
    kid: BesideCeiling
    fid: BesideCeiling
    classifier_auc: BesideCeiling
    precision: BesideCeiling
    recall: BesideCeiling
    density: BesideCeiling
    coverage: BesideCeiling


@dataclasses.dataclass(frozen=True)
class PValues:
    """p of the KID of each side, twice the median over the splits; None where undefined.

    Twice the median is valid however the splits depend on one another (Ruger 1978).
    """

    synthetic: float | None
    ceiling: float | None


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How far two sets overlap.

    Attributes:
      note: empty, or "undefined: ..." in words. real, synthetic: patches. patients: real ones.
      group_size: patches in each group compared. k: neighbours. splits: of the real patches.
    """

    note: str
    real: int
    synthetic: int
    patients: int
    group_size: int
    k: int
    splits: int
    measures: OverlapStatistics
    kid_p: PValues


def compare(
    real: np.ndarray,
    synthetic: np.ndarray,
    real_patients: np.ndarray,
    seed: int,
    synthetic_patients: np.ndarray | None = None,
    *,
    k: int = 5,
    splits: int = 5,
    limit: int = 2000,
    permutations: int = 999,
) -> Overlap:
    """All `STATISTICS` of real and synthetic patches.

    Args:
      real: float [n, d]. synthetic: float [m, d], of the same network. seed: of splits and samples.
      real_patients: [n], patient of each patch. synthetic_patients: [m], patient of the patch that
        each was made from; None where all are of different patients, none of them in `real`.
      k: neighbours. splits: of the real patches. limit: patches of a group, at most.
      permutations: for the p-value of each split's KID.

    Raises ValueError for features that are not finite or of different widths.
    """
    _check(real, synthetic)
    pool, sample = feature_sets(real, synthetic, real_patients, synthetic_patients)
    rng = np.random.default_rng(seed)
    patients, size, note = len(set(pool.patient.tolist())), 0, ""
    values: list[tuple[dict[str, float], ...]] = []
    for _ in range(splits):
        half, others, drawn = equal_groups(pool, sample, limit, rng)
        size = len(half)
        if not enough_neighbours((half, others, drawn), k):
            values, note = [], _too_few(len(pool), patients, len(sample), size, k)
            break
        values.append(
            tuple(_statistics(half, other, k, permutations, rng) for other in (drawn, others))
        )
    return Overlap(
        note=note,
        real=len(pool),
        synthetic=len(sample),
        patients=patients,
        group_size=size,
        k=k,
        splits=splits,
        measures=OverlapStatistics(
            **{each.name: _beside_ceiling(values, each.name) for each in STATISTICS}
        ),
        kid_p=PValues(*(_p_value([pair[side]["kid_p"] for pair in values]) for side in (0, 1))),
    )


def _check(real: np.ndarray, synthetic: np.ndarray) -> None:
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"expected features [n, d] of one width, found {real.shape} and {synthetic.shape}"
        )
    for name, features in (("real", real), ("synthetic", synthetic)):
        if not np.isfinite(features).all():
            raise ValueError(f"{name}: expected finite features")


def _too_few(real: int, patients: int, synthetic: int, size: int, k: int) -> str:
    return (
        f"undefined: {real} real patches of {patients} women and {synthetic} synthetic ones leave "
        f"groups of {size}, in which some patches have fewer than {k} neighbours of other women"
    )


def _statistics(
    real: FeatureSet, other: FeatureSet, k: int, permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    distance, p_value = kid(_directions(real), _directions(other), rng, permutations)
    return {
        "mixing": mixing(real, other, k),
        "kid": distance,
        "kid_p": p_value,
        "fid": fid(real, other),
        "classifier_auc": classifier_auc(real, other, int(rng.integers(2**31))),
        **precision_recall(real, other, k),
    }


def _directions(each: FeatureSet) -> FeatureSet:
    """Features scaled to length sqrt(d) for the kernel of the KID; zeros stay zeros.

    Lengths of Inception features hardly differ. Here a patch with one bright lesion can be many
    times as long as others, and the kernel's cube would let it outweigh all of them.
    """
    width = each.features.shape[1]
    lengths = np.linalg.norm(each.features, axis=1, keepdims=True) / np.sqrt(width)
    return FeatureSet(each.features / np.where(lengths > 0, lengths, 1), each.patient)


def _beside_ceiling(splits: Sequence[Sequence[Mapping[str, float]]], name: str) -> BesideCeiling:
    """Means and standard deviations over (synthetic, ceiling) of every split."""
    summary: list[float | None] = []
    for side in (0, 1):
        values = [pair[side][name] for pair in splits]
        summary.append(_defined(float(np.mean(values))) if values else None)
        summary.append(_defined(float(np.std(values, ddof=1))) if len(values) > 1 else None)
    return BesideCeiling(*summary)


def _p_value(of_splits: Sequence[float]) -> float | None:
    median = float(np.median(of_splits)) if of_splits else math.nan
    return _defined(float(np.minimum(1.0, 2 * median)))


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
