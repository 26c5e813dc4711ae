"""The whole job on tiny trees: counts, labels, ledger, determinism, refusals."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.jobs import work
from beam_pipelines.jobs.options import beam_options
from beam_pipelines.jobs.work import run_work
from beam_pipelines.patches import shards
from beam_pipelines.patches.job import make_patches
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.runs.errors import UserError
from tests.toys.omidb_tree import MARK, Tree, malignant, screening
from tests.toys.tfds_reading import assert_read_alike

COUNTS = {
    "train_normal": 12,
    "train_malignant_mass": 9,
    "train_benign_mass": 0,
    "train_malignant_calcification": 4,
    "train_benign_calcification": 0,
    "train_source": 5,
    "eval_normal": 0,
    "eval_malignant_mass": 0,
    "eval_malignant_calcification": 0,
}
ACQUIRED = {"PatientAge": "061Y", "BodyPartThickness": "57", "ExposureInuAs": 84560}
CALCIFICATION = {**MARK, "Mass": None, "SuspiciousCalcifications": 1, "MarkID": 8}


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path / "tree")
    case = screening(SURGERY=malignant())
    marks = {"LCC": {"7": MARK}, "LMLO": {"7": MARK, "8": CALCIFICATION}}
    tree.client("demd1", marks, {**case, "PatientAge": 72}, {"LCC": ACQUIRED})
    tree.client("demd2", {"LCC": {"8": CALCIFICATION}, "RCC": None}, case)
    for number in range(3, 8):
        tree.client(f"demd{number}", {"LCC": None, "LMLO": None})
    return tree


def _config(tree, output, **changes):
    values = {
        "input_dir": str(tree.root),
        "output_dir": str(output),
        "size": 32,
        "all_in_split": "train",
        **COUNTS,
        **changes,
    }
    return PatchesConfig(**values)


def _files(directory):
    """Every file but the run's own records of flags and times, by name."""
    own = ("run.json", "manifest.json", "metrics.json", ".lock")
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file() and path.name not in own
    }


def test_counts_are_met_and_the_ledger_adds_up(tree, tmp_path, capsys):
    make_patches(_config(tree, tmp_path / "out"))
    patches = PatchSet(tmp_path / "out")
    for name in ("normal", "malignant_mass", "malignant_calcification", "source"):
        assert patches.count("train", name) == COUNTS[f"train_{name}"]
    assert set(patches.splits) == {"train"}
    images = patches.manifest["ledger"]["images"]
    assert images["read"] == 14
    assert images["rejected"] == {"contralateral_of_case": 1}
    assert images["used"] + images["not_needed"] == 13
    assert patches.manifest["ledger"]["marks"]["used"] == 4
    assert patches.manifest["shortfall"] == []
    assert not (tmp_path / "out" / shards.DIRECTORY).exists()
    out = capsys.readouterr().out
    assert "14 read = " in out
    assert "malignant_mass" in out


def test_records_hold_what_is_known(tree, tmp_path):
    make_patches(_config(tree, tmp_path / "out"))
    patches = PatchSet(tmp_path / "out")
    ids, sources, normals, acquired = set(), set(), set(), set()
    for name in ("normal", "malignant_mass", "malignant_calcification", "source"):
        index = patches.index("train", name)
        for number in range(len(index)):
            record = index.record(number)
            ids.add(record.patch_id)
            assert record.patch.shape == (32, 32)
            assert record.patch_class == name
            assert record.client_id.startswith("demd")
            assert (record.laterality, record.manufacturer) == ("L", "ACME")
            assert record.pixel_spacing_mm == pytest.approx(0.1)
            left, top, side = record.window
            assert 0 <= left <= 160 - side
            assert 0 <= top <= 200 - side
            assert record.scale == pytest.approx(32 / side)
            assert not record.synthetic
            if name in ("normal", "source"):
                assert record.tissue_fraction >= 0.9
                assert record.box == ()
                (sources if name == "source" else normals).add(record.sop_uid)
            else:
                x0, y0, x1, y1 = record.box
                assert 0 <= x0 < x1 <= 32
                assert 0 <= y0 < y1 <= 32
                assert record.lesion_size_mm == pytest.approx(3.0)
                assert record.label_evidence == "SURGERY H5 of lesion 1"
                assert record.conspicuity == "Obvious"
                assert (record.has_mass, record.has_calcification) == (
                    int(name == "malignant_mass"),
                    int(name != "malignant_mass"),
                )
            assert record.site == "adde"
            found = record.age_band, record.breast_thickness_mm, record.exposure_mas
            known = {"demd1": ("70 years and over", 0.0, 0.0)}.get(record.client_id, ("", 0.0, 0.0))
            if record.sop_uid == "1.2.826.0.1.1.1":  # its header comes before NBSS
                known = "60 to 69 years", 57.0, pytest.approx(84.6)
            assert found == known
            acquired.add(record.sop_uid)
    assert {"1.2.826.0.1.1.1", "1.2.826.0.1.2.1"} < acquired
    assert len(ids) == 30
    assert not sources & normals


def test_a_patch_is_its_window_in_the_drawn_pose(tree, tmp_path):
    """Without resizing, undoing flip and rotation gives the pixels of the image."""
    from beam_pipelines.dicom import reading

    make_patches(_config(tree, tmp_path / "out", scale_min=1.0, scale_max=1.0))
    index = PatchSet(tmp_path / "out").index("train", "malignant_mass")
    poses = set()
    for number in range(len(index)):
        record = index.record(number)
        path = next(tree.images.rglob(f"{record.sop_uid}.dcm"))
        left, top, side = map(int, record.window)
        window = reading.read_mammogram(path.read_bytes()).grey[
            top : top + side, left : left + side
        ]
        undone = np.rot90(record.patch, -record.rotation // 90)
        undone = undone[:, ::-1] if record.flip else undone
        np.testing.assert_allclose(undone, window, atol=2 / 65535)
        poses.add((record.flip, record.rotation))
    assert len(poses) > 3


def test_tensorflow_datasets_reads_it(tree, tmp_path):
    make_patches(_config(tree, tmp_path / "out", shard_megabytes=1))
    assert assert_read_alike(tmp_path / "out") == sum(COUNTS.values())


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(tree, tmp_path):
    for name in ("one", "two"):
        make_patches(_config(tree, tmp_path / name, shard_megabytes=1))
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    make_patches(_config(tree, tmp_path / "three", seed=1))
    assert _files(tmp_path / "one").keys() == _files(tmp_path / "three").keys()
    assert _files(tmp_path / "one") != _files(tmp_path / "three")


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(tree, tmp_path):
    make_patches(_config(tree, tmp_path / "one"))
    options = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
    make_patches(_config(tree, tmp_path / "two", beam=options))
    assert _files(tmp_path / "one") == _files(tmp_path / "two")


def test_damaged_files_change_nothing_for_the_others(tree, tmp_path):
    clean = tmp_path / "clean"
    shutil.copytree(tree.root, clean)
    victims = [
        next(tree.images.glob("demd4/*/*.1.1.dcm")),
        next(tree.images.glob("demd1/*/*.1.1.dcm")),
    ]
    for victim, damage in zip(victims, (lambda b: b[:3000], lambda b: b"junk"), strict=True):
        (clean / victim.relative_to(tree.root)).unlink()
        victim.write_bytes(damage(victim.read_bytes()))
    make_patches(_config(tree, tmp_path / "damaged"))
    make_patches(_config(Tree(clean), tmp_path / "removed"))
    damaged, removed = _files(tmp_path / "damaged"), _files(tmp_path / "removed")
    assert damaged.pop("rejections.csv") != removed.pop("rejections.csv")
    assert damaged == removed
    ledger = PatchSet(tmp_path / "damaged").manifest["ledger"]["images"]
    assert ledger["rejected"]["broken_pixel_data"] == 1
    assert ledger["rejected"]["broken_dicom"] == 1


@pytest.mark.slow
def test_a_damaged_source_image_is_replaced_as_if_it_were_not_there(tree, tmp_path):
    """One image of ten is set aside for class source, and none of the others without it."""
    counts = {"train_normal": 30, "train_source": 1}
    make_patches(_config(tree, tmp_path / "whole", **counts))
    sop = PatchSet(tmp_path / "whole").index("train", "source").record(0).sop_uid
    victim = next(tree.images.rglob(f"{sop}.dcm"))
    victim.write_bytes(victim.read_bytes()[:5000])
    make_patches(_config(tree, tmp_path / "damaged", **counts))
    victim.unlink()
    make_patches(_config(tree, tmp_path / "removed", **counts))
    damaged, removed = _files(tmp_path / "damaged"), _files(tmp_path / "removed")
    assert damaged.pop("rejections.csv") != removed.pop("rejections.csv")
    assert damaged == removed


def test_a_mark_outside_the_real_image_is_counted_when_the_side_car_lies(tree, tmp_path):
    side_car = next(tree.data.glob("demd1/*/*.1.1.dcm.json"))
    content = json.loads(side_car.read_text())
    content["00280010"]["Value"] = content["00280011"]["Value"] = [4000]
    side_car.write_text(json.dumps(content))
    imagedb = tree.data / "demd1" / "IMAGEDB_demd1.json"
    text = imagedb.read_text()
    assert '"Y1": "90"' in text
    text = text.replace('"Y1": "90"', '"Y1": "900"', 1).replace('"Y2": "120"', '"Y2": "920"', 1)
    imagedb.write_text(text)
    make_patches(_config(tree, tmp_path / "out"))
    ledger = PatchSet(tmp_path / "out").manifest["ledger"]
    assert ledger["marks"]["rejected"] == {"box_outside_image": 1}
    assert ledger["images"]["rejected"]["no_usable_mark"] == 1


def test_a_side_car_that_disagrees_with_its_file_is_not_trusted(tree, tmp_path):
    side_car = next(tree.data.glob("demd4/*/*.1.1.dcm.json"))
    content = json.loads(side_car.read_text())
    content["00200062"]["Value"] = ["R"]
    side_car.write_text(json.dumps(content))
    make_patches(_config(tree, tmp_path / "out"))
    rejected = PatchSet(tmp_path / "out").manifest["ledger"]["images"]["rejected"]
    assert rejected["side_car_disagrees"] == 1


def test_a_shortfall_is_a_table_and_leaves_no_run(tree, tmp_path):
    config = _config(tree, tmp_path / "out", train_benign_mass=50, eval_normal=10)
    with pytest.raises(UserError) as fault:
        make_patches(config)
    rows = [line.split() for line in str(fault.value).splitlines()[2:]]
    assert rows == [
        ["train/benign_mass", "50", "0"],
        ["validation/normal", "10", "0"],
        ["test/normal", "10", "0"],
        ["left", "out:", "contralateral_of_case", "1"],
    ]
    make_patches(dataclasses.replace(config, allow_shortfall=True))
    manifest = PatchSet(tmp_path / "out").manifest
    assert manifest["shortfall"][0] == {"set": "train/benign_mass", "wanted": 50, "found": 0}


def test_a_shortfall_after_cutting_is_a_table_too(tree, tmp_path):
    for path in tree.images.glob("demd1/*/*.dcm"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"train/malignant_mass +9 +0"):
        make_patches(_config(tree, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_an_interrupted_run_goes_on_with_what_was_cut(tree, tmp_path, monkeypatch):
    make_patches(_config(tree, tmp_path / "whole"))
    cut = []

    def interrupt(image, draws, config):
        cut.append(image.sop_uid)
        if len(cut) == 5:
            raise KeyboardInterrupt
        return real(image, draws, config)

    from beam_pipelines.patches import shards

    real = shards.cut_image
    monkeypatch.setattr(shards, "cut_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_patches(_config(tree, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()
    make_patches(_config(tree, tmp_path / "out"))
    assert _files(tmp_path / "whole") == _files(tmp_path / "out")
    assert len(cut) == len(set(cut)) + 1  # only the one that was interrupted is cut again


def test_a_finished_run_says_so(tree, tmp_path, capsys):
    make_patches(_config(tree, tmp_path / "out"))
    before = _files(tmp_path / "out")
    capsys.readouterr()
    make_patches(_config(tree, tmp_path / "out", beam=("--direct_num_workers=1",)))
    assert capsys.readouterr().out.strip().endswith("is finished; nothing to do")
    assert _files(tmp_path / "out") == before
    (tmp_path / "out" / ".spill").mkdir()  # killed after the manifest
    (tmp_path / "out" / ".spill" / "1.spill").touch()
    make_patches(_config(tree, tmp_path / "out"))
    assert _files(tmp_path / "out") == before
    with pytest.raises(UserError, match="--seed was 0, is 1"):
        make_patches(_config(tree, tmp_path / "out", seed=1))


def test_reduction_scales_boxes_and_spacing(tree, tmp_path):
    make_patches(_config(tree, tmp_path / "out", reduction=2, scale_min=1, scale_max=1, size=16))
    record = PatchSet(tmp_path / "out").index("train", "malignant_mass").record(0)
    assert record.pixel_spacing_mm == pytest.approx(0.2)
    assert record.lesion_size_mm == pytest.approx(3.0)
    x0, y0, x1, y1 = record.box
    assert x1 - x0 <= 15
    assert y1 - y0 <= 15


def test_a_folder_of_films(tree, tmp_path):
    config = PatchesConfig(
        source="folder",
        input_dir=str(tree.images),
        output_dir=str(tmp_path / "out"),
        size=32,
        folder_patches=33,
        assume_normal=True,
        all_in_split="test",
    )
    make_patches(config)
    patches = PatchSet(tmp_path / "out")
    assert patches.count("test", "normal") == 33
    assert patches.manifest["ledger"]["images"]["used"] == 14


# Beam


def test_reading_beam_options_leaves_no_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    beam_options(())
    assert not list(tmp_path.iterdir())


def test_unknown_beam_options_are_refused():
    with pytest.raises(UserError, match=r"--num_wrokers=3: Beam has no such option"):
        beam_options(("--num_wrokers=3",))
    with pytest.raises(UserError, match="direct_num_workers"):
        beam_options(("--direct_num_workers=many",))


def test_the_local_runner_is_the_default():
    assert beam_options(()).get_all_options()["runner"] == "FnApiRunner"
    chosen = beam_options(("--runner=DirectRunner", "--direct_num_workers=3")).get_all_options()
    assert (chosen["runner"], chosen["direct_num_workers"]) == ("DirectRunner", 3)


def _double(item):
    return {"value": 2 * item["value"]}


def test_work_gives_one_result_an_item(tmp_path):
    items = [{"value": number, "pad": "x" * (number % 7)} for number in range(5000)]
    results = run_work(_double, items, str(tmp_path), "double", beam_options(()))
    assert sorted(result["value"] for result in results) == list(range(0, 10000, 2))
    assert run_work(_double, [], str(tmp_path), "none", beam_options(())) == []


def test_results_in_many_parts_are_all_there(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "_PART_BYTES", 200)
    items = [{"value": number} for number in range(500)]
    results = run_work(_double, items, str(tmp_path), "double", beam_options(()))
    assert sorted(result["value"] for result in results) == list(range(0, 1000, 2))
    (parts,) = tmp_path.glob("double-results-*-parts")
    assert len(list(parts.iterdir())) >= 500 * len('{"value": 998}') / 300


def test_what_a_failed_attempt_has_kept_does_not_count(tmp_path):
    """A runner tries a bundle again; it knows only the files of the attempt that went well."""
    results = str(tmp_path / "results")
    keep = work._KeepResults(results)
    keep.start_bundle()
    assert list(keep.process({"value": 1})) == []
    list(keep.finish_bundle())  # lost: the runner never heard of it
    keep.start_bundle()
    list(keep.process({"value": 1}))
    (found,) = keep.finish_bundle()
    bucket, part = found.value
    work._JoinResults(results)(bucket, [part])
    (joined,) = (tmp_path / "results").iterdir()
    assert joined.read_text() == '{"value": 1}\n'


def test_results_that_cannot_be_kept_are_one_line(tmp_path, monkeypatch):
    real = files.write_atomically_from

    def full(path, parts):
        if "-parts" in path:
            raise OSError(28, "No space left on device", path)
        real(path, parts)

    monkeypatch.setattr(files, "write_atomically_from", full)
    with pytest.raises(UserError, match=r"results-.*: cannot be written: No space left on device"):
        run_work(_double, [{"value": 1}], str(tmp_path), "double", beam_options(()))


def _full_disk(item):
    raise OSError(28, "No space left on device", f"/out/{item['value']}")


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(UserError, match="No space left on device: '/out/1'"):
        run_work(_full_disk, [{"value": 1}], str(tmp_path), "full", beam_options(()))


# The program


def _run(*flags):
    command = [sys.executable, "-m", "beam_pipelines.make_patches", *flags]
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_mistakes_are_one_clear_line(tmp_path):
    missing = _run(f"--input_dir={tmp_path}/none", f"--output_dir={tmp_path}/out")
    assert missing.returncode == 1
    (line,) = missing.stderr.strip().splitlines()
    assert line.startswith("make_patches: ")
    assert f"{tmp_path}/none" in line
    assert _run("--output_dir=x").returncode == 2
    assert _run(f"--input_dir={tmp_path}", "--output_dir=x", "stray").returncode == 2
