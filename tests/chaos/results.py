"""The results as a section of the documentation."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.chaos.disturbances import KINDS, Result, Undisturbed

BEGIN, END = "<!-- results of make chaos -->", "<!-- end of the results -->"
_LIBRARIES = ("tensorflow", "keras", "apache-beam", "numpy")


def section(
    found: Sequence[Result], runs: dict[str, Undisturbed], seed: int, seconds: float
) -> str:
    """A table: a row a program, a column a disturbance, in each how many of the tries went well."""
    kinds = [kind for kind in KINDS if any(result.kind == kind for result in found)]
    cells = {(result.program, result.kind): _cell(result) for result in found}
    names = list(dict.fromkeys(result.program for result in found))
    rows = [
        [
            f"`{name}`",
            f"{runs[name].seconds:.0f} s",
            *(cells.get((name, kind), "") for kind in kinds),
        ]
        for name in names
    ]
    total = ["all", "", *(_total([r for r in found if r.kind == kind]) for kind in kinds)]
    table = [
        _row(["Program", "Undisturbed", *kinds]),
        _row(["---", *["---:"] * (1 + len(kinds))]),
        *map(_row, [*rows, total]),
    ]
    broken = [f"- `{r.program}`, {r.kind}: {p}" for r in found for p in r.problems]
    head = (
        f"`make chaos` with seed {seed}: {sum(r.tried for r in found)} disturbances, "
        f"{len(broken)} broken promises, {seconds / 60:.0f} minutes in all on {machine()}."
    )
    return "\n".join([head, "", *table, *(["", *broken] if broken else [])])


def machine() -> str:
    """Processor, cores, memory, system and versions, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, {libraries}"
    )


def write_into(document: Path, text: str) -> None:
    """Puts the results between the document's two marks."""
    before, rest = document.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def _cell(result: Result) -> str:
    if not result.tried:
        return "–"
    return f"{len(result.problems)} broken" if result.problems else str(result.tried)


def _total(found: Sequence[Result]) -> str:
    return str(sum(result.tried for result in found))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "an unknown processor"
