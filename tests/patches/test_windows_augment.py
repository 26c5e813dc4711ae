"""Flip, rotation and resize of patches and boxes."""

import dataclasses

import numpy as np
import pytest

from beam_pipelines.patches.windows import Augmentation, box_in_patch, cut_patch, draw_augmentation
from cgan_tf.config import PatchesConfig

CONFIG = PatchesConfig(size=64)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("side", [64, 52, 80])
def test_the_box_stays_on_the_lesion(flip, rotation, side):
    """A bright rectangle in the image is where the transformed box says, in every pose."""
    grey = np.full((120, 140), -1.0, np.float32)
    box = (40, 32, 60, 41)
    grey[32:41, 40:60] = 1.0
    augmentation = Augmentation(flip, rotation, side)
    patch = cut_patch(grey, 30, 20, augmentation, 64)
    x0, y0, x1, y1 = box_in_patch(box, 30, 20, augmentation, 64)
    rows, columns = np.nonzero(patch > 0)
    assert patch.shape == (64, 64)
    assert abs(columns.min() - x0) <= 1
    assert abs(columns.max() + 1 - x1) <= 1
    assert abs(rows.min() - y0) <= 1
    assert abs(rows.max() + 1 - y1) <= 1


def test_boxes_by_hand():
    """A box at (10, 20, 14, 26) of a 64 px window at (0, 0), in the eight poses."""
    box = (10.0, 20.0, 14.0, 26.0)
    expected = {
        (False, 0): (10, 20, 14, 26),
        (True, 0): (50, 20, 54, 26),
        (False, 90): (20, 50, 26, 54),
        (True, 90): (20, 10, 26, 14),
        (False, 180): (50, 38, 54, 44),
        (False, 270): (38, 10, 44, 14),
    }
    for (flip, rotation), found in expected.items():
        assert box_in_patch(box, 0, 0, Augmentation(flip, rotation, 64), 64) == found


def test_the_box_is_scaled_and_clipped():
    box = box_in_patch((0, 0, 1000, 50), 10, 10, Augmentation(False, 0, 32), 64)
    assert box == (0.0, 0.0, 64.0, 64.0)


def test_flip_comes_before_the_rotation():
    grey = np.zeros((64, 64), np.float32)
    grey[0, 0] = 1.0  # top left; mirrored: top right; turned counter-clockwise: top left
    assert cut_patch(grey, 0, 0, Augmentation(True, 90, 64), 64)[0, 0] == 1.0


def test_resizing_stays_in_range_and_keeps_the_mean():
    grey = np.random.default_rng(0).choice(np.float32([-1, 1]), (100, 100))
    for side in (53, 80):
        patch = cut_patch(grey, 5, 5, Augmentation(False, 0, side), 64)
        assert np.abs(patch).max() <= 1
        assert patch.mean() == pytest.approx(grey[5 : 5 + side, 5 : 5 + side].mean(), abs=0.03)


def test_a_window_outside_the_image_is_refused():
    with pytest.raises(ValueError, match="leaves the image"):
        cut_patch(np.zeros((64, 64), np.float32), 1, 0, Augmentation(False, 0, 64), 64)


def test_draws_have_the_papers_distributions():
    generator = np.random.default_rng(1)
    draws = [draw_augmentation(generator, CONFIG, "train") for _ in range(4000)]
    assert np.mean([draw.flip for draw in draws]) == pytest.approx(0.5, abs=0.03)
    assert {draw.rotation for draw in draws} == {0, 90, 180, 270}
    for rotation in (0, 90, 180, 270):
        share = np.mean([draw.rotation == rotation for draw in draws])
        assert share == pytest.approx(0.25, abs=0.03)
    scales = 64 / np.array([draw.side for draw in draws])
    assert min(draw.side for draw in draws) == round(64 / 1.2)
    assert max(draw.side for draw in draws) == round(64 / 0.8)
    assert scales.mean() == pytest.approx(1.0, abs=0.01)


def test_flags_turn_each_part_off():
    generator = np.random.default_rng(1)
    still = dataclasses.replace(
        CONFIG, flip_probability=0.0, rotate=False, scale_min=1.0, scale_max=1.0
    )
    plain = Augmentation(False, 0, 64)
    assert draw_augmentation(generator, still, "train") == plain
    unaugmented = dataclasses.replace(CONFIG, augment_eval=False)
    assert draw_augmentation(generator, unaugmented, "test") == plain
