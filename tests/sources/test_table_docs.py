"""The commands and files of docs/table.md, run as they are written."""

import re

import pytest

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import MALIGNANT_MASS, NORMAL
from tests.sources.test_index import NONE
from tests.toys.omidb_tree import breast, dataset, write
from tests.toys.page_commands import commands_of, run_command
from tests.toys.table_tree import ROOT, config_of, drawn, index_of, write_image

DOCUMENT = (ROOT / "docs" / "table.md").read_text(encoding="utf-8")
WANTED = {"train_normal": 2, "train_malignant_mass": 2}
SMALL = [
    *("--size=32", "--all_in_split=train"),
    *(f"--{name}={count}" for name, count in {**dict.fromkeys(NONE, 0), **WANTED}.items()),
]


def _block(kind, number=0):
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.S)[number]


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


@pytest.mark.parametrize(
    ("end", "expected"),
    [("--list_only", "listing/listing.json"), ("--allow_shortfall", "patches/manifest.json")],
)
def test_the_commands_run(mine, end, expected, monkeypatch):
    monkeypatch.chdir(mine.parent)
    commands = [line for line in commands_of("table.md") if "--mapping=mine.toml" in line]
    (command,) = [line for line in commands if line.endswith(end)]
    run_command(command.replace("/data/mine", str(mine)), SMALL)
    assert (mine.parent / expected).exists()


def test_the_command_for_mini_mias(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(1, 5):
        image = (drawn((400, 300), [(60.5, 199.5, 12)]) >> 4).astype("uint8")
        write_image(tmp_path / "mini-mias" / f"mdb00{number}.png", image)
        rows.append(f"mdb00{number} G " + ("CIRC M 60 200 12" if number < 3 else "NORM"))
    (tmp_path / "mini-mias" / "Info.txt").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (command,) = [line for line in commands_of("table.md") if "mini-mias" in line]
    run_command(command, SMALL)
    patches = PatchSet(tmp_path / "patches")
    assert (patches.count("train", MALIGNANT_MASS), patches.count("train", NORMAL)) == (2, 2)


def test_the_command_for_vindr_mammo(tmp_path, monkeypatch):
    """A tree in its layout; every finding is the mass that is drawn."""
    monkeypatch.chdir(tmp_path)
    heading = (
        "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,"
        "breast_density,finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
    )
    rows = [heading]
    for number in range(1, 5):
        pixels = drawn((400, 300), [(60.5, 199.5, 12)] if number < 3 else [])
        path = tmp_path / "vindr-mammo" / "images" / f"s{number}" / f"i{number}.dicom"
        header = {"ImageLaterality": "L", "ViewPosition": "CC", "SOPInstanceUID": f"1.{number}"}
        write(path, dataset(pixels, **header))
        finding = "4,DENSITY C,['Mass'],BI-RADS 4,48,187,73,212"
        if number > 2:
            finding = "1,DENSITY C,['No Finding'],,,,,"
        rows.append(f"s{number},x,i{number},L,CC,400,300,BI-RADS {finding},training")
    table = tmp_path / "vindr-mammo" / "finding_annotations.csv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (command,) = [line for line in commands_of("table.md") if "vindr-mammo" in line]
    run_command(command, SMALL)
    patches = PatchSet(tmp_path / "patches")
    assert (patches.count("train", MALIGNANT_MASS), patches.count("train", NORMAL)) == (2, 2)
