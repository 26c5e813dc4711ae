"""What both trainings share: checkpoints, metrics.csv, TensorBoard files, errors of tf.data.

checkpoints/step-0001000/ holds TensorFlow's files, state.json (Python values) and checksums.json.
It is written under a temporary name, so a directory under its final name is complete; the
checksums reveal what a disk damaged later. A run resumes from the newest sound checkpoint.
"""

import contextlib
import csv
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import api as hparams

from cgan_tf.runs.directory import (
    Json,
    path_without_patterns,
    read_json,
    sha256,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict, flags_text

KEPT = 2
LARGEST_SHARE = 0.03  # of a run's time, for saving


class Checkpoints:
    """The checkpoints of one run.

    Attributes:
      seconds: what saving has cost this process so far.
    """

    def __init__(self, directory: Path, variables: dict[str, tf.Variable], minutes: float):
        """`minutes` between checkpoints, more where saving is slow; 0: after every iteration."""
        self.directory, self.minutes = directory, minutes
        self.checkpoint = tf.train.Checkpoint(variables=variables)
        self.seconds = self._last_cost = 0.0
        self._saved_at = time.monotonic()

    def start_clock(self) -> None:
        """Counts the time to the next checkpoint from now."""
        self._saved_at = time.monotonic()

    def due(self) -> bool:
        """Whether it is time: late enough, and saving stays within its share of the run."""
        if not self.minutes:
            return True
        least = self._last_cost * (1 - LARGEST_SHARE) / LARGEST_SHARE
        return time.monotonic() - self._saved_at > max(60 * self.minutes, least)

    def save(self, step: int, state: Json) -> None:
        """Writes the checkpoint of `step`, then drops the oldest ones.

        `state` is kept as JSON; with "sound" false it never makes an older, sound one go.
        Raises `UserError` when the disk refuses; what was there before stays.
        """
        started = time.monotonic()
        final = self.directory / f"step-{step:07d}"
        temporary = self.directory / f".{final.name}.{os.getpid()}.tmp"
        for leftover in self.directory.glob(".step-*.tmp"):  # of a process killed while writing
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            self.checkpoint.write(str(temporary / "variables"))
            write_json(temporary / "state.json", state)
            _write_checksums(temporary)
            shutil.rmtree(final, ignore_errors=True)
            temporary.replace(final)
        except (OSError, UserError, tf.errors.OpError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise UserError(
                f"{final}: cannot be written ({_reason(error)}); {self.kept()}"
            ) from error
        self._drop_old()
        self._saved_at = time.monotonic()
        self._last_cost = self._saved_at - started
        self.seconds += self._last_cost

    def restore(self, partly: bool = False) -> Json:
        """Reads the newest sound checkpoint; returns its state, empty when there is none.

        `partly`: it may hold more variables than these.

        Damaged ones are named on standard error. Raises `UserError` when all are damaged, or when
        the newest sound one was written for other networks.
        """
        steps = self.steps()
        for step in reversed(steps):
            path = self.directory / f"step-{step:07d}"
            damage = _damage(path)
            if not damage:
                return self._read(path, partly)
            print(f"{path}: {damage}; going on from the one before it", file=sys.stderr)
        if steps:
            raise UserError(
                f"{self.directory}: every checkpoint is damaged; start anew with --restart"
            )
        return {}

    def steps(self) -> list[int]:
        """Steps with a checkpoint, oldest first."""
        if not self.directory.exists():
            return []
        return sorted(int(path.name[5:]) for path in self.directory.glob("step-*"))

    def _read(self, path: Path, partly: bool) -> Json:
        try:
            with path_without_patterns(path) as directory:
                status = self.checkpoint.read(str(directory / "variables"))
                if partly:
                    status.expect_partial().assert_existing_objects_matched()
                else:
                    status.assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{path}: expected the variables of this version's networks, found others"
            ) from error
        return read_json(path / "state.json")

    def _drop_old(self) -> None:
        steps = self.steps()
        sound = [s for s in steps if read_json(self._state_file(s)).get("sound", True)]
        for step in set(steps[:-KEPT]) - set(sound[-1:]):
            shutil.rmtree(self._state_file(step).parent, ignore_errors=True)

    def _state_file(self, step: int) -> Path:
        return self.directory / f"step-{step:07d}" / "state.json"

    def kept(self) -> str:
        """What a stopped run still has, for messages."""
        steps = self.steps()
        return f"the checkpoint of step {steps[-1]} is kept" if steps else "there is no earlier one"


def restore_finished(run: Path, variables: dict[str, tf.Variable]) -> None:
    """Fills variables from the last checkpoint of a finished run, which may hold more of them.

    Raises `UserError` where there is none.
    """
    checkpoints = Checkpoints(run / "checkpoints", variables, minutes=0)
    if not checkpoints.steps():
        raise UserError(f"{checkpoints.directory}: expected a checkpoint, found none")
    checkpoints.restore(partly=True)


def _write_checksums(directory: Path) -> None:
    sums = {path.name: sha256(path) for path in sorted(directory.iterdir())}
    write_json(directory / "checksums.json", sums)


def _damage(directory: Path) -> str:
    """What is wrong with a checkpoint: TensorFlow can abort on damaged files."""
    try:
        expected = read_json(directory / "checksums.json")
        found = {name: sha256(directory / name) for name in expected}
    except (OSError, UserError) as error:
        return f"cannot be read ({error})"
    wrong = [name for name in expected if found[name] != expected[name]]
    return f"damaged: {', '.join(wrong)}" if wrong else ""


def _reason(error: Exception) -> str:
    """One short line of what the system said."""
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    return " ".join(str(text).split()).split("; ")[-1][:200]


class MetricsTable:
    """metrics.csv of a training, a row appended at a time; the first column counts steps.

    Attributes:
      rows: every row of the run so far, as text.
    """

    def __init__(self, path: Path, start: int, line_end: str = "\n"):
        """Forgets what follows step `start`, from which the run resumes, and a torn last row."""
        self.path, self.line_end = path, line_end
        self.rows: list[dict[str, str]] = []
        if path.exists():
            self._forget_after(start)

    def add(self, row: Mapping[str, str]) -> None:
        """Appends a row; `UserError` when the disk refuses."""
        new = not self.path.exists()
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(row), lineterminator=self.line_end)
                if new:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from error
        self.rows.append(dict(row))

    def _forget_after(self, start: int) -> None:
        with self.path.open(newline="", encoding="utf-8") as file:
            header, *lines = [line for line in file if line.endswith("\n")] or [""]
        kept = [line for line in lines if int(line.partition(",")[0]) <= start]
        if kept:
            write_bytes(self.path, "".join([header, *kept]).encode())
            self.rows = list(csv.DictReader([header, *kept]))
        else:
            self.path.unlink()


@contextlib.contextmanager
def reading_errors() -> Iterator[None]:
    """Turns a damaged record, met by tf.data in mid-run, back into the `UserError` it was."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"UserError: (.+)", str(error))
        if found is None:
            raise
        raise UserError(found[1]) from error


def summary_writer(directory: Path, start: int, config) -> tf.summary.SummaryWriter:
    """A writer in `directory`/tensorboard that goes on from step `start`.

    What was logged after that step is forgotten; a run's first writer logs its flags, as text and
    as hyperparameters.
    """
    folder = directory / "tensorboard"
    for path in sorted(folder.glob("*tfevents*")):
        _keep_until(path, start)
    writer = tf.summary.create_file_writer(str(folder))
    if start == 0:
        with writer.as_default(step=0):
            tf.summary.text("flags", f"```\n{flags_text(config)}```")
            hparams.hparams(_one_line_values(config))
    return writer


def _one_line_values(config) -> dict[str, bool | int | float | str]:
    """The flags as TensorBoard's hyperparameters: a list is one text."""
    return {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in config_to_dict(config).items()
    }


def _keep_until(path: Path, step: int) -> None:
    """Rewrites an event file without what comes after a step, or its torn end; nothing from 0."""
    if step == 0:
        path.unlink()
        return
    temporary = path.parent.parent / ".events.tmp"  # beside the folder: TensorBoard reads all in it
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        for event in EventFileLoader(str(path)).Load():
            if event.step <= step:
                writer.write(event.SerializeToString())
    temporary.replace(path)
