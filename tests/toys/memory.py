"""How much memory a piece of work takes, as the kernel sees it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclasses.dataclass
class Peak:
    """The largest resident size over that at the start; 0 where the kernel does not tell."""

    megabytes: float = 0.0


@contextlib.contextmanager
def memory_peak() -> Iterator[Peak]:
    """Measures the peak of the block; it is known after the block."""
    peak = Peak()
    if not _RESET.exists():
        yield peak
        return
    _RESET.write_text("5")  # the peak starts anew
    before = _kilobytes("VmRSS")
    try:
        yield peak
    finally:
        peak.megabytes = max(0, _kilobytes("VmHWM") - before) / 1024


def _kilobytes(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
