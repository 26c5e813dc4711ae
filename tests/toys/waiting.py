"""Waiting for a moment in the life of a process."""

import contextlib
import subprocess
import time
from collections.abc import Callable

LONGEST = 900.0  # seconds for what takes a few on a machine that has nothing else to do
_BETWEEN_LOOKS = 0.002  # seconds


def wait_until(has_come: Callable[[], bool], process: subprocess.Popen) -> None:
    """Returns when the moment has come; AssertionError if the process ends before it."""
    deadline = time.monotonic() + LONGEST
    while not has_come():
        assert time.monotonic() < deadline, "the moment never came"
        assert_alive_for(_BETWEEN_LOOKS, process)


def assert_alive_for(seconds: float, process: subprocess.Popen) -> None:
    """Lets a process run on; AssertionError, with what it said, if it ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        raise AssertionError((process.returncode, *process.communicate()))
