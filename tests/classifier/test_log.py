"""metrics.csv, validation scores and TensorBoard of a classifier's run."""

import csv

import numpy as np
import pytest

from cgan_tf.classifier.log import COLUMNS, ClassifierLog
from cgan_tf.classifier.training import train_classifier
from cgan_tf.config import ClassifierConfig
from tests.toys.classifier import toy_config
from tests.toys.event_files import scalars, texts

CONFIG = ClassifierConfig(synthetic_fraction=0.5, decay_every=100, samples=400)


def add(log, *samples):
    """Validations at sample numbers, each with figures of its own."""
    for number in samples:
        logits = np.array([-1.0, number], np.float32)
        log.add_validation(number, 1 / number, 0.5 + number / 1000, 0.9, logits, np.array([0, 1]))


def rows(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_validation_leaves_its_figures_and_scores(tmp_path):
    log = ClassifierLog(tmp_path, CONFIG, 0)
    add(log, 100, 200)
    assert rows(tmp_path) == [
        dict(zip(COLUMNS, ("100", "0.01", "0.5", "0.6", "0.9"), strict=True)),
        dict(zip(COLUMNS, ("200", "0.005", "0.45", "0.7", "0.9"), strict=True)),
    ]
    with np.load(tmp_path / "validation" / "00000200.npz") as kept:
        assert kept["logits"].tolist() == [-1, 200]
        assert kept["labels"].tolist() == [0, 1]
    assert log.validations() == [{"samples": 100, "auc": 0.6}, {"samples": 200, "auc": 0.7}]


def test_going_on_from_a_checkpoint_forgets_what_came_after_it(tmp_path):
    add(ClassifierLog(tmp_path, CONFIG, 0), 100, 200, 300)
    log = ClassifierLog(tmp_path, CONFIG, 250)
    assert [validation["samples"] for validation in log.validations()] == [100, 200]
    assert [step for step, _ in scalars(tmp_path / "tensorboard")["loss"]] == [100, 200]
    add(log, 300, 400)
    assert [int(row["samples"]) for row in rows(tmp_path)] == [100, 200, 300, 400]
    steps = [step for step, _ in scalars(tmp_path / "tensorboard")["loss"]]
    assert steps == [100, 200, 300, 400]


def test_tensorboard_shows_what_the_table_says(toy_sets, tmp_path, tiny):
    train_classifier(toy_config(toy_sets, tmp_path / "w"))
    table, shown = rows(tmp_path / "w"), scalars(tmp_path / "w" / "tensorboard")
    assert set(shown) == set(COLUMNS[1:])
    for name, points in shown.items():
        assert [step for step, _ in points] == [32, 64, 96]
        for row, (_, value) in zip(table, points, strict=True):
            assert value == pytest.approx(float(row[name]), rel=1e-5)
    [(step, text)] = texts(tmp_path / "w" / "tensorboard", "flags")
    assert step == 0
    assert "--synthetic_fraction=0.5\n" in text
