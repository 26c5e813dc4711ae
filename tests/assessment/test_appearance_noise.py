"""Noise inside and beside a lesion: tiles by hand, power of known noise and patterns."""

import numpy as np
import pytest

from cgan_tf.assessment.appearance import BANDS, TILE_PX, band_power, excess_noise, tiles_of

SIZE = 128
BOX = (40.0, 40.0, 88.0, 88.0)  # three tiles a side
Y, X = np.mgrid[:SIZE, :SIZE]


def inside():
    x0, y0, x1, y1 = map(int, BOX)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def noise(seed=0, level=0.02):
    return level * np.random.default_rng(seed).standard_normal((SIZE, SIZE))


def test_tiles_by_hand():
    """A box of one tile: the eight around it are beside."""
    held, beside = tiles_of(64, (24, 24, 40, 40))
    assert held.tolist() == [[24, 24]]
    around = [[x, y] for y in (8, 24, 40) for x in (8, 24, 40) if (x, y) != (24, 24)]
    assert sorted(beside.tolist()) == sorted(around)


def test_tiles_of_a_larger_box_are_in_its_middle():
    held, beside = tiles_of(SIZE, (48, 40, 84, 57.5))  # 36 x 18: two tiles beside one another
    assert held.tolist() == [[50, 41], [66, 41]]
    rows, columns = [[50, 24], [66, 24], [50, 58], [66, 58]], [25, 41, 57]
    assert sorted(beside.tolist()) == sorted(rows + [[x, y] for x in (32, 84) for y in columns])


def test_tiles_at_the_border_are_pushed_into_the_patch():
    held, beside = tiles_of(64, (0, 0, 6, 6))
    assert held.tolist() == [[0, 0]]
    assert sorted(beside.tolist()) == [[0, 6], [6, 3]]


@pytest.mark.parametrize("box", [(3, 9, 60, 22), (0, 0, 128, 100), (90, 90, 128, 128)])
def test_no_tile_beside_touches_the_box(box):
    held, beside = tiles_of(SIZE, box)
    x0, y0, x1, y1 = box
    for x, y in beside:
        assert x >= x1 or x + TILE_PX <= x0 or y >= y1 or y + TILE_PX <= y0
    for x, y in np.concatenate([held, beside]):
        assert 0 <= x <= SIZE - TILE_PX
        assert 0 <= y <= SIZE - TILE_PX


def test_white_noise_has_its_variance_in_every_band():
    tiles = 0.3 * np.random.default_rng(1).standard_normal((4_000, TILE_PX, TILE_PX))
    assert band_power(tiles)[1:] == pytest.approx(0.09, rel=0.02)
    # The plane that is taken off is a part of the lowest band.
    assert 0.09 * 0.6 < band_power(tiles)[0] < 0.09


def test_brightness_and_slope_are_no_noise():
    y, x = np.mgrid[:TILE_PX, :TILE_PX]
    tiles = (0.4 + 0.01 * x - 0.02 * y)[None]
    assert band_power(tiles).max() < 1e-10


def test_the_same_noise_gives_no_excess():
    actual = [excess_noise(noise(seed), BOX) for seed in range(40)]
    assert np.mean(actual, axis=0) == pytest.approx(np.zeros(len(BANDS)), abs=0.15)


def test_twice_the_power_inside_is_one_in_every_band():
    actual = [excess_noise(noise(s) * np.where(inside(), 2**0.5, 1), BOX) for s in range(40)]
    assert np.mean(actual, axis=0) == pytest.approx(np.ones(len(BANDS)), abs=0.15)


@pytest.mark.parametrize(
    ("pattern", "band"),
    [
        (np.where((X + Y) % 2, 1, -1), 3),  # of up-sampling: period 2 in both directions
        (np.where(X % 2, 1, -1), 3),
        (np.cos(2 * np.pi * 5 / 16 * Y), 2),
        (np.cos(2 * np.pi * X / 8), 0),
    ],
)
def test_a_pattern_shows_in_its_band(pattern, band):
    actual = excess_noise(noise() + 0.05 * pattern * inside(), BOX)
    assert actual.argmax() == band
    assert actual[band] > 2


def test_a_patch_full_of_lesion_has_nothing_beside():
    assert excess_noise(noise(), (0, 0, SIZE, SIZE)) is None
    assert excess_noise(noise()[:32, :32], (2, 2, 30, 30)) is None


def test_flat_patches_divide_by_nothing():
    assert excess_noise(np.zeros((SIZE, SIZE)), BOX) == pytest.approx(np.zeros(len(BANDS)))
