"""The whole job on tiny trees: files, boxes, masks, ledger, determinism, removal, refusals."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from beam_pipelines.dicom import reading
from beam_pipelines.insertion import work
from beam_pipelines.insertion.job import insert_lesions
from beam_pipelines.patches.job import make_patches
from cgan_tf.config import InsertionConfig, PatchesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.postprocess import box_around
from tests.toys.blob_generator import write_generator
from tests.toys.omidb_tree import MARK, Tree, breast, dataset, malignant, screening, write

THREADS = {"intra_op_threads": 0, "inter_op_threads": 0}  # those that this process has


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """A directory with a generator of each task."""
    root = tmp_path_factory.mktemp("generators")
    for task in ("mass", "calcification", "removal", "conditional"):
        write_generator(root / task, task)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Five women without and one with a lesion; never written into."""
    tree = Tree(tmp_path_factory.mktemp("omidb") / "tree")
    case = screening(SURGERY=malignant())
    tree.client("demd1", {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}, case)
    odd = {"WindowCenter": 2000, "WindowWidth": 1500}
    headers = {"LCC": odd | {"VOILUTFunction": "SIGMOID"}, "LMLO": odd}
    for number in range(2, 7):
        images = {"LCC": None, "LMLO": None}
        tree.client(f"demd{number}", images, headers=headers if number == 3 else None)
    return tree


def config_of(tree, output, generators, generator="mass", **changes) -> InsertionConfig:
    values = {
        "generator": str(generators / generator),
        "input_dir": str(tree.root) if tree else "",
        "output_dir": str(output),
        "min_area_fraction": 0.02,
        **THREADS,
        **changes,
    }
    return InsertionConfig(**values)


@pytest.fixture(scope="module")
def inserted(tree, generators, tmp_path_factory):
    """Two masses in every healthy image; tests read it and never write into it."""
    output = tmp_path_factory.mktemp("inserted") / "out"
    insert_lesions(config_of(tree, output, generators, lesions_per_image=2))
    return output


def tables_of(output: Path) -> tuple[list[dict], dict]:
    """(rows of boxes.csv, boxes.json)."""
    with (output / "boxes.csv").open(newline="") as file:
        return list(csv.DictReader(file)), read_json(output / "boxes.json")


def source_path(tree: Tree, sop: str) -> Path:
    return next(tree.images.rglob(f"{sop}.dcm"))


def pairs(tree: Tree, output: Path):
    """(image of boxes.json, source, result, mask) of every image made."""
    _, content = tables_of(output)
    for image in content["images"]:
        source = reading.read_stored(source_path(tree, image["source_sop_uid"]).read_bytes())
        made = (output / image["file_name"]).read_bytes()
        name = Path(image["file_name"]).stem
        mask = cv2.imread(str(output / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        yield image, source, reading.read_stored(made, allow_synthetic=True), mask


def files_of(directory: Path) -> dict[str, bytes]:
    """Every file but the run's own records of flags, by name."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "manifest.json", ".lock")
    }


# Images


def test_outside_the_masks_every_stored_value_is_equal(tree, inserted):
    seen = 0
    for image, source, made, mask in pairs(tree, inserted):
        assert mask.shape == source.values.shape == (image["height"], image["width"])
        np.testing.assert_array_equal(made.values[mask == 0], source.values[mask == 0])
        assert (made.values != source.values).sum() > 100
        seen += 1
    assert seen == 10


def test_a_mass_is_brighter_tissue_inside_its_box(tree, inserted):
    rows, _ = tables_of(inserted)
    assert len(rows) > 15
    for image, source, made, mask in pairs(tree, inserted):
        change = made.mammogram().grey[:] - source.mammogram().grey[:]
        for row in (row for row in rows if row["file"] == image["file_name"]):
            x0, y0, x1, y1 = (int(row[edge]) for edge in ("x0", "y0", "x1", "y1"))
            part = mask == int(row["label"])
            assert part.sum() == int(row["area_px"])
            assert part[y0:y1, x0:x1].mean() > 0.7  # the corners of a disc's box are empty
            assert change[part].min() > -0.02  # one stored value, where the window is steep
            highest = np.unravel_index(np.where(part, change, 0).argmax(), change.shape)
            assert change[highest] > 0.15
            assert y0 <= highest[0] < y1
            assert x0 <= highest[1] < x1


def test_coco_s_boxes_enclose_their_segmentations(tree, inserted):
    """What COCO's readers rely on: a box is that of its segmentation, an area its pixels."""
    rows, content = tables_of(inserted)
    masks = {image["id"]: mask for image, _, _, mask in pairs(tree, inserted)}
    for row, item in zip(rows, content["annotations"], strict=True):
        counts, size = item["segmentation"]["counts"], item["segmentation"]["size"]
        pixels = np.repeat(np.arange(len(counts)) % 2, counts).reshape(size[::-1]).T.astype(bool)
        x0, y0, x1, y1 = box_around(pixels)
        assert item["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert [x0, y0, x1, y1] == [int(row[edge]) for edge in ("x0", "y0", "x1", "y1")]
        assert pixels.sum() == item["area"] <= (x1 - x0) * (y1 - y0)
        soft = masks[item["image_id"]] == int(row["label"])
        assert soft[pixels].mean() > 0.9  # another lesion's mask may lie over it
        assert soft.sum() == int(row["area_px"]) > item["area"]


def test_headers_say_what_they_are(tree, inserted):
    for image, source, made, _ in pairs(tree, inserted):
        header = made.dataset
        assert (header.SyntheticData, header.ContentQualification) == ("YES", "RESEARCH")
        assert header.SourceImageSequence[0].ReferencedSOPInstanceUID == image["source_sop_uid"]
        assert header.PatientID == image["client_id"]
        assert header.BitsStored == source.dataset.BitsStored
        assert header.PhotometricInterpretation == source.dataset.PhotometricInterpretation
        assert "2 places" in header.DerivationDescription or "1 place " in str(header)
        assert pydicom.dcmread(inserted / image["file_name"]).pixel_array.shape == (200, 160)


def test_other_readers_and_previews(inserted):
    previews = read_json(inserted / "previews.json")["images"]
    assert len(previews) == 10
    viewer = (inserted / "viewer.html").read_text(encoding="utf-8")
    assert all(f'src="{entry["after"]}"' in viewer for entry in previews)
    for entry in previews:
        before, after = (
            cv2.imread(str(inserted / entry[moment]), cv2.IMREAD_UNCHANGED)
            for moment in ("before", "after")
        )
        assert before.shape == after.shape == (entry["height"], entry["width"]) == (200, 160)
        assert before.dtype == np.uint8
        for x0, y0, x1, y1 in entry["boxes"]:
            box = slice(int(y0), int(y1)), slice(int(x0), int(x1))
            assert after[box].mean() > before[box].mean() + 5
        assert entry["category"] == "mass"
        assert entry["source_file"].endswith(".dcm")
        # The toy images are smaller than a detail, which then is the whole image.
        assert len(entry["details"]) == 1
        for detail in entry["details"]:
            shown = cv2.imread(str(inserted / detail["after"]), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(shown, after)
            assert detail["boxes"] == entry["boxes"]


def test_the_ledger_adds_up(inserted):
    manifest = read_json(inserted / "manifest.json")
    rows, _ = tables_of(inserted)
    assert manifest["images"] == 10
    assert manifest["lesions"] == len(rows)
    places, draws = manifest["places"], manifest["draws"]
    assert places["wanted"] == 20
    assert sum(places[n] for n in ("filled", "no_lesion_accepted", "no_valid_place")) == 20
    assert draws["accepted"] == places["filled"] == len(rows)
    assert draws["accepted"] + sum(draws["rejected"].values()) == draws["made"]
    assert draws["rejected"]["empty"] > 0
    ledger = manifest["ledger"]
    assert (ledger["images"]["read"], ledger["images"]["used"]) == (12, 10)
    assert ledger["images"]["not_needed"] == 2  # those with a lesion
    assert ledger["marks"]["not_needed"] == 2
    assert not (inserted / work.DIRECTORY).exists()


# The tree


def patches_config(inserted, output, **changes) -> PatchesConfig:
    counts = {
        name: 0
        for name in vars(PatchesConfig())
        if name.startswith(("train_", "eval_")) and name != "train_fraction"
    }
    values = {
        "input_dir": str(inserted / "images"),
        "output_dir": str(output),
        "size": 32,
        "all_in_split": "train",
        "scale_min": 1.0,
        "scale_max": 1.0,
        "flip_probability": 0.0,
        "rotate": False,
        **counts,
        "train_malignant_mass": 30,
        **changes,
    }
    return PatchesConfig(**values)


def test_make_patches_refuses_the_tree_without_the_flag(inserted, tmp_path):
    with pytest.raises(UserError, match=r"synthetic data .*--allow_synthetic"):
        make_patches(patches_config(inserted, tmp_path / "out"))
    marker = read_json(inserted / "images" / "SYNTHETIC.json")
    assert marker["synthetic"] is True


def test_make_patches_cuts_the_inserted_lesions(inserted, tmp_path):
    make_patches(patches_config(inserted, tmp_path / "out", allow_synthetic=True))
    index = PatchSet(tmp_path / "out").index("train", "malignant_mass")
    assert len(index) == 30
    rows, _ = tables_of(inserted)
    for number in range(len(index)):
        record = index.record(number)
        assert record.synthetic == 1
        assert record.has_mass == 1
        left, top = int(record.window[0]), int(record.window[1])
        boxes = [
            np.array([int(row[edge]) for edge in ("x0", "y0", "x1", "y1")]) - [left, top] * 2
            for row in rows
            if row["sop_uid"] == record.sop_uid
        ]
        expected = [tuple(np.clip(box, 0, 32)) for box in boxes]
        assert tuple(record.box) in expected
        mask = cv2.imread(str(inserted / "masks" / f"{record.sop_uid}.png"), 0)
        assert mask[top : top + 32, left : left + 32].any()


def test_without_its_marker_the_images_themselves_refuse(inserted, tmp_path):
    from beam_pipelines.rejections import Reason
    from beam_pipelines.sources.omidb_files import Tree as Paths
    from beam_pipelines.sources.optimam import Optimam

    paths = Paths(str(inserted / "images" / "DATA"), str(inserted / "images" / "IMAGES"))
    for patient in paths.patients():
        index = Optimam(paths).read_unit(patient)
        assert not index.images
        reasons = {item.reason for item in index.rejections if item.kind == "images"}
        assert reasons == {Reason.SYNTHETIC_IMAGE}


# Removal


def test_what_was_inserted_is_removed_again(tree, inserted, generators, tmp_path):
    """The generator takes away a blob of the middle of the patch, where the lesion is."""
    output = tmp_path / "removed"
    config = config_of(
        tree,
        output,
        generators,
        "removal",
        input_dir=str(inserted / "images"),
        allow_synthetic=True,
    )
    insert_lesions(config)
    rows, content = tables_of(output)
    originals = {image["source_sop_uid"] for image in tables_of(inserted)[1]["images"]}
    before = {p.stem: p for p in (inserted / "images").rglob("*.dcm")}
    assert len(content["images"]) == 10
    for image in content["images"]:
        source = reading.read_stored(before[image["source_sop_uid"]].read_bytes(), True, True)
        made = reading.read_stored((output / image["file_name"]).read_bytes(), True, True)
        mask = cv2.imread(str(output / "masks" / f"{Path(image['file_name']).stem}.png"), 0)
        np.testing.assert_array_equal(made.values[mask == 0], source.values[mask == 0])
        change = made.mammogram().grey[:] - source.mammogram().grey[:]
        assert change.min() < -0.15
        assert change.max() < 0.02
    assert {row["category"] for row in rows} == {"removal"}
    assert {row["removed_class"] for row in rows} == {"malignant_mass"}
    assert originals.isdisjoint(image["source_sop_uid"] for image in content["images"])
    marks = read_json(output / "manifest.json")["ledger"]["marks"]
    assert marks["used"] == len(rows)
    assert marks["used"] + sum(marks["rejected"].values()) == marks["read"]
    normal = patches_config(
        output, tmp_path / "normal", allow_synthetic=True, train_malignant_mass=0, train_normal=5
    )
    make_patches(normal)  # images without a mark left are healthy
    assert PatchSet(tmp_path / "normal").count("train", "normal") == 5


def test_lesions_of_the_data_set_are_removed(tree, generators, tmp_path):
    insert_lesions(config_of(tree, tmp_path / "out", generators, "removal"))
    rows, content = tables_of(tmp_path / "out")
    assert {image["client_id"] for image in content["images"]} == {"demd1"}
    for row in rows:
        assert row["place"] == "7"
        x0, y0, x1, y1 = (int(row[edge]) for edge in ("x0", "y0", "x1", "y1"))
        assert max(x0, 20) < min(x1, 50)  # it touches the mark
        assert max(y0, 90) < min(y1, 120)
    ledger = read_json(tmp_path / "out" / "manifest.json")["ledger"]
    assert ledger["images"]["not_needed"] == 10


def test_a_lesion_larger_than_the_generators_reach_is_left_out(generators, tmp_path):
    tree = Tree(tmp_path / "tree")
    large = {**MARK, "X1": "10", "X2": "45"}
    case = screening(SURGERY=malignant())
    tree.client("demd1", {"LCC": {"7": large}, "LMLO": {"7": MARK}}, case)
    insert_lesions(config_of(tree, tmp_path / "out", generators, "removal"))
    ledger = read_json(tmp_path / "out" / "manifest.json")["ledger"]
    assert ledger["marks"]["rejected"] == {"lesion_too_large": 1}
    assert ledger["images"]["rejected"] == {"no_usable_mark": 1}


def test_a_lesion_that_no_draw_takes_away_is_counted(generators, tmp_path):
    """A mark beside the breast: nothing can be darker there."""
    tree = Tree(tmp_path / "tree")
    beside = {**MARK, "X1": "100", "X2": "120"}
    images = {"LCC": {"7": MARK, "8": beside}, "LMLO": {"9": beside}}
    tree.client("demd1", images, screening(SURGERY=malignant()))
    insert_lesions(config_of(tree, tmp_path / "out", generators, "removal", draws=6))
    rows, _ = tables_of(tmp_path / "out")
    assert [row["place"] for row in rows] == ["7"]
    manifest = read_json(tmp_path / "out" / "manifest.json")
    images, marks = manifest["ledger"]["images"], manifest["ledger"]["marks"]
    assert images["rejected"] == {"no_lesion_accepted": 1}
    assert marks["rejected"] == {"no_lesion_accepted": 2}
    assert (marks["read"], marks["used"], marks["not_needed"]) == (3, 1, 0)
    assert manifest["places"] == {
        "wanted": 3,
        "filled": 1,
        "no_lesion_accepted": 2,
        "no_valid_place": 0,
    }
    draws = manifest["draws"]
    assert draws["made"] == 12 + int(rows[0]["draw"]) + 1
    assert sum(draws["rejected"].values()) == draws["made"] - 1


# Places and flags


def test_a_row_is_contiguous_and_shown_as_a_figure(generators, tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": None}, headers={"LCC": {}})
    output = tmp_path / "out"
    insert_lesions(config_of(tree, output, generators, places="row", lesions_per_image=2, seed=1))
    rows, _ = tables_of(output)
    first, second = sorted(rows, key=lambda row: int(row["place"]))
    assert int(second["patch_left"]) - int(first["patch_left"]) == 32
    assert second["patch_top"] == first["patch_top"]
    (entry,) = read_json(output / "previews.json")["images"]
    figure = entry["figure3"]
    before, after = (
        cv2.imread(str(output / figure[moment]), cv2.IMREAD_UNCHANGED)
        for moment in ("before", "after")
    )
    assert before.shape == after.shape == (256, 512)
    assert figure["patches"] == 2
    for number, (x0, y0, x1, y1) in enumerate(figure["boxes"]):
        assert 256 * number <= x0 < x1 <= 256 * (number + 1)
        box = slice(int(y0), int(y1)), slice(int(x0), int(x1))
        assert after[box].mean() > before[box].mean() + 5


def test_boxes_as_structured_reports(tree, generators, tmp_path):
    pytest.importorskip("highdicom")
    output = tmp_path / "out"
    insert_lesions(config_of(tree, output, generators, images=3, structured_reports=True))
    rows, _ = tables_of(output)
    documents = list(map(pydicom.dcmread, (output / "structured_reports").iterdir()))
    assert {item.StudyInstanceUID for item in documents} == {row["study_uid"] for row in rows}
    assert read_json(output / "manifest.json")["structured_reports"] == len(documents)
    named = {
        item.ReferencedSOPInstanceUID
        for document in documents
        for series in document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert named == {row["sop_uid"] for row in rows}
    with pytest.raises(UserError, match="--structured_reports: expected a generator that inserts"):
        insert_lesions(
            config_of(tree, tmp_path / "no", generators, "removal", structured_reports=True)
        )
    assert not (tmp_path / "no").exists()


def test_a_conditional_generator_is_asked_for_a_task(tree, generators, tmp_path):
    with pytest.raises(UserError, match="--task: expected mass or calcification or removal"):
        insert_lesions(config_of(tree, tmp_path / "out", generators, "conditional"))
    config = config_of(
        tree, tmp_path / "out", generators, "conditional", task="calcification", images=2
    )
    insert_lesions(config)
    rows, content = tables_of(tmp_path / "out")
    assert {row["category"] for row in rows} == {"calcification"}
    assert len(content["images"]) == 2
    for client in (tmp_path / "out" / "images" / "DATA").iterdir():
        study = read_json(client / f"IMAGEDB_{client.name}.json")["STUDIES"]
        marks = [
            mark
            for content in study.values()
            for series in content.values()
            if isinstance(series, dict)
            for image in series.values()
            for mark in image.values()
        ]
        assert all(mark["SuspiciousCalcifications"] and not mark["Mass"] for mark in marks)


def test_a_reduced_lesion_is_brought_back(tree, generators, tmp_path):
    """The generator sees half the resolution, so that its lesions are twice as large."""
    folder = tmp_path / "films"
    inverted = 4095 - breast((400, 320))
    write(folder / "a.dcm", dataset(inverted, PhotometricInterpretation="MONOCHROME1"))
    config = config_of(
        tree, tmp_path / "out", generators, source="folder", input_dir=str(folder), reduction=2
    )
    insert_lesions(config)
    ((row,), content) = tables_of(tmp_path / "out")
    assert content["images"][0]["file_name"] == f"images/{row['sop_uid']}.dcm"
    stored = reading.read_stored((folder / "a.dcm").read_bytes(), strict=False)
    path = tmp_path / "out" / row["file"]
    made = reading.read_stored(path.read_bytes(), strict=False, allow_synthetic=True)
    mask = cv2.imread(str(tmp_path / "out" / row["mask"]), 0)
    np.testing.assert_array_equal(made.values[mask == 0], stored.values[mask == 0])
    change = made.mammogram().grey[:] - stored.mammogram().grey[:]
    y, x = np.nonzero(change > change.max() / 2)
    width = 2 * 5 * np.sqrt(2 * np.log(2)) * 2  # full width at half height, sigma 5, doubled
    assert np.ptp(x) + 1 == pytest.approx(width, rel=0.25)
    assert np.ptp(y) + 1 == pytest.approx(width, rel=0.25)
    steps = np.abs(np.diff(change, axis=1))
    assert steps.max() < 0.08  # smooth: no blocks of two


def test_damaged_images_are_counted_and_replaced(tmp_path, generators):
    tree = Tree(tmp_path / "tree")
    for number in range(1, 5):
        tree.client(f"demd{number}", {"LCC": None})
    whole = config_of(tree, tmp_path / "whole", generators)
    insert_lesions(whole)
    order = [image["source_sop_uid"] for image in tables_of(tmp_path / "whole")[1]["images"]]
    victim = source_path(tree, order[0])
    victim.write_bytes(victim.read_bytes()[:3000])
    insert_lesions(config_of(tree, tmp_path / "out", generators, images=3))
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert manifest["images"] == 3
    ledger = manifest["ledger"]["images"]
    assert ledger["rejected"].get("broken_pixel_data", 0) + ledger["not_needed"] == 1
    kept, all_files = files_of(tmp_path / "out"), files_of(tmp_path / "whole")
    same = [name for name in kept if name.endswith(".dcm")]
    assert len(same) == 3
    assert all(kept[name] == all_files[name] for name in same)


def test_an_image_without_room_or_without_a_lesion(generators, tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": None})
    crowded = config_of(tree, tmp_path / "row", generators, places="row", lesions_per_image=9)
    with pytest.raises(UserError, match="no image could be made; left out: no_valid_window 1"):
        insert_lesions(crowded)
    picky = config_of(tree, tmp_path / "picky", generators, min_area_fraction=0.9)
    with pytest.raises(UserError, match="no image could be made; left out: no_lesion_accepted 1"):
        insert_lesions(picky)


@pytest.mark.slow
def test_the_eight_real_films(generators, tmp_path):
    """RLE, 16 bits, no window, no spacing, Secondary Capture."""
    from cgan_tf.workflows.demo import films_directory
    from tests.toys.dicom_validator import errors_of

    films = films_directory()
    config = config_of(
        None, tmp_path / "out", generators, source="folder", input_dir=str(films),
        reduction=8, lesions_per_image=2,
    )  # fmt: skip
    insert_lesions(config)
    sources = {str(pydicom.dcmread(path).SOPInstanceUID): path for path in films.rglob("*.dcm")}
    _, content = tables_of(tmp_path / "out")
    assert len(content["images"]) == len(sources) == 8
    for image in content["images"]:
        source, path = sources[image["source_sop_uid"]], tmp_path / "out" / image["file_name"]
        stored = reading.read_stored(source.read_bytes(), strict=False)
        made = reading.read_stored(path.read_bytes(), strict=False, allow_synthetic=True)
        mask = cv2.imread(str(tmp_path / "out" / "masks" / f"{path.stem}.png"), 0)
        np.testing.assert_array_equal(made.values[mask == 0], stored.values[mask == 0])
        assert (made.values != stored.values).any()
        np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, made.values)
        assert errors_of(path) <= errors_of(source)


def test_a_full_disk_ends_the_run_in_one_line(generators, tmp_path, monkeypatch):
    from beam_pipelines.insertion import finish

    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": None})

    def full(setup, name, content):
        raise OSError(28, "No space left on device", name)

    monkeypatch.setattr(finish, "_write", full)
    with pytest.raises(UserError, match="No space left on device"):
        insert_lesions(config_of(tree, tmp_path / "out", generators))


# Determinism


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(tree, inserted, generators, tmp_path):
    beam = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    config = config_of(tree, tmp_path / "two", generators, lesions_per_image=2, beam=beam)
    insert_lesions(config)
    assert files_of(tmp_path / "two") == files_of(inserted)


def test_an_interrupted_run_goes_on_with_what_was_made(
    tree, inserted, generators, tmp_path, monkeypatch
):
    done = []

    def interrupt(*arguments):
        done.append(arguments[0].image.sop_uid)
        if len(done) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    real = work.compose
    monkeypatch.setattr(work, "compose", interrupt)
    config = config_of(tree, tmp_path / "out", generators, lesions_per_image=2)
    with pytest.raises(KeyboardInterrupt):
        insert_lesions(config)
    assert not (tmp_path / "out" / "manifest.json").exists()
    insert_lesions(config)
    assert files_of(tmp_path / "out") == files_of(inserted)
    assert len(done) == len(set(done)) + 1  # only the one that was interrupted is made again


def test_another_seed_gives_other_lesions(tree, inserted, generators, tmp_path):
    config = config_of(tree, tmp_path / "out", generators, lesions_per_image=2, seed=1, images=2)
    insert_lesions(config)
    names = set(files_of(tmp_path / "out")) & set(files_of(inserted))
    assert not [name for name in names if name.endswith(".dcm")]


def test_previews_are_of_as_many_images_as_asked(tree, inserted, generators, tmp_path):
    config = config_of(
        tree, tmp_path / "out", generators, lesions_per_image=2, images=3, previews=2
    )
    insert_lesions(config)
    entries = read_json(tmp_path / "out" / "previews.json")["images"]
    assert len(entries) == 2
    shown = {entry[moment] for entry in entries for moment in ("before", "after")}
    assert {f"previews/{p.name}" for p in (tmp_path / "out" / "previews").iterdir()} == shown
    made, every = files_of(tmp_path / "out"), files_of(inserted)
    assert all(made[name] == every[name] for name in made if name.endswith((".dcm", ".png")))


def test_a_finished_run_says_so(tree, inserted, generators, capsys):
    before = files_of(inserted)
    config = config_of(tree, inserted, generators, lesions_per_image=2)
    insert_lesions(config)
    assert capsys.readouterr().out.strip().endswith("is finished; nothing to do")
    assert files_of(inserted) == before
    with pytest.raises(UserError, match="--seed was 0, is 5"):
        insert_lesions(config_of(tree, inserted, generators, lesions_per_image=2, seed=5))


# Refusals


def test_a_folder_names_no_lesions(tree, generators, tmp_path):
    config = config_of(tree, tmp_path / "out", generators, "removal", source="folder")
    with pytest.raises(UserError, match="names no lesions that could be removed"):
        insert_lesions(config)
    assert not (tmp_path / "out").exists()


def test_nothing_to_remove(generators, tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": None})
    config = config_of(tree, tmp_path / "out", generators, "removal")
    with pytest.raises(UserError, match="expected an image with a malignant mark, found none"):
        insert_lesions(config)
    assert not (tmp_path / "out" / "run.json").exists()


def test_a_damaged_generator_is_refused_before_tensorflow_reads_it(tree, tmp_path):
    generator = write_generator(tmp_path / "damaged")
    file = generator / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    config = config_of(tree, tmp_path / "out", tmp_path, "damaged")
    with pytest.raises(UserError, match="expected checksum"):
        insert_lesions(config)
    assert not (tmp_path / "out").exists()


def test_a_generator_that_does_not_say_its_resolution(tree, tmp_path):
    write_generator(tmp_path / "silent")
    card = read_json(tmp_path / "silent" / "model.json")
    del card["resolution"]
    (tmp_path / "silent" / "model.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="give --resample_spacing_mm"):
        insert_lesions(config_of(tree, tmp_path / "out", tmp_path, "silent"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"lesions_per_image": 0}, "--lesions_per_image: expected 1 or more, found 0"),
        ({"draws": 0}, "--draws: expected 1 or more, found 0"),
        ({"images": -1}, "expected 0 or more"),
        ({"min_tissue": 1.5}, "--min_tissue: expected 0 to 1, found 1.5"),
        ({"beam": ("--no_such",)}, "Beam has no such option"),
        ({"input_dir": "/no/such"}, "/no/such: expected a directory"),
    ],
)
def test_wrong_flags(tree, generators, tmp_path, changes, complaint):
    with pytest.raises(UserError, match=complaint):
        insert_lesions(config_of(tree, tmp_path / "out", generators, **changes))


def test_mistakes_are_one_clear_line_and_workers_start_without_tensorflow(tmp_path):
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    program = (  # a worker imports the module of the job
        "import runpy, sys, beam_pipelines.insertion.job\n"
        "assert 'tensorflow' not in sys.modules\n"
        "runpy.run_module('beam_pipelines.insert_lesions', run_name='__main__', alter_sys=True)"
    )
    command = [
        sys.executable, "-c", program, f"--generator={tmp_path}/none",
        f"--input_dir={tmp_path}", f"--output_dir={tmp_path}/out",
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 1
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("insert_lesions: ")
    assert "none: expected a generator directory of train_gan, found no such directory" in line


# Chosen places


def marked_tree(root: Path) -> Tree:
    """Three women with six masses each around (35, 105), and three without, both views each."""
    tree = Tree(root / "tree")
    marks = {
        str(n): {
            **MARK,
            **{edge: str(int(MARK[edge]) + 2 * n) for edge in ("X1", "Y1")},
            **{edge: str(int(MARK[edge]) - 2 * n) for edge in ("X2", "Y2")},
            "MarkID": n,
        }
        for n in range(6)
    }
    for number in range(1, 4):
        case = screening(SURGERY=malignant())
        tree.client(f"demd{number}", {"LCC": marks, "LMLO": marks}, case)
    for number in range(4, 7):
        tree.client(f"demd{number}", {"LCC": None, "LMLO": None})
    return tree


@pytest.fixture(scope="module")
def with_marks(tmp_path_factory):
    return marked_tree(tmp_path_factory.mktemp("marked"))


def test_places_like_those_of_real_lesions(with_marks, generators, tmp_path):
    output = tmp_path / "out"
    insert_lesions(
        config_of(
            with_marks, output, generators, places="like_real", size_quantiles=("0", "1"), draws=40
        )
    )
    rows, _ = tables_of(output)
    manifest = read_json(output / "manifest.json")
    assert manifest["real_lesions"] == {"CC": 18, "MLO": 18, "left_out": {}}
    with (output / "real_lesions.csv").open(newline="") as file:
        real = list(csv.DictReader(file))
    sizes = sorted(float(row["size"]) for row in real)
    assert sizes == pytest.approx(sorted([1.0, 1.4, 1.8, 2.2, 2.6, 3.0] * 6))  # of 0.1 mm
    assert {row["unit"] for row in real} == {"mm"}
    assert len(rows) + manifest["places"]["no_lesion_accepted"] == 6
    for row in rows:
        x = (int(row["patch_left"]) + int(row["patch_left"]) + 32) / 2
        y = (int(row["patch_top"]) + int(row["patch_top"]) + 32) / 2
        assert abs(x - 35) < 20
        assert abs(y - 105) < 25
    draws = manifest["draws"]
    assert draws["accepted"] + sum(draws["rejected"].values()) == draws["made"]
    assert manifest["flags"]["exclude_pectoral"] is None


def test_places_of_a_file(with_marks, generators, tmp_path):
    path, output = tmp_path / "places.csv", tmp_path / "out"
    lines = [
        "1.2.826.0.4.1.1,40,100", "1.2.826.0.4.1.1,155,5", "1.2.826.0.5.2.1.dcm,30,70",
        "1.2.826.0.1.1.1,40,100", "elsewhere.dcm,1,1",
    ]  # fmt: skip
    path.write_text("image,x,y\n" + "\n".join(lines) + "\n")
    insert_lesions(config_of(with_marks, output, generators, places=str(path), draws=60))
    rows, _ = tables_of(output)
    found = {
        row["source_sop_uid"]: [int(row[edge]) for edge in ("x0", "y0", "x1", "y1")] for row in rows
    }
    points = {"1.2.826.0.4.1.1": (40, 100), "1.2.826.0.5.2.1": (30, 70)}
    assert found.keys() == points.keys()
    for name, (x, y) in points.items():
        x0, y0, x1, y1 = found[name]
        assert x0 <= x <= x1
        assert y0 <= y <= y1
    manifest = read_json(output / "manifest.json")
    assert manifest["listed_places_left_out"] == {"has_lesions": 1, "unknown_image": 1}
    assert manifest["places"]["wanted"] == 3
    assert manifest["places"]["no_valid_place"] == 1  # beside the breast
    assert manifest["ledger"]["images"]["not_needed"] == 10


def test_the_same_lesions_on_both_views(with_marks, generators, tmp_path):
    output = tmp_path / "out"
    insert_lesions(
        config_of(with_marks, output, generators, both_views=True, lesions_per_image=2, draws=40)
    )
    rows, content = tables_of(output)
    views = {}
    for row in rows:
        views.setdefault((row["client_id"], row["place"]), []).append(row)
    assert len(views) >= 4
    for pair in views.values():
        assert sorted(row["view"] for row in pair) == ["CC", "MLO"]
        assert pair[0]["draw"] == pair[1]["draw"]
        sizes = [int(row["x1"]) - int(row["x0"]) for row in pair]
        assert max(sizes) <= 1.5 * min(sizes)
    manifest = read_json(output / "manifest.json")
    assert manifest["images"] == len(content["images"]) == 6
    assert manifest["places"]["wanted"] == 12
    draws = manifest["draws"]
    assert draws["accepted"] + sum(draws["rejected"].values()) == draws["made"]


def test_images_without_their_other_view_are_left_out(generators, tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": None, "LMLO": None})
    tree.client("demd2", {"LCC": None, "RMLO": None})
    tree.client("demd3", {"LCC": None, "LMLO": None}, headers={"LCC": {"ImagerPixelSpacing": None}})
    output = tmp_path / "out"
    insert_lesions(config_of(tree, output, generators, both_views=True, draws=40))
    ledger = read_json(output / "manifest.json")["ledger"]["images"]
    assert ledger["used"] == 2
    assert ledger["rejected"] == {"no_other_view": 3, "unknown_spacing": 1}
    one = Tree(tmp_path / "one")
    one.client("demd2", {"LCC": None, "RMLO": None})
    config = config_of(one, tmp_path / "no", generators, both_views=True)
    with pytest.raises(UserError, match=r"expected a breast .*; left out: no_other_view 2$"):
        insert_lesions(config)


@pytest.mark.parametrize(
    ("generator", "flags", "message"),
    [
        ("mass", {"places": "likereal"}, "--places=likereal: expected random, row, like_real or a"),
        ("removal", {"places": "like_real"}, "--places: is for inserting"),
        ("removal", {"both_views": True}, "--both_views: is for inserting"),
        ("mass", {"both_views": True, "places": "row"}, "--both_views: expected --places=random"),
        ("mass", {"size_quantiles": ("0.5",)}, r"--size_quantiles: expected two .* found 0\.5$"),
        ("mass", {"size_quantiles": ("0.5", "x")}, r"--size_quantiles: expected two numbers"),
        ("mass", {"contrast_quantiles": ("1", "0")}, r"--contrast_quantiles: .* found 1,0$"),
        ("mass", {"places": "like_real", "source": "folder"}, "--source=folder names no real"),
        ("calcification", {"places": "like_real"}, "expected 5 malignant lesions or more of type"),
    ],
)
def test_flags_of_places_that_make_no_sense(
    with_marks, generators, tmp_path, generator, flags, message
):
    with pytest.raises(UserError, match=message):
        insert_lesions(config_of(with_marks, tmp_path / "out", generators, generator, **flags))
    assert not (tmp_path / "out" / "run.json").exists()
