import csv
import dataclasses

import numpy as np
import pytest

from cgan_tf.classifier.prediction import predict
from cgan_tf.classifier.scoring import load_classifier
from cgan_tf.config import PredictConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.runs.directory import read_json, read_manifest
from cgan_tf.runs.errors import UserError
from tests.toys.classifier import write_toy_classifier


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write_toy_classifier(tmp_path_factory.mktemp("classifier") / "run", 32)


def config_of(toy_sets, classifier, output, **changes) -> PredictConfig:
    values = {
        "classifier": str(classifier),
        "patches_dir": str(toy_sets / "patches"),
        "output_dir": str(output),
        "batch_size": 7,
    }
    return PredictConfig(**{**values, **changes})


def rows_of(directory) -> list[dict[str, str]]:
    with (directory / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_patch_of_the_set_has_its_score(toy_sets, classifier, tmp_path):
    predict(config_of(toy_sets, classifier, tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    patches = PatchSet(toy_sets / "patches")
    manifest = read_json(tmp_path / "out" / "manifest.json")
    assert len(rows) == sum(manifest["patches"].values())
    assert {row["patch_class"] for row in rows} >= {"normal", "malignant_mass", "benign_mass"}
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    model = load_classifier(classifier, read_manifest(classifier, "train_classifier"))
    for split, name in (("test", "normal"), ("train", "malignant_mass")):
        index = patches.index(split, name)
        own = [row for row in rows if (row["split"], row["patch_class"]) == (split, name)]
        assert [row["patch_id"] for row in own] == [
            index.record(n).patch_id for n in range(len(index))
        ]
        pixels = np.stack([index.pixels(n) for n in range(len(index))])[..., None]
        logits = model.infer(pixels)[0].numpy()
        np.testing.assert_allclose([float(row["logit"]) for row in own], logits, atol=1e-5)
        scores = [float(row["score"]) for row in own]
        np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_splits_and_classes_choose(toy_sets, classifier, tmp_path):
    predict(
        config_of(
            toy_sets, classifier, tmp_path / "out", split="test", classes=("normal", "source")
        )
    )
    rows = rows_of(tmp_path / "out")
    assert {(row["split"], row["patch_class"]) for row in rows} == {("test", "normal")}


def test_a_synthetic_set_names_its_sources(toy_sets, classifier, tmp_path):
    predict(config_of(toy_sets, classifier, tmp_path / "out", patches_dir=str(toy_sets / "mass")))
    rows = rows_of(tmp_path / "out")
    assert rows
    assert all(row["source_patch_id"] and row["synthetic"] == "1" for row in rows)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"classes": ("cyst",)}, "--classes=cyst: expected some of normal"),
        ({"split": "test", "classes": ("source",)}, "expected patches of --split and"),
        ({"patches_dir": "nowhere"}, "nowhere: expected an output directory of make_patches"),
        ({"classifier": "nowhere"}, "nowhere: expected an output directory of train_classifier"),
    ],
)
def test_refusals(toy_sets, classifier, tmp_path, changes, line):
    config = config_of(toy_sets, classifier, tmp_path / "out")
    with pytest.raises(UserError, match=line):
        predict(dataclasses.replace(config, **changes))
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_patches_of_another_size_are_refused(toy_sets, tmp_path):
    other = write_toy_classifier(tmp_path / "run", 64)
    with pytest.raises(UserError, match=r"expected 64 px patches, .* found 32 px"):
        predict(config_of(toy_sets, other, tmp_path / "out"))
