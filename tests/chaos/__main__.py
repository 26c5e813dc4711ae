"""Every program of the chain killed, starved and doubled, at tiny size: `make chaos`.

    python -m tests.chaos [--seed=1] [--kills=50] [--parallel=2] [--only=evaluate,report]

The chain is run once without a disturbance; every disturbed run must in the end have left the same.
When every program was tried, the results go into docs/reliability.md; with --directory it goes on
where it was. Exit code 1 when a promise was broken; the directories of what went wrong are kept.
"""

import argparse
import concurrent.futures
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.chaos import disturbances, results, small_disk
from tests.chaos.chain import CHAIN, DISTURBED, Program
from tests.chaos.disturbances import Laboratory, Result, Undisturbed
from tests.chaos.memory import Memory

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
Disturbance = Callable[[Laboratory, Program, Undisturbed, int], Result]


def main() -> None:
    """Runs the chain, then everything that is done to it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs, dealt over the programs")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", default="", help="names of programs, separated by commas")
    parser.add_argument("--directory", type=Path, help="where to work; a new one in /tmp")
    arguments = parser.parse_args()
    root = arguments.directory or Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"chaos: in {root}", flush=True)
    lab = Laboratory(root, arguments.seed)
    memory = Memory(root)
    chosen = [p for p in DISTURBED if not arguments.only or p.name in arguments.only.split(",")]
    started = time.monotonic()
    for program in needed(chosen):
        if program.name not in memory.runs:
            memory.runs[program.name] = lab.run_undisturbed(program)
            memory.keep()
        seconds = memory.runs[program.name].seconds
        print(f"{program.name} undisturbed: {seconds:.1f} s", flush=True)
    disturb(lab, chosen, memory, arguments)
    memory.seconds += time.monotonic() - started
    memory.keep()
    found = [r for p in DISTURBED for r in memory.results.values() if r.program == p.name]
    if {result.program for result in found} == {program.name for program in DISTURBED}:
        text = results.section(found, memory.runs, arguments.seed, memory.seconds)
        results.write_into(DOCUMENT, text)
    broken = [result for result in found if result.problems]
    for result in broken:
        print(f"{result.program}, {result.kind}:\n  " + "\n  ".join(result.problems))
    print(f"{len(found) - len(broken)} of {len(found)} disturbances left everything as it was")
    sys.exit(bool(broken))


def needed(chosen: list[Program]) -> list[Program]:
    """The programs and those whose outputs they read, in the order of the chain."""
    wanted = {program.output for program in chosen}
    for program in reversed(CHAIN):
        if program.output in wanted:
            wanted.update(program.inputs)
    return [program for program in CHAIN if program.output in wanted]


def disturb(
    lab: Laboratory, chosen: list[Program], memory: Memory, arguments: argparse.Namespace
) -> None:
    """What was not done yet to the programs, `--parallel` at a time."""
    runs = memory.runs
    shares = deal(arguments.kills, [runs[program.name].seconds for program in chosen])
    with concurrent.futures.ThreadPoolExecutor(arguments.parallel) as pool:
        jobs = [
            pool.submit(_attempt, disturbance, lab, program, runs[program.name], count)
            for program, share in zip(chosen, shares, strict=True)
            for kind, (disturbance, count) in plan(share, runs[program.name].seconds).items()
            if not memory.has(program.name, kind)
        ]
        for job in concurrent.futures.as_completed(jobs):
            result = job.result()
            memory.results[result.program, result.kind] = result
            memory.keep()


def deal(kills: int, seconds: list[float]) -> list[int]:
    """How often each program is killed: the slower half three times at most."""
    slow = set(sorted(range(len(seconds)), key=lambda place: -seconds[place])[: len(seconds) // 2])
    shares = [
        min(3, kills // len(seconds)) if place in slow else 0 for place in range(len(seconds))
    ]
    fast = [place for place in range(len(seconds)) if place not in slow]
    left = kills - sum(shares)
    for turn, place in enumerate(fast):
        shares[place] = left // len(fast) + (turn < left % len(fast))
    return shares


def plan(kills: int, seconds: float) -> dict[str, tuple[Disturbance, int]]:
    """What is done to a program that takes so long undisturbed, and how often."""
    times = 2 if seconds < 15 else 1
    wanted: dict[str, tuple[Disturbance, int]] = {
        disturbances.KILL: (disturbances.killed, kills),
        disturbances.TERM: (disturbances.terminated, times),
        disturbances.DISK: (disturbances.disk_full, times),
        disturbances.INPUT: (disturbances.input_gone, times),
        disturbances.COPY: (disturbances.second_copy, 1),
    }
    if small_disk.has_namespaces():
        wanted[disturbances.READ_ONLY] = (disturbances.read_only, 1)
    return wanted


def _attempt(
    disturbance: Disturbance, lab: Laboratory, program: Program, run: Undisturbed, count: int
) -> Result:
    started = time.monotonic()
    result = disturbance(lab, program, run, count)
    verdict = f"{len(result.problems)} problems" if result.problems else "as it was"
    seconds = time.monotonic() - started
    print(f"{program.name}, {result.kind}: {verdict} ({seconds:.0f} s)", flush=True)
    for problem in result.problems:
        print(f"  {problem}", flush=True)
    return result


if __name__ == "__main__":
    main()
