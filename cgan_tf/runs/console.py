"""What a program shows while it works, one bar with the time left, and how it ends.

A program ends on request, after saving what it has, and with the program that started it.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from absl import logging
from tqdm import tqdm

PROGRESS_VARIABLE = "CGAN_PROGRESS_FILE"


LOG_SECONDS = 30.0
# Where the count is of work, not of things: nobody knows what a unit of it is.
_SHARE_ALONE = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"


def progress_bar(total: int, label: str, unit: str, done: int = 0) -> tqdm:
    """A bar on standard error; in a log file a line every half minute instead of many a second.

    Without a unit the bar shows a share alone. A parent program that shows one bar for many names
    a file in CGAN_PROGRESS_FILE; the share that is done, 0 to 1, is then written there instead.
    """
    shared, screen = os.environ.get(PROGRESS_VARIABLE), sys.stderr.isatty()
    kind = _SharedBar if shared else tqdm if screen else _LineBar
    seconds = 0.5 if shared or screen else LOG_SECONDS
    return kind(
        total=total,
        initial=done,
        desc=label,
        unit=f" {unit}",
        bar_format=None if unit else _SHARE_ALONE,
        mininterval=seconds,
        maxinterval=max(10.0, seconds),
        dynamic_ncols=True,
        smoothing=0.1,
    )


class _LineBar(tqdm):
    """Writes a line each time, for log files: a carriage return would make one endless line."""

    def display(self, msg=None, pos=None):
        print(msg if msg is not None else self, file=self.fp, flush=True)

    def close(self):
        if not self.disable:
            self.disable = True
            self._decr_instances(self)
            self.display()


class _SharedBar(tqdm):
    """Writes its share to a file instead of drawing itself."""

    def display(self, msg=None, pos=None):
        path = Path(os.environ[PROGRESS_VARIABLE])
        temporary = path.with_suffix(".tmp")
        temporary.write_text(f"{self.n / self.total if self.total else 0:.4f}", encoding="utf-8")
        temporary.replace(path)


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up chatter off the screen; call before importing TensorFlow.

    Errors still show. A value that the user has set is left alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.set_verbosity(logging.WARNING)


def separate_native_stderr() -> None:
    """Sends what C++ libraries write to descriptor 2 away; Python's own messages still show.

    TensorFlow 2.21 prints some lines before its log level applies. TF_CPP_MIN_LOG_LEVEL=0 or 1
    shows everything again. For programs only: a library must not touch its caller's descriptors.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") in ("0", "1"):
        return
    screen = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    os.close(sink)
    sys.stderr = screen
    faulthandler.enable(file=screen)


@contextlib.contextmanager
def stop_signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Sends SIGTERM and SIGINT to `handler` within the block; the old handlers return after it."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, previous, strict=True):
            signal.signal(number, old)


def end_with_parent() -> None:
    """Lets this process end when its parent does: it would hold its directory, or wait for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
