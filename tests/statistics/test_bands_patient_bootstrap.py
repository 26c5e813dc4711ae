"""Draws of whole patients."""

import numpy as np

from cgan_tf.statistics.bands import drawn_weights


def test_patients_are_drawn_whole_and_every_round_has_both_classes():
    patient = np.array([0, 0, 0, 1, 1, 2])
    positive = np.array([True, True, False, False, False, False])  # patient 0 has all positives
    weights = np.array(list(drawn_weights(positive, patient, rounds=200, seed=1)))
    assert weights.shape == (200, 6)
    firsts = weights[:, [0, 3, 5]]  # one patch of each patient
    np.testing.assert_array_equal(weights, firsts[:, patient])
    assert set(firsts.sum(axis=1)) == {3}  # as many draws as patients
    assert (firsts[:, 0] > 0).all()
    assert len(np.unique(firsts, axis=0)) > 3
