"""docs/paper_map.md: its defaults are those of the code, and no quoted flag is missing."""

import dataclasses
import re
from pathlib import Path

from cgan_tf import config as cgan_tf_config

ROOT = Path(__file__).parents[2]
PAPER_MAP = ROOT / "docs" / "paper_map.md"
CONFIGS = [
    value
    for value in vars(cgan_tf_config).values()
    if isinstance(value, type) and value.__name__.endswith("Config")
]
DEFAULTS: dict[str, list] = {}
for _config in CONFIGS:
    for _field in dataclasses.fields(_config):
        DEFAULTS.setdefault(_field.name, []).append(_field.default)
QUOTE = re.compile(r"(?<!\w)'[^']{6,}'")
FLAG = re.compile(r"--([a-z0-9_]+)")


def text_of(path: Path) -> str:
    """A document, with Beam's own options (`--beam=--runner=...`) left out."""
    return re.sub(r"--beam=--\w+", "--beam", path.read_text(encoding="utf-8"))


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
        if QUOTE.search(field.metadata["help"])
    }
    assert len(quoting) > 50
    assert sorted(quoting - set(FLAG.findall(text_of(PAPER_MAP)))) == []


def _same(text: str, value) -> bool:
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, int | float):
        return bool(text) and float(text) == value
    return text == (value if isinstance(value, str) else ",".join(value))
