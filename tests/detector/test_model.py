"""KerasHub's RetinaNet as it is built here: where it starts, its loss, its candidates."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.config import DetectorConfig

pytest.importorskip("keras_hub", reason="the extra detector is not installed")

import tensorflow as tf

from cgan_tf.detector.batches import filled_up
from cgan_tf.detector.model import (
    anchors_of,
    build_detector,
    candidate_function,
    compile_detector,
)

CANVAS = (64, 64)
SMALL = DetectorConfig(
    network="resnet18",
    max_level=3,
    anchor_size=2,
    anchor_scales=1,
    aspect_ratios=("1",),
    positive_iou=0.4,
    negative_iou=0.3,
    head_convolutions=0,
    candidates=3,
)


@pytest.fixture(scope="module")
def model():
    built = build_detector(SMALL)
    compile_detector(built, SMALL, steps=10)
    return built


def test_anchors_start_at_every_place_of_the_level():
    """Level 3 of 64 px: 8 x 8 places, 8 px apart; 2 places wide, around the place's corner."""
    anchors = anchors_of(SMALL)(tf.zeros((1, *CANVAS, 1)))["P3"].numpy()
    assert anchors.shape == (64, 4)
    assert anchors[0].tolist() == [-8, -8, 8, 8]
    assert anchors[9].tolist() == [0, 0, 16, 16]


def test_at_the_start_every_anchor_is_background_and_its_own_box(model):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, *CANVAS, 1)).astype(np.float32)
    outputs = model(noise, training=False)
    scores = tf.sigmoid(outputs["cls_logits"]).numpy()
    assert scores.shape == (2, 64, 1)
    assert 0.002 < np.median(scores) < 0.05  # Lin et al. (2017): 0.01
    assert np.abs(np.median(outputs["bbox_regression"].numpy())) < 0.2
    assert outputs["cls_logits"].dtype == outputs["bbox_regression"].dtype == tf.float32


def _loss(model, boxes, labels, seed=0):
    rng = np.random.default_rng(seed)
    outputs = {
        "cls_logits": tf.constant(rng.normal(size=(2, 64, 1)), tf.float32),
        "bbox_regression": tf.constant(rng.normal(size=(2, 64, 4)), tf.float32),
    }
    truth = {"boxes": tf.constant(boxes), "labels": tf.constant(labels)}
    return float(model.compute_loss(tf.zeros((2, *CANVAS, 1)), truth, outputs, None))


def test_boxes_that_fill_up_cost_nothing(model):
    own = [np.array([[8.0, 8, 24, 24]]), np.zeros((0, 4))]
    boxes, labels = filled_up(own)
    more, more_labels = filled_up([*own, np.ones((5, 4))])  # filled up to five
    before = _loss(model, boxes, labels)
    assert np.isfinite(before)
    assert _loss(model, more[:2], more_labels[:2]) == pytest.approx(before, rel=1e-6)


def test_the_loss_of_a_lesion_is_the_focal_loss_and_hubers(model):
    """One anchor lies on the lesion exactly, eight are its neighbours; by hand with numpy."""
    boxes, labels = filled_up([np.array([[8.0, 8, 24, 24]]), np.zeros((0, 4))])
    rng = np.random.default_rng(0)
    logits, deltas = rng.normal(size=(2, 64, 1)), rng.normal(size=(2, 64, 4))
    anchors = anchors_of(SMALL)(tf.zeros((1, *CANVAS, 1)))["P3"].numpy()
    low = np.maximum(anchors[:, :2], boxes[0, 0, :2])
    high = np.minimum(anchors[:, 2:], boxes[0, 0, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    iou = shared / (2 * 256 - shared)
    positive = np.stack([iou >= 0.4, np.zeros(64, bool)])
    counted = np.stack([(iou < 0.3) | (iou >= 0.4), np.ones(64, bool)])
    assert positive.sum() == 1  # half a place away: 128 / 384
    p = 1 / (1 + np.exp(-logits[..., 0]))
    right = np.where(positive, p, 1 - p)
    focal = (1 - right) ** 2 * -np.log(right)
    size = np.abs(deltas)  # the anchor is the lesion's box: all its deltas are 0
    huber = np.where(size <= 1, size**2 / 2, size - 0.5).mean(axis=-1)
    expected = (focal * counted).sum() + (huber * positive).sum()
    assert _loss(model, boxes, labels) == pytest.approx(expected, rel=1e-3)


class _Planted:
    """A network that says what it is told."""

    def __init__(self, logits, deltas):
        self.outputs = {"cls_logits": logits, "bbox_regression": deltas}
        self.anchor_generator = anchors_of(SMALL)

    def __call__(self, images, training):
        assert not training
        return {name: tf.constant(value, tf.float32) for name, value in self.outputs.items()}


def test_candidates_are_decoded_suppressed_and_in_order():
    logits, deltas = np.full((1, 64, 1), -20.0), np.zeros((1, 64, 4))
    logits[0, [9, 10, 36]] = [[2.0], [1.0], [3.0]]
    deltas[0, 9] = [0.5, 0, np.log(0.5), 0]  # 8 px to the right, half as wide
    deltas[0, 10] = [0, 0, 0, 0]
    deltas[0, 36] = [0, 0, 99, 0]  # a side that no lesion has stays finite
    find = candidate_function(_Planted(logits, deltas), SMALL, CANVAS)
    boxes, scores, counts = (each.numpy() for each in find(tf.zeros((1, *CANVAS, 1))))
    # Anchor 9 is 0, 0, 16, 16: its box 12, 0, 20, 16. Anchor 10 is 8, 0, 24, 16: IoU .5, dropped.
    assert scores[0, :2] == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-2))])
    assert boxes[0, 1].tolist() == pytest.approx([12, 0, 20, 16], abs=1e-4)
    assert np.isfinite(boxes).all()
    assert counts[0] == 3  # the third is one of those at -20
    assert scores[0, 2] < 1e-6


@pytest.mark.parametrize("head_norm", [False, True])
def test_a_window_is_judged_as_in_its_image_unless_heads_are_normalised(head_norm):
    """At the middle of a window, where its edges are beyond what a place of level 3 sees."""
    config = dataclasses.replace(SMALL, head_convolutions=1, head_norm=head_norm)
    built = build_detector(config)
    image = np.full((1, 256, 256, 1), -1, np.float32)
    image[:, :, 64:] = np.random.default_rng(0).uniform(-1, 1, (1, 256, 192, 1))
    window = image[:, 32:224, 64:]  # 192 px, without the image's background
    middles = [
        built(each, training=False)["cls_logits"].numpy().reshape(side, side)[y, x]
        for each, side, y, x in ((image, 32, 16, 20), (window, 24, 12, 12))
    ]
    assert (abs(middles[0] - middles[1]) < 1e-4) != head_norm
