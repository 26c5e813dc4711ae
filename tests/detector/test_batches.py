"""Images and boxes on a canvas: places computed by hand, and the batches of a run."""

import numpy as np
import pytest

from cgan_tf.config import DetectorConfig
from cgan_tf.detector.batches import (
    NO_BOX,
    Placement,
    drawn_focus,
    drawn_placement,
    filled_up,
    placed_boxes,
    placed_pixels,
    training_batches,
)
from cgan_tf.detector.inputs import open_sets, training_plan
from tests.toys.images import write_toy_images

CANVAS = (64, 64)


def test_an_image_lies_in_the_corner_as_it_is():
    image = np.arange(6, dtype=np.float32).reshape(2, 3) / 10
    placed = placed_pixels(image, Placement(), (4, 4))
    assert placed[:2, :3].tolist() == image.tolist()
    assert (placed[2:] == -1).all()
    assert (placed[:, 3] == -1).all()


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (Placement(left=5, top=7), [15, 27, 25, 47]),
        (Placement(scale=2), [20, 40, 40, 64]),  # 80 is below the canvas
        (Placement(flip=True), [20, 20, 30, 40]),  # 40 px wide: 40 - 20, 40 - 10
        (Placement(flip=True, scale=0.5, left=4, top=1), [14, 11, 19, 21]),
        (Placement(turns=1), [20, 44, 40, 54]),  # the right edge comes to the top: 64 - 20, 64 - 10
        (Placement(turns=2), [44, 24, 54, 44]),
        (Placement(turns=3), [24, 10, 44, 20]),
    ],
)
def test_boxes_follow_their_image(placement, expected):
    boxes = placed_boxes(np.array([[10.0, 20, 20, 40]]), placement, 40, CANVAS)
    assert boxes.tolist() == [expected]


def test_a_box_of_which_little_is_left_is_left_out():
    boxes = np.array([[60.0, 10, 70, 20], [63, 10, 73, 20]])  # 4 and 1 of 10 columns inside
    assert placed_boxes(boxes, Placement(), 80, CANVAS).tolist() == [[60, 10, 64, 20]]


@pytest.mark.parametrize("sample", range(20))
def test_a_drawn_placement_moves_pixels_and_boxes_alike(sample):
    """A bright rectangle on the image lies in its box on the canvas, to a pixel."""
    image = np.full((60, 44), -0.5, np.float32)
    image[20:40, 8:28] = 0.5
    config = DetectorConfig(augment_scale=0.3, augment_contrast=0.1, rotate=True)
    placement = drawn_placement(config, sample, image.shape, CANVAS)
    ((x0, y0, x1, y1),) = placed_boxes(np.array([[8.0, 20, 28, 40]]), placement, 44, CANVAS)
    rows, columns = np.nonzero(placed_pixels(image, placement, CANVAS) > 0)
    found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert np.abs(np.subtract(found, (x0, y0, x1, y1))).max() <= 1


def test_placements_follow_the_seed_and_the_sample_alone():
    config = DetectorConfig(augment_scale=0.1, augment_contrast=0.2)
    drawn = [drawn_placement(config, number, (60, 44), CANVAS) for number in range(200)]
    assert drawn == [drawn_placement(config, number, (60, 44), CANVAS) for number in range(200)]
    assert 0.35 < np.mean([each.flip for each in drawn]) < 0.65
    scales = [each.scale for each in drawn]
    assert 0.9 <= min(scales) < 0.92
    assert 1.08 < max(scales) <= 1.1
    assert all(0 <= each.left <= 64 - 44 * each.scale for each in drawn)
    assert {each.flip for each in drawn} == {True, False}
    still = DetectorConfig(augment_scale=0, augment_contrast=0, flip_probability=0)
    placement = drawn_placement(still, 0, (64, 64), CANVAS)
    assert placement == Placement()  # no room, nothing to draw


def test_missing_boxes_are_filled_up_far_away():
    boxes, labels = filled_up([np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]), np.zeros((0, 4))])
    assert boxes.tolist() == [[[1, 2, 3, 4], [5, 6, 7, 8]], [list(NO_BOX)] * 2]
    assert labels.tolist() == [[0, 0], [-1, -1]]
    assert filled_up([np.zeros((0, 4))])[0].shape == (1, 1, 4)


def test_a_run_that_goes_on_sees_the_batches_that_were_to_come(tmp_path):
    write_toy_images(tmp_path / "real", {"train": 3, "validation": 1, "test": 1})
    config = DetectorConfig(
        images_dir=str(tmp_path / "real"), batch_size=4, samples=24, max_level=5
    )
    sets = open_sets(config)
    plan = training_plan(config, [len(stream) for stream in sets.streams])
    whole = list(training_batches(sets, plan, config, 0))
    rest = list(training_batches(sets, plan, config, 4))
    assert (len(whole), len(rest)) == (6, 2)
    for (images, truth), (images_again, truth_again) in zip(whole[4:], rest, strict=True):
        assert np.array_equal(images, images_again)
        assert np.array_equal(truth["boxes"], truth_again["boxes"])
    for images, truth in whole:
        assert images.shape == (4, *CANVAS, 1)
        assert truth["labels"].numpy().max(axis=1).tolist() == [0, 0, -1, -1]
        for image, boxes in zip(images.numpy()[:2], truth["boxes"].numpy()[:2], strict=True):
            x0, y0, x1, y1 = boxes[0].round().astype(int)
            inside = image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
            assert inside.min() > 0.5  # the toys' lesions are bright


def test_a_window_lies_around_its_focus():
    """The focus is in the middle half of the canvas unless the image ends before."""
    config = DetectorConfig(window=64, augment_scale=0.1)
    shape, focus = (300, 220), (110.0, 150.0)
    seen = []
    for sample in range(200):
        placement = drawn_placement(config, sample, shape, CANVAS, focus)
        x = 220 - focus[0] if placement.flip else focus[0]
        seen.append(
            (placement.scale * x + placement.left, placement.scale * focus[1] + placement.top)
        )
    assert np.min(seen, axis=0) == pytest.approx([16, 16], abs=1)
    assert np.max(seen, axis=0) == pytest.approx([48, 48], abs=1)
    for sample in range(20):  # at the image's corner, which is the canvas' corner then
        placement = drawn_placement(config, sample, shape, CANVAS, (0.0, 0.0))
        corner = 64 - 220 * placement.scale if placement.flip else 0
        assert (placement.left, placement.top) == pytest.approx((corner, 0))


def test_an_image_smaller_than_a_window_stays_on_it_whole():
    config = DetectorConfig(window=64, augment_scale=0)
    placement = drawn_placement(config, 3, (40, 30), CANVAS, (15.0, 20.0))
    assert 0 <= placement.left <= 34
    assert 0 <= placement.top <= 24


def test_the_focus_is_a_malignant_lesion_or_a_place_of_the_breast(tmp_path):
    write_toy_images(tmp_path / "real", {"train": 3, "validation": 1, "test": 1})
    sets = open_sets(DetectorConfig(images_dir=str(tmp_path / "real"), max_level=3))
    healthy, lesions, _ = sets.streams
    record = lesions.record(0)
    boxes = record.reduced(record.boxes)[record.malignant]
    middles = boxes.reshape(-1, 2, 2).mean(axis=1)
    config = DetectorConfig()
    drawn = {drawn_focus(config, sample, record.pixels, boxes) for sample in range(30)}
    assert drawn == set(map(tuple, middles.tolist()))
    pixels = np.full((40, 30), -1.0, np.float32)
    pixels[10:20, 5:9] = 0.2
    none = healthy.record(0).boxes
    assert none.shape == (0, 4)
    drawn = {drawn_focus(config, sample, pixels, none) for sample in range(200)}
    assert len(drawn) > 30
    assert all(5 <= x < 9 and 10 <= y < 20 for x, y in drawn)
    empty = np.full((40, 30), -1.0, np.float32)
    assert drawn_focus(config, 0, empty, none) == (0, 0)


def test_batches_of_windows_show_the_lesions(tmp_path):
    write_toy_images(tmp_path / "real", {"train": 3, "validation": 1, "test": 1})
    config = DetectorConfig(
        images_dir=str(tmp_path / "real"), batch_size=4, samples=24, max_level=3, window=32
    )
    sets = open_sets(config)
    plan = training_plan(config, [len(stream) for stream in sets.streams])
    for images, truth in training_batches(sets, plan, config, 0):
        assert images.shape == (4, 32, 32, 1)
        assert truth["labels"].numpy().max(axis=1).tolist() == [0, 0, -1, -1]
        for image, boxes in zip(images.numpy()[:2], truth["boxes"].numpy()[:2], strict=True):
            x0, y0, x1, y1 = boxes[0].round().astype(int)
            assert image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].min() > 0.5
