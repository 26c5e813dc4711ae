"""Table 1 over several seeds: each run against the baseline of its own seed, then the seeds pooled.

A seed is one training of every arm, and all runs score the same test patches. The difference
between an arm and the baseline varies for two reasons: other patients, other seeds. For readers
(here seeds) who each use two modalities, Obuchowski & Rockette (1995) have

    d_s = AUC(arm, s) - AUC(baseline, s), S seeds, d the mean of d_s
    var(d) = sd(d_s)^2 / S + max(0, cov)

where cov is the covariance of d_s and d_t over patients, estimated by Obuchowski's (1997) clustered
variance and averaged over the pairs of seeds. sd(d_s)^2 / S alone forgets that all seeds share the
patients; a variance over patients alone forgets that the next training gives another d_s. The
degrees of freedom are Hillis' (2007).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from scipy.stats import t

from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import (
    AucComparison,
    checked,
    delong_test,
    holm,
    mean_placement,
    mean_variance,
    outscored,
    patient_numbers,
)

# What was trained: anything that can be a key and be sorted, `labels.Arm` say.
Key = Any


class Run(Protocol):
    """One classifier on the test patches: its arm, its seed, logits float [n]."""

    @property
    def arm(self) -> Key: ...
    @property
    def seed(self) -> int: ...
    @property
    def logits(self) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class SeedComparison:
    """A run against the baseline of its seed.

    Attributes:
      arm, seed: of the run. plain: DeLong. by_patient: with clustered variance.
      plain_holm, by_patient_holm: adjusted for the comparisons of this seed.
    """

    arm: Key
    seed: int
    plain: AucComparison
    by_patient: AucComparison
    plain_holm: float = math.nan
    by_patient_holm: float = math.nan


@dataclasses.dataclass(frozen=True)
class PooledDifference:
    """The mean difference over seeds, for other patients and other seeds.

    Attributes:
      difference: mean of d_s. spread: its sd over the seeds, NaN for one. seeds: those that have
        both the arm and the baseline.
      variance: of `difference`. seed_variance, patient_variance: its two terms.
      degrees: of freedom, infinite where the seeds do not differ. p_value: two-sided.
      low, high: interval. holm: p_value adjusted for the arms.
      note: empty, or "undefined: ..." in words.
    """

    difference: float
    spread: float
    seeds: tuple[int, ...]
    variance: float = math.nan
    seed_variance: float = math.nan
    patient_variance: float = math.nan
    degrees: float = math.nan
    p_value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    holm: float = math.nan
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Regime:
    """One arm over its seeds.

    Attributes:
      arm: as its runs have it. seeds, aucs: of its runs.
      mean, spread: of the AUC over the seeds; the spread, an sd, is NaN for one seed.
      pooled: against the baseline, None for the baseline itself.
    """

    arm: Key
    seeds: tuple[int, ...]
    aucs: tuple[float, ...]
    mean: float
    spread: float
    pooled: PooledDifference | None


def compare_within_seeds(
    labels: np.ndarray, runs: Sequence[Run], patients: np.ndarray, baseline: Key
) -> list[SeedComparison]:
    """Every run but the baselines, in the order given, tested against its seed's baseline.

    Args:
      labels: [n], 1 for positive. patients: [n], patient of each patch. baseline: the arm that
        others are compared with.

    Holm's method covers the arms of one seed: each seed repeats the paper's table. Raises
    `UserError` when a seed has an arm twice.
    """
    by_key = _by_key(runs)
    patient = patient_numbers(patients, len(labels))
    comparisons = []
    for run in runs:
        if run.arm != baseline:
            other = by_key.get((baseline, run.seed))
            plain, by_patient = (_against(labels, run, other, known) for known in (None, patient))
            comparisons.append(SeedComparison(run.arm, run.seed, plain, by_patient))
    return _with_holm_of_each_seed(comparisons)


def pool_seeds(
    labels: np.ndarray,
    runs: Sequence[Run],
    patients: np.ndarray,
    baseline: Key,
    level: float = 0.95,
) -> list[Regime]:
    """The arms in their order, each over all its seeds; arguments as above."""
    by_key = _by_key(runs)
    positive = checked(labels, labels)[0]
    patient = patient_numbers(patients, len(labels))
    counts = {key: outscored(*checked(labels, run.logits)) for key, run in by_key.items()}
    regimes = []
    for arm in sorted({arm for arm, _ in by_key}):
        seeds = tuple(sorted(seed for own, seed in by_key if own == arm))
        aucs = tuple(mean_placement(positive, counts[arm, seed]) for seed in seeds)
        shared = [seed for seed in seeds if (baseline, seed) in by_key]
        gains = {seed: counts[arm, seed] - counts[baseline, seed] for seed in shared}
        pooled = None if arm == baseline else _pooled(positive, gains, patient, level)
        mean = float(np.mean(aucs))
        regimes.append(Regime(arm, seeds, aucs, mean, _spread(aucs), pooled))
    return _with_holm(regimes)


def _by_key(runs: Sequence[Run]) -> dict[tuple[Key, int], Run]:
    by_key: dict[tuple[Key, int], Run] = {}
    for run in runs:
        if (run.arm, run.seed) in by_key:
            raise UserError(f"seed {run.seed}, {run.arm}: expected one run, found two")
        by_key[run.arm, run.seed] = run
    return by_key


def _with_holm_of_each_seed(comparisons: list[SeedComparison]) -> list[SeedComparison]:
    plain, by_patient = np.full((2, len(comparisons)), math.nan)
    seeds = np.array([comparison.seed for comparison in comparisons])
    for seed in np.unique(seeds):
        own = np.flatnonzero(seeds == seed)
        plain[own] = holm(np.array([comparisons[i].plain.p_value for i in own]))
        by_patient[own] = holm(np.array([comparisons[i].by_patient.p_value for i in own]))
    return [
        dataclasses.replace(comparison, plain_holm=float(a), by_patient_holm=float(b))
        for comparison, a, b in zip(comparisons, plain, by_patient, strict=True)
    ]


def _against(
    labels: np.ndarray, run: Run, baseline: Run | None, patient: np.ndarray | None
) -> AucComparison:
    if baseline is not None:
        return delong_test(labels, run.logits, baseline.logits, patient)
    nan = math.nan
    positive, logits = checked(labels, run.logits)
    auc = mean_placement(positive, outscored(positive, logits))
    note = f"undefined: seed {run.seed} has no baseline"
    return AucComparison(auc, nan, nan, nan, nan, nan, nan, nan, nan, note)


def _pooled(
    positive: np.ndarray, gains: Mapping[int, np.ndarray], patient: np.ndarray, level: float
) -> PooledDifference:
    """`gains`: by seed, the placements of the arm minus those of the baseline, [n]."""
    differences = {seed: mean_placement(positive, gain) for seed, gain in gains.items()}
    return pooled_difference(differences, *_covariance(positive, gains, patient), level=level)


def pooled_difference(
    differences: Mapping[int, float], covariance: float, note: str = "", level: float = 0.95
) -> PooledDifference:
    """The mean of differences by seed, with its test.

    Args:
      covariance: of the differences of two seeds over patients, the mean over the pairs of seeds.
      note: why it is undefined, or empty.
    """
    seeds, total = tuple(differences), len(differences)
    values = list(differences.values())
    mean = float(np.mean(values)) if seeds else math.nan
    result = PooledDifference(mean, _spread(values), seeds)
    note = note or _TOO_FEW.get(total, "")
    if note:
        return dataclasses.replace(result, note=note)
    seed_variance, patient_variance = result.spread**2 / total, max(0.0, covariance)
    variance = seed_variance + patient_variance
    result = dataclasses.replace(
        result,
        variance=variance,
        seed_variance=seed_variance,
        patient_variance=patient_variance,
    )
    if variance == 0:
        if mean == 0:
            return dataclasses.replace(result, degrees=math.inf, p_value=1.0, low=0.0, high=0.0)
        return dataclasses.replace(
            result, note="undefined: the values differ but the difference has no variance"
        )
    degrees = math.inf if seed_variance == 0 else (total - 1) * (variance / seed_variance) ** 2
    reach = float(t.ppf((1 + level) / 2, degrees)) * math.sqrt(variance)
    return dataclasses.replace(
        result,
        degrees=degrees,
        p_value=float(2 * t.sf(abs(mean) / math.sqrt(variance), degrees)),
        low=max(-1.0, mean - reach),
        high=min(1.0, mean + reach),
    )


_TOO_FEW = {
    0: "undefined: no seed has both this arm and a baseline",
    1: "undefined: one seed does not show how seeds differ",
}


def _covariance(
    positive: np.ndarray, gains: Mapping[int, np.ndarray], patient: np.ndarray
) -> tuple[float, str]:
    """(mean covariance of two seeds' differences over patients, note).

    The variance of a sum holds every covariance twice: no pair of seeds need be visited.
    """
    seeds = len(gains)
    if seeds < 2:
        return math.nan, ""
    of_sum, note = mean_variance(positive, np.sum(list(gains.values()), axis=0), patient)
    if note:
        return math.nan, note
    own = sum(mean_variance(positive, gain, patient)[0] for gain in gains.values())
    return (of_sum - own) / (seeds * (seeds - 1)), ""


def _spread(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _with_holm(regimes: list[Regime]) -> list[Regime]:
    p_values = [regime.pooled.p_value for regime in regimes if regime.pooled]
    adjusted = iter(holm(np.array(p_values)))
    return [
        dataclasses.replace(
            regime, pooled=dataclasses.replace(regime.pooled, holm=float(next(adjusted)))
        )
        if regime.pooled
        else regime
        for regime in regimes
    ]
