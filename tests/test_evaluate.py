"""The evaluation: what it writes, and that the figures follow from the scores."""

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from cgan_tf.config import NORMAL
from cgan_tf.errors import UserError
from cgan_tf.evaluation import evaluate
from cgan_tf.evaluation_metrics import metrics_of_scores, metrics_of_synthetic
from cgan_tf.evaluation_sources import find_sources, whole_sets
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.run_directory import read_manifest
from cgan_tf.statistics import exact_auc
from tests.tiny_resnet import tiny_resnet
from tests.toy_experiment import evaluation_config
from tests.toy_patches import write_toy_patches


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setattr(keras.applications, "ResNet50", tiny_resnet)


def _rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_scores_are_those_of_the_test_split(toy_experiment):
    rows = _rows(toy_experiment / "evaluation_mixed" / "scores.csv")
    patches = PatchSet(toy_experiment / "patches")
    expected = {
        patches.index("test", name).record(i).patch_id
        for name in ("normal", "malignant_mass", "malignant_calcification")
        for i in range(15)
    }
    assert {row["patch_id"] for row in rows} == expected
    assert len(rows) == 45
    for row in rows:
        assert (row["label"] == "0") == (row["patch_class"] == NORMAL) == (row["lesion_type"] == "")
        assert row["client_id"].startswith("test-")


def test_metrics_follow_from_the_scores(toy_experiment):
    directory = toy_experiment / "evaluation_mixed"
    metrics = json.loads((directory / "metrics.json").read_text())
    rows = _rows(directory / "scores.csv")
    kept = [row for row in rows if row["lesion_type"] != "calcification"]
    for name, chosen in (("overall", rows), ("mass", kept)):
        labels = np.array([int(row["label"]) for row in chosen])
        logits = np.array([float(row["logit"]) for row in chosen])
        assert metrics["auc"][name]["auc"] == pytest.approx(exact_auc(labels, logits))
        assert metrics["auc"][name]["positives"] == labels.sum()
    negatives = [float(row["logit"]) for row in rows if row["label"] == "0"]
    positives = [float(row["logit"]) for row in rows if row["label"] == "1"]
    assert np.mean(np.array(negatives) <= metrics["threshold"]) >= 0.9
    assert metrics["sensitivity"] == pytest.approx(
        np.mean(np.array(positives) > metrics["threshold"])
    )


def test_synthetic_scores_stand_beside_their_sources(toy_experiment):
    directory = toy_experiment / "evaluation_baseline"
    rows = _rows(directory / "synthetic_scores.csv")
    assert {(row["task"], row["split"]) for row in rows} == {
        ("mass", "train"), ("calcification", "train"), ("removal", "train"), ("removal", "test"),
    }  # fmt: skip
    test_logits = {row["patch_id"]: float(row["logit"]) for row in _rows(directory / "scores.csv")}
    held_out = [row for row in rows if row["split"] == "test"]
    assert len(held_out) == 8
    for row in held_out:  # the source is a test patch, so its logit is in the other table too
        assert float(row["source_logit"]) == pytest.approx(
            test_logits[row["source_patch_id"]], abs=1e-4
        )
        assert row["source_class"].startswith("malignant")
    effect = json.loads((directory / "metrics.json").read_text())["synthetic"]["removal_test"]
    before = np.mean([float(row["source_logit"]) for row in held_out])
    assert effect["mean_logit_before"] == pytest.approx(before)


def test_features_are_in_the_order_of_the_tables(toy_experiment):
    directory = toy_experiment / "evaluation_mixed"
    with np.load(directory / "features.npz") as features:
        shapes = {name: features[name].shape for name in features.files}
        by_features = features["test"] @ _head(toy_experiment / "mixed")[0]
    assert shapes == {
        "test": (45, 2048), "validation": (45, 2048), "synthetic": (32, 2048),
        "validation_class": (45,),
    }  # fmt: skip
    logits = [float(row["logit"]) for row in _rows(directory / "scores.csv")]
    bias = _head(toy_experiment / "mixed")[1]
    assert by_features[:, 0] + bias == pytest.approx(logits, abs=1e-4)


def _head(workdir):
    from cgan_tf.classifier_scoring import load_classifier

    model = load_classifier(workdir, read_manifest(workdir, "train_classifier"))
    return model.head.kernel.numpy(), model.head.bias.numpy()


def test_benign_and_unlabelled_patches_never_count():
    rows = [
        {"label": "0", "logit": str(i), "client_id": f"n{i}", "lesion_type": ""} for i in range(4)
    ]
    rows += [
        {"label": "1", "logit": str(2.5 + i), "client_id": f"p{i}", "lesion_type": "mass"}
        for i in range(3)
    ]
    metrics = metrics_of_scores(rows)
    assert metrics["auc"]["overall"]["auc"] == pytest.approx(11 / 12)
    assert metrics["auc"]["calcification"]["auc"] is None
    assert metrics["auc"]["calcification"]["note"].startswith("undefined: 0 positive")
    json.dumps(metrics, allow_nan=False)


def test_effect_of_a_task_by_hand():
    rows = [
        {"task": "removal", "split": "test", "logit": after, "source_logit": before}
        for before, after in ((2.0, 0.5), (1.0, 1.5), (3.0, -1.0))
    ]
    effect = metrics_of_synthetic(rows)["removal_test"]
    assert effect["mean_logit_before"] == 2
    assert effect["mean_logit_after"] == pytest.approx(1 / 3)
    assert effect["mean_change"] == pytest.approx(-5 / 3)
    assert effect["as_intended"] == pytest.approx(2 / 3)


def test_sources_are_found_in_any_split_and_read_once(toy_experiment):
    patches = PatchSet(toy_experiment / "patches")
    wanted = ["test-normal-00003", "train-source-00001", "test-normal-00003"]
    indices, numbers = find_sources(patches, wanted)
    pool = PatchPool(indices)
    assert len(pool) == 2
    assert [pool.record(number).patch_id for number in numbers] == wanted
    with pytest.raises(UserError, match="expected patch 'elsewhere-1'"):
        find_sources(patches, ["train-source-00001", "elsewhere-1"])


def test_whole_sets_name_the_split_of_every_patch(toy_experiment):
    sets = [PatchSet(toy_experiment / name) for name in ("mass", "removal_test")]
    pool, splits = whole_sets(sets)
    assert splits == ["train"] * 8 + ["test"] * 8
    assert pool.record(8).task == "removal"


def test_second_run_has_nothing_to_do(toy_experiment, capsys):
    evaluate(evaluation_config(toy_experiment, "mixed"))
    assert capsys.readouterr().out.count("\n") == 1


def test_mistakes_are_one_line_and_leave_nothing(toy_experiment, tmp_path):
    config = dataclasses.replace(
        evaluation_config(toy_experiment, "mixed"), output_dir=str(tmp_path / "out")
    )
    write_toy_patches(tmp_path / "large", size=64, per_class=3)
    cases = [
        ({"classifier": str(tmp_path)}, "expected the manifest of train_classifier"),
        ({"patches_dir": str(tmp_path / "large"), "synthetic_dirs": ()}, "expected 32 px patches"),
        ({"synthetic_dirs": ("nowhere",)}, "nowhere"),
        ({"batch_size": 0}, "--batch_size"),
    ]
    for changes, words in cases:
        with pytest.raises(UserError, match=words) as caught:
            evaluate(dataclasses.replace(config, **changes))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_synthetic_patches_of_other_patches_are_refused(toy_experiment, tmp_path):
    write_toy_patches(tmp_path / "other", size=32, per_class=2)
    shutil.copytree(toy_experiment / "mixed", tmp_path / "mixed")
    config = dataclasses.replace(
        evaluation_config(toy_experiment, "mixed"),
        patches_dir=str(tmp_path / "other"),
        output_dir=str(tmp_path / "out"),
    )
    with pytest.raises(UserError, match="were they made from other patches"):
        evaluate(config)
