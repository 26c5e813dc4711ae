"""The templates, styles and scripts of the pages come with an installed package."""

import re
import tomllib
from pathlib import Path

from cgan_tf.pages import html
from cgan_tf.pages.html import asset

ROOT = Path(__file__).parents[2]


def test_a_wheel_carries_every_asset():
    """By the patterns that setuptools is given; a folder without Python has no other way in."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    patterns = setuptools["package-data"]["cgan_tf.pages"]
    pages = ROOT / "cgan_tf" / "pages"
    carried = {path for pattern in patterns for path in pages.glob(pattern)}
    others = {path for path in pages.rglob("*") if path.is_file() and path.suffix != ".py"}
    assert {path for path in others if "__pycache__" not in path.parts} == carried
    assert {"page.html.j2", "page.css", "before_after.js"} <= {path.name for path in carried}


def test_every_kind_of_part_has_a_macro():
    text = asset("parts.html.j2")
    macros = set(re.findall(r"{% macro (\w+)\(part\)", text))
    assert macros == {kind.__name__.lower() for kind in html.Part.__args__}


def test_no_markup_style_or_script_is_left_in_python():
    for room in ("pages", "reporting"):
        for path in (ROOT / "cgan_tf" / room).glob("*.py"):
            source = path.read_text(encoding="utf-8")
            assert not re.search(r"</?(p|div|h\d|td|figure|img|svg|input|script|style)\b", source)
            assert "font-size:" not in source
