"""The commands and files of docs/table.md, run as they are written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toys.omidb_tree import breast, dataset, write
from tests.toys.table_tree import ROOT, config_of, drawn, index_of, write_image

DOCUMENT = (ROOT / "docs" / "table.md").read_text(encoding="utf-8")
SMALL = [
    "--size=32",
    "--all_in_split=train",
    "--train_normal=2",
    "--train_malignant_mass=2",
]


def _block(kind, number=0):
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.S)[number]


def _command(containing):
    joined = DOCUMENT.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if line.startswith("    python -m beam")]
    (found,) = [line for line in lines if containing in line]
    return shlex.split(found)[3:]


@pytest.fixture
def mine(tmp_path):
    """The example of the page, its images drawn."""
    root = tmp_path / "mine"
    for number in (1, 2, 3):
        pixels = breast((1600, 1280))
        write(root / "images" / f"000{number}.dcm", dataset(pixels, SOPInstanceUID=f"1.{number}"))
    (root / "lesions.csv").write_text(_block("csv"), encoding="utf-8")
    (tmp_path / "mine.toml").write_text(_block("toml"), encoding="utf-8")
    return root


def test_the_example_of_dicom_and_a_table(mine):
    index = index_of(config_of(mine, mine.parent / "mine.toml"))
    found = [(i.laterality, i.use, *(m.patch_class for m in i.marks)) for i in index.images]
    assert found == [("L", "lesion", "malignant_mass"), ("L", "lesion", "benign_calcification"),
                     ("L", "healthy")]  # fmt: skip


def test_the_example_of_png_and_a_table(mine):
    table = _block("csv").replace(".dcm", ".png").splitlines()
    rows = [
        f"{line},{more}" for line, more in zip(table, ["side,view", *["R,CC"] * 3], strict=True)
    ]
    (mine / "lesions.csv").write_text("\n".join(rows), encoding="utf-8")
    image = _block("toml", 1)
    mapping = re.sub(r"\[image\]\n(?:.+\n)+", image, _block("toml"))
    (mine.parent / "mine.toml").write_text(mapping, encoding="utf-8")
    for number in (1, 2, 3):
        write_image(mine / "images" / f"000{number}.png", drawn((1600, 1280)))
    index = index_of(config_of(mine, mine.parent / "mine.toml"))
    assert [(i.laterality, i.view, i.facts.spacing_mm) for i in index.images] == [
        ("R", "CC", 0.1)
    ] * 3


def _run(arguments, directory):
    command = [sys.executable, "-m", "beam_pipelines.make_patches", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("end", ["--list_only", "--allow_shortfall"])
def test_the_commands_run(mine, end, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    arguments = [part.replace("/data/mine", str(mine)) for part in _command_of(end)]
    done = _run([*arguments, *SMALL], mine.parent)
    assert done.returncode == 0, done.stderr
    name = "listing/listing.json" if end == "--list_only" else "patches/manifest.json"
    assert (mine.parent / name).exists()


def _command_of(end):
    joined = DOCUMENT.replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if "--mapping=mine.toml" in line]
    (found,) = [line for line in lines if line.rstrip().endswith(end)]
    return shlex.split(found)[3:]


def test_the_command_for_mini_mias(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    rows = []
    for number in range(1, 5):
        image = (drawn((400, 300), [(60.5, 199.5, 12)]) >> 4).astype("uint8")
        write_image(tmp_path / "mini-mias" / f"mdb00{number}.png", image)
        rows.append(f"mdb00{number} G " + ("CIRC M 60 200 12" if number < 3 else "NORM"))
    (tmp_path / "mini-mias" / "Info.txt").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = _run([*_command("mini-mias"), *SMALL], Path(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "malignant_mass" in done.stdout
    assert (tmp_path / "patches" / "manifest.json").exists()
