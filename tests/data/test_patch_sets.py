"""Patch directories: counts, random access, and shards that are not what the manifest says."""

import numpy as np
import pytest

from cgan_tf.data.patch_sets import (
    PatchSet,
    Shard,
    describe_shard,
    shard_count,
    shard_path,
    splits_json,
    write_patch_set,
)
from cgan_tf.data.records import PatchRecord, decode_text, encode_record
from cgan_tf.data.tfrecords import frame, write_shard
from cgan_tf.runs.directory import read_json, sha256, write_json
from cgan_tf.runs.errors import UserError
from tests.toys.patches import write_toy_patches

COUNTS = {"normal": 5, "malignant_mass": 3}


def payloads(name, count):
    rng = np.random.default_rng(len(name))
    return [
        encode_record(PatchRecord(f"{name}/{i}", rng.uniform(-1, 1, (8, 8)), name))
        for i in range(count)
    ]


@pytest.fixture
def patches(tmp_path):
    """A patch directory of two classes; the normals lie in three shards."""
    splits = {}
    for name, count in COUNTS.items():
        records = payloads(name, count)
        shard_bytes = len(b"".join(records)) // 3 + 1 if name == "normal" else 10**6
        splits[name] = write_patch_set(tmp_path, "train", name, records, shard_bytes)
    content = {"program": "make_patches", "splits": splits_json({"train": splits})}
    write_json(tmp_path / "manifest.json", content)
    return tmp_path


def test_files_and_manifest_entries(patches):
    entry = read_json(patches / "manifest.json")["splits"]["train"]["normal"]
    assert entry["count"] == 5
    assert [shard["file"] for shard in entry["shards"]] == [
        "train/normal-00000-of-00003.tfrecord",
        "train/normal-00001-of-00003.tfrecord",
        "train/normal-00002-of-00003.tfrecord",
    ]
    assert [shard["records"] for shard in entry["shards"]] == [1, 2, 2]
    for shard in entry["shards"]:
        path = patches / shard["file"]
        assert shard["bytes"] == path.stat().st_size
        assert shard["sha256"] == sha256(path)
        assert describe_shard(patches, shard["file"], shard["records"]) == Shard(**shard)


def test_shards_are_near_the_size_asked_for():
    assert [shard_count(total, 150) for total in (0, 1, 200, 201, 400, 401)] == [1, 1, 1, 2, 2, 3]
    for total in range(201, 3000):
        assert 100 <= total / shard_count(total, 150) <= 200


def test_counts(patches):
    found = PatchSet(patches)
    assert found.count("train", "normal") == 5
    assert found.count("train", "normal", "malignant_mass") == 8
    assert found.count("train", "benign_mass") == 0
    assert found.count("test", "normal") == 0


def test_random_access_in_the_order_of_shards(patches):
    index = PatchSet(patches).index("train", "normal", "malignant_mass")
    assert len(index) == 8
    ids = [decode_text(index.payload(i), "patch_id", "shard") for i in range(8)]
    assert ids == [f"normal/{i}" for i in range(5)] + [f"malignant_mass/{i}" for i in range(3)]
    expected = payloads("normal", 5) + payloads("malignant_mass", 3)
    for place in (7, 0, 4, 2):  # any order
        assert index.payload(place) == expected[place]
        record = index.record(place)
        assert record.patch_id == ids[place]
        np.testing.assert_array_equal(index.pixels(place), record.patch)
        assert record.patch.dtype == np.float32


def test_a_class_without_patches_is_named(patches):
    with pytest.raises(UserError, match=r"train/benign_mass: expected patches, found none"):
        PatchSet(patches).index("train", "benign_mass")
    with pytest.raises(UserError, match=r"test/normal: expected patches, found none"):
        PatchSet(patches).index("test", "normal")


def test_a_class_with_an_empty_shard_has_no_patches(tmp_path):
    entry = write_patch_set(tmp_path, "train", "normal", [], 100)
    assert (entry.count, len(entry.shards)) == (0, 1)
    manifest = {"program": "synthesize", "splits": splits_json({"train": {"normal": entry}})}
    write_json(tmp_path / "manifest.json", manifest)
    with pytest.raises(UserError, match="found none"):
        PatchSet(tmp_path).index("train", "normal")


def test_a_shard_of_another_size_is_named(patches):
    shard = patches / shard_path("train", "normal", 1, 3)
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(
        UserError, match=f"normal-00001-of-00003.tfrecord: expected {size} bytes, found {size - 7}"
    ):
        PatchSet(patches)


def test_a_missing_shard_is_named(patches):
    (patches / shard_path("train", "normal", 2, 3)).unlink()
    with pytest.raises(
        UserError, match=r"00002-of-00003\.tfrecord: expected \d+ bytes, found None"
    ):
        PatchSet(patches)


def test_a_damaged_shard_of_the_right_size_is_named_when_read(patches):
    path = patches / shard_path("train", "normal", 1, 3)
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    index = PatchSet(patches).index("train", "normal")
    with pytest.raises(UserError, match=r"00001-of-00003\.tfrecord: damaged record"):
        index.record(2)
    assert index.record(1).patch_id == "normal/1"


def test_a_foreign_record_in_any_shard_is_named_before_a_run(patches):
    manifest = read_json(patches / "manifest.json")
    shards = manifest["splits"]["train"]["normal"]["shards"]
    write_shard(patches / shards[1]["file"], [b"not an Example"])
    shards[1]["bytes"] = len(frame(b"not an Example"))
    write_json(patches / "manifest.json", manifest)
    with pytest.raises(UserError, match=r"00001-of-00003\.tfrecord: expected a serialised"):
        PatchSet(patches).index("train", "normal")


@pytest.mark.parametrize("program", ["train_gan", None])
def test_only_patch_programs_write_patch_sets(tmp_path, program):
    write_json(tmp_path / "manifest.json", {"program": program, "splits": {}})
    with pytest.raises(UserError, match="expected a manifest of make_patches or synthesize"):
        PatchSet(tmp_path)


def test_no_manifest(tmp_path):
    with pytest.raises(
        UserError, match=r"nowhere: expected an output directory .*no such directory"
    ):
        PatchSet(tmp_path / "nowhere")


def test_toy_patches_are_a_patch_set_and_repeatable(tmp_path):
    first = PatchSet(write_toy_patches(tmp_path / "a", size=32, per_class=2))
    write_toy_patches(tmp_path / "b", size=32, per_class=2)
    assert first.count("train", "source") == 2
    for path in sorted((tmp_path / "a").rglob("*.tfrecord")):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()
