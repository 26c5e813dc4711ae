"""train_gan killed with SIGKILL again and again, at moments that are looked for."""

import dataclasses
import random
from pathlib import Path

from cgan_tf.config import GanConfig
from tests.toys.gan_runs import finish, start
from tests.toys.waiting import assert_alive_for, wait_until


@dataclasses.dataclass(frozen=True)
class Moment:
    """When to kill.

    Attributes:
      place: "start" (before the first new row), "step" (in an iteration), "checkpoint" or "export"
        (while one is written).
      row: "step": metrics.csv has the row of this iteration. delay: seconds to wait then.
    """

    place: str
    row: int = 0
    delay: float = 0.0

    def has_come(self, workdir: Path, process_id: int) -> bool:
        """Whether it is time, but for the delay."""
        if self.place == "step":
            return last_row(workdir) >= self.row
        if self.place == "checkpoint":
            return any((workdir / "checkpoints").glob(f".step-*.{process_id}.tmp"))
        if self.place == "export":
            return any(workdir.glob(f".generator.{process_id}.tmp"))
        return True


def train_through(config: GanConfig, moments: list[Moment]) -> list[int]:
    """Runs the program until its end, killed at each of the moments, in their order.

    Returns the last row on disk at each kill.
    """
    workdir, rows = Path(config.output_dir), []
    for moment in moments:
        process = start(config)
        wait_until(lambda now=moment, of=process.pid: now.has_come(workdir, of), process)
        assert_alive_for(moment.delay, process)
        process.kill()
        assert finish(process).code == -9
        rows.append(last_row(workdir))
    last = finish(start(config))
    assert last.code == 0, last.err
    return rows


def last_row(workdir: Path) -> int:
    """The iteration of the last whole row of metrics.csv; 0 without any."""
    path = workdir / "metrics.csv"
    lines = path.read_text().splitlines(keepends=True)[1:] if path.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    return int(whole[-1].split(",")[0]) if whole else 0


def moments_of_every_kind(seed: int, row_count: int) -> list[Moment]:
    """Twenty-two moments: of each kind, those of iterations spread over rows 1 to `row_count`."""
    rng = random.Random(seed)
    moments = [Moment("start", delay=rng.uniform(0, 2))]
    rows = [1 + number * (row_count - 1) // 10 for number in range(11)]
    for number, row in enumerate(rows):
        moments.append(Moment("step", row, rng.uniform(0, 0.3)))
        if number % 2:
            moments.append(Moment("checkpoint", delay=rng.uniform(0, 0.02)))
        if number in (4, 8):
            moments.append(Moment("start", delay=rng.uniform(2, 6)))
    return [*moments, *(Moment("export", delay=delay) for delay in (0, 0.02, 0.05))]
