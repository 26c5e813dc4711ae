"""docs/reliability.md promises nothing that is not tested."""

import ast
import re
from pathlib import Path

import pytest

from tests.chaos import results
from tests.chaos.chain import DISTURBED

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> list[tuple[str, str]]:
    """(promise, what checks it) of every row of the tables of promises."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
    return [row for row in rows if not row[1].startswith(("Checked by", "---"))]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[0][:40])
def test_every_promise_names_tests_that_exist(row):
    checks = TEST.findall(row[1])
    assert checks
    assert TEST.sub("", row[1]).strip(", ") == ""
    for file, name in checks:
        assert (ROOT / file).exists(), file
        assert name in names_in(ROOT / file), (file, name)
        assert name.startswith("test_") or file.startswith("tests/chaos/")


def test_there_are_promises_of_every_kind():
    assert len(promises()) > 15
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert len(headings) == 5
    assert len(TEST.findall(TEXT)) == len(TEST.findall("".join(row[1] for row in promises())))


def test_the_results_of_the_chaos_are_whole():
    shown = TEXT.split(results.BEGIN)[1].split(results.END)[0]
    for program in DISTURBED:
        assert f"| `{program.name}` |" in shown
    (total,) = re.findall(r"^\| all \| .*$", shown, re.MULTILINE)
    numbers = sorted(int(cell) for cell in re.findall(r"\d+", total))
    assert numbers[-1] >= 50  # kills
    assert numbers[0] >= len(DISTURBED) - 1  # the first has no inputs
