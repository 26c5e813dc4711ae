"""How programs end: on request, after saving what they have, and with those that started them."""

import contextlib
import ctypes
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any


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
