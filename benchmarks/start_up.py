"""How long each program's --help takes: at most a second.

python -m benchmarks.start_up [--rounds=3]

In processor seconds of the process. Beside it a program that imports TensorFlow before it looks at
its flags, as most training scripts do, and the bound: Python with absl alone.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import frame

OPTIONS = {"rounds": 3}
QUICK = {"rounds": 1}
MOST_SECONDS = 1.0
BOUND, EAGER = "Python and absl", "TensorFlow imported first"
ROOT = Path(__file__).parent.parent


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """A case for each program; all of them take turns."""
    works = {name: lambda name=name: _python("-m", name, "--help") for name in programs()}
    works[EAGER] = lambda: _python("-c", "import absl.app, tensorflow")
    works[BOUND] = lambda: _python("-c", "import absl.app")
    seconds = frame.take_turns(works, options.rounds, clock=_children_seconds)
    for name in programs():
        yield frame.Case(
            f"{name} --help",
            {frame.OURS: seconds[name], EAGER: seconds[EAGER], BOUND: seconds[BOUND]},
            BOUND,
            at_most_seconds=MOST_SECONDS,
        )


def programs() -> list[str]:
    """Every module that is a program."""
    return [
        f"{package}.{path.stem}"
        for package in ("beam_pipelines", "cgan_tf")
        for path in sorted((ROOT / package).glob("*.py"))
        if "\n    run_program(" in path.read_text(encoding="utf-8")
    ]


def _python(*arguments: str) -> None:
    command = [sys.executable, *arguments]
    subprocess.run(command, capture_output=True, check=True, cwd=ROOT)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
