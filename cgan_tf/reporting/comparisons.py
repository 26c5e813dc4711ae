"""Every classifier compared with the baseline of its seed, and the runs that failed."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cgan_tf.classifier.results import ScoredTest
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.seeds import Regime, SeedComparison, compare_within_seeds, pool_seeds


@dataclasses.dataclass(frozen=True)
class FailedRun:
    """A run without an evaluation.

    Attributes:
      seed: of the run. synthetic_fraction: initial synthetic share, 0 to 1.
      step: training or evaluation. reason: in one line. log: the file that tells more.
    """

    seed: int
    synthetic_fraction: float
    step: str
    reason: str
    log: str


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
      evaluations: the first is the baseline of the report. regimes: over their seeds, ascending.
      comparisons: by (fraction, seed), without the baselines. failed: runs that left nothing.
    """

    evaluations: Sequence[ScoredTest]
    regimes: Sequence[Regime]
    comparisons: dict[tuple[float, int], SeedComparison]
    failed: Sequence[FailedRun]

    @property
    def several_seeds(self) -> bool:
        """Whether any seed differs from another, failed ones included."""
        seeds = {evaluation.seed for evaluation in self.evaluations}
        return len(seeds | {run.seed for run in self.failed}) > 1

    def regime(self, fraction: float) -> Regime:
        """The classifiers of an initial synthetic share."""
        return next(regime for regime in self.regimes if regime.fraction == fraction)


def compare(evaluations: Sequence[ScoredTest], failed: Sequence[FailedRun] = ()) -> Results:
    """Every comparison; `UserError` when a seed has a proportion twice."""
    labels, patients = evaluations[0].labels, evaluations[0].patients
    comparisons = compare_within_seeds(labels, evaluations, patients)
    return Results(
        evaluations,
        pool_seeds(labels, evaluations, patients),
        {(comparison.fraction, comparison.seed): comparison for comparison in comparisons},
        failed,
    )
