"""The evaluation: what it writes, and that the figures follow from the scores."""

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from scipy.special import expit

from cgan_tf.classifier.evaluation import evaluate
from cgan_tf.classifier.metrics import (
    Metrics,
    OperatingPoint,
    ScoreRow,
    SyntheticRow,
    metrics_of,
    synthetic_effects,
)
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources, whole_sets
from cgan_tf.labels import MALIGNANT_CLASSES, NORMAL
from cgan_tf.runs.dataclass_json import from_json, to_json
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import auc_interval, exact_auc
from cgan_tf.statistics.bands import sensitivity_interval
from cgan_tf.statistics.calibration import recalibration
from tests.toys.experiment import evaluation_config
from tests.toys.patches import MANUFACTURERS, write_toy_patches
from tests.toys.tiny_resnet import tiny_resnet

EVALUATED = (NORMAL, *MALIGNANT_CLASSES)


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


def test_benign_and_unlabelled_patches_never_count(toy_experiment):
    patches = PatchSet(toy_experiment / "patches")
    ignored = ("benign_mass", "benign_calcification", "unlabelled")
    for split in ("test", "validation"):
        assert [patches.count(split, name) for name in ignored] == [15, 15, 15]
    directory = toy_experiment / "evaluation_mixed"
    classes = {row["patch_class"] for row in _rows(directory / "scores.csv")}
    assert classes == {"normal", "malignant_mass", "malignant_calcification"}
    metrics = json.loads((directory / "metrics.json").read_text())
    assert metrics["patches"] == {"normal": 15, "malignant": 30}
    with np.load(directory / "features.npz") as features:
        assert set(features["validation_class"]) == classes


ACQUIRED = {
    "age_band": ["50 to 59 years", "60 to 69 years"],
    "breast_thickness_mm": ["45 to 60 mm", "60 to 75 mm"],
    "exposure_mas": ["50 to 100 mAs", "100 to 200 mAs"],
    "site": ["adde", "stge"],
}


def test_scores_say_what_the_records_know(toy_experiment):
    rows = _rows(toy_experiment / "evaluation_mixed" / "scores.csv")
    patches = PatchSet(toy_experiment / "patches")
    pool = PatchPool((patches.index("test", *EVALUATED),))
    records = {record.patch_id: record for record in pool.descriptions()}
    for row in rows:
        record = records[row["patch_id"]]
        assert row["manufacturer"] == record.manufacturer
        assert row["conspicuity"] == record.conspicuity
        assert row["breast_density"] == record.breast_density
        assert (row["age_band"], row["site"]) == (record.age_band, record.site)
        assert float(row["breast_thickness_mm"] or 0) == record.breast_thickness_mm
        assert float(row["exposure_mas"] or 0) == record.exposure_mas
        assert float(row["lesion_size_mm"] or 0) == pytest.approx(record.lesion_size_mm)
    known = {
        name: {bool(row[name]) for row in rows if row["label"] == "1"}
        for name in ("lesion_size_mm", "conspicuity", "breast_density")
    }
    assert known == {
        "lesion_size_mm": {True, False}, "conspicuity": {True}, "breast_density": {True, False},
    }  # fmt: skip
    assert not any(
        row["lesion_size_mm"] or row["conspicuity"] for row in rows if row["label"] == "0"
    )


def test_metrics_follow_from_the_scores(toy_experiment):
    directory = toy_experiment / "evaluation_mixed"
    metrics = json.loads((directory / "metrics.json").read_text())
    rows = _rows(directory / "scores.csv")
    masses = [row for row in rows if row["lesion_type"] != "calcification"]
    calcifications = [row for row in rows if row["lesion_type"] != "mass"]
    for name, chosen in (("overall", rows), ("mass", masses), ("calcification", calcifications)):
        labels, logits, clients = _arrays(chosen)
        found = metrics["auc"][name]
        assert found["auc"] == pytest.approx(exact_auc(labels, logits))
        assert found["positives"] == labels.sum()
        assert (found["low"], found["high"]) == pytest.approx(_limits(labels, logits, None))
        assert (found["low_by_patient"], found["high_by_patient"]) == pytest.approx(
            _limits(labels, logits, clients)
        )
    assert metrics["auc"]["mass"]["auc"] != metrics["auc"]["calcification"]["auc"]
    negatives = [float(row["logit"]) for row in rows if row["label"] == "0"]
    positives = [float(row["logit"]) for row in rows if row["label"] == "1"]
    assert np.mean(np.array(negatives) <= metrics["threshold"]) >= 0.9
    assert metrics["sensitivity"] == pytest.approx(
        np.mean(np.array(positives) > metrics["threshold"])
    )
    point = sensitivity_interval(*_arrays(rows), specificity=0.9)
    assert metrics["sensitivity_low_by_patient"] == pytest.approx(point.low)
    assert metrics["sensitivity_high_by_patient"] == pytest.approx(point.high)
    assert point.low <= metrics["sensitivity"] <= point.high


def _arrays(rows):
    """(labels, logits, clients) of rows of scores.csv."""
    labels = np.array([int(row["label"]) for row in rows])
    logits = np.array([float(row["logit"]) for row in rows])
    return labels, logits, np.array([row["client_id"] for row in rows])


def _limits(labels, logits, clients):
    estimate = auc_interval(labels, logits, clients)
    return estimate.low, estimate.high


def test_calibration_and_subgroups_follow_from_the_scores(toy_experiment):
    directory = toy_experiment / "evaluation_baseline"
    metrics = json.loads((directory / "metrics.json").read_text())
    rows = _rows(directory / "scores.csv")
    labels, logits, clients = _arrays(rows)
    found = metrics["calibration"]
    assert found["prevalence"] == pytest.approx(30 / 45)
    assert found["prevalence_note"].startswith("67% of these patches are malignant, a share that")
    assert sum(row["patches"] for row in found["bins"]) == 45
    assert found["brier_score"] == pytest.approx(np.mean((expit(logits) - labels) ** 2))
    line = dataclasses.asdict(recalibration(labels, logits, clients))
    for name, value in line.items():
        assert found[name] == (None if value != value else pytest.approx(value)), name
    groups = metrics["subgroups"]
    assert set(groups["manufacturer"]["groups"]) == set(MANUFACTURERS)
    for name in MANUFACTURERS:
        chosen = np.array([row["manufacturer"] == name for row in rows])
        group = groups["manufacturer"]["groups"][name]
        assert group["auc"] == pytest.approx(exact_auc(labels[chosen], logits[chosen]))
        assert group["low_by_patient"] is None
        assert group["note"].startswith("undefined: ")
    assert set(groups["breast_density"]["groups"]) == {"b", "c", "unknown"}
    acquired = {name: list(groups[name]["groups"]) for name in ACQUIRED}
    assert acquired == {name: [*bands, "unknown"] for name, bands in ACQUIRED.items()}
    for name in ACQUIRED:
        values = [row[name] for row in rows]
        ordered = sorted(set(values) - {""}, key=lambda value: (len(value), value))
        for group, value in zip(groups[name]["groups"].values(), ordered, strict=False):
            chosen = np.array([found == value for found in values])
            assert group["auc"] == pytest.approx(exact_auc(labels[chosen], logits[chosen]))
    assert groups["lesion_size_mm"]["groups"]["unknown"]["positives"] == 10


def test_grad_cams_belong_to_the_run(toy_experiment):
    directory = toy_experiment / "evaluation_baseline"
    files = read_manifest(directory, "evaluate")["files"]
    written = {str(p.relative_to(directory)) for p in (directory / "grad_cam").iterdir()}
    assert written == {name for name in files if name.startswith("grad_cam/")}
    index = _rows(directory / "grad_cam" / "index.csv")
    assert len(written) == 1 + len(index)
    scores = {row["patch_id"]: row for row in _rows(directory / "scores.csv")}
    wrong = [r for r in scores.values() if (float(r["logit"]) > 0) != (r["label"] == "1")]
    assert wrong, "the toy classifier makes no mistake; the test shows nothing"
    for mistake, label in (("false_negative", "1"), ("false_positive", "0")):
        of_kind = [row for row in wrong if row["label"] == label]
        clients = {row["client_id"] for row in of_kind}
        found = [row for row in index if row["mistake"] == mistake]
        assert len(found) == len({row["client_id"] for row in found}) == len(clients)
        if of_kind:
            surest = max(of_kind, key=lambda row: abs(float(row["logit"])))
            assert found[0]["patch_id"] == surest["patch_id"]
            assert found[0]["logit"] == surest["logit"]


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
        "validation_class": (45,), "validation_patch_id": (45,), "validation_logit": (45,),
    }  # fmt: skip
    logits = [float(row["logit"]) for row in _rows(directory / "scores.csv")]
    bias = _head(toy_experiment / "mixed")[1]
    assert by_features[:, 0] + bias == pytest.approx(logits, abs=1e-4)


def test_validation_features_have_their_logits_and_ids(toy_experiment):
    kernel, bias = _head(toy_experiment / "mixed")
    patches = PatchSet(toy_experiment / "patches")
    classes = {
        record.patch_id: record.patch_class
        for record in PatchPool((patches.index("validation", *EVALUATED),)).descriptions()
    }
    with np.load(toy_experiment / "evaluation_mixed" / "features.npz") as features:
        by_features = features["validation"] @ kernel
        assert by_features[:, 0] + bias == pytest.approx(features["validation_logit"], abs=1e-4)
        ids = features["validation_patch_id"].tolist()
        assert dict(zip(ids, features["validation_class"], strict=True)) == classes


def _head(workdir):
    from cgan_tf.classifier.scoring import load_classifier

    model = load_classifier(workdir, read_manifest(workdir, "train_classifier"))
    return model.head.kernel.numpy(), model.head.bias.numpy()


def test_metrics_by_hand():
    rows = [ScoreRow("", f"n{i}", 0, "", "", float(i)) for i in range(4)]
    rows += [ScoreRow("", f"p{i}", 1, "", "mass", 2.5 + i) for i in range(3)]
    validation = np.repeat([0, 1], [20, 1]), np.array([0.0, 3.6, 1.0, *[0.5] * 17, 9.0])
    metrics = metrics_of("test", rows, [], validation)
    assert metrics.auc["overall"].auc == pytest.approx(11 / 12)
    assert metrics.auc["calcification"].auc is None
    assert metrics.auc["calcification"].note.startswith("undefined: 0 positive")
    assert metrics.sensitivity == pytest.approx(2 / 3)  # above 3, the highest normal
    # Ranked 4.5+, 3.5+, 3-, 2.5+, 2-, 1-, 0-: precision 1, 1 and 3/4 where a positive is found.
    assert metrics.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    # 18 of 20 validation normals do not exceed 0.5; of the test patches one normal does not either.
    assert metrics.at_validation_threshold == OperatingPoint(0.5, 1.0, 0.25)
    assert metrics.calibration.prevalence == pytest.approx(3 / 7)
    assert metrics.subgroups["manufacturer"].note.startswith("undefined: manufacturer is")
    text = json.dumps(to_json(metrics), allow_nan=False)
    assert from_json(Metrics, json.loads(text), "here") == metrics


def test_effect_of_a_task_by_hand():
    rows = [
        SyntheticRow("", "", "removal", "test", "", after, "", "", before)
        for before, after in ((2.0, 0.5), (1.0, 1.5), (3.0, -1.0))
    ]
    effect = synthetic_effects(rows)["removal_test"]
    assert effect.mean_logit_before == 2
    assert effect.mean_logit_after == pytest.approx(1 / 3)
    assert effect.mean_change == pytest.approx(-5 / 3)
    assert effect.as_intended == pytest.approx(1 / 3)  # 0.5 fell, and is still positive


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
        ({"grad_cams": -1}, "--grad_cams: expected 0 or more, found -1"),
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
