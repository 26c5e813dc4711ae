"""Which images a detector learns from and is scored on, and what is refused before TensorFlow."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.config import DetectorConfig
from cgan_tf.data.provenance import patient_digest
from cgan_tf.detector.inputs import INSERTED, REAL, WITHOUT, open_sets, training_plan
from cgan_tf.detector.training import check_config
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.errors import UserError
from tests.toys.images import write_toy_images

WOMEN = {"train": 4, "validation": 2, "test": 3}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_toy_images(root / "real", WOMEN)
    inserted = {"generator_patients": [patient_digest("wtrain0")]}
    women = {"train": 4, "test": 3}  # each in her own split
    write_toy_images(root / "inserted", women, healthy=False, inserted=inserted)
    return root


def config_of(root, **changes):
    values = {
        "images_dir": str(root / "real"),
        "inserted_dirs": (str(root / "inserted"),),
        "batch_size": 4,
        "samples": 48,
        "max_level": 5,
        **changes,
    }
    return DetectorConfig(**values)


def test_streams_hold_what_they_should(sets):
    found = open_sets(config_of(sets, inserted_fraction=0.5))
    assert [len(stream) for stream in found.streams] == [4, 4, 4]
    kinds = [{s.record(n).kind for n in range(len(s))} for s in found.streams]
    assert kinds == [{"normal"}, {"malignant"}, {"malignant"}]
    women = {s.record(n).client_id for s in found.streams for n in range(len(s))}
    assert women == {f"wtrain{number}" for number in range(4)}
    assert (len(found.validation), len(found.test)) == (4, 6)
    assert found.canvas == (64, 64)  # 60 x 44, halved five times
    assert found.overlaps == ()


def test_the_plan_draws_lesions_and_inserted_ones_in_their_share(sets):
    config = config_of(sets, samples=4000, inserted_fraction=0.25)
    plan = training_plan(config, [5, 4, 3])
    assert plan.shape == (4000, 2)
    lesions = (plan[:, 0] != WITHOUT).reshape(-1, 4)
    assert (lesions.sum(axis=1) == 2).all()  # half of each batch
    share = np.mean(plan[plan[:, 0] != WITHOUT, 0] == INSERTED)
    assert share == pytest.approx(0.25, abs=0.03)
    for stream, count in ((WITHOUT, 5), (REAL, 4), (INSERTED, 3)):
        numbers = plan[plan[:, 0] == stream, 1]
        assert sorted(numbers[:count]) == list(range(count))  # each once before any again


def test_runs_that_differ_in_the_inserted_share_see_the_same_other_images(sets):
    plans = [
        training_plan(config_of(sets, inserted_fraction=share), [5, 4, 3]) for share in (0, 0.5, 1)
    ]
    without = [plan[plan[:, 0] == WITHOUT] for plan in plans]
    assert np.array_equal(without[0], without[1])
    assert np.array_equal(without[0], without[2])
    assert not (plans[0][:, 0] == INSERTED).any()
    assert not (plans[2][:, 0] == REAL).any()
    other = training_plan(config_of(sets, seed=1), [5, 4, 3])
    assert not np.array_equal(plans[0], other)


class TestRefusals:
    def test_women_of_the_test_split_in_the_training_split_of_an_inserted_set(self, sets, tmp_path):
        """Made with another seed, an inserted set has its own split."""
        wrong = write_toy_images(tmp_path / "wrong", {"train": 2}, "x", inserted={"task": "mass"})
        _replace_women(wrong, [patient_digest("wtest0"), patient_digest("elsewhere")])
        config = config_of(sets, inserted_dirs=(str(wrong),), inserted_fraction=0.5)
        with pytest.raises(UserError, match="1 of its 2 women are in the test split"):
            open_sets(config)
        (overlap,) = open_sets(dataclasses.replace(config, allow_overlap=True)).overlaps
        assert (overlap.split, overlap.patients) == ("test", (patient_digest("wtest0"),))
        # Nothing of an inserted set is seen without its share.
        assert open_sets(dataclasses.replace(config, inserted_fraction=0.0)).overlaps == ()

    def test_women_of_the_validation_split_behind_the_generator(self, sets, tmp_path):
        inserted = {"generator_patients": [patient_digest("wvalidation1")]}
        wrong = write_toy_images(tmp_path / "wrong", {"train": 2}, "v", inserted=inserted)
        with pytest.raises(UserError, match=r"the generator of .*1 of its 1 women .*validation"):
            open_sets(config_of(sets, inserted_dirs=(str(wrong),), inserted_fraction=1.0))

    def test_real_images_as_inserted_ones(self, sets):
        with pytest.raises(UserError, match="expected images of insert_lesions"):
            open_sets(config_of(sets, inserted_dirs=(str(sets / "real"),)))

    def test_a_stream_without_images(self, sets):
        with pytest.raises(UserError, match="--inserted_dirs: no training image"):
            open_sets(config_of(sets, inserted_dirs=(), inserted_fraction=0.5))
        with pytest.raises(UserError, match=r"--lesion_share=0\.1: expected enough for one image"):
            open_sets(config_of(sets, lesion_share=0.1))

    def test_held_out_splits_without_both_kinds(self, tmp_path):
        write_toy_images(tmp_path / "real", WOMEN, healthy=False)
        with pytest.raises(UserError, match="validation: expected images with and without"):
            open_sets(config_of(tmp_path, inserted_dirs=()))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"min_level": 4, "max_level": 3}, "--max_level: expected --min_level=4 or more"),
            ({"positive_iou": 0.3}, "--positive_iou: expected --negative_iou=0.4 or more"),
            ({"rotate": True}, "--rotate: expected --window"),
            ({"window": 60, "max_level": 3}, "--window: expected a multiple of 8, .* found 60"),
            ({"aspect_ratios": ("1", "wide")}, "--aspect_ratios: .* found 'wide'"),
            ({"aspect_ratios": ("-1",)}, "--aspect_ratios: .* found '-1'"),
            ({"min_level": 1}, "--min_level"),
        ],
    )
    def test_values_that_no_run_can_have(self, sets, changes, message):
        with pytest.raises(UserError, match=message):
            check_config(config_of(sets, **changes))


def _replace_women(directory, digests):
    manifest = read_json(directory / "manifest.json")
    write_json(directory / "manifest.json", manifest | {"patients": {"train": digests}})
