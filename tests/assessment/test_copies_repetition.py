"""Lesions that repeat one another: directions in space whose likeness is known."""

import dataclasses
import json

import numpy as np
import pytest

from cgan_tf.assessment.copies import measure_repetition, similarity_within
from cgan_tf.assessment.lesions import Lesions
from cgan_tf.assessment.two_samples import FeatureSet


def lesions(vectors, clients=None, name="s"):
    clients = range(len(vectors)) if clients is None else clients
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"{name}{n}" for n in range(len(vectors))])
    return Lesions(unit, ids, np.array([f"{name}{client}" for client in clients]))


def random(seed, count=120):
    """A direction that all lesions share, and ten of their own."""
    own = np.random.default_rng(seed).standard_normal((count, 10))
    return np.concatenate([np.full((count, 1), 5.0), own], axis=1)


@pytest.fixture
def real():
    return lesions(random(0), name="r")


def test_similarity_by_hand():
    unit = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1.0]])
    mean, twins = similarity_within(FeatureSet(3 * unit, np.array([0, 0, 1, 2])))
    # Pairs of two patients: 0-2 0.6, 1-2 0.6, 0-3 0, 1-3 0, 2-3 0.8.
    assert mean == pytest.approx(2 / 5)
    assert twins == pytest.approx([0.6, 0.6, 0.8, 0.8])


def test_lesions_that_differ_as_real_ones_do(real):
    found = measure_repetition(lesions(random(1)), real, seed=0)
    assert found.alike == pytest.approx(0, abs=0.05)
    assert found.real_alike == pytest.approx(0, abs=0.05)
    assert found.repeats < 0.2
    assert found.twin == pytest.approx(found.real_twin, abs=0.05)
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_one_lesion(real):
    noise = 0.5 * random(2)
    noise[:, 0] = 0
    found = measure_repetition(lesions(random(1)[:1] + noise), real, seed=0)
    assert found.alike > 0.5


def test_ten_lesions_in_turn(real):
    """The mean likeness is a tenth, but everyone has her twin."""
    ten = np.tile(random(1, 10), (12, 1)) + 0.1 * random(2) * (np.arange(11) > 0)
    found = measure_repetition(lesions(ten), real, seed=0)
    assert found.alike < 0.2
    assert found.repeats > 0.95
    assert found.twin > 0.95


def test_lesions_of_one_patient_are_no_twins(real):
    pairs = np.repeat(random(1, 60), 2, axis=0)
    apart, together = (
        measure_repetition(lesions(pairs, clients), real, seed=0)
        for clients in (None, np.arange(120) // 2)
    )
    assert apart.repeats == 1
    assert together.repeats < 0.2


def test_too_few_and_one_patient_are_undefined(real):
    few = measure_repetition(lesions(random(1, 9)), real, seed=0)
    assert (few.repeats, few.note) == (None, "undefined: 9 lesions with a box")
    one = measure_repetition(lesions(random(1), np.zeros(120, int)), real, seed=0)
    assert (one.alike, one.note) == (None, "undefined: lesions of one patient alone")
