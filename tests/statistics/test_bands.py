"""ROC bands against curves and intervals known by other means."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from cgan_tf.statistics.bands import GRID, roc_band


def simulated(patients: int, patches: int, seed: int = 0):
    """Patients share an effect; half of them are positive: labels, scores, patient [n]."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), patches)
    labels = patient % 2
    scores = (
        labels + rng.standard_normal(patients)[patient] + 0.1 * rng.standard_normal(len(labels))
    )
    return labels, scores, patient


def test_the_curve_is_the_roc_curve():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = np.array([1.0, 2.0, 3.0, 4.0, 2.5, 3.5, 5.0, 5.0])
    band = roc_band(labels, scores, np.arange(8), rounds=5)
    # By hand: 2 of 4 positives above every negative, 3 above all but one, 4 above all but two.
    assert [band.true[GRID.searchsorted(x)] for x in (0, 0.25, 0.5, 1)] == [0.5, 0.75, 1, 1]


def test_tied_scores_are_a_slope():
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.0, 0.0, 1.0, 1.0])
    band = roc_band(labels, scores, np.arange(4), rounds=5)
    np.testing.assert_allclose(band.true, GRID)


def test_curves_of_several_classifiers_are_averaged_vertically():
    labels, scores, patient = simulated(60, 2)
    other = np.random.default_rng(1).standard_normal(len(labels))
    band = roc_band(labels, np.stack([scores, other]), patient, rounds=5)
    curves = [np.interp(GRID, *roc_curve(labels, row)[:2]) for row in (scores, other)]
    np.testing.assert_allclose(band.true, np.mean(curves, axis=0), atol=1e-12)


def test_band_of_single_patches_is_binomial():
    """Perfectly known negatives: only the share of positives above a threshold varies."""
    labels = np.repeat([1, 0], [200, 4000])
    scores = np.concatenate([np.repeat([2.0, -2.0], 100), np.linspace(-1, 1, 4000)])
    band = roc_band(labels, scores, np.arange(4200), rounds=1000)
    middle = slice(20, 80)
    expected = 1.96 * np.sqrt(0.25 / 200)
    assert band.high[middle] - 0.5 == pytest.approx(expected, rel=0.15)
    assert 0.5 - band.low[middle] == pytest.approx(expected, rel=0.15)


def test_patches_of_one_patient_do_not_narrow_the_band():
    labels, scores, patient = simulated(80, 1)
    once = roc_band(labels, scores, patient)
    repeated = roc_band(np.repeat(labels, 9), np.repeat(scores, 9), np.repeat(patient, 9))
    np.testing.assert_allclose(repeated.true, once.true, atol=1e-12)
    np.testing.assert_allclose(repeated.high - repeated.low, once.high - once.low, atol=1e-12)
    naive = roc_band(np.repeat(labels, 9), np.repeat(scores, 9), np.arange(720))
    assert (naive.high - naive.low).mean() < 0.5 * (once.high - once.low).mean()


def test_band_holds_the_curve_and_rises():
    band = roc_band(*simulated(100, 3))
    for line in (band.true, band.low, band.high):
        assert (np.diff(line) >= -1e-12).all()
    assert (band.low <= band.true + 1e-9).all()
    assert (band.true <= band.high + 1e-9).all()


def test_one_patient_of_a_class_gives_no_band():
    band = roc_band(np.array([0, 0, 1, 1]), np.arange(4.0), np.array(["a", "b", "c", "c"]))
    assert np.isnan(band.low).all()
    assert band.true[-1] == 1
