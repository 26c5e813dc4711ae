"""docs/python.md and the notebook run to their ends, on toys in the places of the demo's output."""

import json
import re
from pathlib import Path

import pytest

from tests.toys.demo_tree import write_demo_tree

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "lesions.ipynb"


@pytest.fixture
def place(toy_experiment, few_films, tmp_path, monkeypatch, tiny):
    """The current directory, with a demo in it."""
    write_demo_tree(tmp_path / "demo", toy_experiment, few_films)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(blocks, name):
    """Runs blocks of code one after another and returns what they have defined."""
    names = {"__name__": "__main__"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{name}, block {number}", "exec"), names)
    return names


def test_the_example_of_the_docs(place, capsys):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names = run(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S), "docs/python.md")
    shown = capsys.readouterr().out
    assert "(45, 32, 32) float32" in shown
    assert "% accepted" in shown
    assert "p = " in shown
    assert (place / "with_mass.dcm").stat().st_size > 500_000
    assert len(names["synthetic"]) == len(names["boxes"]) > 3
    assert names["variants"].images.shape == (8, 32, 32)
    assert abs(names["change"]).max() > 0.1


def test_the_notebook(place, capsys, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names = run(["".join(cell["source"]) for cell in cells], NOTEBOOK.name)
    assert "after the lesion was added" in capsys.readouterr().out
    assert (place / "with_masses.dcm").exists()
    assert len(names["inserted"].boxes) == 2
    names["plt"].close("all")


def test_the_notebook_is_kept_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all((cell["outputs"], cell["execution_count"]) == ([], None) for cell in code)
    assert NOTEBOOK.stat().st_size < 20_000
