"""Whole runs of a small detector: what they leave, and that a stopped one ends the same."""

import csv
import sys

import numpy as np
import pytest

from cgan_tf.config import DetectorConfig
from cgan_tf.detection.predictions import read_predictions
from cgan_tf.detector.training import train_detector
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError
from tests.toys.images import write_toy_images


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("detector")
    write_toy_images(root / "real", {"train": 3, "validation": 2, "test": 3}, phantom=True)
    write_toy_images(root / "inserted", {"train": 3}, healthy=False, inserted={"task": "mass"})
    return root


def config_of(root, output, **changes):
    values = {
        "images_dir": str(root / "real"),
        "inserted_dirs": (str(root / "inserted"),),
        "inserted_fraction": 0.5,
        "output_dir": str(output),
        "network": "resnet18",
        "max_level": 3,
        "anchor_size": 2.0,
        "anchor_scales": 1,
        "aspect_ratios": ("1",),
        "head_convolutions": 0,
        "batch_size": 2,
        "samples": 12,
        "validate_every": 6,
        "learning_rate": 1e-3,
        "candidates": 5,
        **changes,
    }
    return DetectorConfig(**values)


def test_without_the_extra_the_way_out_is_named(root, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UserError, match=r"pip install 'contextual-gan-mammography\[detector\]'"):
        train_detector(config_of(root, tmp_path / "run"))
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_run_leaves_what_it_promises(root, tmp_path, capsys):
    pytest.importorskip("keras_hub", reason="the extra detector is not installed")
    config = config_of(root, tmp_path / "run")
    train_detector(config)
    manifest = read_manifest(tmp_path / "run", "train_detector")
    assert manifest["images"] == {"without_lesion": 3, "real_lesion": 3, "inserted_lesion": 3}
    assert sum(manifest["drawn"].values()) == manifest["samples"] == 12
    assert manifest["drawn"]["without_lesion"] == 6
    assert (manifest["phantom"], manifest["canvas"]) == (True, [64, 48])
    assert manifest["model"] == {"name": "detector, 50% inserted lesions", "seed": 0}
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["samples"] for row in rows] == ["6", "12"]
    assert float(rows[-1]["best_area"]) == manifest["best_validation_area"]
    predictions = read_predictions(tmp_path / "run")
    assert [image.split for image in predictions.images].count("test") == 6
    assert [image.split for image in predictions.images].count("validation") == 4
    assert len(predictions.lesions) == 5
    for candidate in predictions.candidates:
        assert 0 <= candidate.x0 < candidate.x1 <= 90
        assert 0 <= candidate.y0 < candidate.y1 <= 120
        assert 0 <= candidate.score <= 1
    assert not (tmp_path / "run" / "checkpoints").exists()
    capsys.readouterr()
    train_detector(config)
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_weights(root, tmp_path, monkeypatch):
    pytest.importorskip("keras_hub", reason="the extra detector is not installed")
    from cgan_tf.detector.training import DetectorTraining

    train_detector(config_of(root, tmp_path / "whole"))
    after, stops = DetectorTraining._after_step, {2, 4}

    def stopping(self, losses, bar):
        self.stop_requested = self._step() + 1 in stops
        stops.discard(self._step() + 1)
        after(self, losses, bar)

    monkeypatch.setattr(DetectorTraining, "_after_step", stopping)
    config = config_of(root, tmp_path / "parts", checkpoint_minutes=1e9)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_detector(config)
    train_detector(config)
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    for name in ("metrics.csv", "candidates.csv", "images.csv"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
    manifests = [read_manifest(path, "train_detector") for path in (whole, parts)]
    assert manifests[0]["best_samples"] == manifests[1]["best_samples"]
    assert np.isfinite(manifests[0]["best_validation_area"])
