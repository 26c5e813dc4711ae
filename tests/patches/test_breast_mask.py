"""The breast mask and the bounds of drawn films; test_tissue_film_outlines.py has real ones."""

import numpy as np
import pytest

from beam_pipelines.dicom.grey_levels import GreyLevels, cropped
from beam_pipelines.patches.breast_mask import Bounds, breast_mask, film_bounds
from beam_pipelines.rejections import Reason, Rejected
from tests.toys.drawn_films import (
    HEIGHT,
    WIDTH,
    dim_label,
    draw_film,
    fog_from_top,
    padded,
    stored,
)
from tests.toys.film_outlines import overlap, whole_mask

WHOLE = Bounds(0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize("base", [0, 3, 20, 35])
def test_finds_the_breast_on_a_film_whatever_its_base(base):
    film, breast = draw_film(base)
    assert overlap(whole_mask(stored(film)), breast) > 0.97


def test_eight_bits_in_sixteen_are_eight_bits():
    """One grey step more or less is noise, however many bits it is stored in."""
    film, _ = draw_film()
    eight = stored(film)
    table = np.linspace(-1, 1, 1 << 16, dtype=np.float32)
    sixteen = GreyLevels(eight.patterns.astype(np.uint16) * 257, table)
    np.testing.assert_array_equal(breast_mask(sixteen), breast_mask(eight))


@pytest.mark.parametrize("decay", [20, 60, 100])
@pytest.mark.parametrize("way", ["top", "bottom", "mirrored"])
def test_fogged_film_in_an_outer_corner_is_no_breast(decay, way):
    """The breast reaches the edge, so that fog and breast are one piece."""
    film, breast = draw_film(half_height=560)
    film = fog_from_top(film, 12, decay)
    turn = {"top": lambda x: x, "bottom": np.flipud, "mirrored": np.fliplr}[way]
    mask = whole_mask(stored(turn(film).copy()))
    outside = (mask > 0) & ~turn(breast)
    assert overlap(mask, turn(breast)) > 0.96
    assert outside.sum() < 0.01 * mask.sum()
    corner = np.zeros_like(breast)
    corner[:40, -80:] = True
    assert not mask[turn(corner)].any()


@pytest.mark.parametrize("left", [100, 380, 470])
def test_a_label_is_no_breast_even_where_it_touches_it(left):
    film, breast = draw_film()
    film[100:240, left + 40 : left + 120] = 245  # beside the breast, on its rim, within it
    mask = whole_mask(stored(film)) > 0
    label = np.zeros_like(breast)
    label[100:240, left + 40 : left + 120] = True
    if left == 100:  # tissue all around: a dense mass may be so bright
        assert mask[label].all()
    else:
        assert mask[label].mean() < 0.02
        assert overlap(mask & ~label, breast & ~label) > 0.96


@pytest.mark.parametrize("exposure", [25, 45, 90])
@pytest.mark.parametrize("way", [lambda x: x, np.flipud, np.fliplr])
def test_a_label_that_lets_light_through_is_no_breast(exposure, way):
    film, breast = draw_film(half_height=560)
    film, label = dim_label(film, exposure)
    mask = whole_mask(stored(way(film).copy())) > 0
    assert not mask[way(label)].any()
    assert overlap(mask, way(breast)) > 0.96


def test_a_scratch_on_the_skin_takes_nothing_from_the_breast():
    """It is dim and abrupt too, but as narrow as nothing that was stuck on."""
    film, _ = draw_film()
    _, skin = draw_film(reach=500)
    film = np.maximum(film, 16 * skin)
    scratched = film.copy()
    scratched[300:1000, 484:486] += 40
    clean, mask = (whole_mask(stored(image)) > 0 for image in (film, scratched))
    assert not (clean & ~mask).any()


def test_a_wedge_a_border_and_a_clipped_corner_are_no_breast():
    film, breast = draw_film()
    film[600:1000, 560:600] = np.linspace(30, 250, 10).repeat(40)[:, None]  # of a digitiser
    film[:6] = film[-6:] = 255  # light past the film
    film[:, -6:] = 255
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    film[(rows + (WIDTH - columns)) < 120] = 0  # cut off for orientation
    mask = whole_mask(stored(film)) > 0
    assert overlap(mask, breast) > 0.96
    assert not mask[600:1000, 560:].any()
    assert not mask[:30, 540:].any()


def test_a_breast_that_fills_91_percent_of_its_image_is_kept():
    film, breast = draw_film(reach=650, half_height=705)
    assert 0.905 < breast.mean() < 0.915
    mask = whole_mask(stored(film))
    assert overlap(mask, breast) > 0.97


def test_an_image_without_background_is_rejected_by_name():
    film, _ = draw_film(reach=2000, half_height=2400)
    with pytest.raises(Rejected, match=r"no background in sight: .*%") as fault:
        breast_mask(stored(film))
    assert fault.value.reason == Reason.IMPLAUSIBLE_TISSUE_MASK


def test_padding_changes_nothing_of_the_mask():
    film, _ = draw_film()
    black = stored(padded(film, left=130, right=254))
    bounds = film_bounds(black)
    assert bounds == Bounds(130, 0, 130 + WIDTH, HEIGHT)
    inside = breast_mask(cropped(black, bounds.place))
    np.testing.assert_array_equal(inside, breast_mask(stored(film)))


@pytest.mark.parametrize(
    "edges",
    [(0, 0, 0, 0), (93, 0, 0, 0), (0, 31, 7, 0), (1, 2, 3, 4), (200, 50, 200, 61), (0, 0, 0, 600)],
)
@pytest.mark.parametrize("kind", [stored, lambda film: np.float32(np.rint(film) / 127.5 - 1)])
def test_a_film_is_cropped_from_its_padding_to_the_pixel(edges, kind):
    film, _ = draw_film()
    left, top, right, bottom = edges
    black = padded(film.clip(1, 255), left, top, right, bottom)
    found = film_bounds(kind(black))
    assert found == Bounds(left, top, left + WIDTH, top + HEIGHT)


def test_a_film_as_black_as_its_padding_ends_at_its_chest_wall():
    """The film's outer edge cannot be seen, and what is cut off beyond it is black either way."""
    film, breast = draw_film(base=0, noise=0)
    bounds = film_bounds(stored(padded(film * breast, left=180, right=90)))
    assert bounds.left == 180
    assert bounds.right == 180 + WIDTH + 90


def test_a_digital_image_keeps_all_of_its_background():
    film, breast = draw_film(base=0, noise=0)
    assert film_bounds(stored(film * breast)) == WHOLE
    film[400:404] = 0  # a line of dead pixels
    assert film_bounds(stored(film * breast)) == WHOLE


def test_a_thin_line_in_the_padding_is_no_film():
    film, _ = draw_film()
    black = padded(film.clip(1, 255), right=300)
    black[-20, WIDTH + 100 : WIDTH + 250] = 90
    assert film_bounds(stored(black)) == WHOLE
