"""The program train_gan at work on toy patches: one run to its end, one killed twice."""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

from cgan_tf.config import GanConfig
from cgan_tf.runs.flags import flags_text
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config

LONGEST = 900.0  # seconds for what takes a few on a machine that has nothing else to do


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a process left: its exit code and what it wrote."""

    code: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True)
class GanRuns:
    """Two runs with the same flags.

    Attributes:
      config: of the uninterrupted run, in `finished`. resumed: the other's directory.
      whole, killed, again: how their processes ended (killed: by SIGTERM; the one ended by
        SIGKILL is left out). rows_when_killed: of its metrics.csv, at SIGTERM.
    """

    config: GanConfig
    finished: Path
    resumed: Path
    whole: Outcome
    killed: Outcome
    again: Outcome
    rows_when_killed: int


def run_twice(root: Path) -> GanRuns:
    """Trains one GAN to its end beside another, ended by SIGTERM in its fade-in and by SIGKILL
    after it."""
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
        workdir=str(root / "finished"),
    )
    other = dataclasses.replace(config, workdir=str(root / "resumed"))
    whole, killed = start(config), start(other)
    metrics = Path(other.workdir) / "metrics.csv"
    wait_for(metrics, "fade", killed)
    killed.send_signal(signal.SIGTERM)
    killed_outcome = finish(killed)
    rows = len(metrics.read_text().splitlines()) - 1
    second = start(other)
    wait_for(metrics, "full", second)
    second.kill()
    finish(second)
    again = finish(start(other))
    return GanRuns(
        config,
        Path(config.workdir),
        Path(other.workdir),
        finish(whole),
        killed_outcome,
        again,
        rows,
    )


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
    deadline = time.monotonic() + LONGEST
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, finish(process).err
        assert time.monotonic() < deadline, f"{path} never held {text}"
        time.sleep(0.05)
