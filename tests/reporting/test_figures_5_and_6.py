"""Lesions that cross the threshold, by hand."""

import math

import numpy as np
import pytest

from cgan_tf.reporting.figures_5_and_6 import crossed, crossing, malignant_neighbours, score

MALIGNANT = np.array([True, True, True, True, False, True])
BEFORE = np.array([0.2, 0.4, 0.49, 0.5, 0.1, 0.3])
AFTER = np.array([0.6, 0.5, 0.49, 0.9, 0.8, 0.1])


def test_only_lesions_that_were_missed_and_are_found_cross():
    # 0.5 is found at a threshold of 0.5; the normal patch never counts.
    expected = [True, True, False, False, False, False]
    assert crossed(MALIGNANT, BEFORE, AFTER, 0.5).tolist() == expected


def test_crossings_in_figures():
    result = crossing(MALIGNANT, BEFORE, AFTER, 0.5)
    assert (result.patches, result.missed) == (2, 4)
    assert (result.before, result.after) == (pytest.approx(0.3), pytest.approx(0.55))
    assert result.rise == pytest.approx(0.25)


def test_without_crossings_the_rise_is_undefined():
    result = crossing(MALIGNANT, AFTER, AFTER, 0.5)
    assert (result.patches, result.missed) == (0, 2)
    assert math.isnan(result.rise)


def test_chance_alone_raises_what_was_chosen_for_rising():
    """Why both directions are printed: without any difference both rise alike."""
    rng = np.random.default_rng(0)
    before, after = rng.uniform(size=(2, 20_000))
    lesions = np.ones(20_000, bool)
    forth = crossing(lesions, before, after, 0.5)
    back = crossing(lesions, after, before, 0.5)
    assert forth.rise == pytest.approx(0.5, abs=0.01)
    assert back.rise == pytest.approx(forth.rise, abs=0.01)


def test_scores_are_sigmoids():
    np.testing.assert_allclose(score(np.array([0.0, math.log(3), -1e4])), [0.5, 0.75, 0.0])


def test_neighbours_are_counted_in_feature_space():
    features = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.5]], np.float32)
    malignant = np.array([True, False, False, True, True, True])
    shares = malignant_neighbours(features, malignant, np.array([0, 3, 2]), neighbours=2)
    # 0: {1, 2}; 10: {11, 12.5}; 2: {1, 0}
    assert shares.tolist() == [0.0, 1.0, 0.5]
    # With fewer patches than neighbours: all the others.
    assert malignant_neighbours(features, malignant, np.array([0]), 50)[0] == pytest.approx(3 / 5)
