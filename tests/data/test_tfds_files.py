"""TensorFlow Datasets reads a patch set as it lies: every patch, every feature, in order."""

import json

import numpy as np
import pytest

from cgan_tf.data.patch_sets import ClassShards, PatchSet, Shard, splits_json, write_patch_set
from cgan_tf.data.records import FEATURES, PatchRecord, encode_record
from cgan_tf.data.tfds_files import (
    FEATURES_FILE,
    INFO_FILE,
    dataset_info,
    features,
    write_tfds_files,
)
from cgan_tf.runs.directory import write_json
from tests.toys.tfds_reading import assert_read_alike, open_with_tfds

SIZE = 16
COUNTS = {("train", "normal"): 5, ("train", "malignant_mass"): 3, ("test", "normal"): 2}
EXTREMES = np.linspace(-1, 1, SIZE * SIZE).reshape(SIZE, SIZE)


def record(split, name, number, synthetic):
    """A record without one default value, so that no feature can be lost unseen."""
    rng = np.random.default_rng([len(split), len(name), number])
    layers = {"lesion": rng.uniform(-1, 1, EXTREMES.shape), "mask": rng.uniform(0, 1, (SIZE, SIZE))}
    return PatchRecord(
        patch_id=f"{split}/{name}/{number} ü",
        patch=EXTREMES if number == 0 else rng.uniform(-1, 1, EXTREMES.shape),
        patch_class=name,
        has_mass=1,
        has_calcification=number % 2,
        box=(1.5, 2.0, 9.25, 16.0) if number else (),
        client_id=f"demd{number}",
        study_uid="1.2",
        sop_uid="1.2.3",
        laterality="L",
        view="MLO",
        manufacturer="ACME",
        pixel_spacing_mm=0.07,
        tissue_fraction=0.9,
        window=(12, 34, 288),
        flip=1,
        rotation=270,
        scale=0.889,
        mark_id="10241",
        label_evidence="SURGERY H5 of lesion 1",
        conspicuity="Subtle",
        lesion_size_mm=12.5,
        breast_density="c",
        age_band="70 years and over",
        breast_thickness_mm=61.0,
        exposure_mas=120.0,
        site="jarv",
        synthetic=int(synthetic),
        z=tuple(rng.uniform(-1, 1, 12)),
        source_patch_id="other",
        task="mass",
        lesion_area_px=77,
        threshold=0.1,
        min_area_fraction=0.01,
        generator_checksum="f" * 64,
        **(layers if synthetic else {}),
    )


@pytest.fixture(params=[False, True], ids=["real", "synthetic"])
def patches(request, tmp_path):
    """A patch set, several shards a class, with what TensorFlow Datasets wants beside it."""
    splits = {}
    for (split, name), count in COUNTS.items():
        payloads = [encode_record(record(split, name, n, request.param)) for n in range(count)]
        shard_bytes = sum(map(len, payloads)) // 3 + 1
        entry = write_patch_set(tmp_path, split, name, payloads, shard_bytes)
        splits.setdefault(split, {})[name] = entry
    program = "synthesize" if request.param else "make_patches"
    write_tfds_files(tmp_path, splits, SIZE, synthetic=request.param)
    write_json(tmp_path / "manifest.json", {"program": program, "splits": splits_json(splits)})
    return PatchSet(tmp_path)


def test_every_feature_of_every_patch(patches):
    assert assert_read_alike(patches.directory) == 10


def test_splits_may_be_cut_and_added(patches):
    builder = open_with_tfds(patches.directory)
    dataset = builder.as_dataset(split="train_normal[1:4]+train_malignant_mass")
    classes = [example["patch_class"].decode() for example in dataset.as_numpy_iterator()]
    assert sorted(classes) == ["malignant_mass"] * 3 + ["normal"] * 3


def test_our_own_reader_does_not_mind_the_files_beside(patches):
    beside = {path.name for path in patches.directory.iterdir() if path.is_file()}
    assert beside == {"manifest.json", INFO_FILE, FEATURES_FILE}
    before = patches.checksum("train", "normal", "malignant_mass")
    for name in (INFO_FILE, FEATURES_FILE):
        (patches.directory / name).unlink()
    again = PatchSet(patches.directory)
    assert again.count("train", "normal") == 5
    assert again.checksum("train", "normal", "malignant_mass") == before


def test_a_class_without_patches_is_no_split():
    entry = ClassShards((Shard("x", records=0, bytes=0, sha256=""),))
    assert dataset_info({"train": {"normal": entry}}, synthetic=False)["splits"] == []


def test_where_the_shards_are():
    entry = ClassShards(tuple(Shard("", n, bytes=10 * n, sha256="") for n in (4, 5)))
    info = dataset_info({"test": {"benign_mass": entry}}, synthetic=False)
    assert info["splits"] == [
        {
            "name": "test_benign_mass",
            "filepathTemplate": "test/benign_mass-{SHARD_X_OF_Y}.tfrecord",
            "shardLengths": ["4", "5"],
            "numBytes": "90",
        }
    ]


def test_real_and_synthetic_sets_have_names_and_features_of_their_own():
    real, synthetic = (features(SIZE, flag)["featuresDict"]["features"] for flag in (False, True))
    assert tuple(synthetic) == FEATURES
    assert set(FEATURES) - set(real) == {"lesion", "mask"}
    names = {dataset_info({}, flag)["name"] for flag in (False, True)}
    assert names == {"mammogram_patches", "synthetic_mammogram_patches"}


def test_the_files_are_json_and_always_the_same(patches):
    synthetic = patches.manifest["program"] == "synthesize"
    files = [patches.directory / name for name in (INFO_FILE, FEATURES_FILE)]
    before = [path.read_bytes() for path in files]
    assert all(json.loads(content) for content in before)
    write_tfds_files(patches.directory, patches.splits, SIZE, synthetic)
    assert [path.read_bytes() for path in files] == before
