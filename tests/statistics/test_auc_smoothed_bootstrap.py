"""The interval at AUCs of 0 and 1."""

import numpy as np
import pytest

from cgan_tf.statistics import auc
from cgan_tf.statistics.auc import smoothed_interval


def _separated(per_class, patches=1):
    """Labels, scores and patients, `patches` to a patient, perfectly separated."""
    positive = np.repeat([False, True], per_class)
    return positive, np.arange(2.0 * per_class), np.arange(2 * per_class) // patches


def _interval(positive, scores, patient, **settings):
    return smoothed_interval(positive, scores, patient, level=0.95, seed=3, **settings)


def test_more_patches_narrow_the_interval_and_shared_patients_widen_it():
    lows = [_interval(*_separated(n))[0] for n in (5, 20, 100)]
    assert 0.5 < lows[0] < lows[1] < lows[2] < 1
    assert _interval(*_separated(60, patches=10))[0] < _interval(*_separated(60))[0]


def test_scale_of_the_scores_does_not_matter():
    positive, scores, patient = _separated(15)
    expected = _interval(positive, scores, patient)
    assert _interval(positive, np.exp(scores), patient) == expected
    assert _interval(positive, scores + 1e6 * positive, patient) == expected


def test_one_value_a_class_has_an_interval():
    positive = np.repeat([False, True], 20)
    low, high = _interval(positive, positive.astype(float), np.arange(40))
    assert 0.5 < low < 1
    assert high == 1


def test_every_round_draws_whole_patients_of_each_kind(monkeypatch):
    # Patients 0, 1: positives only; 2: negatives only; 3, 4: both; sizes 1, 2, 3, 2, 4.
    patient = np.array([3, 0, 4, 2, 1, 4, 2, 4, 1, 3, 2, 4])
    positive = np.array([1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1], bool)
    monkeypatch.setattr(auc, "_BLOCK", 40)  # three rounds a block
    blocks = list(auc._draws(positive, patient, 10, np.random.default_rng(0)))
    assert len(blocks) == 4
    members = [np.flatnonzero(patient == p) for p in range(5)]
    drawn_together = set()
    for round_of, patch in blocks:
        for number in np.unique(round_of):
            drawn = patch[round_of == number]
            times = np.bincount(drawn, minlength=12)
            copies = [times[own] for own in members]
            assert all(len(set(own.tolist())) == 1 for own in copies)  # whole patients
            count = [int(own[0]) for own in copies]
            assert (count[0] + count[1], count[2], count[3] + count[4]) == (2, 1, 2)
            drawn_together.add(tuple(count))
    assert len(drawn_together) > 3  # not the same draw each time


def test_blocks_do_not_change_the_distribution(monkeypatch):
    whole = _interval(*_separated(30))
    monkeypatch.setattr(auc, "_BLOCK", 60)
    assert _interval(*_separated(30)) == pytest.approx(whole, abs=0.005)


def test_rounds_give_the_auc_of_what_was_drawn():
    rng = np.random.default_rng(1)
    round_of = np.repeat([0, 1, 2], [7, 5, 9])
    positive = np.array([int(c) for c in "100110101001101001101"], bool)
    scores = rng.standard_normal(21)
    found = auc._aucs(round_of, positive, scores)
    for number in range(3):
        own = round_of == number
        pairs = scores[own & positive][:, None] > scores[own & ~positive]
        assert found[number] == pytest.approx(pairs.mean())
