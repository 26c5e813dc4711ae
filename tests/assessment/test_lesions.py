"""Lesions: estimates in exact cases and in the phantom; shapes, spreads and values by hand."""

import math

import cv2
import numpy as np
import pytest

from beam_pipelines.phantom.picture import draw_picture
from beam_pipelines.phantom.plan import plan_client
from cgan_tf.assessment.lesions import (
    SIDE,
    LesionShape,
    centre,
    describe_lesion,
    estimate_lesion,
    lesion_shape,
    lesion_spread,
    lesion_values,
)

PHANTOM_CLIENTS = (5, 18, 34, 35)  # with lesions clear of the border
BOX = (20.0, 24.0, 36.0, 44.0)


def _ramp():
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return (0.4 * x - 0.3 * y - 0.1).astype(np.float32)


def _bump(x, y, sigma, stretch=1.0):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    squares = ((columns - x) / stretch) ** 2 + (rows - y) ** 2
    return np.exp(-squares / (2 * sigma**2)).astype(np.float32)


def test_linear_background_is_continued_exactly():
    """A plane is harmonic, so all that is left is the lesion."""
    assert np.abs(estimate_lesion(_ramp(), BOX)).max() < 1e-6
    lesion = np.zeros((SIDE, SIDE), np.float32)
    lesion[28:40, 24:33] = 0.3
    actual = estimate_lesion(_ramp() + lesion, BOX)
    assert actual == pytest.approx(lesion, abs=1e-6)
    assert actual.dtype == np.float32


def test_background_is_the_mean_of_its_neighbours():
    """One pixel, then two by hand: p = (a + b + c + q) / 4, q = (d + e + f + p) / 4."""
    rng = np.random.default_rng(0)
    patch = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    around = (patch[9, 5] + patch[11, 5] + patch[10, 4] + patch[10, 6]) / 4
    actual = estimate_lesion(patch, (5, 10, 6, 11))
    assert actual[10, 5] == pytest.approx(patch[10, 5] - around, abs=1e-6)
    assert np.count_nonzero(actual) == 1
    left = patch[9, 5] + patch[11, 5] + patch[10, 4]
    right = patch[9, 6] + patch[11, 6] + patch[10, 7]
    actual = estimate_lesion(patch, (5, 10, 7, 11))
    assert actual[10, 5] == pytest.approx(patch[10, 5] - (4 * left + right) / 15, abs=1e-6)
    assert actual[10, 6] == pytest.approx(patch[10, 6] - (4 * right + left) / 15, abs=1e-6)


def test_box_at_the_border_is_continued_from_the_sides_it_has():
    patch = np.tile(np.linspace(-1, 1, SIDE, dtype=np.float32), (SIDE, 1)).T  # rows differ
    actual = estimate_lesion(patch, (0, 20, SIDE, 30))
    assert np.abs(actual).max() < 1e-6  # between the rows above and below: linear
    flat = np.full((SIDE, SIDE), 0.25, np.float32)
    assert np.abs(estimate_lesion(flat, (-3.0, 50.0, 20.0, 99.0))).max() < 1e-6


@pytest.mark.parametrize(
    "box", [(20, 24, 36, 44), (0, 0, 9, 63), (55, 30, 64, 64), (0, 10, 64, 11), (63, 1, 64, 64)]
)
def test_background_satisfies_the_laplace_equation(box):
    """Every pixel in the box is the mean of the neighbours that it has."""
    rng = np.random.default_rng(1)
    patch = rng.uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    x0, y0, x1, y1 = box
    background = (patch - estimate_lesion(patch, box)).astype(np.float64)
    outside = np.ones((SIDE, SIDE), bool)
    outside[y0:y1, x0:x1] = False
    np.testing.assert_array_equal(background[outside], patch[outside])
    for y in range(y0, y1):
        for x in range(x0, x1):
            places = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            near = [background[p] for p in places if min(p) >= 0 and max(p) < SIDE]
            assert background[y, x] == pytest.approx(np.mean(near), abs=1e-6)


def test_box_that_leaves_nothing_around_it_has_no_estimate():
    assert estimate_lesion(_ramp(), (0, 0, SIDE, SIDE)) is None
    assert estimate_lesion(_ramp(), (30, 30, 30, 30)) is None


def test_larger_patches_are_reduced():
    patch, box = _ramp() + 0.5 * _bump(28, 34, 2.5), tuple(4 * edge for edge in BOX)
    actual = estimate_lesion(np.kron(patch, np.ones((4, 4), np.float32)), box)
    assert actual == pytest.approx(estimate_lesion(patch, BOX), abs=1e-6)


def test_description_ignores_place_and_strength_but_not_shape():
    here = describe_lesion(_bump(30, 30, 4))
    assert np.linalg.norm(here) == pytest.approx(1)
    assert here @ describe_lesion(3 * _bump(19, 40, 4)) == pytest.approx(1, abs=1e-3)
    assert here @ describe_lesion(_bump(30, 30, 4, stretch=2)) < 0.93
    assert here @ describe_lesion(_bump(30, 30, 8)) < 0.9
    assert not describe_lesion(np.full((SIDE, SIDE), -0.1, np.float32)).any()


def test_centre_by_hand():
    lesion = np.zeros((8, 8), np.float32)
    lesion[2, 1], lesion[2, 5], lesion[6, 5] = 1.0, 1.0, 0.8
    lesion[7, :] = 0.1  # the margin of a loose box
    x, y = centre(lesion)
    assert x == pytest.approx((1 + 5 + 0.8 * 5) / 2.8)
    assert y == pytest.approx((2 + 2 + 0.8 * 6) / 2.8)
    assert np.isnan(centre(np.zeros((8, 8)))).all()


def _phantom_lesions(clients):
    """(patch, layer, box) of lesions in the left CC view, reduced from 0.28 to 0.4 mm."""
    half = 46
    for number in clients:
        client = plan_client(1, number)
        for episode in client.episodes:
            lesions = tuple(item for item in episode.lesions if item.side == "L")
            if not lesions:
                continue
            key = (number, episode.episode_id)
            picture = draw_picture(1, key, client.body, lesions, "L", "CC", "small")
            for drawn in picture.lesions:
                layer = np.zeros_like(picture.display)
                (left, top), n = drawn.corner, len(drawn.layer)
                layer[top : top + n, left : left + n] = drawn.layer
                x0, y0, x1, y1 = drawn.box
                x, y = (x0 + x1) // 2 - half, (y0 + y1) // 2 - half
                window = np.s_[y : y + 2 * half, x : x + 2 * half]
                box = tuple(
                    (edge - o) * SIDE / (2 * half)
                    for edge, o in zip(drawn.box, (x, y, x, y), strict=True)
                )
                yield *(_reduced(image[window]) for image in (picture.display, layer)), box


def _reduced(image):
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def test_estimate_is_like_the_true_layer_of_the_phantom():
    correlations = []
    for patch, layer, box in _phantom_lesions(PHANTOM_CLIENTS):
        actual = estimate_lesion(patch, box)
        inside = actual != 0
        correlations.append(np.corrcoef(actual[inside], layer[inside])[0, 1])
    assert len(correlations) == 7
    assert np.median(correlations) > 0.85


class TestShape:
    def test_by_hand(self):
        difference = np.zeros((8, 16))
        difference[2, 4], difference[5, 4] = 0.3, 0.5
        difference[0, 0] = 0.1  # at the threshold is not beyond it
        difference[7, 15] = -0.9
        actual = lesion_shape(difference, 0.1)
        expected = LesionShape(x=4.5 / 16, y=4.0 / 8, area=2 / 128, contrast=0.4)
        for name in ("x", "y", "area", "contrast"):
            assert getattr(actual, name) == pytest.approx(getattr(expected, name)), name

    def test_a_lesion_all_over_is_in_the_middle(self):
        actual = lesion_shape(np.full((6, 6), 0.25), 0.1)
        assert (actual.x, actual.y, actual.area, actual.contrast) == (0.5, 0.5, 1.0, 0.25)

    def test_nothing_is_none(self):
        assert lesion_shape(np.full((4, 4), 0.05), 0.1) is None
        assert lesion_shape(None, 0.1) is None


class TestSpread:
    def test_by_hand(self):
        lesions = [
            LesionShape(0.25, 0.5, 0.1, 0.2),
            None,
            LesionShape(0.75, 0.5, 0.3, 0.2),
            LesionShape(0.5, 0.8, 0.2, 0.5),
        ]
        actual = lesion_spread(lesions)
        assert (actual.measured, actual.without) == (3, 1)
        assert actual.position == pytest.approx(math.sqrt((2 * 0.25**2 + 0.06) / 2))
        assert actual.area == pytest.approx(0.2)
        assert actual.area_spread == pytest.approx(0.1)
        assert actual.contrast == pytest.approx(0.3)
        assert actual.contrast_spread == pytest.approx(math.sqrt(0.03))

    def test_the_same_lesion_again_and_again_has_none(self):
        actual = lesion_spread([LesionShape(0.3, 0.4, 0.2, 0.6)] * 9)
        for name in ("position", "area_spread", "contrast_spread"):
            assert getattr(actual, name) == pytest.approx(0, abs=1e-12)
        assert actual.contrast == pytest.approx(0.6)

    def test_centres_anywhere_in_the_patch(self):
        """Uniform over the square: the distance's root mean square is sqrt(2 / 12)."""
        rng = np.random.default_rng(0)
        lesions = [LesionShape(*rng.uniform(size=2), 0.1, 0.1) for _ in range(4000)]
        assert lesion_spread(lesions).position == pytest.approx(math.sqrt(1 / 6), rel=0.02)

    @pytest.mark.parametrize("lesions", [[], [None, None], [LesionShape(0.5, 0.5, 0.1, 0.1)]])
    def test_too_few_are_undefined(self, lesions):
        actual = lesion_spread(lesions)
        assert actual.position is None
        assert actual.area is None
        assert actual.measured + actual.without == len(lesions)


def test_values_of_a_lesion_by_hand():
    difference = np.zeros((10, 10))
    difference[1, 1:4] = 0.5
    difference[2, 4] = 0.7  # touches by a corner
    difference[8, 8] = 0.3
    difference[5, 5] = 0.1  # at the threshold, not beyond
    actual = lesion_values(difference, 0.1)
    assert actual == pytest.approx(
        {"contrast": (3 * 0.5 + 0.7 + 0.3) / 5, "area": 0.05, "components": 2}
    )


def test_nothing_beyond_the_threshold_has_no_contrast():
    assert lesion_values(np.zeros((4, 4)), 0.1) == {"area": 0, "components": 0}
    assert lesion_values(None, 0.1) == {}
