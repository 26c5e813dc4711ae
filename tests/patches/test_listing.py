"""Listings: the golden tree's rows, sums that agree with a run's, and what they leave alone."""

import collections
import csv
import io
import json
import os
import random
from pathlib import Path

import pytest

from beam_pipelines.dicom import grey_levels, pixels, reading
from beam_pipelines.patches import shards
from beam_pipelines.patches.job import make_patches
from beam_pipelines.patches.listing import LISTING_FILES, image_rows, mark_rows
from beam_pipelines.rejections import Reason
from beam_pipelines.sources.base import merge
from beam_pipelines.sources.omidb_files import find_tree
from beam_pipelines.sources.optimam import Optimam
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.labels import SPLITS
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError
from tests.toys.omidb_golden import LAYOUTS, clients, expected, write_client, write_golden
from tests.toys.omidb_tree import MARK, Tree, dataset, malignant, screening, write

TABLES = ("images.csv", "marks.csv", "files.csv")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden(tmp_path_factory.mktemp("golden"))


@pytest.fixture
def no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever decodes is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pixel was read")

    monkeypatch.setattr(reading, "decode_pixels", refuse)
    monkeypatch.setattr(pixels, "decode_pixels", refuse)
    monkeypatch.setattr(reading, "read_mammogram", refuse)
    monkeypatch.setattr(grey_levels, "grey_levels", refuse)
    monkeypatch.setattr(shards, "cut_image", refuse)


def _config(root: Path, output: Path, **changes: object) -> PatchesConfig:
    return PatchesConfig(input_dir=str(root), output_dir=str(output), list_only=True, **changes)


def _listed(root: Path, output: Path, **changes: object) -> dict[str, list[dict[str, str]]]:
    """The rows of every table of a fresh listing."""
    make_patches(_config(root, output, **changes))
    return {name: _rows((output / name).read_text(encoding="utf-8")) for name in TABLES}


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _by_reason(rows: list[dict[str, str]]) -> dict[str, int]:
    return dict(collections.Counter(row["reason"] for row in rows if row["reason"]))


# The golden tree


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_golden_tree_has_its_rows_in_every_layout(tmp_path, layout, no_pixels):
    root = write_golden(tmp_path / "tree", layout)
    found = _listed(root, tmp_path / "out")
    for name in TABLES:
        assert found[name] == _rows(expected(name, layout))
        assert (tmp_path / "out" / name).read_text(encoding="utf-8") == expected(name, layout)


def test_the_golden_tree_has_every_reason_that_omi_db_can_give():
    rows = [row for name in TABLES for row in _rows(expected(name))]
    of_cbis_ddsm = {Reason.CROPPED_IMAGE, *_between(Reason.DUPLICATE_MARK, Reason.EMPTY_MASK)}
    of_insertion = {Reason.LESION_TOO_LARGE, Reason.NO_LESION_ACCEPTED}
    of_images = {Reason.UNUSABLE_MARK}  # of make_images alone
    needs_pixels_or_flags = {
        *_between(Reason.BROKEN_DICOM, Reason.NO_VALID_WINDOW),
        Reason.NON_SQUARE_PIXELS,
        Reason.SIDE_CAR_DISAGREES,
        Reason.NO_FOLLOW_UP,
        Reason.NOT_DICOM,
        Reason.UNREADABLE_FILE,
    }
    of_no_screening = {*_between(Reason.STEREOTACTIC, Reason.QUALITY_CONTROL)}  # tests/dicom
    of_tables = {Reason.BROKEN_ROW, Reason.LEFT_OUT_BY_MAPPING, Reason.UNKNOWN_WORD}
    others = needs_pixels_or_flags | of_cbis_ddsm | of_insertion | of_images
    others |= of_no_screening | of_tables
    assert {row["reason"] for row in rows} - {""} == set(Reason) - others


def _between(first: Reason, last: Reason) -> list[Reason]:
    reasons = list(Reason)
    return reasons[reasons.index(first) : reasons.index(last) + 1]


def test_the_sums_of_the_tables_are_the_ledger(golden, tmp_path):
    found = _listed(golden, tmp_path)
    content = json.loads((tmp_path / "listing.json").read_text())
    for kind in ("images", "marks", "files"):
        ledger, rows = content["ledger"][kind], found[f"{kind}.csv"]
        assert _by_reason(rows) == ledger["rejected"]
        assert ledger["read"] == ledger["usable"] + len([row for row in rows if row["reason"]])
    images, marks = found["images.csv"], found["marks.csv"]
    assert len(images) == content["ledger"]["images"]["read"]
    assert len(marks) == content["ledger"]["marks"]["read"]
    assert sum(int(row["marks"]) for row in images) == len(marks)
    assert sum(int(row["usable_marks"]) for row in images) == content["ledger"]["marks"]["usable"]
    repairs = collections.Counter(word for row in marks for word in row["repairs"].split())
    assert repairs == content["ledger"]["marks"]["repaired"]


def test_what_is_usable_is_counted_by_split_and_class(golden, tmp_path):
    found = _listed(golden, tmp_path)
    splits = json.loads((tmp_path / "listing.json").read_text())["splits"]
    for split in SPLITS:
        images = [row for row in found["images.csv"] if row["split"] == split]
        marks = [row for row in found["marks.csv"] if row["split"] == split]
        names = {name for row in images for name in row["good_for"].split()}
        assert set(splits.get(split, {})) == names
        for name in names:
            able = [row for row in images if name in row["good_for"].split()]
            assert splits[split][name] == {
                "clients": len({row["client_id"] for row in able}),
                "images": len(able),
                "marks": sum(row["patch_class"] == name for row in marks),
            }


# Independence of the clients


@pytest.mark.parametrize("seed", range(4))
def test_other_clients_change_no_clients_split_and_no_row(golden, tmp_path, seed):
    rng = random.Random(seed)
    kept = [name for name in clients() if rng.random() < 0.5]
    for name in kept:
        write_client(tmp_path / "tree", name)
    whole = _listed(golden, tmp_path / "whole", seed=seed)
    part = _listed(tmp_path / "tree", tmp_path / "part", seed=seed)
    for name in ("images.csv", "marks.csv"):
        assert [row for row in whole[name] if row["client_id"] in kept] == part[name]


def test_each_client_can_go_without_a_trace(golden):
    source = Optimam(find_tree(str(golden)))
    units = {name: source.read_unit(name) for name in source.units()}
    config = PatchesConfig(input_dir=str(golden))
    whole = merge(units.values())
    for rows_of in (image_rows, mark_rows):
        rows = list(rows_of(whole, config))
        for gone in units:
            rest = merge(index for name, index in units.items() if name != gone)
            left = [row for row in rows if row["client_id"] != gone]
            assert list(rows_of(rest, config)) == left


# Beside a run


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "tree")
    case = screening(SURGERY=malignant())
    tree.client("demd1", {"LCC": {"7": MARK, "8": {**MARK, "X1": None}}, "RCC": None}, case)
    tree.client("demd2", {"LCC": None, "LMLO": None})
    (tree.data / "demd2" / "notes.txt").write_text("x")
    return tree


COUNTS = {
    "size": 32,
    "all_in_split": "train",
    "train_normal": 2,
    "train_malignant_mass": 2,
    "train_benign_mass": 0,
    "train_malignant_calcification": 0,
    "train_benign_calcification": 0,
    "train_source": 0,
    "eval_normal": 0,
    "eval_malignant_mass": 0,
    "eval_malignant_calcification": 0,
}


def test_a_run_in_the_directory_of_its_listing_agrees_with_it_and_leaves_it(tree, tmp_path):
    output = tmp_path / "out"
    found = _listed(tree.root, output, **COUNTS)
    before = {name: (output / name).read_bytes() for name in LISTING_FILES}
    make_patches(PatchesConfig(input_dir=str(tree.root), output_dir=str(output), **COUNTS))
    ledger = read_manifest(output, "make_patches")["ledger"]
    for kind in ("images", "marks", "files"):
        assert ledger[kind]["rejected"] == _by_reason(found[f"{kind}.csv"])
    for kind in ("images", "marks"):
        assert ledger[kind]["read"] == len(found[f"{kind}.csv"])
    assert {name: (output / name).read_bytes() for name in LISTING_FILES} == before


def test_a_run_is_not_listed_over(tree, tmp_path):
    output = tmp_path / "out"
    make_patches(PatchesConfig(input_dir=str(tree.root), output_dir=str(output), **COUNTS))
    before = sorted(path.name for path in output.iterdir())
    with pytest.raises(UserError, match="holds a run; --list_only needs a directory without one"):
        make_patches(_config(tree.root, output, **COUNTS))
    assert sorted(path.name for path in output.iterdir()) == before


def test_other_peoples_files_are_left_alone(tree, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("precious")
    with pytest.raises(UserError, match=r"expected an empty directory .* found thesis\.docx"):
        make_patches(_config(tree.root, tmp_path / "out"))


def test_no_input_is_no_directory(tmp_path):
    with pytest.raises(UserError, match="expected a directory with DATA and IMAGES"):
        make_patches(_config(tmp_path / "none", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_listing_takes_the_place_of_an_earlier_one(tree, tmp_path):
    output = tmp_path / "out"
    _listed(tree.root, output, all_in_split="test")
    assert _listed(tree.root, output, all_in_split="train") == _listed(
        tree.root, tmp_path / "fresh", all_in_split="train"
    )
    assert json.loads((output / "listing.json").read_text())["flags"]["all_in_split"] == "train"


def test_an_interrupted_listing_has_no_listing_json(tree, tmp_path, monkeypatch):
    output = tmp_path / "out"
    _listed(tree.root, output, seed=1)
    real = files.write_atomically_from

    def interrupt(path, parts):
        if path.endswith("marks.csv"):
            parts = (_stop(part) for part in parts)
        real(path, parts)

    def _stop(part):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomically_from", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make_patches(_config(tree.root, output, seed=2))
    names = {path.name for path in output.iterdir()}
    assert names == {*LISTING_FILES, ".lock"} - {"listing.json"}
    _listed(tree.root, output, seed=2)
    assert (output / "listing.json").exists()


# A folder of films


def test_a_folder_is_listed_too(tmp_path, no_pixels):
    root = tmp_path / "films"
    attributes = [
        {"PatientID": "P_00001", "ImageLaterality": "L", "ViewPosition": "CC"},
        {"PatientID": "P_00002", "ImageLaterality": "R", "ViewPosition": "ML"},
        {"PatientID": "P_00003", "ImageLaterality": None, "ViewPosition": None},
        {"PatientID": "P_00003", "SOPInstanceUID": "1.0"},
    ]
    for number, values in enumerate(attributes):
        header = dataset(**{"SOPInstanceUID": f"1.{number}", "StudyInstanceUID": "1"} | values)
        del header.PixelData
        write(root / f"{number}.dcm", header)
    (root / "notes.txt").write_text("x")
    found = _listed(root, tmp_path / "out", source="folder", all_in_split="test")
    columns = ("file", "client_id", "laterality", "view", "good_for", "reason", "detail")
    assert [tuple(row[name] for name in columns) for row in found["images.csv"]] == [
        ("0.dcm", "P_00001", "L", "CC", "unlabelled", "", ""),
        ("1.dcm", "P_00002", "R", "", "", "wrong_view", "ML"),
        ("2.dcm", "P_00003", "", "", "unlabelled", "", ""),
        ("3.dcm", "P_00003", "L", "CC", "", "duplicate_image", "0.dcm"),
    ]
    assert found["marks.csv"] == []
    assert [(row["file"], row["reason"]) for row in found["files.csv"]] == [
        ("notes.txt", "not_dicom")
    ]
    flags = {"source": "folder", "assume_normal": True}
    (first, *_) = _listed(root, tmp_path / "normal", **flags)["images.csv"]
    assert first["good_for"] == "normal"


def test_a_name_that_is_no_text_is_written_with_escapes(tmp_path):
    header = dataset()
    write(tmp_path / "films" / "a.dcm", header)
    os.rename(tmp_path / "films" / "a.dcm", os.fsencode(tmp_path / "films") + b"/\xff.dcm")
    (row,) = _listed(tmp_path / "films", tmp_path / "out", source="folder")["images.csv"]
    assert row["file"] == r"\udcff.dcm"
