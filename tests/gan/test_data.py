"""Which patches feed which task, and an order that is a function of the sample number."""

import dataclasses
import shutil

import numpy as np
import pytest

from cgan_tf.data.keyed import SampleOrder, sample_order
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan.data import CLASSES, streams, task_streams, training_batches
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.errors import UserError
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return PatchSet(write_toy_patches(tmp_path_factory.mktemp("toy"), size=32, per_class=5))


def without(patches, directory, *classes):
    """A copy of the patch set that lacks some training classes."""
    shutil.copytree(patches.directory, directory)
    manifest = read_json(directory / "manifest.json")
    for name in classes:
        del manifest["splits"]["train"][name]
    write_json(directory / "manifest.json", manifest)
    return PatchSet(directory)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("mass", {"real": "malignant_mass", "benign": "benign_mass", "normal": "normal"}),
        (
            "calcification",
            {
                "real": "malignant_calcification",
                "benign": "benign_calcification",
                "normal": "normal",
            },
        ),
        ("removal", {"real": "normal"}),
    ],
)
def test_roles(patches, task, expected):
    indexes = streams(small_config(), patches, task)
    assert list(indexes) == ["real", "benign", "normal", "source"]
    for role, name in expected.items():
        ids = {indexes[role].record(i).patch_class for i in range(len(indexes[role]))}
        assert ids == {name}
    if task != "removal":
        assert indexes["source"].record(0).patch_class == "normal"


def test_removal_starts_from_malignant_patches_of_both_kinds(patches):
    indexes = streams(small_config(), patches, "removal")
    for role, kinds in {
        "source": {"malignant_mass", "malignant_calcification"},
        "normal": {"malignant_mass", "malignant_calcification"},  # the fourth class
        "benign": {"benign_mass", "benign_calcification"},
    }.items():
        records = [indexes[role].record(i) for i in range(len(indexes[role]))]
        assert len(records) == 10
        assert {record.patch_class for record in records} == kinds
        assert {record.patch_id.split("-")[0] for record in records} == {"train"}


def test_no_role_uses_the_patches_set_aside_for_synthesis():
    assert all("source" not in classes for roles in CLASSES.values() for classes in roles.values())


def test_a_role_without_weight_needs_no_patches(patches, tmp_path):
    lacking = without(patches, tmp_path / "p", "benign_mass")
    config = small_config(task="mass")
    with pytest.raises(UserError, match=r"train/benign_mass.*role 'benign' of task mass") as error:
        streams(config, lacking, "mass")
    assert "--benign_weight=0 does without" in str(error.value)
    indexes = streams(dataclasses.replace(config, benign_weight=0.0), lacking, "mass")
    assert list(indexes) == ["real", "normal", "source"]
    batch = next(iter(training_batches(dataclasses.replace(config, benign_weight=0.0), lacking, 0)))
    assert set(batch) == {"real", "normal", "source", "task"}


def test_a_role_that_is_needed_is_named_without_a_way_round(patches, tmp_path):
    lacking = without(patches, tmp_path / "p", "malignant_mass")
    with pytest.raises(UserError, match=r"role 'real' of task mass\)$"):
        streams(small_config(), lacking, "mass")


def test_patches_of_another_size_are_refused(patches):
    with pytest.raises(UserError, match=r"expected patches of 64 px \(--size\), found 32"):
        streams(small_config(size=64), patches, "mass")


class TestOrder:
    def test_every_epoch_is_a_permutation(self):
        order = SampleOrder(7, "mass/real", 11)
        epochs = [[order[11 * epoch + i] for i in range(11)] for epoch in range(4)]
        for epoch in epochs:
            assert sorted(epoch) == list(range(11))
        assert len({tuple(epoch) for epoch in epochs}) == 4

    def test_a_function_of_seed_stream_and_sample(self):
        forward = [SampleOrder(7, "mass/real", 50)[n] for n in range(120)]
        order = SampleOrder(7, "mass/real", 50)
        assert [order[n] for n in reversed(range(120))] == forward[::-1]
        for other in (SampleOrder(8, "mass/real", 50), SampleOrder(7, "mass/source", 50)):
            assert [other[n] for n in range(120)] != forward

    def test_the_same_in_every_version(self):
        """Philox and BLAKE2b are standards; a run must go on after an update."""
        assert sample_order(0, "mass/real", 0, 10).tolist() == [4, 6, 0, 9, 7, 8, 5, 3, 2, 1]

    def test_uniform(self):
        counts = np.zeros((6, 6))
        for epoch in range(3000):
            counts[np.arange(6), sample_order(1, "x", epoch, 6)] += 1
        assert np.abs(counts - 500).max() < 5 * np.sqrt(500 * 5 / 6)


def take(batches, count):
    found = []
    for batch in batches:
        found.append({name: value.numpy() for name, value in batch.items()})
        if len(found) == count:
            return found
    raise AssertionError("the batches ended")


def test_batches_are_the_patches_in_their_order(patches):
    config = small_config(task="calcification", batch_size=3)
    indexes = streams(config, patches, "calcification")
    batches = take(training_batches(config, patches, 0), 4)
    for role, index in indexes.items():
        order = SampleOrder(config.seed, f"calcification/{role}", 5)
        for step, batch in enumerate(batches):
            assert batch[role].shape == (3, 32, 32, 1)
            assert batch[role].dtype == np.float32
            for place in range(3):
                expected = index.pixels(order[3 * step + place])  # runs into the next epoch
                np.testing.assert_array_equal(batch[role][place, ..., 0], expected)


def test_the_categories_of_a_conditional_model_take_turns(patches):
    """Sample n of the run is sample n // 3 of task n % 3, the same task in every role."""
    config = small_config(conditional=True, batch_size=4)
    indexes = task_streams(config, patches)
    assert list(indexes) == ["mass", "calcification", "removal"]
    for step, batch in enumerate(take(training_batches(config, patches, 2), 3), 2):
        assert set(batch) == {"real", "benign", "normal", "source", "task"}
        for place in range(4):
            number, turn = divmod(4 * step + place, 3)
            assert batch["task"][place] == turn
            task = list(indexes)[turn]
            for role, index in indexes[task].items():
                order = SampleOrder(config.seed, f"{task}/{role}", len(index))
                expected = index.pixels(order[number])
                np.testing.assert_array_equal(batch[role][place, ..., 0], expected)


@pytest.mark.parametrize("start", [1, 5])
def test_starting_late_is_skipping(patches, start):
    config = small_config(batch_size=2)
    whole = take(training_batches(config, patches, 0), start + 3)[start:]
    late = take(training_batches(config, patches, start), 3)
    for first, second in zip(whole, late, strict=True):
        for role in first:
            np.testing.assert_array_equal(first[role], second[role])


def test_another_seed_is_another_order(patches):
    first, second = (
        take(training_batches(small_config(seed=seed, batch_size=5), patches, 0), 1)[0]["real"]
        for seed in (0, 1)
    )
    assert (first != second).any()
    np.testing.assert_array_equal(  # one epoch: the same patches
        np.sort(first.sum(axis=(1, 2, 3))), np.sort(second.sum(axis=(1, 2, 3)))
    )
