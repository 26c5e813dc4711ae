"""Sensitivity at a specificity: the weighted threshold, the interval, and what it covers."""

import math

import numpy as np
import pytest

from cgan_tf.statistics import bands
from cgan_tf.statistics.auc import sensitivity_at
from cgan_tf.statistics.bands import sensitivity_interval


def _patients(rng, patients=30, patches=6, spread=1.5):
    """Labels, scores and patients; patches of a patient share a part of their score."""
    clients = np.repeat(np.arange(patients), patches)
    labels = (clients % 2 == 0).astype(int)
    shared = rng.normal(0, spread, patients)[clients]
    return labels, 1.5 * labels + shared + rng.normal(0, 0.7, len(clients)), clients


def test_estimate_is_that_of_sensitivity_at():
    labels, scores, clients = _patients(np.random.default_rng(0))
    found = sensitivity_interval(labels, scores, clients)
    assert (found.sensitivity, found.threshold) == sensitivity_at(labels, scores)
    assert found.low < found.sensitivity < found.high
    assert (found.method, found.note) == (bands.PERCENTILE, "")


def test_interval_is_that_of_patients_drawn_one_by_one():
    labels, scores, clients = _patients(np.random.default_rng(1), patients=12)
    scores = np.round(scores, 1)  # with ties
    found = sensitivity_interval(labels, scores, clients, specificity=0.8, rounds=200, seed=5)
    rng, drawn = np.random.default_rng(5), []
    while len(drawn) < 200:
        picks = rng.integers(0, 12, 12)
        chosen = np.concatenate([np.flatnonzero(clients == patient) for patient in picks])
        if 0 < labels[chosen].sum() < len(chosen):
            drawn.append(sensitivity_at(labels[chosen], scores[chosen], 0.8)[0])
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))


def test_interval_covers_the_truth_although_patches_share_a_patient():
    rng = np.random.default_rng(2)
    labels, scores, _ = _patients(rng, patients=40_000, patches=2)
    truth = sensitivity_at(labels, scores)[0]
    covered = {"patients": 0, "patches": 0}
    for _ in range(120):
        labels, scores, clients = _patients(rng, patients=60)
        for name, units in (("patients", clients), ("patches", np.arange(len(clients)))):
            found = sensitivity_interval(labels, scores, units, rounds=200)
            covered[name] += found.low <= truth <= found.high
    assert covered["patients"] >= 0.87 * 120
    assert covered["patches"] < 0.8 * 120


def test_all_or_none_found_has_an_exact_interval():
    clients = np.arange(25)
    labels = np.repeat([0, 1], [15, 10])
    found = sensitivity_interval(labels, np.repeat([0.0, 1.0], [15, 10]), clients)
    assert (found.sensitivity, found.high, found.method) == (1.0, 1.0, bands.EXACT)
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    found = sensitivity_interval(labels, np.repeat([1.0, 0.0], [15, 10]), clients)
    assert (found.sensitivity, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_one_patient_is_said_in_words():
    found = sensitivity_interval([1, 1, 0, 0], [3, 1, 2, 0], ["a", "a", "b", "c"])
    assert found.sensitivity == 0.5
    assert math.isnan(found.low)
    assert found.note == "undefined: 1 patients with positive and 2 with negative patches"
