"""Random windows: where they may be, how they are spread, what they depend on."""

import collections

import numpy as np
import pytest

from beam_pipelines.patches.windows import (
    draw_key,
    draw_stream,
    integral_of,
    lesion_window,
    tissue_window,
    valid_windows,
)

KEY = "3d092217d42ddcac55b40b45532d09fc"
VALUES = [0.9756735256798885, 0.26749423537542627]


def test_a_draw_depends_on_each_part_of_its_key():
    keys = {
        draw_key(0, "train", "1.2", "normal", 0),
        draw_key(1, "train", "1.2", "normal", 0),
        draw_key(0, "test", "1.2", "normal", 0),
        draw_key(0, "train", "1.3", "normal", 0),
        draw_key(0, "train", "1.2", "source", 0),
        draw_key(0, "train", "1.2", "normal", 1),
    }
    assert len(keys) == 6
    key = draw_key(0, "train", "1.2", "normal", 0)
    assert draw_stream(key).random(3).tolist() == draw_stream(key).random(3).tolist()


def test_the_stream_is_the_same_on_every_machine():
    """Philox is specified bit for bit; these values must never change."""
    key = draw_key(0, "train", "1.2", "normal", 0)
    assert key.hex() == KEY
    assert draw_stream(key).random(2) == pytest.approx(VALUES, abs=1e-15)


@pytest.mark.parametrize("side", [213, 256, 320])
@pytest.mark.parametrize(
    "box", [(100, 120, 140, 150), (0, 0, 3, 3), (637, 829, 640, 832), (10.3, 400.2, 10.9, 400.8)]
)
def test_a_lesion_window_is_inside_and_meets_its_box(side, box):
    generator = np.random.default_rng(0)
    for _ in range(500):
        left, top = lesion_window(generator, box, (832, 640), side, 256, 128)
        assert 0 <= left <= 640 - side
        assert 0 <= top <= 832 - side
        assert left < box[2]
        assert box[0] < left + side
        assert top < box[3]
        assert box[1] < top + side


def test_offsets_are_uniform_over_the_whole_range():
    """A one-pixel lesion in a huge image: its place in the patch is the offset."""
    generator = np.random.default_rng(0)
    places = [
        1000 - lesion_window(generator, (1000, 1000, 1001, 1001), (2000, 2000), 256, 256, 128)[0]
        for _ in range(20000)
    ]
    found = np.bincount(places, minlength=256)
    assert (min(places), max(places)) == (1, 255)  # 128 - 127 and 128 + 127
    assert found[1:].min() > 0
    assert found[1:].std() / found[1:].mean() < 0.15


def test_the_chosen_pixel_is_uniform_in_the_box():
    generator = np.random.default_rng(0)
    places = [
        lesion_window(generator, (300, 500, 310, 502), (2000, 2000), 64, 64, 1) for _ in range(5000)
    ]
    columns = np.bincount([left + 32 - 300 for left, _ in places])
    assert len(columns) == 10
    assert columns.min() > 400
    assert {top + 32 for _, top in places} == {500, 501}


def test_the_chosen_pixel_is_uniform_on_the_mask():
    """Of an L-shaped lesion, whose box is mostly empty."""
    pixels = np.array([(300, y) for y in range(500, 520)] + [(x, 519) for x in range(301, 320)])
    box = (300.0, 500.0, 320.0, 520.0)
    generator = np.random.default_rng(0)
    counts = collections.Counter(
        lesion_window(generator, box, (2000, 2000), 64, 64, 1, pixels) for _ in range(8000)
    )
    assert {(left + 32, top + 32) for left, top in counts} == set(map(tuple, pixels))
    chi2 = sum((count - 8000 / 39) ** 2 / (8000 / 39) for count in counts.values())
    assert chi2 < 38 + 5 * np.sqrt(2 * 38)


@pytest.mark.parametrize(
    "share",
    [pytest.param(1.0, marks=pytest.mark.slow), 0.01],  # by proposals; by listing all windows
)
def test_normal_windows_keep_their_distance_from_lesions(share):
    """Uniform over exactly the windows that a search of every pixel allows."""
    mask = np.ones((45, 40), np.uint8)
    side, distance = 6, 7
    lesions = np.zeros(mask.shape, bool)
    lesions[20:22, 15:17] = lesions[35:45, 39:] = True
    boxes = [(15.0, 20.0, 17.0, 22.0), (39.0, 35.0, 40.0, 45.0)]
    if share < 1:
        mask[:] = 0
        mask[:7, :8] = 1
    integral = integral_of(mask)
    allowed = valid_windows(integral, side, 0.9).copy()
    for top, left in zip(*np.nonzero(allowed), strict=True):
        around = lesions[
            max(0, top - distance) : top + side + distance,
            max(0, left - distance) : left + side + distance,
        ]
        allowed[top, left] = not around.any()
    generator = np.random.default_rng(0)
    counts = np.zeros(allowed.shape, int)
    draws = 20 * int(allowed.sum())
    for _ in range(draws):
        left, top = tissue_window(generator, integral, side, 0.9, boxes, distance)
        counts[top, left] += 1
    assert (counts[~allowed] == 0).all()
    chi2 = ((counts[allowed] - 20) ** 2 / 20).sum()
    freedom = allowed.sum() - 1
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * freedom)


def test_no_window_where_a_lesion_is_near_everywhere():
    integral = integral_of(np.ones((50, 50), np.uint8))
    lesion = [(20.0, 20.0, 30.0, 30.0)]
    assert tissue_window(np.random.default_rng(0), integral, 12, 0.9, lesion, 12) is None
    place = tissue_window(np.random.default_rng(0), integral, 12, 0.9, lesion, 8)
    assert place is not None


@pytest.mark.parametrize("share", [0.4, 0.002])  # by proposals; by listing all windows
def test_tissue_windows_are_uniform_over_the_valid_ones(share):
    mask = np.zeros((50, 50), np.uint8)
    length = int(50 * share**0.5)
    mask[:length, :length] = 1
    side = 2 if share < 0.01 else 10
    integral = integral_of(mask)
    valid = valid_windows(integral, side, 0.9)
    generator = np.random.default_rng(0)
    counts = np.zeros(valid.shape, int)
    draws = 12 * int(valid.sum())
    for _ in range(draws):
        left, top = tissue_window(generator, integral, side, 0.9)
        counts[top, left] += 1
    assert (counts[~valid] == 0).all()
    chi2 = ((counts[valid] - 12) ** 2 / 12).sum()
    freedom = valid.sum() - 1
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * max(freedom, 1))


def test_no_window_when_there_is_none():
    integral = integral_of(np.zeros((50, 50), np.uint8))
    assert tissue_window(np.random.default_rng(0), integral, 20, 0.9) is None
    assert tissue_window(np.random.default_rng(0), integral, 60, 0.0) is None
