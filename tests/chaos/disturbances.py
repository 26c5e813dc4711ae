"""What is done to a program, and what it must leave: the same as an undisturbed run, in the end."""

import dataclasses
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tests.chaos import small_disk
from tests.chaos.chain import Program
from tests.chaos.compare import differences, torn
from tests.chaos.forks import Forks
from tests.chaos.processes import Ended, Running, snapshot
from tests.end_to_end.test_chain import BAR

KILL, TERM, DISK = "kill -9", "SIGTERM", "full disk"
INPUT, COPY, READ_ONLY = "input gone", "second copy", "read-only output"
KINDS = (KILL, TERM, DISK, INPUT, COPY, READ_ONLY)
REFUSAL = "another process is working in it"
# The runner of steps shows a line for all of them where there is no screen.
_STEPS = re.compile(r"\[#* *\] +\d+%  .*|step '.*' failed: .*; the others go on")


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one kind of disturbance of one program: how often it was tried, what was
    wrong, and what must be said of how it was tried."""

    program: str
    kind: str
    tried: int
    problems: tuple[str, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happened to: how long it took and how often its output changed."""

    seconds: float
    changes: int


class Laboratory:
    """The undisturbed chain in `root/reference`, and a fresh directory for every trial."""

    def __init__(self, root: Path, seed: int):
        self.root, self.seed, self.forks = root, seed, Forks()
        self.reference = root / "reference"
        self.reference.mkdir(parents=True, exist_ok=True)
        self._trials = 0

    def run_undisturbed(self, program: Program) -> Undisturbed:
        """Runs a program of the chain in the reference; its inputs must be there."""
        running = Running(program, self.reference, self.forks)
        changes = 0
        for changes in running.changes():  # noqa: B007 (the last one is wanted)
            pass
        seconds = running.seconds
        ended = running.finish()
        problems = ended_well(program, ended)
        if problems:
            raise SystemExit(f"{program.name} undisturbed: {problems[0]}")
        return Undisturbed(seconds, changes)

    def random(self, program: Program, kind: str) -> random.Random:
        """The random numbers of a disturbance: the same whatever else is tried."""
        return random.Random(f"{self.seed} {program.name} {kind}")

    def trial(self, program: Program, copied: str = "") -> Path:
        """A directory with the program's inputs by links; `copied` holds files of its own."""
        self._trials += 1
        directory = self.root / f"{program.name}-{self._trials:03d}"
        for name in program.inputs:
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if name == copied:
                shutil.copytree(self.reference / name, place)
            else:
                place.symlink_to(self.reference / name)
        (directory / program.output).parent.mkdir(parents=True, exist_ok=True)
        return directory

    def expected(self, program: Program) -> Path:
        """What the undisturbed run left."""
        return self.reference / program.output

    def compare(self, program: Program, directory: Path) -> list[str]:
        """What a finished trial left otherwise; the trial is removed when it is all right."""
        output = directory / program.output
        found = differences(self.expected(program), output, program.tells_time)
        if not found:
            shutil.rmtree(directory)
        return found


def killed(lab: Laboratory, program: Program, run: Undisturbed, count: int) -> Result:
    """SIGKILL at random moments, one after the other in one directory."""
    return _signalled(lab, program, run, count, KILL, signal.SIGKILL, (-signal.SIGKILL,))


def terminated(lab: Laboratory, program: Program, run: Undisturbed, count: int) -> Result:
    """SIGTERM likewise: the program may save what it has."""
    codes = (-signal.SIGTERM, 130)
    return _signalled(lab, program, run, count, TERM, signal.SIGTERM, codes)


def _signalled(
    lab: Laboratory,
    program: Program,
    run: Undisturbed,
    count: int,
    kind: str,
    number: signal.Signals,
    codes: tuple[int, ...],
) -> Result:
    """Half of the moments are at a random time, half after a random change of the output."""
    rng, problems, tried = lab.random(program, kind), [], 0
    directory = lab.trial(program)
    for _ in range(4 * count):
        if tried == count:
            break
        running = Running(program, directory, lab.forks)
        if running.wait_until(_moment(rng, run)):
            running.signal(number)
            tried += 1
        ended = running.finish()
        if ended.code == 0:  # the end came first
            problems += lab.compare(program, directory)
            directory = lab.trial(program)
        elif ended.code not in codes or "Traceback" in ended.err:
            problems.append(f"ended with {ended.code}: {last_line(ended.err)}")
        problems += [f"left running: {command}" for command in ended.left]
        problems += _half_written(lab, program, directory / program.output)
    problems += ended_well(program, Running(program, directory, lab.forks).finish())
    problems += lab.compare(program, directory)
    return Result(program.name, kind, tried, tuple(problems))


def disk_full(lab: Laboratory, program: Program, run: Undisturbed, count: int) -> Result:
    """A disk with room for a random part of the output."""
    kind = DISK
    rng, problems = lab.random(program, kind), []
    pages = small_disk.pages_of(lab.expected(program))
    words = small_disk.FULL if small_disk.has_namespaces() else small_disk.TOO_LARGE
    for _ in range(count):
        room = max(1, round(rng.uniform(0.02, 0.95) * pages))
        problems += _on_small_disk(lab, program, room, words)
    return Result(program.name, kind, count, tuple(problems))


def read_only(lab: Laboratory, program: Program, run: Undisturbed, count: int) -> Result:
    """An output that cannot be written."""
    problems = _on_small_disk(lab, program, 0, small_disk.READ_ONLY)
    return Result(program.name, READ_ONLY, 1, tuple(problems))


def _on_small_disk(lab: Laboratory, program: Program, pages: int, words: str) -> list[str]:
    directory = lab.trial(program)
    first, second = small_disk.run_on_small_disk(program, directory, pages, lab.forks)
    expected = lab.expected(program)
    problems = ended_in_a_line(program, first, words)
    problems += _half_written(lab, program, directory / "at_fault")
    problems += ended_well(program, second)
    problems += differences(expected, directory / "final", program.tells_time)
    if not problems:
        shutil.rmtree(directory)
    return [f"{pages} pages: {problem}" for problem in problems]


def input_gone(lab: Laboratory, program: Program, run: Undisturbed, count: int) -> Result:
    """An input file is taken away at a random moment, and put back for the second run."""
    kind = INPUT
    rng, problems = lab.random(program, kind), []
    for number in range(count if program.victims else 0):
        pattern = program.victims[number % len(program.victims)]
        owner = next(name for name in program.inputs if pattern.startswith(f"{name}/"))
        directory = lab.trial(program, copied=owner)
        candidates = sorted(directory.glob(pattern))
        assert candidates, f"the chain has left no {pattern}: a mistake of tests/chaos/chain.py"
        victim = rng.choice(candidates)
        hidden = directory / "hidden"
        running = Running(program, directory, lab.forks)
        listed = directory / program.listed
        if program.listed:
            running.wait_until(lambda _, __, listed=listed: listed.exists())
        elif number:
            running.wait_until(_moment(rng, run))
        victim.rename(hidden)
        first = running.finish()
        hidden.rename(victim)
        name = str(victim.relative_to(directory))
        if first.code:  # it had not been read yet
            found = ended_in_a_line(program, first, "")
            found += _half_written(lab, program, directory / program.output)
            found += ended_well(program, Running(program, directory, lab.forks).finish())
        else:
            found = ended_well(program, first)
        found += lab.compare(program, directory)
        problems += [f"without {name}: {problem}" for problem in found]
    return Result(program.name, kind, count if program.victims else 0, tuple(problems))


def second_copy(lab: Laboratory, program: Program, run: Undisturbed, count: int) -> Result:
    """The same command while the first one, held still, has the directory."""
    directory = lab.trial(program)
    first = Running(program, directory, lab.forks)
    problems = []
    if first.wait_until(lambda _, __: _is_locked(_lock(first.output))):
        first.signal(signal.SIGSTOP)
        before = _unlocked(first.output)
        second = Running(program, directory, lab.forks).finish()
        problems += ended_in_a_line(program, second, REFUSAL)
        if _unlocked(first.output) != before:
            problems.append("the second copy changed the directory of the first")
        first.signal(signal.SIGCONT)
    else:
        problems.append("no lock was seen")
    problems += ended_well(program, first.finish())
    problems += lab.compare(program, directory)
    return Result(program.name, COPY, 1, tuple(problems))


def ended_well(program: Program, ended: Ended) -> list[str]:
    """What is wrong with the end of a run that nothing was in the way of."""
    problems = [f"left running: {command}" for command in ended.left]
    if ended.code:
        problems.append(f"ended with {ended.code}: {last_line(ended.err)}")
    return problems + [f"said: {line}" for line in messages(ended.err)]


def ended_in_a_line(program: Program, ended: Ended, words: str) -> list[str]:
    """What is wrong with the end of a run that could not go on: it says why, in one line."""
    problems = [f"left running: {command}" for command in ended.left]
    if ended.code != 1:
        problems.append(f"ended with {ended.code} instead of 1: {last_line(ended.err)}")
    lines = messages(ended.err)
    if len(lines) != 1 or not lines[0].startswith(f"{program.module.split('.')[-1]}: "):
        problems.append(f"expected one line of why, found {len(lines)}: {last_line(ended.err)}")
    elif words not in lines[0]:
        problems.append(f"expected '{words}', found: {lines[0]}")
    return problems


def messages(err: str) -> list[str]:
    """The lines of standard error that are not bars."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", err)]
    return [
        line for line in lines if line and not BAR.fullmatch(line) and not _STEPS.fullmatch(line)
    ]


def last_line(err: str) -> str:
    """The end of what was said, shortened."""
    return (messages(err) or ["nothing"])[-1][:300]


def _moment(rng: random.Random, run: Undisturbed) -> Callable[[float, int], bool]:
    if run.changes and rng.random() < 0.5:
        wanted = rng.randint(1, run.changes)
        return lambda _, changes: changes >= wanted
    moment = rng.uniform(0, run.seconds)
    return lambda seconds, _: seconds >= moment


def _half_written(lab: Laboratory, program: Program, output: Path) -> list[str]:
    names = torn(lab.expected(program), output, program.tells_time)
    return [f"half-written: {name}" for name in names]


def _lock(output: Path) -> Path:
    """The file that is locked; the report's is beside its page."""
    return next(output.rglob(".lock"), output / ".lock")


def _is_locked(path: Path) -> bool:
    """Whether a process holds the lock. The file alone is there a moment earlier, and to try the
    lock would be to take it."""
    if not path.exists():
        return False
    inode = str(path.stat().st_ino)
    locks = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    return any(line.split()[-3].rpartition(":")[2] == inode for line in locks)


def _unlocked(output: Path) -> set[tuple[str, int, int]]:
    """A snapshot without the locks, which are opened for writing to be tried."""
    return {entry for entry in snapshot(output) if not entry[0].endswith(".lock")}
