"""Calibration: bins and scores by hand, the line against closed forms and scikit-learn."""

import math

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from cgan_tf.statistics.calibration import (
    brier_score,
    expected_calibration_error,
    recalibration,
    reliability_bins,
)

LABELS = [0, 0, 1, 0, 1, 1]
PROBABILITIES = [0.0, 0.2, 0.3, 0.5, 0.6, 1.0]


def test_bins_by_hand():
    bins = reliability_bins(LABELS, PROBABILITIES, bins=4)
    assert [(row.low, row.high) for row in bins] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert [row.patches for row in bins] == [2, 2, 1, 1]  # 0.5 is the upper edge of its bin
    assert [row.mean_probability for row in bins] == pytest.approx([0.1, 0.4, 0.6, 1.0])
    assert [row.positive_share for row in bins] == pytest.approx([0.0, 0.5, 1.0, 1.0])


def test_expected_calibration_error_by_hand():
    bins = reliability_bins(LABELS, PROBABILITIES, bins=4)
    assert expected_calibration_error(bins) == pytest.approx((2 * 0.1 + 2 * 0.1 + 0.4 + 0) / 6)


def test_empty_bins_do_not_count():
    bins = reliability_bins([1, 0], [0.95, 0.95])
    assert [row.patches for row in bins] == [0] * 9 + [2]
    assert [row.low for row in bins] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert bins[0].mean_probability is None
    assert bins[0].positive_share is None
    assert expected_calibration_error(bins) == pytest.approx(0.45)
    assert math.isnan(expected_calibration_error(reliability_bins([], [])))


def test_brier_score_by_hand():
    squares = 0 + 0.04 + 0.49 + 0.25 + 0.16 + 0
    assert brier_score(LABELS, PROBABILITIES) == pytest.approx(squares / 6)
    assert math.isnan(brier_score([], []))


def _two_levels():
    """10 patches of logit -1, 3 of them positive, and 20 of logit 3, 16 of them positive."""
    labels = np.repeat([1, 0, 1, 0], [3, 7, 16, 4])
    return labels, np.repeat([-1.0, 3.0], [10, 20])


def test_line_through_two_levels_by_hand():
    labels, logits = _two_levels()
    line = recalibration(labels, logits)
    slope = (logit(0.8) - logit(0.3)) / 4
    assert line.slope == pytest.approx(slope, rel=1e-8)
    assert line.intercept == pytest.approx(logit(0.3) + slope, rel=1e-8)
    assert line.intercept_at_even_odds == pytest.approx(line.intercept - math.log(19 / 11))
    assert line.note == ""


def test_intervals_of_two_levels_by_hand():
    labels, logits = _two_levels()
    line = recalibration(labels, logits)
    low, high = 1 / (10 * 0.3 * 0.7), 1 / (20 * 0.8 * 0.2)  # variances of the levels' log odds
    correction = 30 / 29
    slope_error = math.sqrt(correction * (low + high) / 16)
    # intercept = log odds at 0 = 3/4 of the lower level and 1/4 of the upper
    intercept_error = math.sqrt(correction * (9 * low + high) / 16)
    z = 1.959963984540054
    assert line.slope_high - line.slope == pytest.approx(z * slope_error, rel=1e-6)
    assert line.slope - line.slope_low == pytest.approx(z * slope_error, rel=1e-6)
    assert line.intercept_high - line.intercept == pytest.approx(z * intercept_error, rel=1e-6)
    assert line.intercept - line.intercept_low == pytest.approx(z * intercept_error, rel=1e-6)


def test_line_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    logits = rng.normal(40, 25, 500)  # far from zero and wide: the hard case for Newton's method
    labels = (rng.uniform(size=500) < expit(0.04 * logits - 2)).astype(int)
    reference = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(logits[:, None], labels)
    line = recalibration(labels, logits)
    assert line.slope == pytest.approx(reference.coef_[0, 0], rel=1e-5)
    assert line.intercept == pytest.approx(reference.intercept_[0], rel=1e-5)


def test_line_finds_how_the_labels_were_drawn():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 200_000)
    labels = rng.uniform(size=len(logits)) < expit(0.5 * logits + 0.3)
    line = recalibration(labels, logits)
    assert line.slope_low < 0.5 < line.slope_high
    assert line.intercept_low < 0.3 < line.intercept_high
    assert line.slope_high - line.slope_low < 0.03


def test_drawing_more_positives_moves_only_the_intercept():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, 100_000)
    labels = rng.uniform(size=len(logits)) < expit(0.5 * logits)
    kept = labels | (rng.uniform(size=len(labels)) < 0.25)  # a quarter of the negatives
    line = recalibration(labels[kept], logits[kept])
    assert line.slope == pytest.approx(0.5, abs=0.03)
    assert line.intercept == pytest.approx(math.log(4), abs=0.05)
    assert line.intercept_at_even_odds == pytest.approx(0, abs=0.05)


def test_copies_of_a_patient_s_patches_tell_nothing_new():
    rng = np.random.default_rng(3)
    logits, clients = rng.normal(0, 1, 120), np.arange(120) // 3
    labels = (rng.uniform(size=120) < expit(logits)).astype(int)
    once = recalibration(labels, logits, clients)
    copied = [np.repeat(values, 5) for values in (labels, logits, clients)]
    five = recalibration(*copied)
    assert (five.slope_low, five.slope_high) == pytest.approx((once.slope_low, once.slope_high))
    naive = recalibration(*copied[:2])  # without patients the copies count as evidence
    assert naive.slope_high - naive.slope_low < 0.6 * (five.slope_high - five.slope_low)


@pytest.mark.parametrize(
    ("labels", "logits", "words"),
    [
        ([1, 1], [0.1, 0.2], "undefined: 2 positive and 0 negative patches"),
        ([0, 1, 0], [3.0, 3.0, 3.0], "undefined: the logits do not vary"),
        ([0, 0, 1, 1], [-1.0, 2.0, 2.0, 5.0], "undefined: a threshold separates"),
        ([1, 1, 0, 0], [-1.0, 2.0, 3.0, 5.0], "undefined: a threshold separates"),
    ],
)
def test_no_line_is_said_in_words(labels, logits, words):
    line = recalibration(labels, logits)
    assert line.note.startswith(words)
    assert math.isnan(line.slope)
    assert math.isnan(line.intercept_high)


def test_one_patient_gives_a_line_without_interval():
    labels, logits = _two_levels()
    line = recalibration(labels, logits, np.where(labels, "one", np.arange(30).astype(str)))
    assert line.slope == pytest.approx((logit(0.8) - logit(0.3)) / 4)
    assert math.isnan(line.slope_low)
    assert line.note.startswith("undefined interval: 1 patients with positive and 11")
