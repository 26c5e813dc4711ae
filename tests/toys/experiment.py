"""Toy patches, synthetic sets, two classifiers and their evaluations, as programs leave them."""

import dataclasses
from pathlib import Path

import keras
import pytest

from cgan_tf.classifier.evaluation import evaluate
from cgan_tf.classifier.training import train_classifier
from cgan_tf.config import ClassifierConfig, EvaluateConfig
from cgan_tf.runs.directory import MANIFEST_FILE, read_json, write_json
from tests.toys.patches import write_toy_patches, write_toy_synthetic
from tests.toys.tiny_resnet import tiny_resnet

SETS = ("mass", "calcification", "removal", "removal_test")


def write_toy_experiment(root: Path) -> Path:
    """Writes patches/, one directory per set, baseline/, mixed/ and evaluation_* under `root`."""
    write_toy_patches(root / "patches", size=32, per_class=15)
    manifest = root / "patches" / MANIFEST_FILE
    write_json(manifest, read_json(manifest) | {"phantom": True})  # as make_patches says of one
    for task in SETS[:3]:
        write_toy_synthetic(root / task, root / "patches", task, 8)
    write_toy_synthetic(root / "removal_test", root / "patches", "removal", 8, split="test")
    base = ClassifierConfig(
        patches_dir=str(root / "patches"), output_dir=str(root / "baseline"), weights="none",
        batch_norm="batch", samples=320, validate_every=160, decay_every=80, batch_size=16,
        learning_rate=3e-3,
    )  # fmt: skip
    mixed = dataclasses.replace(
        base,
        output_dir=str(root / "mixed"),
        synthetic_dirs=tuple(str(root / task) for task in SETS[:3]),
        synthetic_fraction=0.5,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "ResNet50", tiny_resnet)
        for name, config in (("baseline", base), ("mixed", mixed)):
            train_classifier(config)
            evaluate(evaluation_config(root, name))
    return root


def evaluation_config(root: Path, name: str) -> EvaluateConfig:
    """The evaluation of one of the two classifiers on everything."""
    return EvaluateConfig(
        classifier=str(root / name),
        patches_dir=str(root / "patches"),
        synthetic_dirs=tuple(str(root / task) for task in SETS),
        output_dir=str(root / f"evaluation_{name}"),
        batch_size=16,
    )
