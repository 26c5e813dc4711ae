"""Which commands go on with a run: the same flags and inputs, whatever their paths are called."""

import dataclasses
import os
import re

import pytest

from cgan_tf import config as configs
from cgan_tf.config import ClassifierConfig, GanConfig, PatchesConfig
from cgan_tf.runs.directory import open_run, read_json, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.identity import INPUT_FLAGS, OWN_FLAGS


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with patches and a run on them that has a result."""
    monkeypatch.chdir(tmp_path)
    write_json_in(tmp_path / "patches" / "manifest.json", {"program": "make_patches"})
    start(GanConfig(patches_dir="patches", output_dir="run"))
    return tmp_path


def write_json_in(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)


def start(config, program="train_gan"):
    with open_run(config.output_dir, program, config) as run:
        write_json(run.directory / "result.json", {"made": 1})


def goes_on(config, program="train_gan"):
    with open_run(config.output_dir, program, config):
        return True


SAME = [
    ("patches/", "run/"), ("./patches", "./run"), ("{}/patches", "{}/run"),
    ("run/../patches", "run"), ("link", "run"), ("patches", "linked_run"),
]  # fmt: skip


@pytest.mark.parametrize(("patches", "run"), SAME)
def test_another_way_to_write_a_path_is_the_same(place, patches, run):
    os.symlink("patches", "link")
    os.symlink("run", "linked_run")
    assert goes_on(GanConfig(patches_dir=patches.format(place), output_dir=run.format(place)))


def test_everything_moved_from_a_cluster(place, monkeypatch):
    (place / "home").mkdir()
    (place / "patches").rename(place / "home" / "data")
    (place / "run").rename(place / "home" / "gan")
    monkeypatch.chdir(place / "home")
    assert goes_on(GanConfig(patches_dir="data", output_dir="gan"))


@pytest.mark.parametrize("name", ["elsewhere", "patches"])
def test_other_patches_are_refused_whatever_their_path(place, name):
    write_json_in(place / name / "manifest.json", {"program": "make_patches", "seed": 1})
    complaint = "--patches_dir was" if name == "elsewhere" else "holds something else than when"
    with pytest.raises(UserError, match=complaint):
        goes_on(GanConfig(patches_dir=name, output_dir="run"))


def test_a_run_from_before_inputs_were_recorded(place):
    saved = read_json("run/run.json")
    del saved["inputs"]
    saved["flags"]["workdir"] = saved["flags"].pop("output_dir")
    write_json("run/run.json", saved)
    assert goes_on(GanConfig(patches_dir=f"{place}/patches/", output_dir="run"))
    with pytest.raises(UserError, match="--patches_dir was 'patches', is 'others'"):
        goes_on(GanConfig(patches_dir="others", output_dir="run"))


class TestInputsWithoutAManifest:
    CONFIG = PatchesConfig(input_dir="films", output_dir="cut")

    @pytest.fixture(autouse=True)
    def run(self, place):
        (place / "films").mkdir()
        start(self.CONFIG, "make_patches")

    @pytest.mark.parametrize("name", ["films/", "./films", "link"])
    def test_are_known_by_where_they_lie(self, place, name):
        os.symlink("films", "link")
        assert goes_on(dataclasses.replace(self.CONFIG, input_dir=name), "make_patches")

    def test_from_another_directory_too(self, place, monkeypatch):
        monkeypatch.chdir(place / "patches")
        config = dataclasses.replace(self.CONFIG, input_dir="../films", output_dir="../cut")
        assert goes_on(config, "make_patches")

    def test_others_are_refused(self, place):
        (place / "other").mkdir()
        with pytest.raises(UserError, match="--input_dir was 'films', is 'other'"):
            goes_on(dataclasses.replace(self.CONFIG, input_dir="other"), "make_patches")


def test_a_file_is_known_by_what_it_holds(place):
    (place / "a.h5").write_bytes(b"weights")
    config = ClassifierConfig(patches_dir="patches", output_dir="c", weights="a.h5")
    start(config, "train_classifier")
    (place / "copy.h5").write_bytes(b"weights")
    (place / "other.h5").write_bytes(b"others")
    assert goes_on(dataclasses.replace(config, weights="copy.h5"), "train_classifier")
    for name in ("other.h5", "none", "imagenet"):
        with pytest.raises(UserError, match="--weights was"):
            goes_on(dataclasses.replace(config, weights=name), "train_classifier")


def test_lists_are_compared_one_by_one(place):
    for name in ("m", "c"):
        write_json_in(place / name / "manifest.json", {"task": name})
    config = ClassifierConfig(patches_dir="patches", output_dir="c1", synthetic_dirs=("m", "c"))
    start(config, "train_classifier")
    assert goes_on(dataclasses.replace(config, synthetic_dirs=("m/", "./c")), "train_classifier")
    for names in (("c", "m"), ("m",), ("m", "c", "c")):
        with pytest.raises(UserError, match="--synthetic_dirs was"):
            goes_on(dataclasses.replace(config, synthetic_dirs=names), "train_classifier")


def test_an_object_store_is_known_by_its_name(place):
    config = PatchesConfig(input_dir="gs://bucket/films", output_dir="remote")
    start(config, "make_patches")
    assert goes_on(dataclasses.replace(config, input_dir="gs://bucket/films/"), "make_patches")
    with pytest.raises(UserError, match="--input_dir was"):
        goes_on(dataclasses.replace(config, input_dir="gs://bucket/film"), "make_patches")


def test_every_flag_that_names_an_input_is_known():
    flags = {
        field.name
        for config_class in vars(configs).values()
        if isinstance(config_class, type) and issubclass(config_class, configs.RunConfig)
        for field in dataclasses.fields(config_class)
    }
    named = {name for name in flags if re.search("(dir|dirs|file|generator|generators)$", name)}
    assert named - OWN_FLAGS <= INPUT_FLAGS <= flags


def test_an_input_that_was_finished_since_is_the_same(place):
    """The experiment may name a GAN that still trains."""
    (place / "gan").mkdir()
    config = ClassifierConfig(patches_dir="patches", output_dir="c", synthetic_dirs=("gan",))
    start(config, "train_classifier")
    write_json_in(place / "gan" / "manifest.json", {})
    assert goes_on(config, "train_classifier")
