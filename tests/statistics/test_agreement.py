"""Kappa by hand, against scikit-learn, and its interval in simulation."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from cgan_tf.statistics.agreement import agreement


def test_by_hand():
    """20 both yes, 5 yes and no, 10 no and yes, 15 both no: 0.7 seen, 0.5 by chance."""
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    found = agreement([(first, second, np.arange(50))], 2)
    assert found.kappa == pytest.approx(0.4)
    assert (found.same, found.pairs) == (0.7, 50)
    assert found.low < 0.4 < found.high


def test_ordered_ratings_are_weighted_by_squares():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 6, 80)
    second = (first + rng.integers(-1, 2, 80)).clip(0, 5)
    expected = cohen_kappa_score(first, second, weights="quadratic", labels=range(6))
    assert agreement([(first, second, np.arange(80))], 6).kappa == pytest.approx(expected)


def test_several_pairs_of_readers_are_averaged():
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 2, (3, 40))
    pairs = [(rows[a], rows[b], np.arange(40)) for a, b in ((0, 1), (0, 2), (1, 2))]
    each = [agreement([pair], 2).kappa for pair in pairs]
    assert agreement(pairs, 2).kappa == pytest.approx(np.mean(each))


def test_undefined():
    same = np.ones(5, int)
    assert agreement([(same, same, np.arange(5))], 2).note.startswith("undefined: every case")
    assert agreement([], 2).note == "undefined: nothing was read twice"
    assert math.isnan(agreement([], 2).kappa)


def test_the_interval_covers():
    """Two readers who agree with chance 0.8 on evenly split cases: kappa is 0.6."""
    rng = np.random.default_rng(2)

    def covers() -> bool:
        first = rng.integers(0, 2, 60)
        second = np.where(rng.random(60) < 0.8, first, 1 - first)
        found = agreement([(first, second, np.arange(60))], 2)
        return found.low <= 0.6 <= found.high

    assert 0.89 <= np.mean([covers() for _ in range(150)]) <= 1


def test_patients_with_many_cases_widen_it():
    rng = np.random.default_rng(3)
    first = np.repeat(rng.integers(0, 2, 20), 4)
    second = np.where(np.repeat(rng.random(20), 4) < 0.8, first, 1 - first)
    each = agreement([(first, second, np.arange(80))], 2)
    by_patient = agreement([(first, second, np.repeat(np.arange(20), 4))], 2)
    assert by_patient.high - by_patient.low > 1.5 * (each.high - each.low)
