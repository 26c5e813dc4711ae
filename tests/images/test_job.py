"""make_images on tiny trees: places, splits, ledger, resuming, refusals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.images import job, reduction
from beam_pipelines.images.job import make_images
from cgan_tf.config import ImagesConfig
from cgan_tf.data.images import ImageSet
from cgan_tf.data.provenance import patient_digest
from cgan_tf.runs.directory import write_json
from cgan_tf.runs.errors import UserError
from tests.toys.omidb_tree import MARK, Tree, malignant, screening

CALCIFICATION = {**MARK, "Mass": None, "SuspiciousCalcifications": 1, "MarkID": 8, "X2": "60"}


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path / "tree")
    case = screening(SURGERY=malignant())
    benign = screening(SURGERY=malignant(opinion="H2"))
    tree.client("demd1", {"LCC": {"7": MARK, "8": CALCIFICATION}, "LMLO": {"7": MARK}}, case)
    tree.client("demd2", {"LCC": {"7": MARK}}, benign)
    for number in range(3, 7):
        tree.client(f"demd{number}", {"LCC": None, "LMLO": None})
    return tree


def _config(tree, output, **changes):
    values = {"all_in_split": "train", **changes}
    return ImagesConfig(input_dir=str(tree.root), output_dir=str(output), **values)


def _records(directory, split="train"):
    index = ImageSet(directory).index(split)
    return {record.sop_uid: record for record in map(index.record, range(len(index)))}


def _files(directory):
    own = ("run.json", "manifest.json", ".lock")
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in Path(directory).rglob("*")
        if path.is_file() and path.name not in own
    }


def test_images_come_reduced_with_the_boxes_of_the_stored_image(tree, tmp_path):
    make_images(_config(tree, tmp_path / "out", resample_spacing_mm=0.2))
    records = _records(tmp_path / "out")
    assert len(records) == 11
    first = records["1.2.826.0.1.1.1"]
    assert (first.rows, first.columns, first.spacing_mm) == (200, 160, pytest.approx(0.1))
    assert first.scale == (0.5, 0.5)
    marked = dict(
        zip(first.mark_ids, zip(first.box_classes, first.boxes, strict=True), strict=True)
    )
    assert marked["7"][0] == "malignant_mass"
    assert np.allclose(marked["7"][1], [20, 90, 50, 120], atol=1e-3)
    assert marked["8"][0] == "malignant_calcification"
    assert np.allclose(marked["8"][1], [20, 90, 60, 120], atol=1e-3)
    # The half disc of 94 rows around the middle: the padding around it is cut off.
    height, width = first.pixels.shape
    assert (height, width) <= (100, 80)
    assert first.pixels[height // 2, 2] > -0.9
    kinds = ImageSet(tmp_path / "out").splits["train"]
    assert {kind: entry.count for kind, entry in kinds.items()} == {
        "malignant": 2,
        "benign": 1,
        "normal": 8,
    }


def test_the_manifest_says_whose_images_and_how_large(tree, tmp_path, capsys):
    make_images(_config(tree, tmp_path / "out"))
    images = ImageSet(tmp_path / "out")
    shapes = [record.pixels.shape for record in _records(tmp_path / "out").values()]
    assert images.largest == tuple(np.max(shapes, axis=0))
    assert images.patients["train"] == {patient_digest(f"demd{n}") for n in range(1, 7)}
    ledger = images.manifest["ledger"]
    assert (ledger["images"]["read"], ledger["images"]["used"]) == (11, 11)
    assert (ledger["marks"]["read"], ledger["marks"]["used"]) == (4, 4)
    assert "inserted" not in images.manifest
    assert not (tmp_path / "out" / job.SCRATCH).exists()
    assert "malignant" in capsys.readouterr().out


def test_an_image_with_a_mark_that_has_no_place_is_left_out(tree, tmp_path):
    """A detector would learn that the lesion is none."""
    outside = {**MARK, "MarkID": 9, "X1": "500", "X2": "520"}
    tree.client("demd7", {"LCC": {"7": MARK, "9": outside}}, screening(SURGERY=malignant()))
    make_images(_config(tree, tmp_path / "out"))
    assert "1.2.826.0.7.1.1" not in _records(tmp_path / "out")
    ledger = ImageSet(tmp_path / "out").manifest["ledger"]
    assert ledger["images"]["rejected"] == {"unusable_mark": 1}
    assert ledger["marks"]["rejected"] == {"box_outside_image": 1, "image_rejected": 1}


def test_splits_and_lesion_clients_are_those_of_make_patches(tree, tmp_path):
    shares = {"all_in_split": "", "train_fraction": 0.5, "validation_fraction": 0.25}
    make_images(_config(tree, tmp_path / "out", **shares))
    images = ImageSet(tmp_path / "out")
    women = [images.patients[split] for split in ("train", "validation", "test")]
    assert sum(map(len, women)) == len(frozenset().union(*women)) == 6
    make_images(_config(tree, tmp_path / "few", train_lesion_clients="0:1"))
    few = ImageSet(tmp_path / "few")
    assert few.count("train", ("malignant", "benign")) in (1, 2)  # of one of the two women
    assert few.count("train", ("normal",)) == 8
    assert few.manifest["ledger"]["images"]["not_needed"] > 0


def test_a_run_that_goes_on_makes_the_same_bytes(tree, tmp_path, monkeypatch):
    make_images(_config(tree, tmp_path / "whole"))
    made = reduction.reduced_image

    def failing(image, config, rejections):
        if image.client_id == "demd5":
            raise OSError("no space left")
        return made(image, config, rejections)

    monkeypatch.setattr(reduction, "reduced_image", failing)
    with pytest.raises(UserError, match="no space left"):
        make_images(_config(tree, tmp_path / "broken"))
    calls = []

    def counted(image, config, rejections):
        calls.append(image)
        return made(image, config, rejections)

    monkeypatch.setattr(reduction, "reduced_image", counted)
    make_images(_config(tree, tmp_path / "broken"))
    assert 0 < len(calls) < 11
    assert _files(tmp_path / "broken") == _files(tmp_path / "whole")


def test_inserted_images_are_known_as_such(tree, tmp_path):
    """The manifest of insert_lesions lies above its tree and says who is behind its lesions."""
    made_by = {
        "program": "insert_lesions",
        "task": "mass",
        "generator_patients": ["ab"],
        "phantom": True,
    }
    write_json(tmp_path / "manifest.json", made_by)
    make_images(_config(tree, tmp_path / "out"))
    manifest = ImageSet(tmp_path / "out").manifest
    assert manifest["inserted"]["task"] == "mass"
    assert manifest["inserted"]["generator_patients"] == ["ab"]
    assert manifest["phantom"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "folder"}, "expected images with lesions or healthy ones, found none"),
        ({"train_lesion_clients": "5"}, "--train_lesion_clients: expected FIRST:END"),
        ({"all_in_split": "", "train_fraction": 0.9}, "expected 1 or less in all"),
        ({"beam": ("--nothing=1",)}, "Beam has no such option"),
        ({"input_dir": "missing"}, "missing"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(tree, tmp_path, changes, message):
    config = dataclasses.replace(_config(tree, tmp_path / "out"), **changes)
    with pytest.raises(UserError, match=message):
        make_images(config)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "run.json").exists()
