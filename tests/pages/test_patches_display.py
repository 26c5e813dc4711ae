"""Patches as pictures: grey levels, enlargement, rows of tiles."""

import numpy as np
import pytest

from cgan_tf.pages.patches import enlarge, mosaic, patch_levels, shown_factor


def test_grey_levels_of_patches():
    levels = patch_levels(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(levels, [0, 0, 128, 255, 255])
    assert levels.dtype == np.uint8


@pytest.mark.parametrize(("size", "factor"), [(32, 6), (64, 3), (128, 2), (256, 1), (512, 1)])
def test_small_patches_are_enlarged_by_whole_factors(size, factor):
    assert shown_factor(size) == factor
    assert enlarge(np.full((size, size), 7, np.uint8)).shape == (factor * size, factor * size)
    assert (enlarge(np.full((size, size), 7, np.uint8)) == 7).all()


def test_tiles_go_row_by_row_and_empty_places_are_filled():
    tiles = np.stack([np.full((2, 3), level, np.uint8) for level in (1, 2, 3)])
    expected = np.kron([[1, 2], [3, 9]], np.ones((2, 3)))
    np.testing.assert_array_equal(mosaic(tiles, 2, 9), expected)
    assert mosaic(tiles, 3).shape == (2, 9)
