"""show_patches: a sheet for every split and class, the choice, and what is refused."""

import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from cgan_tf.config import ShowPatchesConfig
from cgan_tf.data.patch_sets import PatchSet, splits_json, write_patch_set
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.pages.contact_sheets import choose_patches, show_patches, spread_over_clients
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.errors import UserError
from tests.toys.patches import PATCHES_OF_A_CLIENT, write_toy_patches, write_toy_synthetic

PER_CLASS = 12


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("toy"), size=32, per_class=PER_CLASS)


def config_of(patches_dir, output_dir, **others):
    return ShowPatchesConfig(str(patches_dir), str(output_dir), **{"count": 4, **others})


def pictures(directory):
    return {path.name: path.read_bytes() for path in directory.glob("*.png")}


def test_one_sheet_for_every_split_and_class(toy, tmp_path):
    show_patches(config_of(toy, tmp_path, count=1))
    splits = PatchSet(toy).splits
    expected = {f"{split}_{name}.png" for split in splits for name in splits[split]}
    assert set(pictures(tmp_path)) == expected
    sheets = read_json(tmp_path / "manifest.json")["sheets"]
    assert {sheet["file"] for sheet in sheets} == expected
    for content in pictures(tmp_path).values():
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


def test_the_manifest_says_which_patches_are_shown(toy, tmp_path):
    show_patches(config_of(toy, tmp_path, split="train", classes=("benign_mass",)))
    (sheet,) = read_json(tmp_path / "manifest.json")["sheets"]
    index = PatchSet(toy).index("train", "benign_mass")
    ids = {index.record(number).patch_id for number in range(len(index))}
    assert len(set(sheet["patch_ids"])) == 4
    assert set(sheet["patch_ids"]) <= ids
    assert (sheet["patches"], sheet["clients_shown"]) == (12, 4)


def test_the_same_seed_shows_the_same_and_another_seed_others(toy, tmp_path):
    classes = ("normal", "benign_mass")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        show_patches(config_of(toy, tmp_path / name, split="test", classes=classes, seed=seed))
    a, b, c = (pictures(tmp_path / name) for name in "abc")
    assert a == b
    assert set(a) == set(c)
    assert all(a[name] != c[name] for name in a)


def test_other_classes_do_not_change_a_sheet(toy, tmp_path):
    show_patches(config_of(toy, tmp_path / "all", classes=("source", "normal")))
    show_patches(config_of(toy, tmp_path / "one", split="train", classes=("normal",)))
    (name,) = pictures(tmp_path / "one")
    assert pictures(tmp_path / "one")[name] == pictures(tmp_path / "all")[name]


def test_synthetic_sets_too_beside_their_shards(toy, tmp_path):
    synthetic = write_toy_synthetic(tmp_path / "mass", toy, "mass", 5)
    show_patches(ShowPatchesConfig(patches_dir=str(synthetic)))
    assert set(pictures(synthetic / "contact_sheets")) == {"train_malignant_mass.png"}
    assert PatchSet(synthetic).count("train", "malignant_mass") == 5


def test_a_finished_run_is_left_alone_and_other_flags_are_refused(toy, tmp_path, capsys):
    config = config_of(toy, tmp_path, split="test", classes=("normal",))
    show_patches(config)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*")}
    capsys.readouterr()
    show_patches(config)
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("[!.]*")} == before
    with pytest.raises(UserError, match="--seed was 0, is 1"):
        show_patches(config_of(toy, tmp_path, split="test", classes=("normal",), seed=1))


class TestChoice:
    def test_every_client_comes_before_any_comes_again(self):
        clients = list("aaabacaa")
        assert spread_over_clients(clients, 3) == [0, 3, 5]
        assert spread_over_clients(clients, 4) == [0, 3, 5, 1]
        assert spread_over_clients(clients, 99) == [0, 3, 5, 1, 2, 4, 6, 7]
        assert spread_over_clients([], 4) == []

    def test_as_many_women_as_there_are(self, toy):
        index = PatchSet(toy).index("train", "normal")
        women = PER_CLASS // PATCHES_OF_A_CLIENT
        for seed in range(5):
            found = choose_patches(index, women, np.random.default_rng(seed))
            assert len({record.client_id for record in found}) == women

    def test_women_stand_together_and_no_patch_comes_twice(self, toy):
        index = PatchSet(toy).index("train", "normal")
        found = choose_patches(index, 99, np.random.default_rng(0))
        clients = [record.client_id for record in found]
        assert clients == sorted(clients)
        assert len({record.patch_id for record in found}) == len(found) == PER_CLASS

    def test_every_patch_has_its_chance(self, toy):
        index = PatchSet(toy).index("train", "normal")
        seen = {
            choose_patches(index, 1, np.random.default_rng(seed))[0].patch_id for seed in range(60)
        }
        assert len(seen) > PER_CLASS / 2


class TestRefusals:
    def test_a_directory_that_is_no_patch_set(self, tmp_path):
        with pytest.raises(UserError, match=r"manifest\.json: expected the manifest of make_pat"):
            show_patches(config_of(tmp_path, tmp_path / "sheets"))
        assert not (tmp_path / "sheets").exists()

    @pytest.mark.parametrize(
        ("flags", "complaint"),
        [
            ({"classes": ("mass",)}, r"--classes: expected some of normal, .*, found \['mass'\]"),
            ({"count": 0}, "--count: expected 1 or more, found 0"),
            (
                {"classes": ("normal", "source"), "split": "test"},
                r"expected patches of source in test, found train/normal, .*test/normal",
            ),
        ],
        ids=["unknown", "none", "absent"],
    )
    def test_flags_that_show_nothing(self, toy, tmp_path, flags, complaint):
        with pytest.raises(UserError, match=complaint):
            show_patches(config_of(toy, tmp_path / "sheets", **flags))
        assert not (tmp_path / "sheets").exists()

    def test_an_empty_class_gives_no_sheet(self, tmp_path):
        some = [encode_record(PatchRecord("a", np.zeros((32, 32)), "normal"))]
        splits = {
            "train": {
                "normal": write_patch_set(tmp_path / "p", "train", "normal", some, 10**6),
                "benign_mass": write_patch_set(tmp_path / "p", "train", "benign_mass", [], 10**6),
            }
        }
        content = {"program": "make_patches", "splits": splits_json(splits)}
        write_json(tmp_path / "p/manifest.json", content)
        show_patches(config_of(tmp_path / "p", tmp_path / "sheets"))
        assert set(pictures(tmp_path / "sheets")) == {"train_normal.png"}
        with pytest.raises(UserError, match=r"expected patches of benign_mass .* found train/nor"):
            show_patches(config_of(tmp_path / "p", tmp_path / "x", classes=("benign_mass",)))

    def test_a_damaged_shard_is_named(self, toy, tmp_path):
        copy = shutil.copytree(toy, tmp_path / "copy")
        (shard,) = (copy / "test").glob("normal-*")
        content = bytearray(shard.read_bytes())
        content[-10] ^= 1  # in the last record
        shard.write_bytes(content)
        with pytest.raises(UserError, match=r"normal-00000-of-00001\.tfrecord: damaged record"):
            show_patches(
                config_of(copy, tmp_path / "x", split="test", classes=("normal",), count=99)
            )


@pytest.mark.slow
def test_as_a_program_with_the_directory_alone(toy, tmp_path):
    copy = shutil.copytree(toy, tmp_path / "copy")
    command = [sys.executable, "-m", "cgan_tf.show_patches", str(copy), "--split=test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "test_normal.png" in done.stdout
    assert {"test_normal.png", "test_benign_mass.png"} < set(pictures(copy / "contact_sheets"))
