"""The program train_gan at work on toy patches: one run to its end, one killed twice."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

from cgan_tf.config import GanConfig
from cgan_tf.runs.flags import flags_text
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config
from tests.toys.waiting import LONGEST, wait_until


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a process left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True)
class GanRun:
    """A run to its end, its directory and how its process ended."""

    config: GanConfig
    finished: Path
    whole: Outcome


@dataclasses.dataclass(frozen=True)
class ResumedRun:
    """A run ended by SIGTERM, by SIGKILL, and then by itself.

    Attributes:
      killed, again: how the first and the last process ended.
      rows_when_killed: of its metrics.csv, at SIGTERM.
    """

    directory: Path
    killed: Outcome
    again: Outcome
    rows_when_killed: int


def run_to_the_end(root: Path) -> GanRun:
    """Trains a GAN of ten iterations in `root`/finished."""
    patches = write_toy_patches(root / "patches", size=32, per_class=9)
    config = small_config(
        task="calcification",
        half_steps=3,
        fade_in_steps=5,
        full_steps=2,
        grid_every=4,
        strategy="mirrored",
        intra_op_threads=1,
        inter_op_threads=1,
        licence="CC-BY-4.0",
        patches_dir=str(patches),
        output_dir=str(root / "finished"),
    )
    return GanRun(config, Path(config.output_dir), finish(start(config)))


def run_interrupted(config: GanConfig, root: Path) -> ResumedRun:
    """Trains the same GAN in `root`/resumed, ended by SIGTERM in its fade-in and by SIGKILL after
    it."""
    config = dataclasses.replace(config, output_dir=str(root / "resumed"))
    metrics = Path(config.output_dir) / "metrics.csv"
    first = start(config)
    wait_for(metrics, "fade", first)
    first.send_signal(signal.SIGTERM)
    killed = finish(first)
    rows = len(metrics.read_text().splitlines()) - 1
    second = start(config)
    wait_for(metrics, "full", second)
    second.kill()
    finish(second)
    return ResumedRun(Path(config.output_dir), killed, finish(start(config)), rows)


def start(config: GanConfig) -> subprocess.Popen:
    """train_gan in a process of its own."""
    command = [sys.executable, "-m", "cgan_tf.train_gan", *flags_text(config).splitlines()]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def finish(process: subprocess.Popen) -> Outcome:
    """Waits for the end of a process."""
    out, err = process.communicate(timeout=LONGEST)
    return Outcome(process.returncode, out, err)


def wait_for(path: Path, text: str, process: subprocess.Popen) -> None:
    """Waits until a file holds a text."""
    wait_until(lambda: path.exists() and text in path.read_text(), process)
