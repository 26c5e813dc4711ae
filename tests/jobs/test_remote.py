"""make_patches with input and output in an object store: bytes and rules of a directory."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from beam_pipelines.jobs import options as jobs_options
from beam_pipelines.patches import shards
from beam_pipelines.patches.job import make_patches
from beam_pipelines.sources import index
from beam_pipelines.sources.index import open_source, read_index
from beam_pipelines.storage import files, output, retries
from cgan_tf.config import PatchesConfig
from cgan_tf.runs.errors import UserError
from tests.toys import fake_store
from tests.toys.fake_store import StatusError
from tests.toys.omidb_tree import MARK, Tree, malignant, screening

COUNTS = {
    "train_normal": 6,
    "train_malignant_mass": 5,
    "train_benign_mass": 0,
    "train_malignant_calcification": 0,
    "train_benign_calcification": 0,
    "train_source": 2,
    "eval_normal": 0,
    "eval_malignant_mass": 0,
    "eval_malignant_calcification": 0,
}
STORE = "fake://bucket"
ROOT = Path(__file__).parents[2]
OWN = ("run.json", "manifest.json", "metrics.json", ".lock")


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An OMI-DB tree in a directory and in the store."""
    tree = Tree(tmp_path / "tree")
    tree.client("demd1", {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}, screening(SURGERY=malignant()))
    for number in range(2, 5):
        tree.client(f"demd{number}", {"LCC": None, "RMLO": None})
    next(tree.images.glob("demd2/*/*.1.1.dcm")).write_bytes(b"junk")
    (tree.data / "demd3" / "stray.txt").write_text("not ours")
    monkeypatch.setenv(fake_store.VARIABLE, str(tmp_path / "store"))
    monkeypatch.setattr(fake_store, "FAULTS", {})
    monkeypatch.setattr(fake_store, "CALLS", [])
    monkeypatch.setattr(retries.time, "sleep", lambda seconds: None)
    fake_store.upload(tree.root, f"{STORE}/in")
    return tree


def _config(**changes):
    values = {
        "input_dir": f"{STORE}/in",
        "output_dir": f"{STORE}/out",
        "size": 32,
        "all_in_split": "train",
        **COUNTS,
        **changes,
    }
    return PatchesConfig(**values)


def _local(tree, tmp_path, **changes):
    """What the same flags give in a directory: (files by name, manifest without flags)."""
    out = tmp_path / "local_out"
    make_patches(_config(input_dir=str(tree.root), output_dir=str(out), **changes))
    return _parts({str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}, out)


def _stored(name="out"):
    root = f"{STORE}/{name}"
    return _parts({k: v for k, v in fake_store.objects().items() if k.startswith(root + "/")}, root)


def _parts(found, root):
    inside = {path.removeprefix(f"{root}/"): content for path, content in found.items()}
    manifest = json.loads(inside["manifest.json"]) if "manifest.json" in inside else {}
    manifest.pop("flags", None)
    return {name: content for name, content in inside.items() if name not in OWN}, manifest


def test_a_store_gets_the_bytes_of_a_directory(tree, tmp_path, capsys):
    make_patches(_config())
    assert _stored() == _local(tree, tmp_path)
    assert "fake://bucket/out (manifest.json" in capsys.readouterr().out
    make_patches(_config())
    assert "is finished; nothing to do" in capsys.readouterr().out
    run = json.loads(files.read_bytes(f"{STORE}/out/run.json"))
    assert run["flags"]["input_dir"] == f"{STORE}/in"


@pytest.mark.slow
def test_worker_processes_find_the_store(tree, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import tests.toys.fake_store\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    beam = ("--direct_num_workers=1", "--direct_running_mode=multi_processing")
    make_patches(_config(beam=beam))
    assert _stored() == _local(tree, tmp_path)


def test_trouble_that_passes_changes_nothing_but_a_count(tree, tmp_path):
    fake_store.FAULTS.update(
        {
            ("open", ".dcm"): [StatusError(503), ConnectionResetError()],
            ("rename", ".spill"): [StatusError(500)],
            ("write", "normal-"): [StatusError(429)],
            ("list", "/in/"): [StatusError(502)],
        }
    )
    make_patches(_config())
    assert not any(fake_store.FAULTS.values())
    assert _stored() == _local(tree, tmp_path)
    measured = json.loads(files.read_bytes(f"{STORE}/out/metrics.json"))
    assert sum(step["counters"].get("retries", 0) for step in measured.values()) >= 4


@pytest.mark.slow
def test_trouble_that_lasts_stops_the_run_which_goes_on_later(tree, tmp_path):
    fake_store.FAULTS["open", "IMAGES/demd4"] = [StatusError(503)] * 5
    with pytest.raises(UserError, match=r"\.dcm: failed 5 times, and may work later"):
        make_patches(_config())
    assert "manifest.json" not in {Path(path).name for path in fake_store.objects()}
    make_patches(_config())
    assert _stored() == _local(tree, tmp_path)
    cut = json.loads(files.read_bytes(f"{STORE}/out/metrics.json"))["cut"]["counters"]
    assert cut["images_found_cut"] >= 5
    assert cut["images_cut"] >= 1


def test_an_image_that_may_not_be_read_is_a_rejection(tree, tmp_path):
    victim = next(tree.images.glob("demd3/*/*.1.1.dcm")).relative_to(tree.root).as_posix()
    fake_store.FAULTS["open", victim] = [StatusError(403)]
    make_patches(_config())
    images = _stored()[1]["ledger"]["images"]
    assert images["rejected"]["unreadable_file"] == 1


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tree, tmp_path, monkeypatch):
    cut = []
    real = shards.cut_image

    def interrupt(image, draws, config):
        cut.append(image.sop_uid)
        if len(cut) == 4:
            raise KeyboardInterrupt
        return real(image, draws, config)

    monkeypatch.setattr(shards, "cut_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_patches(_config())
    with pytest.raises(UserError, match="holds a run with other flags: --seed was 0, is 1"):
        make_patches(_config(seed=1))
    make_patches(_config())
    assert len(cut) == len(set(cut)) + 1
    assert _stored() == _local(tree, tmp_path)


def test_other_runs_and_strangers_are_refused(tree):
    make_patches(_config())
    before = fake_store.objects()
    with pytest.raises(UserError, match=r"fake://bucket/out: .*--size was 32, is 16"):
        make_patches(_config(size=16))
    with pytest.raises(UserError, match="holds a run; --list_only needs"):
        make_patches(_config(list_only=True))
    with pytest.raises(UserError, match="expected an empty directory or a run of make_patches"):
        make_patches(_config(output_dir=f"{STORE}/in"))
    marks = (f"{STORE}/out/.lock", f"{STORE}/in/.lock")
    assert {k: v for k, v in fake_store.objects().items() if k not in marks} == {
        k: v for k, v in before.items() if k not in marks
    }


def test_a_shortfall_leaves_no_run(tree):
    with pytest.raises(UserError, match=r"train/benign_mass +5 +0"):
        make_patches(_config(train_benign_mass=5))
    assert set(_stored()[0]) == set()
    make_patches(_config(output_dir=f"{STORE}/out"))


def test_who_comes_last_owns_the_directory(tree, monkeypatch):
    """A program that was overtaken stops before it says that it has finished."""
    real = shards.cut_image

    def overtaken(image, draws, config):
        files.write_atomically(f"{STORE}/out/.lock", b"another")
        return real(image, draws, config)

    monkeypatch.setattr(shards, "cut_image", overtaken)
    with pytest.raises(UserError, match="another process has begun to work in it"):
        make_patches(_config())
    assert not files.exists(f"{STORE}/out/manifest.json")
    monkeypatch.undo()


def test_a_listing_in_a_store(tree, tmp_path):
    make_patches(_config(list_only=True))
    make_patches(
        _config(list_only=True, input_dir=str(tree.root), output_dir=str(tmp_path / "list"))
    )
    for name in ("images.csv", "marks.csv", "files.csv"):
        assert files.read_bytes(f"{STORE}/out/{name}") == (tmp_path / "list" / name).read_bytes()
    assert sorted(_stored()[0]) == ["files.csv", "images.csv", "listing.json", "marks.csv"]
    make_patches(_config())  # beside the listing


@pytest.mark.slow
def test_a_folder_in_a_store(tree, tmp_path):
    changes = {"source": "folder", "folder_patches": 9, "assume_normal": True}
    make_patches(_config(input_dir=f"{STORE}/in/IMAGES", **changes))
    stored = _stored()
    make_patches(_config(input_dir=str(tree.images), output_dir=str(tmp_path / "out"), **changes))
    out = tmp_path / "out"
    found = {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert stored == _parts(found, out)


def test_a_missing_input_is_named(tree):
    with pytest.raises(UserError, match="fake://bucket/none: expected a directory with DATA"):
        make_patches(_config(input_dir=f"{STORE}/none"))
    with pytest.raises(UserError, match="other://x: expected a local path or one of a store"):
        make_patches(_config(output_dir="other://x"))


def test_the_workers_index_is_the_index(tree):
    config = _config(input_dir=str(tree.root))
    source = open_source(config)
    read = index.ReadUnit(source)
    values = [json.loads(json.dumps(read({"unit": unit}))) for unit in source.units()]
    assert index.merge(map(index.index_from, values)) == read_index(source)


@pytest.mark.parametrize(
    ("flags", "paths", "complaint"),
    [
        (("--runner=PortableRunner",), ("in", "/out"), "--input_dir=in: expected an absolute path"),
        (("--runner=FlinkRunner",), ("/in", "out"), "--output_dir=out: expected an absolute path"),
    ],
)
def test_paths_that_other_machines_would_not_find(flags, paths, complaint):
    options = jobs_options.beam_options(flags)
    with pytest.raises(UserError, match=complaint):
        jobs_options.check_paths(options, input_dir=paths[0], output_dir=paths[1])
    jobs_options.check_paths(options, input_dir="/in", output_dir="gs://bucket/out")


def test_metrics_are_of_the_work(tree, tmp_path):
    make_patches(_config(output_dir=str(tmp_path / "out")))
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    cut = measured["cut"]
    patches = sum(row["patches"] for row in manifest["origins"]["train"].values())
    assert cut["counters"]["patches_cut"] >= patches
    assert cut["counters"]["rejected_images_broken_dicom"] == 1
    decoded = cut["distributions"]["decode_ms"]
    assert decoded["count"] == cut["counters"]["images_cut"] - 1
    assert decoded["min"] <= decoded["mean"] <= decoded["max"]
    tissue = cut["distributions"]["tissue_thousandths"]
    assert tissue["count"] == cut["counters"]["patches_cut"]
    assert 0 <= tissue["min"] <= tissue["max"] <= 1000
    assert measured["shards"]["distributions"]["shard_bytes"]["sum"] == sum(
        shard["bytes"]
        for entry in manifest["splits"]["train"].values()
        for shard in entry["shards"]
    )
    assert set(measured) == {"index", "cut", "shards"}


def test_an_output_in_a_store_can_be_written_by_other_programs(tree):
    config = dataclasses.replace(_config(), output_dir=f"{STORE}/else")
    with output.open_run(config.output_dir, "other_program", config) as run:
        assert not run.finished
        run.write_json("a.json", {"b": 1})
        run.write("c.bin", (b"1", b"2"))
        run.finish({"d": 2})
    assert json.loads(files.read_bytes(f"{STORE}/else/manifest.json"))["d"] == 2
    with output.open_run(config.output_dir, "other_program", config) as run:
        assert run.finished
    with (
        pytest.raises(UserError, match="holds a run of other_program, not of make_patches"),
        output.open_run(config.output_dir, "make_patches", config),
    ):
        pass
    assert os.environ[fake_store.VARIABLE]
