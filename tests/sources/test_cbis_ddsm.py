"""CBIS-DDSM: both layouts, labels, splits, masks, and the account of what is left out."""

import collections
import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest

from beam_pipelines.patches.cutting import cut_image
from beam_pipelines.patches.job import make_patches
from beam_pipelines.patches.plan import Draw
from beam_pipelines.sources.base import merge
from beam_pipelines.sources.index import index_from, open_source
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.runs.errors import UserError
from tests.toys.cbis_tree import CLASSIC, PLACES, RETRIEVER, CbisTree, ellipse, film

BENIGN, WITHOUT_CALLBACK = {"pathology": "BENIGN"}, {"pathology": "BENIGN_WITHOUT_CALLBACK"}
both_layouts = pytest.mark.parametrize("layout", [CLASSIC, RETRIEVER])


def _config(root, output="", **changes):
    return PatchesConfig(source="cbis_ddsm", input_dir=str(root), output_dir=str(output), **changes)


def _index(tree, folder="", **changes):
    source = open_source(_config(tree.write_case_files(folder), **changes))
    return merge(source.read_unit(unit) for unit in source.units())


def _reasons(index):
    return collections.Counter((item.kind, item.reason.value) for item in index.rejections)


@both_layouts
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_a_film_has_its_labels_and_its_mask(tmp_path, layout, swapped, apart):
    tree = CbisTree(tmp_path, layout)
    density = {"breast_density": "3", "subtlety": "5", "assessment": "2"}
    region = tree.lesion(
        "mass", "train", "1-283", "P_00001", 1, None, swapped, apart, **density | WITHOUT_CALLBACK
    )
    index = _index(tree)
    (image,) = index.images
    assert (image.client_id, image.laterality, image.view) == ("P_00001", "R", "MLO")
    assert (image.breast_density, image.strict, image.normals_beside) == ("3", False, True)
    (mark,) = image.marks
    assert (mark.mark_id, mark.patch_class) == ("mass_1", "benign_mass")
    assert (mark.has_mass, mark.has_calcification) == (1, 0)
    assert mark.evidence == "BENIGN_WITHOUT_CALLBACK, assessment 2"
    assert (mark.conspicuity, mark.box, mark.repairs) == ("subtlety 5", (), "")
    assert mark.mask.startswith(str(region))
    name = {CLASSIC: "00000{}.dcm", RETRIEVER: "1-{}.dcm"}[layout]
    number = (0 if apart else int(swapped)) + (layout == RETRIEVER)
    assert mark.mask.endswith(name.format(number))
    assert index.read == {"images": 1, "marks": 1, "files": 4 + 2}
    assert _reasons(index) == {("files", "cropped_image"): 1}


@both_layouts
@pytest.mark.parametrize("below", ["", "CBIS-DDSM", "manifest-1/CBIS-DDSM"])
@pytest.mark.parametrize("folder", ["", "csv"])
def test_the_case_files_may_lie_beside_or_above_the_films(tmp_path, layout, below, folder):
    tree = CbisTree(tmp_path, layout, below)
    tree.lesion("calc", "test", "1-130", "P_00002", number=2)
    (image,) = _index(tree, folder).images
    assert image.marks[0].patch_class == "malignant_calcification"
    assert image.marks[0].mark_id == "calc_2"


def test_every_abnormality_of_a_film_is_a_mark(tmp_path):
    tree = CbisTree(tmp_path)
    for number, cells in enumerate((BENIGN, {}, WITHOUT_CALLBACK), 1):
        mask = ellipse(film("1-130").shape, (40 + 20 * number, 300))
        tree.lesion("calc", "train", "1-130", "P_00001", number, mask, **cells)
    (image,) = _index(tree).images
    classes = [mark.patch_class.split("_")[0] for mark in image.marks]
    assert classes == ["benign", "malignant", "benign"]
    assert len({mark.mask for mark in image.marks}) == 3
    assert image.normals_beside


def test_values_that_are_no_codes_are_not_recorded(tmp_path):
    tree = CbisTree(tmp_path)
    cells = {"assessment": "Mrs Smith", "subtlety": "9", "breast_density": "Mrs Smith"}
    tree.lesion("mass", "train", "1-130", "P_00001", **cells)
    (image,) = _index(tree).images
    assert (image.breast_density, image.marks[0].conspicuity) == ("", "")
    assert image.marks[0].evidence == "MALIGNANT"


def test_the_official_split_is_kept_and_no_woman_is_in_two(tmp_path):
    """P_00003 is in a training file of masses and in a test file of calcifications."""
    tree = CbisTree(tmp_path)
    tree.lesion("mass", "train", "1-130", "P_00001")
    tree.lesion("mass", "test", "1-131", "P_00002")
    tree.lesion("mass", "train", "1-132", "P_00003")
    tree.lesion("mass", "train", "1-133", "P_00003")
    tree.lesion("calc", "test", "1-280", "P_00003")
    index = _index(tree)
    splits = {image.client_id: image.splits for image in index.images}
    assert splits == {
        "P_00001": ("train", "validation"),
        "P_00002": ("test",),
        "P_00003": ("test",),
    }
    assert index.counts == {"clients_in_train_and_test_files": 1, "images_moved_to_test": 2}


def test_a_film_in_the_files_of_both_kinds_gives_no_normals(tmp_path):
    """Each file names only the lesions of its kind."""
    tree = CbisTree(tmp_path)
    tree.lesion("mass", "train", "1-130", "P_00001", number=1)
    tree.lesion("calc", "train", "1-130", "P_00001", number=2)
    tree.lesion("calc", "train", "1-131", "P_00001")
    index = _index(tree)
    beside = {image.view: image.normals_beside for image in index.images}
    assert [image.view for image in index.images].count("CC") == 2
    assert beside == {"CC": False, "MLO": True}
    assert index.counts == {"images_in_mass_and_calc_files": 2}


def test_normals_from_lesion_images_can_be_turned_off(tmp_path):
    tree = CbisTree(tmp_path)
    tree.lesion("mass", "train", "1-130", "P_00001")
    assert not _index(tree, normals_from_lesion_images=False).images[0].normals_beside


def test_a_mask_of_another_size_is_stretched_or_rejected(tmp_path):
    tree = CbisTree(tmp_path)
    shape = film("1-130").shape
    other = ellipse((round(shape[0] * 0.87), round(shape[1] * 0.87)), (50, 250))
    tree.lesion("mass", "train", "1-130", "P_00001", mask=other)
    cut = ellipse((film("1-131").shape[0] - 8, film("1-131").shape[1]), (90, 330))
    tree.lesion("mass", "train", "1-131", "P_00001", mask=cut)
    index = _index(tree)
    (image,) = index.images
    assert image.marks[0].repairs == "mask_of_other_size"
    assert index.repairs == {"mask_of_other_size": 1}
    reasons = _reasons(index)
    assert reasons[("marks", "mask_size_mismatch")] == 1
    assert reasons[("images", "no_usable_mark")] == 1
    rows, columns = film("1-131").shape
    (detail,) = [r.detail for r in index.rejections if r.reason.value == "mask_size_mismatch"]
    assert detail == f"{rows - 8}x{columns} for {rows}x{columns}"


def test_whatever_is_left_out_has_its_reason(tmp_path):
    tree = CbisTree(tmp_path)
    lost = tree.lesion("mass", "train", "1-130", "P_00001", number=1)
    tree.lesion("mass", "train", "1-130", "P_00001", number=2)
    tree.lesion("mass", "train", "1-130", "P_00001", number=2)
    for path in lost.rglob("*.dcm"):
        path.unlink()
    distortion = {"mass shape": "ARCHITECTURAL_DISTORTION"}
    tree.lesion("mass", "train", "1-131", "P_00001", **distortion)
    both = {"mass shape": "IRREGULAR-ARCHITECTURAL_DISTORTION"}
    tree.lesion("mass", "train", "1-132", "P_00001", **both)
    tree.lesion("calc", "train", "1-133", "P_00001", pathology="UNPROVEN")
    tree.lesion("calc", "train", "1-280", "P_00002")
    next(tree.cases.glob("Calc-Training_P_00002_LEFT_CC/*/*/*.dcm")).unlink()
    tree.lesion("calc", "train", "1-281", "P_00002")
    next(tree.cases.glob("Calc-Training_P_00002_LEFT_MLO/*/*/*.dcm")).write_bytes(b"junk" * 99)
    tree.lesion("calc", "train", "1-282", "P_00002", **{"left or right breast": "BOTH"})
    tree.lesion("calc", "train", "1-283", "P_00002")
    stray = tree.cases / "Mass-Test_P_00009_LEFT_CC" / "1.2" / "1.3" / "000000.dcm"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    index = _index(tree)
    assert sorted(image.view for image in index.images) == ["CC", "CC", "MLO"]
    assert _reasons(index) == {
        ("marks", "no_mask_file"): 1,
        ("marks", "duplicate_mark"): 1,
        ("marks", "neither_mass_nor_calcification"): 1,
        ("marks", "no_pathology"): 1,
        ("marks", "image_rejected"): 2,
        ("marks", "broken_mark"): 1,
        ("images", "no_usable_mark"): 2,
        ("images", "no_image_file"): 1,
        ("images", "broken_dicom"): 1,
        ("files", "cropped_image"): 7,
        ("files", "unexpected_file"): 4,  # the stray file; film, mask and crop of the broken row
    }
    assert index.read["images"] == len(index.images) + 4
    usable = sum(len(image.marks) for image in index.images)
    assert index.read["marks"] == usable + 7
    assert not next(i for i in index.images if i.client_id == "P_00001").normals_beside


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda root: (root / "calc_case_description_test_set.csv").unlink(), "missing calc_case"),
        (
            lambda root: (root / "calc_case_description_test_set.csv").write_text("a,b\n1,2\n"),
            "calc_case_description_test_set.csv: expected the columns .*missing abnormality id",
        ),
        (
            lambda root: (root / "mass_case_description_test_set.csv").write_bytes(b"\xff\xfe\0"),
            "mass_case_description_test_set.csv: expected a case file",
        ),
    ],
)
def test_a_bad_case_file_is_one_line(tmp_path, damage, complaint):
    tree = CbisTree(tmp_path)
    tree.lesion("mass", "train", "1-130", "P_00001")
    damage(tree.write_case_files())
    with pytest.raises(UserError, match=complaint) as fault:
        open_source(_config(tmp_path))
    assert "\n" not in str(fault.value)


def test_a_directory_without_films_is_one_line(tmp_path):
    CbisTree(tmp_path).write_case_files()
    with pytest.raises(UserError, match="folders such as Mass-Training_P_00001_LEFT_CC"):
        open_source(_config(tmp_path))
    with pytest.raises(UserError, match="expected a directory"):
        open_source(_config(tmp_path / "none"))


# From films to patches

COUNTS = {
    "train_normal": 12,
    "train_malignant_mass": 8,
    "train_benign_mass": 6,
    "train_malignant_calcification": 8,
    "train_benign_calcification": 6,
    "train_source": 5,
    "eval_normal": 0,
    "eval_malignant_mass": 0,
    "eval_malignant_calcification": 0,
}
MASKS = {
    name: np.maximum(
        ellipse(film(name).shape, place),
        ellipse(film(name).shape, (place[0], place[1] - 40), (5, 5)),
    )
    for name, place in PLACES.items()
}


def _films(root, layout):
    """All eight films, each with a lesion in two parts; in training and test files."""
    tree = CbisTree(root, layout)
    for name, mask in MASKS.items():
        kind = "mass" if name in ("1-130", "1-131", "1-280", "1-281") else "calc"
        cells = BENIGN if name < "1-2" else {}
        patient = f"P_000{name[2:4]}{int(name[-1]) // 2}"
        tree.lesion(kind, "train", name, patient, 1, mask, swapped=name == "1-132", **cells)
    return tree


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Patch sets of the same films in both layouts, by layout."""
    sets = {}
    for layout in (CLASSIC, RETRIEVER):
        root = tmp_path_factory.mktemp(layout)
        tree = _films(root / "tree", layout)
        config = _config(
            tree.write_case_files(), root / "out", size=32, all_in_split="train", **COUNTS
        )
        make_patches(config)
        sets[layout] = PatchSet(root / "out")
    return sets


def _records(patches, name):
    index = patches.index("train", name)
    return [index.record(number) for number in range(len(index))]


def test_both_layouts_give_the_same_patches(made):
    classic, retriever = (made[layout].manifest for layout in (CLASSIC, RETRIEVER))
    for name in ("splits", "origins", "ledger", "counts", "shortfall"):
        assert classic[name] == retriever[name]


def test_the_counts_are_met_and_the_ledger_adds_up(made):
    manifest = made[CLASSIC].manifest
    counts = {name: group["count"] for name, group in manifest["splits"]["train"].items()}
    assert counts == {name.removeprefix("train_"): count for name, count in COUNTS.items() if count}
    assert manifest["normals_from_lesion_images"] is True
    ledger = manifest["ledger"]
    assert ledger["images"]["read"] == ledger["images"]["used"] == 8
    assert ledger["marks"]["used"] == 8
    assert ledger["files"] == {
        "read": 20, "used": 12, "not_needed": 0, "rejected": {"cropped_image": 8},
    }  # fmt: skip


def test_lesion_patches_hold_a_pixel_of_the_mask(made):
    """A window around a pixel of the mask; the box is that of the whole mask."""
    centres = {}
    for name in ("malignant_mass", "benign_mass", "malignant_calcification"):
        for record in _records(made[CLASSIC], name):
            mask = MASKS[_film_of(record)]
            left, top, side = map(int, record.window)
            assert mask[top : top + side, left : left + side].any()
            assert (record.pixel_spacing_mm, record.lesion_size_mm) == (0, 0)
            assert (record.breast_density, record.conspicuity) == ("2", "subtlety 3")
            x, _, width, _ = cv2.boundingRect(mask)
            visible = min(x + width, left + side) - max(x, left)
            across = record.box[2] - record.box[0], record.box[3] - record.box[1]
            turned = record.rotation in (90, 270)
            assert across[turned] == pytest.approx(visible * record.scale, abs=1e-3)
            centres[record.patch_id] = record.window
    assert len(set(centres.values())) > 12


@pytest.mark.parametrize("name", ["normal", "source"])
def test_normals_are_far_from_every_mask(made, name):
    """At least as far as a window is wide: 256 px of a patch of 256."""
    for record in _records(made[CLASSIC], name):
        mask = MASKS[_film_of(record)]
        left, top, side = map(int, record.window)
        near = mask[max(0, top - side) : top + 2 * side, max(0, left - side) : left + 2 * side]
        assert not near.any()
        assert record.tissue_fraction >= 0.9
        assert record.label_evidence == "far from every lesion of the image"
        assert (record.box, record.mark_id) == ((), "")
        assert record.breast_density == "2"


def test_source_and_normal_patches_are_of_different_films(made):
    films = [
        {record.sop_uid for record in _records(made[CLASSIC], name)}
        for name in ("normal", "source")
    ]
    assert all(films)
    assert not films[0] & films[1]


def test_a_patch_is_a_part_of_the_film(made, tmp_path):
    """Grey levels of all 16 bits, undone pose, no resize."""
    tree = _films(tmp_path / "tree", CLASSIC)
    flags = {**COUNTS, "scale_min": 1.0, "scale_max": 1.0, "train_source": 0}
    make_patches(
        _config(tree.write_case_files(), tmp_path / "out", size=32, all_in_split="train", **flags)
    )
    for record in _records(PatchSet(tmp_path / "out"), "benign_calcification"):
        left, top, side = map(int, record.window)
        stored = film(_film_of(record))[top : top + side, left : left + side]
        undone = np.rot90(record.patch, -record.rotation // 90)
        undone = undone[:, ::-1] if record.flip else undone
        np.testing.assert_allclose(undone, stored / 65535 * 2 - 1, atol=2 / 65535)


def _film_of(record):
    """The name of the film that a patch of `_films` is from."""
    third, breast = record.client_id[-3:-1], int(record.client_id[-1])
    return f"1-{third}{2 * breast + (record.view == 'MLO')}"


def test_damaged_masks_are_counted_when_patches_are_cut(tmp_path):
    tree = _films(tmp_path / "tree", CLASSIC)
    shape = film("1-130").shape
    grey = np.zeros(shape, np.uint8)
    grey[40:50, 40:50], grey[50:60, 40:50] = 100, 200
    tree.lesion("mass", "train", "1-130", "P_000130", 2, np.zeros(shape, np.uint8))
    tree.lesion("mass", "train", "1-130", "P_000130", 3, grey)
    cut_off = tree.lesion("mass", "train", "1-131", "P_000130", 2)
    path = max(cut_off.rglob("*.dcm"), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[:5000])
    config = _config(
        tree.write_case_files(), tmp_path / "out", size=32, all_in_split="train", **COUNTS
    )
    make_patches(config)
    manifest = PatchSet(tmp_path / "out").manifest
    assert manifest["ledger"]["marks"]["rejected"] == {
        "empty_mask": 1,
        "mask_not_binary": 1,
        "broken_pixel_data": 1,
    }
    with (tmp_path / "out" / "rejections.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file) if row["kind"] == "marks"]
    assert [name.rpartition("#")[2] for name in names] == ["mass_2", "mass_3", "mass_2"]
    normal = _records(PatchSet(tmp_path / "out"), "normal")
    assert normal
    assert not {"P_000130"} & {record.client_id for record in normal if record.view == "CC"}


@pytest.mark.parametrize("reduction", [1, 2])
@pytest.mark.parametrize("stretch", [1.0, 0.87])
def test_windows_follow_a_mask_of_another_size_and_a_reduction(tmp_path, reduction, stretch):
    """An L of single pixels: the window must meet it, where it is on the reduced film."""
    rows, columns = (round(length * stretch) for length in film("1-130").shape)
    mask = np.zeros((rows, columns), np.uint8)
    mask[200:300, 60] = mask[300, 60:90] = 255
    tree = CbisTree(tmp_path)
    tree.lesion("mass", "train", "1-130", "P_00001", mask=mask)
    (image,) = _index(tree).images
    config = _config(tmp_path, size=8, reduction=reduction, max_offset=1, scale_min=1, scale_max=1)
    draws = [
        Draw("train/malignant_mass", "train", "malignant_mass", index, f"{index:032x}", index)
        for index in range(30)
    ]
    outcome = cut_image(image, draws, config)
    assert not outcome.rejections
    ys, xs = np.nonzero(mask)
    scale = np.array(film("1-130").shape) / mask.shape / reduction
    lesion = np.stack([(ys + 0.5) * scale[0], (xs + 0.5) * scale[1]], axis=1).astype(int)
    lesion = np.minimum(lesion, np.array(film("1-130").shape) // reduction - 1)
    met = set()
    for cut in outcome.cuts:
        left, top, side = map(int, cut.record.window)
        inside = (lesion >= (top, left)).all(axis=1) & (lesion < (top + side, left + side)).all(
            axis=1
        )
        assert inside.any()
        met.update(lesion[inside, 0].tolist())
    assert len(outcome.cuts) == 30
    assert max(met) - min(met) > 60 * scale[0]  # all along it


def test_an_index_survives_the_way_to_a_worker_and_back(tmp_path):
    tree = CbisTree(tmp_path)
    tree.lesion("mass", "train", "1-130", "P_00001")
    tree.lesion("calc", "test", "1-131", "P_00001", pathology="?")
    index = _index(tree)
    assert index_from(json.loads(json.dumps(dataclasses.asdict(index)))) == index
    origins = [item.origin for item in index.rejections]
    again = index_from(json.loads(json.dumps(dataclasses.asdict(index))))
    assert [item.origin for item in again.rejections] == origins


def test_a_listing_shows_splits_and_what_films_are_good_for(tmp_path, capsys):
    tree = CbisTree(tmp_path / "tree")
    tree.lesion("mass", "test", "1-130", "P_00001")
    tree.lesion("calc", "train", "1-131", "P_00001", **BENIGN)
    tree.lesion("calc", "train", "1-133", "P_00001", **{"image view": "XX"})
    make_patches(_config(tree.write_case_files(), tmp_path / "out", list_only=True))
    with (tmp_path / "out" / "images.csv").open() as file:
        rows = {row["view"]: row for row in csv.DictReader(file)}
    assert (rows["CC"]["split"], rows["CC"]["good_for"]) == ("test", "malignant_mass normal")
    assert (rows["MLO"]["split"], rows["MLO"]["good_for"]) == (
        "test",
        "benign_calcification normal",
    )
    with (tmp_path / "out" / "marks.csv").open() as file:
        marks = {row["mark_id"]: row for row in csv.DictReader(file)}
    assert (marks["mass_1"]["x0"], marks["mass_1"]["patch_class"]) == ("", "malignant_mass")
    assert (marks["line 5"]["reason"], marks["line 5"]["split"]) == ("broken_mark", "")
    listing = json.loads((tmp_path / "out" / "listing.json").read_text())
    out = capsys.readouterr().out.splitlines()
    assert "clients in train and test files: 1" in out
    assert "normals are also cut from images with lesions, far from each of them" in out
    assert listing["normals_from_lesion_images"] is True
    assert listing["counts"]["images_moved_to_test"] == 1
    for row in listing["ledger"].values():
        assert row["read"] == row["usable"] + sum(row["rejected"].values())


@pytest.mark.parametrize("task", ["mass", "calcification", "removal"])
def test_every_role_of_the_gan_has_its_patches(made, task):
    from cgan_tf.gan.data import CLASSES, streams, training_batches
    from tests.toys.small_gan import small_config

    config = small_config(task=task, patches_dir=str(made[CLASSIC].directory), batch_size=4)
    found = {role: len(index) for role, index in streams(config, made[CLASSIC], task).items()}
    assert found == {
        role: sum(COUNTS[f"train_{name}"] for name in names)
        for role, names in CLASSES[task].items()
    }
    batch = next(iter(training_batches(config, made[CLASSIC], 0)))
    assert tuple(batch.pop("task").shape) == (4,)
    assert {tuple(part.shape) for part in batch.values()} == {(4, 32, 32, 1)}


@pytest.mark.slow
def test_train_gan_runs_on_them(made, tmp_path):
    from cgan_tf.gan.training import train_gan
    from cgan_tf.runs.directory import read_manifest
    from tests.toys.small_gan import small_config

    config = small_config(
        patches_dir=str(made[CLASSIC].directory),
        output_dir=str(tmp_path / "run"),
        grow=False,
        full_steps=1,
        attention_size=-1,  # a smaller graph
        generator_steps=1,
    )
    train_gan(config)
    assert read_manifest(tmp_path / "run", "train_gan")
    assert (tmp_path / "run" / "generator").is_dir()
