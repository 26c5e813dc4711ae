import cv2
import numpy as np
import pytest
from scipy.special import logit

from cgan_tf.detection.heat_maps import HeatMap
from cgan_tf.detection.overlays import heat_on, overlay, png_bytes, reduced, shown_candidates
from cgan_tf.detection.predictions import Candidate, ImagePrediction, KnownLesion
from tests.toys.predictions import scored_image

PLACE = ("1.2", "women/1", "L", "CC")


def heat_of(probabilities, x, y) -> HeatMap:
    return HeatMap(
        logit(np.array(probabilities)).astype(np.float32), np.array(x), np.array(y), (40.0, 40.0)
    )


def test_pictures_fit_a_screen():
    assert reduced(np.zeros((2400, 1000), np.float32)).shape == (1200, 500)
    assert reduced(np.zeros((100, 60), np.float32)).shape == (200, 120)
    assert reduced(np.full((10, 10), 3.0, np.float32)).max() == 255


def test_heat_is_that_of_the_window_around_a_pixel():
    heat = heat_of([[0.2, 0.8], [0.4, 0.6]], [20.0, 60.0], [20.0, 100.0])
    # A picture of half the size: the centre of pixel (9, 9) is (19, 19) of the image.
    found = heat_on(heat, (60, 40), (0.5, 0.5))
    assert found[9, 9] == pytest.approx(0.2, abs=0.01)
    assert found[9, 30] == pytest.approx(0.8, abs=0.01)
    assert found[50, 9] == pytest.approx(0.4, abs=0.01)
    assert found[9, 19] == pytest.approx((0.2 + 0.8) / 2, abs=0.02)
    assert found[0, 0] == pytest.approx(0.2)  # at the edge that of the last window
    assert found[59, 39] == pytest.approx(0.6)


def test_no_heat_where_nothing_was_scored():
    heat = heat_of([[0.9, 0.5, 0.9]], [20.0, 60.0, 100.0], [20.0])
    heat.logits[0, 1] = np.nan
    found = heat_on(heat, (10, 120), (1.0, 1.0))
    assert (found[:, 45:75] == 0).all()
    np.testing.assert_allclose(found[:, :35], 0.9, rtol=1e-3)


def test_boxes_are_drawn_where_they_lie_and_cold_tissue_stays_grey():
    image = scored_image(width=100, height=200)
    picture = np.full((400, 200), 90, np.uint8)
    lesion = KnownLesion(*PLACE, "m", "malignant_mass", 10.0, 20.0, 40.0, 60.0, 2.0)
    candidate = Candidate(*PLACE, 50.0, 100.0, 90.0, 150.0, 0.7)
    heat = heat_of([[0.05, 0.05], [0.05, 0.95]], [20.0, 80.0], [20.0, 180.0])
    found = overlay(picture, ImagePrediction(image, (candidate,), (lesion,)), heat)
    assert found.shape == (400, 200, 3)
    assert tuple(found[80, 20]) == (0, 176, 255)  # left edge of the lesion, at twice the size
    assert tuple(found[250, 100]) == (255, 255, 255)  # left edge of the candidate
    assert tuple(found[10, 10]) == (90, 90, 90)
    blue, _, red = (int(value) for value in found[390, 190])
    assert red > 150 > 90 > blue - 60
    decoded = cv2.imdecode(np.frombuffer(png_bytes(found), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, found)


def test_a_detector_has_no_heat_map():
    image = scored_image(width=100, height=200)
    picture = np.full((400, 200), 90, np.uint8)
    benign = KnownLesion(*PLACE, "m", "benign_mass", 10.0, 20.0, 40.0, 60.0, 2.0)
    found = overlay(picture, ImagePrediction(image, (), (benign,)))
    assert tuple(found[80, 20]) == (255, 190, 90)
    assert (found[200:] == 90).all()


def test_cold_candidates_are_not_shown():
    many = [Candidate(*PLACE, 0.0, 0.0, 1.0, 1.0, score) for score in (0.9, 0.8, 0.09)]
    assert shown_candidates(many) == many[:2]
    assert len(shown_candidates(many[:1] * 9)) == 5
