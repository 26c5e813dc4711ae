"""Grad-CAM: a network whose answer is known, the choice of mistakes, the pictures."""

import csv

import cv2
import keras
import numpy as np
import pytest

from cgan_tf.classifier.grad_cam import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    evidence_maps,
    overlay,
    surest_mistakes,
    write_grad_cams,
)
from cgan_tf.classifier.metrics import score_row
from cgan_tf.data.patch_sets import PatchSet, evaluation_pool
from cgan_tf.models.resnet import ResNetClassifier
from tests.toys.tiny_resnet import tiny_resnet

SIZE = 33  # the tiny network's maps are 8 x 8, a place every 4 pixels
PLANTED, FEATURES = 7, ResNetClassifier.feature_count


@pytest.fixture
def model(monkeypatch):
    """Channel `PLANTED` of 2048 is how far a place is brighter than mid-grey; the logit is 3 of
    its mean, and half a point for the bias."""
    monkeypatch.setattr(keras.applications, "ResNet50", tiny_resnet)
    model = ResNetClassifier()
    for variable in model.variables:
        variable.assign(np.zeros(variable.shape))
    network = model.backbone
    network.get_layer("bn").moving_variance.assign(np.ones(4))
    network.get_layer("bn").gamma.assign(np.ones(4))
    kernel, bias = np.zeros((3, 3, 3, 4)), np.zeros(4)
    kernel[1, 1, 0, 2], bias[2] = 0.01, -0.01 * (127.5 - 103.939)
    network.get_layer("conv").set_weights([kernel, bias])
    wide = np.zeros((1, 1, 4, FEATURES))
    wide[0, 0, 2, PLANTED] = 1
    network.get_layer("wide").set_weights([wide, np.zeros(FEATURES)])
    head = np.zeros((FEATURES, 1))
    head[PLANTED] = 3
    model.head.set_weights([head, np.array([0.5])])
    return model


def _spot(row, column):
    """A dark patch whose pixel under place (row, column) of the maps is bright: [1, S, S, 1]."""
    patch = np.full((1, SIZE, SIZE, 1), -0.5, np.float32)
    patch[0, 4 * row + 1, 4 * column + 1, 0] = 1.0
    return patch


def test_map_peaks_where_the_planted_channel_does(model):
    for row, column in ((1, 6), (5, 2), (0, 0)):
        evidence = evidence_maps(model, _spot(row, column))[0]
        assert evidence.shape == (8, 8)
        assert np.unravel_index(evidence.argmax(), evidence.shape) == (row, column)
        assert np.count_nonzero(evidence) == 1


def test_map_adds_up_to_the_logit_without_its_bias(model):
    rng = np.random.default_rng(0)
    patches = rng.uniform(-1, 1, (3, SIZE, SIZE, 1)).astype(np.float32)
    logits = model.infer(patches)[0].numpy()
    evidence = evidence_maps(model, patches)
    assert evidence.sum(axis=(1, 2)) == pytest.approx(logits - 0.5, abs=1e-5)
    assert len(set(np.round(logits, 3))) == 3


def test_a_channel_that_speaks_against_cancer_is_negative(model):
    model.head.kernel.assign(-model.head.kernel)
    evidence = evidence_maps(model, _spot(2, 3))[0]
    assert np.unravel_index(evidence.argmin(), evidence.shape) == (2, 3)
    assert evidence.max() == 0


def test_surest_mistakes_by_hand():
    #           right  wrong  wrong  wrong  right  wrong  wrong  wrong
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    logits = np.array([2.0, -1.0, -3.0, -2.0, -4.0, 5.0, 1.0, 7.0])
    clients = np.array(["a", "b", "b", "c", "d", "e", "f", "e"])
    assert surest_mistakes(labels, logits, clients, 12) == {
        FALSE_NEGATIVE: [2, 3],  # one of woman b
        FALSE_POSITIVE: [7, 6],  # one of woman e
    }
    assert surest_mistakes(labels, logits, clients, 2) == {
        FALSE_NEGATIVE: [2],
        FALSE_POSITIVE: [7],
    }
    right = np.where(labels == 1, np.abs(logits), logits)
    assert surest_mistakes(labels, right, clients, 3) == {  # what one kind leaves, the other takes
        FALSE_NEGATIVE: [],
        FALSE_POSITIVE: [7, 6],
    }
    assert surest_mistakes(labels, np.where(labels == 1, 1.0, -1.0), clients, 3) == {
        FALSE_NEGATIVE: [],
        FALSE_POSITIVE: [],
    }


def test_overlay_shows_evidence_for_and_against_on_panels_of_their_own():
    evidence = np.zeros((8, 8), np.float32)
    evidence[1, 6], evidence[5, 2] = 2.0, -1.0
    picture = overlay(np.zeros((64, 64)), evidence, ()).astype(int)
    assert picture.shape == (256, 768, 3)
    plain, cancer, against = np.split(picture, 3, axis=1)
    assert (plain == 128).all()
    red, blue = cancer[..., 2] - cancer[..., 0], against[..., 0] - against[..., 2]
    for colour, row, column, strength in ((red, 1, 6, 153), (blue, 5, 2, 76)):
        y, x = np.unravel_index(colour.argmax(), colour.shape)
        assert (y // 32, x // 32) == (row, column)  # a place of the map is 32 pixels here
        assert colour.max() == pytest.approx(strength, abs=3)  # one scale: half as strong
        assert (colour == 0).mean() > 0.8


def test_overlay_draws_the_box_on_every_panel():
    picture = overlay(np.zeros((64, 64)), np.zeros((8, 8)), (8.0, 16.0, 24.0, 40.0))
    for panel in np.split(picture, 3, axis=1):
        drawn = (panel == (0, 255, 255)).all(axis=-1)
        expected = np.zeros((256, 256), bool)
        expected[64:160, 32:96] = True
        expected[65:159, 33:95] = False
        assert (drawn == expected).all()


def test_overlay_without_box_or_evidence_is_the_patch():
    patch = np.linspace(-1, 1, 256 * 256).reshape(256, 256)
    picture = overlay(patch, np.zeros((8, 8)), ())
    grey = np.rint((patch + 1) * 127.5).astype(np.uint8)
    assert (picture == np.tile(grey[..., None], (1, 3, 3))).all()


def test_pictures_stand_beside_their_index(model, toy_experiment, tmp_path):
    pool, _ = evaluation_pool(PatchSet(toy_experiment / "patches"), "test")
    rows = [
        score_row(record, float(number % 7) - 3.1)
        for number, record in enumerate(pool.descriptions())
    ]
    files = write_grad_cams(tmp_path, model, pool, rows, count=5)
    assert sorted(files) == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*"))
    with (tmp_path / "grad_cam" / "index.csv").open() as file:
        index = list(csv.DictReader(file))
    assert [row["file"] for row in index] == [
        *(f"false_negative_{rank:02d}.png" for rank in (1, 2, 3)),
        *(f"false_positive_{rank:02d}.png" for rank in (1, 2)),
    ]
    by_id = {row.patch_id: row for row in rows}
    for entry in index:
        assert float(entry["logit"]) == by_id[entry["patch_id"]].logit
        assert (entry["label"] == "1") == (entry["mistake"] == FALSE_NEGATIVE)
        assert (float(entry["logit"]) < 0) == (entry["label"] == "1")
        picture = cv2.imread(str(tmp_path / "grad_cam" / entry["file"]))
        assert picture.shape == (256, 768, 3)
        assert int(entry["places"]) == model.maps(np.zeros((1, 32, 32, 1))).shape[1]
        has_box = (picture == (0, 255, 255)).all(axis=-1).any()
        assert has_box == (entry["label"] == "1")  # drawn on lesions, and only there
