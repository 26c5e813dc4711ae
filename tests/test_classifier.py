"""The classifier: network, batch normalisation, weights files, mixing, validation, resuming."""

import contextlib
import csv
import dataclasses

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from cgan_tf import classifier_data, classifier_training, tfrecords
from cgan_tf.classifier_scoring import load_classifier, score
from cgan_tf.classifier_training import ClassifierTraining, train_classifier
from cgan_tf.config import ClassifierConfig
from cgan_tf.errors import UserError
from cgan_tf.mixing import Schedule
from cgan_tf.patch_pools import PatchPool, check_sizes, evaluation_pool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.run_directory import read_json, read_manifest
from cgan_tf.statistics import exact_auc
from tests.tiny_resnet import tiny_resnet
from tests.toy_patches import write_toy_patches, write_toy_synthetic


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Toy patches and the three synthetic sets."""
    root = tmp_path_factory.mktemp("toy")
    write_toy_patches(root / "patches", size=32, per_class=20)
    for task in ("mass", "calcification", "removal"):
        write_toy_synthetic(root / task, root / "patches", task, 10)
    return root


@pytest.fixture
def tiny(monkeypatch):
    """ResNet-50 replaced by a small network."""
    monkeypatch.setattr(keras.applications, "ResNet50", tiny_resnet)


def config_for(data, workdir, **changes):
    config = ClassifierConfig(
        patches_dir=str(data / "patches"),
        synthetic_dirs=tuple(str(data / t) for t in ("mass", "calcification", "removal")),
        workdir=str(workdir),
        weights="none",
        synthetic_fraction=0.5,
        decay_every=20,
        samples=96,
        validate_every=32,
        batch_size=8,
        learning_rate=1e-3,
    )
    return dataclasses.replace(config, **changes)


def _values(model):
    return [weight.numpy().tobytes() for weight in model.weights]


# Streams


def test_streams_hold_the_classes_they_should(data, tmp_path):
    pools = classifier_data.training_pools(config_for(data, tmp_path))
    classes = [{pool.record(number).patch_class for number in range(len(pool))} for pool in pools]
    assert classes[0] == {"normal", "benign_mass", "benign_calcification"}
    assert classes[1] == classes[3] == {"malignant_mass", "malignant_calcification"}
    assert classes[2] == {"normal"}
    assert [len(pool) for pool in pools] == [60, 40, 10, 20]
    assert all(pools[2].record(n).synthetic for n in range(10))
    without = classifier_data.training_pools(config_for(data, tmp_path, benign="exclude"))
    assert len(without[0]) == 20


def test_plan_follows_the_schedule():
    schedule, samples = Schedule(0.8, every=1000), 6000
    plan = classifier_data.sampling_plan(schedule, samples, [50, 40, 30, 20], seed=1)
    drawn = np.bincount(plan[:, 0], minlength=4)
    synthetic = schedule.expected_synthetic(samples)
    expected = np.array([samples - synthetic, samples - synthetic, synthetic, synthetic]) / 2
    assert scipy.stats.chisquare(drawn, expected).pvalue > 0.001
    for start in (0, 3000):  # the share falls inside the run, not only on average
        part = plan[start : start + 1000]
        share = float(schedule.share(start))
        found = (part[:, 0] >= 2).mean()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / 1000)
    for stream, count in enumerate([50, 40, 30, 20]):
        numbers = plan[plan[:, 0] == stream, 1]
        assert sorted(numbers[:count]) == list(range(count))  # each patch once before any twice


def test_plan_is_a_pure_function_of_the_seed():
    arguments = Schedule(0.5, every=100), 300, [5, 5, 5, 5]
    plan = classifier_data.sampling_plan(*arguments, seed=1)
    tf.random.set_seed(99)
    assert np.array_equal(classifier_data.sampling_plan(*arguments, seed=1), plan)
    assert not np.array_equal(classifier_data.sampling_plan(*arguments, seed=2), plan)


def test_streams_without_weight_may_be_empty(data, tmp_path):
    config = config_for(data, tmp_path, synthetic_fraction=0.0, synthetic_dirs=())
    pools = classifier_data.training_pools(config)
    plan = classifier_data.sampling_plan(Schedule(0.0), 50, [len(pool) for pool in pools], 0)
    assert set(plan[:, 0]) == {0, 1}


def test_batches_are_the_plans_patches(data, tmp_path):
    pools = classifier_data.training_pools(config_for(data, tmp_path))
    plan = np.array([[0, 3], [1, 7], [2, 0], [3, 19], [1, 0]], np.int32)
    batches = list(classifier_data.training_batches(pools, plan, 1, 3).as_numpy_iterator())
    assert [len(labels) for _, labels in batches] == [3, 1]
    assert batches[0][1].tolist() == [1, 0, 1]
    assert np.array_equal(batches[0][0][1, ..., 0], pools[2].pixels(0))


def test_an_empty_stream_is_refused_before_anything_is_written(data, tmp_path, tiny):
    only_positive = config_for(data, tmp_path / "w", synthetic_dirs=(str(data / "mass"),))
    with pytest.raises(UserError, match=r"synthetic negative stream is empty.*removal"):
        train_classifier(only_positive)
    assert not (tmp_path / "w").exists()


def test_sets_of_different_sizes_are_refused(data, tmp_path):
    write_toy_patches(tmp_path / "large", size=64, per_class=3)
    pools = [
        PatchPool((PatchSet(directory).index("train", "normal"),))
        for directory in (data / "patches", tmp_path / "large")
    ]
    with pytest.raises(UserError, match=r"expected 32 px patches.*found 64 px"):
        check_sizes(pools)


def test_a_record_damaged_in_the_middle_is_one_line(data, tmp_path, tiny):
    write_toy_patches(tmp_path / "patches", per_class=20)
    shard = next((tmp_path / "patches" / "train").glob("malignant_mass*"))
    content = bytearray(shard.read_bytes())
    offset, length = tfrecords.shard_index(shard)[5]
    content[offset + length // 2] ^= 1
    shard.write_bytes(content)
    config = config_for(tmp_path, tmp_path / "w", synthetic_fraction=0.0, synthetic_dirs=())
    with pytest.raises(UserError, match=r"malignant_mass.*does not match$"):
        train_classifier(config)


# The run


def test_a_run_leaves_what_it_promises(data, tmp_path, tiny, capsys):
    config = config_for(data, tmp_path / "w")
    train_classifier(config)
    manifest = read_manifest(tmp_path / "w", "train_classifier")
    with (tmp_path / "w" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["samples"]) for row in rows] == [32, 64, 96]
    assert sum(manifest["drawn"].values()) == 96
    assert not (tmp_path / "w" / "checkpoints").exists()
    pool, labels = evaluation_pool(PatchSet(config.patches_dir), "validation")
    assert len(labels) == 60
    assert labels.sum() == 40
    for row in rows:  # every validation's scores are kept and give its AUC
        with np.load(tmp_path / "w" / "validation" / f"{int(row['samples']):08d}.npz") as kept:
            assert kept["labels"].tolist() == labels.tolist()
            auc = exact_auc(kept["labels"], kept["logits"])
            assert auc == pytest.approx(float(row["validation_auc"]))
            if int(row["samples"]) == manifest["best_samples"]:
                best = kept["logits"]
    assert manifest["best_validation_auc"] == pytest.approx(
        max(float(row["validation_auc"]) for row in rows)
    )
    model = load_classifier(tmp_path / "w", manifest)
    assert np.allclose(score(model, pool, 16)[0], best, atol=1e-5)
    capsys.readouterr()
    train_classifier(config)
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(UserError, match="--samples was 96, is 64"):
        train_classifier(dataclasses.replace(config, samples=64))


def test_an_interrupted_run_goes_on_bit_for_bit(data, tmp_path, tiny, monkeypatch):
    train_classifier(config_for(data, tmp_path / "whole"))
    steps = []
    original = classifier_training.train_step

    def counted(model, optimizer, state):
        step = original(model, optimizer, state)

        def run(patches, labels):
            step(patches, labels)
            steps.append(len(labels))
            if len(steps) in (6, 8):  # inside an interval and at its end
                training.stop_requested = True

        return run

    monkeypatch.setattr(classifier_training, "train_step", counted)
    config = config_for(data, tmp_path / "parts")
    for _ in range(3):
        training = ClassifierTraining(config)
        interrupted = len(steps) < 8
        with (
            pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext(),
            classifier_training.open_run(config.workdir, "train_classifier", config) as run,
        ):
            training.run(run.directory)
    assert sum(steps) == 96  # nothing was done twice
    whole, parts = (read_json(tmp_path / name / "manifest.json") for name in ("whole", "parts"))
    models = [load_classifier(tmp_path / n, m) for n, m in (("whole", whole), ("parts", parts))]
    assert _values(models[0]) == _values(models[1])
    assert parts["plan_sha256"] == whole["plan_sha256"]
    for name in ("metrics.csv", "validation/00000096.npz"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_it_learns_to_see_bright_circles(tmp_path, tiny):
    write_toy_patches(tmp_path / "patches", size=32, per_class=60)
    config = config_for(
        tmp_path, tmp_path / "w", synthetic_dirs=(), synthetic_fraction=0.0, batch_norm="batch",
        samples=3200, validate_every=1600, batch_size=16, learning_rate=3e-3,
    )  # fmt: skip
    train_classifier(config)
    assert read_manifest(tmp_path / "w", "train_classifier")["best_validation_auc"] > 0.8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 0}, "--samples: expected 1 or more"),
        ({"synthetic_fraction": 1.5}, "--synthetic_fraction: expected 0 to 1"),
        ({"learning_rate": 0.0}, "--learning_rate"),
        ({"patches_dir": "nowhere"}, "nowhere/manifest.json"),
        ({"weights": "nowhere.keras"}, "nowhere.keras"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(data, tmp_path, tiny, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        train_classifier(config_for(data, tmp_path / "w", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "w").exists()


def test_foreign_weights_are_not_scored(data, tmp_path, tiny):
    train_classifier(config_for(data, tmp_path / "w", samples=16, validate_every=16))
    manifest = read_manifest(tmp_path / "w", "train_classifier")
    path = tmp_path / "w" / manifest["weights"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"best.weights.h5: expected the weights"):
        load_classifier(tmp_path / "w", manifest)
