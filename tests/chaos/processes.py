"""A program as a process that is watched while it writes, and disturbed."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.chaos.chain import Program
from tests.chaos.forks import Forks, OwnForks, environment

LONGEST = 600.0  # seconds for what takes ten
LINGERING = 60.0  # seconds that children may take to notice that their parent is gone
PAUSE = 0.005  # between two looks
_MARK = "CHAOS_TRIAL"  # in the environment of a program and of whatever it starts


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, what it printed, and the children it left behind."""

    code: int
    out: str
    err: str
    left: tuple[str, ...] = ()


class Running:
    """A program at work in a directory.

    Attributes:
      seconds: from the start to the end that `changes` saw.
    """

    def __init__(self, program: Program, directory: Path, forks: Forks | OwnForks):
        self.output = directory / program.output
        self.seconds = 0.0
        self._mark = uuid.uuid4().hex
        self._logs = [directory / f".{self._mark}.{name}" for name in ("out", "err")]
        self._forks = forks if program.forks else None
        self._started = time.monotonic()
        if self._forks:
            self._id = self._forks.start(
                {
                    "module": program.module,
                    "arguments": program.flags,
                    "directory": str(directory),
                    "environment": {_MARK: self._mark},
                    **dict(zip(("out", "err"), map(str, self._logs), strict=True)),
                }
            )
        else:
            self._process = self._popen(program, directory)
            self._id = self._process.pid

    def _popen(self, program: Program, directory: Path) -> subprocess.Popen:
        with contextlib.ExitStack() as stack:
            out, err = (stack.enter_context(path.open("wb")) for path in self._logs)
            return subprocess.Popen(
                [sys.executable, "-m", program.module, *program.flags],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**environment(), _MARK: self._mark},
            )

    def poll(self) -> int | None:
        """The exit code; None while the program runs."""
        return self._forks.poll(self._id) if self._forks else self._process.poll()

    def signal(self, number: int) -> None:
        """Sends a signal to the program, not to its children."""
        os.kill(self._id, number)

    def finish(self) -> Ended:
        """Waits for the end of the program and of its children."""
        deadline = time.monotonic() + LONGEST
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
            time.sleep(0.02)
        deadline = time.monotonic() + LINGERING
        while (left := children(self._mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process_id in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)
        out, err = (path.read_text(errors="replace") for path in self._logs)
        for path in self._logs:
            path.unlink()
        return Ended(code, out, err, tuple(left.values()))

    def wait_until(self, has_come: Callable[[float, int], bool]) -> bool:
        """Waits for a moment, given seconds and changes so far; False if the end came first."""
        for changes in self.changes():
            if has_come(time.monotonic() - self._started, changes):
                return self.poll() is None
        return False

    def changes(self) -> Iterator[int]:
        """The number of times that the output was seen to change, until the program's end."""
        seen, count = None, 0
        while self.poll() is None and time.monotonic() - self._started < LONGEST:
            found = snapshot(self.output)
            if seen is not None and found != seen:
                count += 1
            seen = found
            yield count
            time.sleep(PAUSE)
        self.seconds = time.monotonic() - self._started


def snapshot(directory: Path) -> frozenset[tuple[str, int, int]]:
    """(path, bytes, time of change) of everything in a directory."""
    found = []
    for folder, _, names in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            with contextlib.suppress(OSError):
                status = os.stat(path, follow_symlinks=False)
                found.append((path, status.st_size, status.st_mtime_ns))
    return frozenset(found)


def children(mark: str) -> dict[int, str]:
    """Command lines of the processes that a program started, by process id."""
    needle = f"{_MARK}={mark}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            if needle in (entry / "environ").read_bytes().split(b"\0"):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = command.decode(errors="replace")
    return found
