"""The frame of every benchmark: alternatives take turns, a case is a line of JSON.

A benchmark is a module with a function that yields cases and ends with `main(...)`. Of a case
`ours` is first; the others are what a user would pick instead, and the bound: what the work that
cannot be avoided costs alone. A ratio is the median over the rounds of (the other's seconds / our
seconds of the same round): 1.3 is "we are 1.3 times as fast", and of the bound 0.9 is "90% of our
time is work that nobody can avoid".
"""

import argparse
import contextlib
import dataclasses
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

OURS = "ours"
SAID_EVERY_SECONDS = 15.0

Options = argparse.Namespace


@dataclasses.dataclass(frozen=True)
class Case:
    """Seconds by alternative, one value a round, and what we promise of them.

    Attributes:
      bound: the alternative that is one. at_least: smallest ratio to an alternative.
      at_most_seconds: of our own median. missed_because: a promise of another kind that is missed.
    """

    name: str
    seconds: Mapping[str, list[float]]
    bound: str = ""
    at_least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    at_most_seconds: float = float("inf")
    missed_because: str = ""
    note: str = ""

    def ratios(self) -> dict[str, float]:
        """Median over the rounds of an alternative's seconds to ours."""
        ours = self.seconds[OURS]
        return {
            name: statistics.median(a / b for a, b in zip(values, ours, strict=True))
            for name, values in self.seconds.items()
            if name != OURS
        }

    def missed(self) -> list[str]:
        """Alternatives with a smaller ratio than promised; ours, for a promise of another kind."""
        ratios, took = self.ratios(), statistics.median(self.seconds[OURS])
        ours = [OURS] if took > self.at_most_seconds or self.missed_because else []
        slower = [
            name for name, least in self.at_least.items() if not ratios.get(name, least) >= least
        ]
        return ours + slower

    def as_json(self, benchmark: str) -> dict[str, Any]:
        """What is printed: medians, ratios, promises."""
        return {
            "benchmark": benchmark,
            "case": self.name,
            "rounds": len(self.seconds[OURS]),
            "seconds": {name: statistics.median(values) for name, values in self.seconds.items()},
            "ratios": self.ratios(),
            "bound": self.bound,
            "at_least": dict(self.at_least),
            "at_most_seconds": None if math.isinf(self.at_most_seconds) else self.at_most_seconds,
            "missed": self.missed(),
            "missed_because": self.missed_because,
            "note": self.note,
        }


def take_turns(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each work in each round, after `warm_up` rounds that nobody times.

    The works take turns, so that what else the machine does meets all of them, and every round
    begins with another one. Long works say on standard error where they are.
    """
    names, said = list(works), time.monotonic()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            started = clock()
            with contextlib.redirect_stdout(sys.stderr):  # ours holds the lines of JSON alone
                works[name]()
            if number >= 0:
                seconds[name].append(clock() - started)
            if time.monotonic() - said > SAID_EVERY_SECONDS:
                said = time.monotonic()
                turn = f"round {number + 1} of {rounds}" if number >= 0 else "warming up"
                print(f"    {turn}, after {name}", file=sys.stderr, flush=True)
    return seconds


def main(
    doc: str,
    cases: Callable[[Options], Iterable[Case]],
    options: Mapping[str, Any],
    quick: Mapping[str, Any],
) -> None:
    """Runs a benchmark: JSON lines on standard output, a table on standard error.

    Args:
      doc: the module's docstring. options: its flags and their defaults. quick: what --quick
        makes of them. The exit code is 1 when a promise is missed.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default))
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it runs")
    given = parser.parse_args()
    base = {**options, **(quick if given.quick else {})}
    chosen = {k: base[k] if getattr(given, k) is None else getattr(given, k) for k in base}
    benchmark = Path(sys.argv[0]).stem
    missed = [_show(benchmark, case) for case in cases(Options(**chosen))]
    raise SystemExit(any(missed))


def _show(benchmark: str, case: Case) -> bool:
    """Prints a case; returns whether a promise was missed."""
    content = case.as_json(benchmark)
    print(json.dumps(content), flush=True)
    for line in _table(content):
        print(line, file=sys.stderr, flush=True)
    return bool(content["missed"])


def _table(content: Mapping[str, Any]) -> Iterator[str]:
    yield content["case"]
    for name, seconds in content["seconds"].items():
        ratio, least = content["ratios"].get(name), content["at_least"].get(name)
        text = f"    {name:44}{seconds:>11.4f} s"
        text += "" if ratio is None else f"{ratio:>9.2f}"
        text += "" if least is None else f"  (at least {least:g})"
        yield text + (" missed" if name in content["missed"] else "")
