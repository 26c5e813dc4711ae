"""docs/: what they name exists."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest

from cgan_tf import config as configs

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAPER_MAP = ROOT / "docs" / "paper_map.md"
CONFIGS = [
    value
    for value in vars(configs).values()
    if dataclasses.is_dataclass(value) and isinstance(value, type)
]
DEFAULTS: dict[str, list] = {}
for _config in CONFIGS:
    for _field in dataclasses.fields(_config):
        DEFAULTS.setdefault(_field.name, []).append(_field.default)
FLAG = re.compile(r"--([a-z0-9_]+)")
# `name` or `name`, `name` ... in `some/file.py`
FUNCTION = re.compile(r"((?:`\w+`(?:, )?)+) in `([\w/]+\.py)`")
OTHERS = {"flagfile", "help"}  # absl's own


def text_of(path: Path) -> str:
    """A document, with Beam's own options (`--beam=--runner=...`) left out."""
    return re.sub(r"--beam=--\w+", "--beam", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_flag_exists(path):
    named = set(FLAG.findall(text_of(path))) - OTHERS
    assert sorted(named - set(DEFAULTS)) == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_file_exists(path):
    named = re.findall(r"`((?:cgan_tf|beam_pipelines|configs|tests|docs)/[\w./]+)`", text_of(path))
    assert [name for name in named if not (ROOT / name).exists()] == []
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(path))
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_function_is_in_its_file(path):
    for names, file in FUNCTION.findall(text_of(path)):
        known = _names_in(ROOT / file)
        assert set(re.findall(r"`(\w+)`", names)) <= known, (names, file)


def test_the_paper_map_names_the_defaults():
    rows = [line for line in text_of(PAPER_MAP).splitlines() if line.startswith("| ")]
    checked = 0
    for name, text in re.findall(r"`--(\w+)=([^`]*)`", "\n".join(rows)):
        values = DEFAULTS[name]
        assert any(_same(text, value) for value in values), (name, text, values)
        checked += 1
    assert checked > 60


def test_every_flag_that_quotes_the_paper_is_in_the_paper_map():
    quoting = {
        field.name
        for config in CONFIGS
        for field in dataclasses.fields(config)
        if field.metadata["help"].startswith("'")
    }
    assert sorted(quoting - set(FLAG.findall(text_of(PAPER_MAP)))) == []


def _names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    }
    targets = [node.targets for node in tree.body if isinstance(node, ast.Assign)]
    return names | {t.id for group in targets for t in group if isinstance(t, ast.Name)}


def _same(text: str, value) -> bool:
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, int | float):
        return bool(text) and float(text) == value
    return text == (value if isinstance(value, str) else ",".join(value))
