"""The small network: its size, its interface, and the programs that work with it."""

import csv
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.assessment.features import feature_spaces
from cgan_tf.classifier.evaluation import evaluate
from cgan_tf.classifier.grad_cam import evidence_maps
from cgan_tf.classifier.scoring import load_classifier, score
from cgan_tf.classifier.training import train_classifier
from cgan_tf.config import EvaluateConfig, QualityConfig, ReportConfig
from cgan_tf.data.patch_sets import PatchSet, evaluation_pool
from cgan_tf.models.networks import load_weights
from cgan_tf.models.patch_classifier import pooled
from cgan_tf.models.resnet import ResNetClassifier
from cgan_tf.models.small import SmallClassifier
from cgan_tf.reporting.page import write_report
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError
from tests.models.test_resnet import patches_of, stepper
from tests.toys.classifier import toy_config
from tests.toys.patches import write_toy_patches


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return SmallClassifier()


def random_patches(size, count=2):
    return tf.random.stateless_uniform([count, size, size, 1], [0, size], -1, 1)


def test_it_is_small(model):
    assert 250_000 < model.count_params() <= 500_000


@pytest.mark.parametrize(("size", "places"), [(16, 1), (33, 3), (64, 4), (100, 7)])
def test_it_takes_patches_of_any_size(model, size, places):
    maps = model.maps(random_patches(size))
    logits, features = model.infer(random_patches(size))
    assert maps.shape == (2, places, places, 128)
    assert (logits.shape, features.shape) == ((2,), (2, model.feature_count))
    np.testing.assert_allclose(features, pooled(maps), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, model.head(features)[:, 0], rtol=1e-4, atol=1e-5)


def test_patches_do_not_mix(model):
    """Group normalisation has no statistics between patches, in training neither."""
    patches = random_patches(32, 4)
    alone = tf.concat([model(patches[i : i + 1], training=True) for i in range(4)], 0)
    np.testing.assert_allclose(model(patches, training=True), alone, atol=1e-5)
    np.testing.assert_allclose(model(patches, training=False), alone, atol=1e-5)


def test_every_weight_learns(model):
    before = {weight.path: weight.numpy().copy() for weight in model.weights}
    stepper(model)[0](*patches_of(4))
    still = [path for path, value in before.items() if (value == _weight(model, path)).all()]
    assert still == []


def _weight(model, path):
    return next(weight.numpy() for weight in model.weights if weight.path == path)


def test_evidence_adds_up_to_the_logit_without_its_bias(model):
    patches = random_patches(64).numpy()
    model.head.bias.assign([0.3])
    maps = evidence_maps(model, patches)
    assert maps.shape == (2, 4, 4)
    np.testing.assert_allclose(maps.sum((1, 2)), model(patches) - 0.3, rtol=1e-3, atol=1e-4)


def test_bfloat16_convolves_in_bfloat16_and_scores_in_float32():
    model = SmallClassifier("mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"
    graph = model.infer.get_concrete_function(tf.TensorSpec([2, 32, 32, 1])).graph
    kinds = {op.outputs[0].dtype for op in graph.get_operations() if op.type == "Conv2D"}
    assert kinds == {tf.bfloat16}
    logits, features = model.infer(random_patches(32))
    assert (logits.dtype, features.dtype) == (tf.float32, tf.float32)
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_its_own_weights_load_and_others_are_refused(tmp_path, tiny):
    donor, model = SmallClassifier(), SmallClassifier()
    donor.save_weights(tmp_path / "best.weights.h5")
    load_weights(model, str(tmp_path / "best.weights.h5"))
    patches = random_patches(32)
    np.testing.assert_array_equal(donor(patches), model(patches))
    with pytest.raises(UserError, match=r"best\.weights\.h5: expected weights of ResNet-50"):
        load_weights(ResNetClassifier(), str(tmp_path / "best.weights.h5"))
    ResNetClassifier().save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(UserError, match=r"other\.weights\.h5: expected weights of the small"):
        load_weights(model, str(tmp_path / "other.weights.h5"))


def test_imagenet_is_refused_before_anything_is_read(toy_sets, tmp_path):
    config = small_config(toy_sets, tmp_path / "w", weights="imagenet")
    with pytest.raises(UserError, match="--network=small: expected --weights=none"):
        train_classifier(config)
    assert not (tmp_path / "w").exists()


def small_config(root, workdir, **changes):
    return toy_config(root, workdir, **{"network": "small", "synthetic_fraction": 0.0} | changes)


@pytest.mark.slow
def test_it_learns_to_see_bright_circles(tmp_path):
    write_toy_patches(tmp_path / "patches", size=32, per_class=60)
    config = small_config(
        tmp_path, tmp_path / "w", synthetic_dirs=(), samples=960, validate_every=480, batch_size=32
    )
    train_classifier(config)
    assert read_manifest(tmp_path / "w", "train_classifier")["best_validation_auc"] > 0.9


@pytest.fixture(scope="module")
def chain(toy_experiment, tmp_path_factory):
    """A baseline of the small network on the toy experiment, and its evaluation."""
    root = tmp_path_factory.mktemp("small")
    config = small_config(toy_experiment, root / "baseline")
    train_classifier(config)
    evaluate(
        EvaluateConfig(
            classifier=config.output_dir,
            patches_dir=config.patches_dir,
            output_dir=str(root / "evaluation"),
            grad_cams=4,
        )
    )
    return root


def test_the_evaluation_has_its_features_and_pictures(chain, toy_experiment):
    directory = chain / "evaluation"
    manifest = read_manifest(chain / "baseline", "train_classifier")
    model = load_classifier(chain / "baseline", manifest)
    assert isinstance(model, SmallClassifier)
    pool, _ = evaluation_pool(PatchSet(toy_experiment / "patches"), "test")
    logits, features = score(model, pool, 16)
    with np.load(directory / "features.npz") as kept:
        np.testing.assert_allclose(kept["test"], features, atol=1e-5)
    with (directory / "scores.csv").open() as file:
        found = [float(row["logit"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(found, logits, atol=1e-4)
    with (directory / "grad_cam" / "index.csv").open() as file:
        files = [row["file"] for row in csv.DictReader(file)]
    assert files
    assert all((directory / "grad_cam" / name).exists() for name in files)


def test_quality_measures_in_its_features(chain, toy_experiment):
    pool, _ = evaluation_pool(PatchSet(toy_experiment / "patches"), "test")
    spaces = feature_spaces(QualityConfig(classifier=str(chain / "baseline")))
    assert spaces["classifier"](pool, ()).shape == (len(pool), SmallClassifier.feature_count)


def report_config(chain, toy_experiment, *evaluations):
    return ReportConfig(
        evaluations=tuple(map(str, evaluations)),
        patches_dir=str(toy_experiment / "patches"),
        output=str(chain / "report.html"),
        tsne_normal=12, tsne_mass=12, tsne_calcification=12,
        tsne_synthetic_mass=12, tsne_synthetic_calcification=12,
    )  # fmt: skip


@pytest.mark.slow
def test_the_report_names_it(chain, toy_experiment):
    write_report(report_config(chain, toy_experiment, chain / "evaluation"))
    page = Path(chain / "report.html").read_text(encoding="utf-8")
    assert "The small residual network from random weights" in page
    assert "ResNet-50 from" not in page


def test_two_networks_are_not_compared(chain, toy_experiment):
    config = report_config(
        chain, toy_experiment, chain / "evaluation", toy_experiment / "evaluation_mixed"
    )
    with pytest.raises(UserError, match="expected one network, found resnet50 and small"):
        write_report(dataclasses.replace(config, output=str(chain / "other.html")))
