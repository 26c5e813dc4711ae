"""Runs several programs, some side by side, under one bar with the time left.

A step is a program in a process of its own. It is done when its result exists; an interrupted step
resumes when it is started again.
"""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cgan_tf.runs.console import PROGRESS_VARIABLE, end_with_parent
from cgan_tf.runs.errors import UserError

_CLEAR = "\r\x1b[2K"  # back to the start of the line, and the line away
LEAST_SHARE = 0.01  # of all work, from which a pace can be told


@dataclasses.dataclass(frozen=True)
class Step:
    """One program among several.

    Attributes:
      name: for the progress line. module: what `python -m` runs.
      flags: its flags. result: the file whose presence says that the step is done.
      after: names of steps that must be done before. whole_machine: runs alone, on all cores.
      seconds: what it takes at reference speed, for the time left; any unit will do where the
        runner is given no slowness.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    result: Path
    after: tuple[str, ...] = ()
    whole_machine: bool = False
    seconds: float = 10.0

    def command(self) -> list[str]:
        """The command line, as a user would type it."""
        return [sys.executable, "-m", self.module, *self.flags]

    @property
    def file_name(self) -> str:
        """The name as part of a file name."""
        return re.sub(r"\W+", "_", self.name)


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a step has no result: the last line of its log, or how its process ended."""

    reason: str
    log: Path


@dataclasses.dataclass(frozen=True, eq=False)
class Running:
    """A step at work. `log_start`: bytes of the log that are earlier attempts'."""

    step: Step
    process: subprocess.Popen
    started: float
    lane: int
    log_start: int = 0


def expected_seconds(steps: Sequence[Step], lanes: int) -> float:
    """Wall time of the steps that are not done, at reference speed."""
    return sum(_cost(step, lanes) for step in steps if not step.result.exists())


class StepRunner:
    """The running steps and the line that shows them.

    `lanes` holds the environment variables of each of the processes that may run side by side.
    `slowness` is the machine's time for a reference second; without it the time left is shown only
    once this run has measured its own pace. With `keep_going` a failure stops only what depends on
    it; `failed` tells what failed, by name.
    """

    def __init__(
        self,
        directory: Path,
        steps: Sequence[Step],
        lanes: Sequence[Mapping[str, str]],
        slowness: float | None = None,
        keep_going: bool = False,
    ):
        self.logs = directory / "logs"
        self.steps, self.lanes = steps, lanes
        self.slowness, self.keep_going = slowness, keep_going
        self.running: dict[str, Running] = {}
        self.failed: dict[str, Failure] = {}
        self.done = {step.name for step in steps if step.result.exists()}
        self.found: dict[str, float] = {}  # the share at which this run found each step
        self.started = time.monotonic()
        self.work_at_start = self._work_done()
        self.last_line = 0.0

    def run(self) -> None:
        """Starts steps as they become ready until no more can be started.

        Raises `UserError` at the first failure, unless `keep_going`.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        previous = signal.signal(signal.SIGTERM, _raise_interrupt)
        try:
            self._start_ready()
            while self.running:
                time.sleep(0.2)
                self._collect()
                self._start_ready()
                self._show()
        finally:
            self._stop_all()
            signal.signal(signal.SIGTERM, previous)
        self._show(last=True)

    def _start_ready(self) -> None:
        for step in self.steps:
            if step.name in self.done or step.name in self.running or step.name in self.failed:
                continue
            if not set(step.after) <= self.done:
                continue
            alone = any(running.step.whole_machine for running in self.running.values())
            full = len(self.running) >= (1 if step.whole_machine else len(self.lanes))
            if not alone and not full:
                self._start(step)

    def _start(self, step: Step) -> None:
        taken = {running.lane for running in self.running.values()}
        lane = next(lane for lane in range(len(self.lanes)) if lane not in taken)
        share = str(self._file(step, "share"))
        log_file = self._file(step, "log")
        with log_file.open("ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                step.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.lanes[lane], PROGRESS_VARIABLE: share},
                start_new_session=True,  # Ctrl-C reaches this process, which ends its steps itself
                preexec_fn=end_with_parent,
            )
        self.running[step.name] = Running(step, process, time.monotonic(), lane, log_start)

    def _collect(self) -> None:
        for name, running in list(self.running.items()):
            if running.process.poll() is None:
                continue
            del self.running[name]
            if running.process.returncode == 0 and running.step.result.exists():
                self.done.add(name)
                continue
            failure = self._failure(running)
            self.failed[name] = failure
            message = f"step '{name}' failed: {failure.reason} (see {failure.log})"
            if not self.keep_going:
                raise UserError(message)
            clear = _CLEAR if sys.stderr.isatty() else ""
            print(f"{clear}{message}; the others go on", file=sys.stderr, flush=True)

    def _failure(self, running: Running) -> Failure:
        path, code = self._file(running.step, "log"), running.process.returncode
        text = path.read_bytes()[running.log_start :].decode(errors="replace").strip()
        reason = text.splitlines()[-1] if text else f"exit code {code}"
        if code < 0:  # nobody asked it to end: its last words are not the reason
            reason = f"ended by signal {-code} ({signal.strsignal(-code)})"
        return Failure(reason, path)

    def _work_done(self) -> float:
        return sum(
            _cost(step, len(self.lanes))
            * (1.0 if step.name in self.done else self._share(step.name))
            for step in self.steps
        )

    def _work_in_all(self) -> float:
        """Without what has failed and what depended on it."""
        lost = set(self.failed)
        for step in self.steps:  # in an order in which every step follows those it needs
            if set(step.after) & lost:
                lost.add(step.name)
        return sum(_cost(step, len(self.lanes)) for step in self.steps if step.name not in lost)

    def _share(self, name: str) -> float:
        if name not in self.running:
            return 0.0
        running = self.running[name]
        path = self._file(running.step, "share")
        try:
            if path.stat().st_mtime < time.time() - (time.monotonic() - running.started):
                return 0.0  # an earlier attempt's
            share = 0.95 * float(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0.0
        self.found.setdefault(name, share)
        return share

    def _show(self, last: bool = False) -> None:
        """One line: share, bar, running steps, time gone and left."""
        now, screen = time.monotonic(), sys.stderr.isatty()
        if not last and now - self.last_line < (0.5 if screen else 30.0):
            return
        self.last_line = now
        work, gone = self._work_done(), now - self.started
        todo = 0.0 if last else self._work_in_all() - work
        share, pace = work / (work + todo) if work else 0.0, self._pace(work, gone)
        left = "?" if pace is None and todo else minutes(todo * (pace or 0.0))
        names = ", ".join(f"{name} {self._share(name):.0%}" for name in self.running)
        failed = f"{len(self.failed)} failed  " if self.failed else ""
        line = (
            f"[{'#' * round(20 * share):<20}] {share:4.0%}  {minutes(gone)} gone, {left} left  "
            f"{failed}{names}"
        )
        if screen:
            width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
            print(f"{_CLEAR}{line[:width]}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _pace(self, work: float, gone: float) -> float | None:
        """Seconds for a reference second: until enough is measured the expected pace, then ours.

        Without an expected pace it is None until then: a rounding error is no work done.
        """
        fresh = work - self.work_at_start
        for step in self.steps:
            if step.name not in self.failed:  # a failed one is in neither sum
                fresh -= self.found.get(step.name, 0.0) * _cost(step, len(self.lanes))
        if self.slowness is not None:
            return (gone + 60 * self.slowness) / (max(0.0, fresh) + 60)
        enough = fresh > LEAST_SHARE * self._work_in_all() and gone > 20
        return gone / fresh if enough else None

    def _file(self, step: Step, suffix: str) -> Path:
        return self.logs / f"{step.file_name}.{suffix}"

    def _stop_all(self) -> None:
        for running in self.running.values():
            running.process.terminate()  # the programs save what they have and end
        for running in self.running.values():
            try:
                running.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                running.process.kill()


def minutes(seconds: float) -> str:
    """Minutes and seconds; from ten hours on, hours and minutes."""
    if seconds < 36_000:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def _cost(step: Step, lanes: int) -> float:
    return step.seconds / (1 if step.whole_machine else lanes)


def _raise_interrupt(_signal, _frame) -> None:
    raise KeyboardInterrupt
