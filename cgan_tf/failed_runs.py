"""The runs of a sweep that failed, as `experiment` leaves them for `report`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cgan_tf.errors import UserError
from cgan_tf.run_directory import read_json, write_json


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
