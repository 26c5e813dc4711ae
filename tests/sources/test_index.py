"""The sources that --source names, one's own as docs/data.md has it, and normals from elsewhere."""

import collections
import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from beam_pipelines.patches.job import make_patches
from beam_pipelines.patches.plan import quotas_of
from beam_pipelines.sources.base import HEALTHY, LESION, Image, UnitIndex, merge, split_of
from beam_pipelines.sources.folder import open_folder
from beam_pipelines.sources.index import SOURCES, open_source, source_config
from cgan_tf.config import InsertionConfig, PatchesConfig, PredictImagesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.runs.errors import UserError
from tests.toys.cbis_tree import CbisTree
from tests.toys.omidb_tree import MARK, Tree, breast, dataset, malignant, screening, write
from tests.toys.table_tree import write_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"
NONE = {
    f"{prefix}_{name}": 0
    for prefix, names in {
        "train": "normal malignant_mass benign_mass malignant_calcification benign_calcification "
        "source",
        "eval": "normal malignant_mass malignant_calcification",
    }.items()
    for name in names.split()
}


def _config(source, root, output="", **changes):
    values = {"source": source, "input_dir": str(root), "output_dir": str(output), "size": 32}
    return PatchesConfig(**{**values, "all_in_split": "train", **NONE, **changes})


def _image(number, client="c", **fields):
    return Image(f"/d/{number}.dcm", client, "1", f"1.{number}", "L", "CC", HEALTHY, **fields)


def test_every_built_in_source_has_the_same_interface(tmp_path):
    tree = Tree(tmp_path / "optimam")
    tree.client("demd1", {"LCC": {"7": MARK}}, screening(SURGERY=malignant()))
    cbis = CbisTree(tmp_path / "cbis_ddsm")
    cbis.lesion("mass", "train", "1-130", "P_00001")
    cbis.write_case_files()
    write(tmp_path / "folder" / "1.dcm", dataset())
    write(tmp_path / "table" / "1.dcm", dataset())
    mapping = write_table(
        tmp_path / "table", ["file,woman,side,view,kind,truth", "1.dcm,w,L,CC,healthy,"]
    )
    uses = {}
    for name in SOURCES:
        changes = {"mapping": str(mapping)} if name == "table" else {}
        source = open_source(_config(name, tmp_path / name, **changes))
        index = merge(source.read_unit(unit) for unit in source.units())
        assert isinstance(index, UnitIndex)
        assert index.read["images"] == len(index.images) == 1
        uses[name] = (index.images[0].use, source.labelled)
    assert uses == {
        "optimam": (LESION, True),
        "cbis_ddsm": (LESION, True),
        "table": (HEALTHY, True),
        "folder": ("unknown", False),
    }


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("optima", "expected optimam, cbis_ddsm, folder, table, or module:function"),
        ("json:", "expected optimam"),
        ("no_such_module:open", "cannot be imported: No module named 'no_such_module'"),
        ("json:open_source", "cannot be imported: module 'json' has no attribute 'open_source'"),
    ],
)
def test_a_wrong_name_is_one_line(tmp_path, name, complaint):
    with pytest.raises(UserError, match=complaint) as fault:
        open_source(_config(name, tmp_path))
    assert str(fault.value).startswith(f"--source={name}: ")
    assert "\n" not in str(fault.value)


# A source of one's own

TOY = """
from beam_pipelines.sources import HEALTHY, IMAGES, Image, Reason, UnitIndex, reject_image


class Toy:
    labelled = True

    def __init__(self, root):
        self.root = root

    def units(self):
        return ["1", "2"]

    def read_unit(self, unit):
        image = Image(f"{self.root}/{unit}.dcm", unit, "", f"1.2.{unit}", "L", "CC", HEALTHY,
                      strict=False)
        if unit == "2":
            return UnitIndex((), tuple(reject_image(image, Reason.NO_IMAGE_FILE)), {IMAGES: 1})
        return UnitIndex((image,), (), {IMAGES: 1})


def open_source(config):
    return Toy(config.input_dir)
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The example of docs/data.md as a module in a directory, with data for it."""
    (code,) = re.findall(
        r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S
    )
    root = tmp_path_factory.mktemp("own")
    (root / "marked_folder.py").write_text(code)
    table = [["file", "patient", "side", "view", "class", "x0", "y0", "x1", "y1"]]
    for number in range(8):
        film = dataset(breast(seed=number), SOPInstanceUID=f"1.2.{number}")
        write(root / "data" / f"{number}.dcm", film)
        box = ("malignant_mass", 20, 90, 50, 120) if number < 3 else ("", "", "", "", "")
        table.append([f"{number}.dcm", f"woman {number}", "L", "CC", *box])
    table.append(["0.dcm", "woman 0", "L", "CC", "benign_mass", 60, 60, 70, 80])
    table.append(["1.dcm", "woman 1", "L", "CC", "unheard of", 60, 60, 70, 80])
    table.append(["2.dcm", "woman 2", "L", "CC", "benign_mass", 60, 60, "", 80])
    table.append(["9.dcm", "woman 9", "L", "CC", "benign_mass", 60, 60, 70, 80])
    with (root / "data" / "marks.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    return root


def test_the_example_of_the_documentation_works(example, tmp_path):
    """As a user runs it: the module lies in the working directory."""
    flags = dict.fromkeys(NONE, 0) | {"train_normal": 9, "train_malignant_mass": 6}
    command = [
        *(sys.executable, "-m", "beam_pipelines.make_patches"),
        "--source=marked_folder:open_source",
        f"--input_dir={example}/data",
        f"--output_dir={tmp_path}/out",
        *("--size=32", "--all_in_split=train", "--train_benign_mass=3"),
        *(f"--{name}={count}" for name, count in flags.items() if name != "train_benign_mass"),
    ]
    run = subprocess.run(command, cwd=example, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    patches = PatchSet(tmp_path / "out")
    counts = {name: group.count for name, group in patches.splits["train"].items()}
    assert counts == {"normal": 9, "malignant_mass": 6, "benign_mass": 3}
    ledger = patches.manifest["ledger"]
    assert ledger["images"]["rejected"] == {"unreadable_file": 1}
    assert ledger["marks"]["rejected"] == {
        "no_pathology": 1,
        "broken_mark": 1,
        "image_rejected": 1,
    }
    record = patches.index("train", "benign_mass").record(0)
    assert (record.client_id, record.sop_uid, record.mark_id) == ("woman 0", "1.2.0", "2")


def test_a_toy_source_is_one_file_that_imports_public_names_alone(tmp_path, monkeypatch):
    (tmp_path / "toy_source.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path / "films" / "1.dcm", dataset(breast(seed=1), SOPInstanceUID="1.2.1"))
    config = _config("toy_source:open_source", tmp_path / "films", tmp_path / "out", train_normal=3)
    make_patches(config)
    patches = PatchSet(tmp_path / "out")
    assert patches.manifest["origins"] == {
        "train": {"normal": {"patches": 3, "images": 1, "clients": 1}}
    }
    assert patches.manifest["ledger"]["images"] == {
        "read": 2, "used": 1, "not_needed": 0, "rejected": {"no_image_file": 1}
    }  # fmt: skip


def test_a_mistake_in_the_examples_input_is_one_line(example, tmp_path):
    command = [
        *(sys.executable, "-m", "beam_pipelines.make_patches"),
        "--source=marked_folder:open_source",
        f"--input_dir={tmp_path}/none",
        f"--output_dir={tmp_path}/out",
    ]
    run = subprocess.run(command, cwd=example, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    (line,) = run.stderr.strip().splitlines()
    assert "marks.csv: expected a table of marks" in line


# Splits


def test_a_client_is_in_one_split_whatever_her_images_allow():
    images = (
        _image(1, "a", splits=("test",)),
        _image(2, "a"),
        _image(3, "a", splits=("validation", "test")),
        _image(4, "b", splits=("train", "validation")),
        _image(5, "c"),
    )
    index = merge([UnitIndex((image,), (), {"images": 1}) for image in images])
    config = PatchesConfig()
    splits = collections.defaultdict(set)
    for image in index.images:
        splits[image.client_id].add(split_of(image.client_id, config, image.splits))
    assert splits["a"] == {"test"}
    assert {len(found) for found in splits.values()} == {1}
    assert index.images[4].splits == ("train", "validation", "test")


def test_images_of_a_client_that_allow_no_common_split_are_an_error():
    images = (_image(1, "a", splits=("test",)), _image(2, "a", splits=("train",)))
    with pytest.raises(UserError, match="a: no split is allowed for all of her images"):
        merge([UnitIndex(images, (), {"images": 2})])


# Normals


def test_a_folder_of_healthy_films_gives_normals_beside_a_data_set(tmp_path):
    cbis = CbisTree(tmp_path / "cbis")
    cbis.lesion("mass", "test", "1-130", "P_00001")
    cbis.write_case_files()
    for number in range(3):
        film = dataset(breast(seed=number), SOPInstanceUID=f"1.9.{number}", PatientID=f"w{number}")
        write(tmp_path / "healthy" / f"{number}.dcm", film)
    same = dataset(breast(seed=7), SOPInstanceUID="1.9.7", PatientID="Calc-Test_P_00001_R_CC")
    write(tmp_path / "healthy" / "7.dcm", same)
    (tmp_path / "healthy" / "notes.txt").write_text("x")
    config = _config(
        "cbis_ddsm",
        tmp_path / "cbis",
        normals_dir=str(tmp_path / "healthy"),
        normals_from_lesion_images=False,
        all_in_split="",
        train_normal=5,
        eval_normal=5,
    )
    source = open_source(config)
    index = merge(source.read_unit(unit) for unit in source.units())
    assert index.read == {"images": 5, "marks": 1, "files": 4 + 2 + 1}
    healthy = [image for image in index.images if image.use == HEALTHY]
    assert {image.evidence for image in healthy} == {"said to be healthy by --normals_dir"}
    assert [item.reason.value for item in index.rejections] == ["cropped_image", "not_dicom"]
    quotas = {quota.group: quota.images for quota in quotas_of(index.images, config)}
    normal = [image for group, images in quotas.items() if "normal" in group for image in images]
    assert len(normal) == 4
    (known,) = [image for image in healthy if image.client_id == "P_00001"]
    assert known in quotas["test/normal"]  # she is in CBIS-DDSM's test set


def test_a_folder_beside_a_folder_is_refused(tmp_path):
    write(tmp_path / "1.dcm", dataset())
    with pytest.raises(UserError, match="--normals_dir: expected with lesions"):
        open_source(_config("folder", tmp_path, normals_dir=str(tmp_path)))
    with pytest.raises(UserError, match="expected a directory of DICOM files"):
        open_folder(str(tmp_path / "none"))


@pytest.mark.parametrize(("flag", "normal"), [(None, False), (False, False), (True, True)])
def test_omi_dbs_lesion_images_give_normals_when_asked(tmp_path, flag, normal):
    tree = Tree(tmp_path)
    case = screening(SURGERY=malignant())
    far = {**MARK, "X1": "60", "X2": "70"}
    tree.client("demd1", {"LCC": {"7": MARK}, "LMLO": {"7": MARK, "8": {**far, "X1": "x"}}}, case)
    source = open_source(_config("optimam", tmp_path, normals_from_lesion_images=flag))
    index = merge(source.read_unit(unit) for unit in source.units())
    beside = {image.view: image.normals_beside for image in index.images}
    assert beside == {"CC": normal, "MLO": False}  # one of the MLO's marks is broken


def test_normals_of_omi_dbs_lesion_images_keep_away_from_their_boxes(tmp_path):
    tree = Tree(tmp_path / "tree")
    box = {**MARK, "X1": "90", "Y1": "20", "X2": "120", "Y2": "40"}
    tree.client("demd1", {"LCC": {"7": box}}, screening(SURGERY=malignant()))
    config = _config(
        "optimam", tree.root, tmp_path / "out", train_normal=8, normals_from_lesion_images=True
    )
    make_patches(config)
    patches = PatchSet(tmp_path / "out")
    assert patches.manifest["normals_from_lesion_images"] is True
    index = patches.index("train", "normal")
    for record in map(index.record, range(len(index))):
        left, top, side = record.window
        assert left + 2 * side <= 90 or top - side >= 40
    with pytest.raises(UserError, match=r"train/normal +8 +0"):
        make_patches(_config("optimam", tree.root, tmp_path / "none", train_normal=8))


@pytest.mark.parametrize("program", [InsertionConfig, PredictImagesConfig])
def test_other_programs_hand_a_source_its_own_flags_and_no_others(program):
    said = {"source": "table", "input_dir": "films", "mapping": "m.toml", "table": "t.csv"}
    assert source_config(program(**said, output_dir="out", seed=3)) == PatchesConfig(**said)
