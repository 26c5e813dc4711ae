"""Every classifier compared with the baseline of its seed, and the runs that failed."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from cgan_tf.classifier.results import ScoredTest
from cgan_tf.labels import DECAYED, Arm, arm_named, arm_of
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import AucComparison, delong_test
from cgan_tf.statistics.seeds import (
    PooledDifference,
    Regime,
    SeedComparison,
    compare_within_seeds,
    pool_seeds,
)


@dataclasses.dataclass(frozen=True)
class FailedRun:
    """A run without an evaluation.

    Attributes:
      seed: of the run. synthetic_fraction: initial share of its filling, 0 to 1.
      step: training or evaluation. reason: in one line. log: the file that tells more.
      arm: one of `labels.ARMS`; empty in a sweep over the paper's shares.
    """

    seed: int
    synthetic_fraction: float
    step: str
    reason: str
    log: str
    arm: str = ""

    @property
    def trained(self) -> Arm:
        """What it was to be trained on."""
        if self.arm:
            return arm_named(self.arm, self.synthetic_fraction)
        return arm_of("both", self.synthetic_fraction, "multiplicative")


def write_failed_runs(path: str | Path, runs: Sequence[FailedRun]) -> None:
    """Writes the runs as JSON: `{"failed": [{"seed": ..., ...}, ...]}`."""
    write_json(path, {"failed": [dataclasses.asdict(run) for run in runs]})


def read_failed_runs(path: str | Path) -> list[FailedRun]:
    """The runs in the order written; `UserError` when the file is not one of `experiment`'s."""
    try:
        return [FailedRun(**run) for run in read_json(path)["failed"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: expected the failed runs that experiment writes") from error


@dataclasses.dataclass(frozen=True)
class Results:
    """The comparisons of Table 1.

    Attributes:
      evaluations: the first is the baseline of the report. regimes: over their seeds, in the order
        of their arms. comparisons: by (arm, seed), without the baselines. failed: runs that left
        nothing.
    Holm's method covers all arms but the substitutes, which ask another question and have a family
    of their own.
    """

    evaluations: Sequence[ScoredTest]
    regimes: Sequence[Regime]
    comparisons: dict[tuple[Arm, int], SeedComparison]
    failed: Sequence[FailedRun]

    @property
    def several_seeds(self) -> bool:
        """Whether any seed differs from another, failed ones included."""
        seeds = {evaluation.seed for evaluation in self.evaluations}
        return len(seeds | {run.seed for run in self.failed}) > 1

    @property
    def has_arms(self) -> bool:
        """Whether anything but the paper's decaying shares was trained."""
        arms = {e.arm for e in self.evaluations} | {run.trained for run in self.failed}
        return any(not arm.is_baseline and arm.name != DECAYED for arm in arms)

    def regime(self, arm: Arm) -> Regime:
        """The classifiers of an arm."""
        return next(regime for regime in self.regimes if regime.arm == arm)

    def named(self, name: str) -> Regime | None:
        """The first of the classifiers whose arm has this name."""
        return next((regime for regime in self.regimes if regime.arm.name == name), None)

    def compared(self, regime: Regime) -> PooledDifference | None:
        """An arm against the baseline, None for itself; one seed is compared by patient alone."""
        if regime.pooled is None or self.several_seeds:
            return regime.pooled
        comparison = self.comparisons[regime.arm, regime.seeds[0]]
        return _of_one_seed(comparison.by_patient, regime.seeds, comparison.by_patient_holm)

    def against(self, regime: Regime, other: Regime) -> PooledDifference:
        """An arm against another than the baseline, over the seeds that both have."""
        runs = [e for e in self.evaluations if e.arm in (regime.arm, other.arm)]
        first = self.evaluations[0]
        if not self.several_seeds:
            one, two = sorted(runs, key=lambda run: run.arm == other.arm)
            test = delong_test(first.labels, one.logits, two.logits, first.patients)
            return _of_one_seed(test, regime.seeds)
        pooled = pool_seeds(first.labels, runs, first.patients, other.arm)
        return next(each.pooled for each in pooled if each.pooled)


def _of_one_seed(
    test: AucComparison, seeds: tuple[int, ...], holm: float = math.nan
) -> PooledDifference:
    return PooledDifference(
        test.difference,
        math.nan,
        seeds,
        p_value=test.p_value,
        low=test.low,
        high=test.high,
        holm=holm,
        note=test.note,
    )


def compare(evaluations: Sequence[ScoredTest], failed: Sequence[FailedRun] = ()) -> Results:
    """Every comparison; `UserError` when a seed has an arm twice."""
    labels, patients = evaluations[0].labels, evaluations[0].patients
    baseline = evaluations[0].arm
    regimes: list[Regime] = []
    comparisons: list[SeedComparison] = []
    for substitutes in (False, True):
        family = [e for e in evaluations if e.arm == baseline or e.arm.is_substitute == substitutes]
        comparisons += compare_within_seeds(labels, family, patients, baseline)
        pooled = pool_seeds(labels, family, patients, baseline)
        regimes += [each for each in pooled if each.arm not in [known.arm for known in regimes]]
    return Results(
        evaluations,
        sorted(regimes, key=lambda regime: regime.arm),
        {(comparison.arm, comparison.seed): comparison for comparison in comparisons},
        failed,
    )
