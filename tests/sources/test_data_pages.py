"""Each page that docs/data.md leads to: its commands run as they are written, on drawn data."""

import re
import shutil

import pytest

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import NORMAL, PATCH_CLASSES
from tests.sources.test_index import NONE
from tests.toys.cbis_tree import CbisTree
from tests.toys.omidb_tree import MARK, Tree, breast, dataset, malignant, screening, write
from tests.toys.page_commands import ROOT, commands_of, run_command

SHAPE = (1200, 960)  # with --resample_spacing_mm=0.4 still larger than a patch
WANTED = {"train_normal": 3, "train_malignant_mass": 2}
SMALL = {
    "make_patches": [
        *("--size=32", "--all_in_split=train", "--folder_patches=4"),
        *(f"--{name}={count}" for name, count in {**dict.fromkeys(NONE, 0), **WANTED}.items()),
    ],
    "make_phantom": ["--clients=1", "--workers=1", "--broken_files=0"],
}
LESIONS = {"malignant_mass": 2, "normal": 3}
# What each command of a page leaves: the classes of a patch set, or a file.
EXPECTED = {
    "omi_db.md": [
        "patches/listing.json",
        LESIONS,
        "patches/contact_sheets/train_malignant_mass.png",
        LESIONS,
        "phantom/DATA",
    ],
    "cbis_ddsm.md": [
        "patches/listing.json",
        LESIONS,
        "patches/contact_sheets/train_malignant_mass.png",
    ],
    "healthy_images.md": [
        "films/listing.json",
        {"unlabelled": 4},
        "films/contact_sheets/train_unlabelled.png",
        {"normal": 4},
        LESIONS,
    ],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What the pages name: a copy of OMI-DB, one of CBIS-DDSM, and films."""
    root = tmp_path_factory.mktemp("data")
    tree = Tree(root / "omi-db")
    images = {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}
    tree.client("demd1", images, screening(SURGERY=malignant()), shape=SHAPE)
    tree.client("demd2", {"LCC": None, "RCC": None}, shape=SHAPE)
    cbis = CbisTree(root / "CBIS-DDSM")
    cbis.lesion("mass", "train", "1-283", "P_00001")
    cbis.write_case_files()
    for number in range(2):
        ids = {"SOPInstanceUID": f"1.{number}", "PatientID": f"p{number}"}
        film = dataset(breast(SHAPE, number), **ids)
        write(root / "healthy-films" / f"{number}.dcm", film)
    return root


def _run(command, data):
    """Runs a command with counts that drawn data can give; returns where it wrote."""
    for folder in ("/data/omi-db", "/data/healthy-films", "CBIS-DDSM"):
        command = re.sub(rf"(?<==){folder}\b", str(data / folder.removeprefix("/data/")), command)
    command = command.replace("=/data/films", f"={data}/healthy-films")
    more = next((flags for name, flags in SMALL.items() if f".{name} " in command), [])
    run_command(command, more)


@pytest.mark.parametrize("page", EXPECTED)
def test_the_commands_of_a_page_run(data, page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    commands = commands_of(page)
    assert len(commands) == len(EXPECTED[page])
    for command, expected in zip(commands, EXPECTED[page], strict=True):
        if isinstance(expected, str):
            _run(command, data)
            assert (tmp_path / expected).exists(), command
            continue
        output = re.search(r"--output_dir=(\S+)", command)[1]
        if (tmp_path / output / "manifest.json").exists():
            shutil.rmtree(tmp_path / output)
        _run(command, data)
        patches = PatchSet(tmp_path / output)
        counts = {name: patches.count("train", name) for name in PATCH_CLASSES}
        assert {name: count for name, count in counts.items() if count} == expected
        if "--normals_dir" in command:
            normals = patches.index("train", NORMAL)
            owners = {normals.record(number).client_id for number in range(len(normals))}
            assert len(owners) == 3  # of the two healthy films, too


def test_the_index_leads_to_every_page():
    index = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    table = index[: index.index("\n## ")]
    assert {f"]({page})" for page in EXPECTED} <= set(re.findall(r"\]\([\w.]+\)", table))
    assert "(table.md#dicom-and-a-table)" in table
    assert "(table.md#png-and-a-table)" in table
