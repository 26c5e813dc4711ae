"""Places: enough tissue, no overlap, all as likely; rows side by side; lesions in the middle."""

import dataclasses

import numpy as np
import pytest

from beam_pipelines.insertion.places import lesion_place, patches_of, random_places, row_places
from beam_pipelines.patches.breast_mask import breast_mask
from beam_pipelines.patches.windows import integral_of, tissue_in
from beam_pipelines.sources.base import Mark
from tests.toys.drawn_films import dim_label, draw_film, stored

MARK = Mark("m", (40, 30, 60, 44), "malignant_mass", 1, 0, "")


def stream(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def disc(height: int = 120, width: int = 150) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((y - 60) ** 2 + (x - 60) ** 2 < 55**2).astype(np.uint8)


def overlap(first, second, side) -> bool:
    return abs(first.left - second.left) < side and abs(first.top - second.top) < side


@pytest.mark.parametrize("seed", range(8))
def test_random_places_hold_tissue_and_do_not_overlap(seed):
    mask = disc()
    places = random_places(stream(seed), integral_of(mask), 16, 0.9, 6)
    assert len(places) == 6
    assert [place.key for place in places] == list("012345")
    for place in places:
        tile = mask[place.top : place.top + 16, place.left : place.left + 16]
        assert tile.shape == (16, 16)
        assert tile.mean() >= 0.9
    pairs = [(a, b) for a in places for b in places if a is not b]
    assert not any(overlap(a, b, 16) for a, b in pairs)


def test_there_are_no_more_places_than_room():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:25, 10:40] = 1  # 20 x 30
    places = random_places(stream(), integral_of(mask), 16, 1.0, 5)
    assert 1 <= len(places) <= 1
    assert random_places(stream(), integral_of(mask), 21, 1.0, 5) == []
    assert random_places(stream(), integral_of(mask), 64, 0.5, 5) == []


def test_every_valid_window_is_as_likely():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:12, 3:8] = 1
    mask[14:19, 20:25] = 1
    valid = {(3, top) for top in range(2, 8)} | {(20, 14)}
    counts = dict.fromkeys(valid, 0)
    for seed in range(1400):
        (place,) = random_places(stream(seed), integral_of(mask), 5, 1.0, 1)
        counts[place.left, place.top] += 1
    assert min(counts.values()) > 150  # 200 expected; 4 standard deviations
    assert max(counts.values()) < 255


@pytest.mark.parametrize("exposure", [25, 90])
def test_no_place_and_no_tissue_of_a_place_is_on_a_label(exposure):
    """A tenth of a patch may lie beside the breast; what changes there is not kept."""
    side = 96
    film, label = dim_label(draw_film(half_height=560)[0], exposure)
    mask = breast_mask(stored(film))
    found = [
        place
        for seed in range(20)
        for place in random_places(stream(seed), integral_of(mask, film.shape), side, 0.9, 20)
    ]
    near = [p for p in found if p.top < 160 and p.left + side > 340]
    assert near  # the corner of the label was within reach
    for place in found:
        window = label[place.top : place.top + side, place.left : place.left + side]
        assert window.mean() < 0.1
        assert not (tissue_in(mask, film.shape, place.left, place.top, side) & window).any()


def test_a_row_is_side_by_side():
    mask = np.zeros((60, 120), np.uint8)
    mask[10:40, 20:105] = 1  # 85 px: room for five of 16
    places = row_places(stream(), integral_of(mask), 16, 1.0, 5)
    assert [place.left - places[0].left for place in places] == [0, 16, 32, 48, 64]
    assert len({place.top for place in places}) == 1
    assert 20 <= places[0].left <= 25
    assert 10 <= places[0].top <= 24
    assert row_places(stream(), integral_of(mask), 16, 1.0, 6) == []
    assert row_places(stream(), integral_of(mask), 16, 0.1, 9) == []


def test_a_lesion_is_in_the_middle_of_its_patch():
    place = lesion_place(MARK, (200, 200), 32)
    assert (place.left, place.top, place.key) == (34, 21, "m")
    assert place.box == (6, 9, 26, 23)


@pytest.mark.parametrize(
    ("box", "corner"),
    [((0, 0, 10, 10), (0, 0)), ((90, 70, 100, 80), (68, 48)), ((0, 40, 8, 50), (0, 29))],
)
def test_at_the_edge_the_patch_is_moved_inside(box, corner):
    place = lesion_place(dataclasses.replace(MARK, box=box), (80, 100), 32)
    assert (place.left, place.top) == corner
    assert place.box == tuple(np.subtract(box, corner * 2))


def test_patches_are_what_is_there():
    grey = np.arange(80 * 100, dtype=np.float32).reshape(80, 100)
    places = row_places(stream(), integral_of(np.ones((80, 100), np.uint8)), 16, 1.0, 3)
    patches = patches_of(grey, places, 16)
    assert patches.shape == (3, 16, 16)
    for place, patch in zip(places, patches, strict=True):
        assert patch[0, 0] == grey[place.top, place.left]
        assert patch[-1, -1] == grey[place.top + 15, place.left + 15]
