"""Placements and their variances against brute force over pairs, in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

from cgan_tf.statistics.auc import mean_placement, mean_variance, outscored, patient_numbers


def _kernel(positive_score, negative_score):
    """1 for the right order, 1/2 for a tie."""
    return Fraction(
        int(positive_score > negative_score) * 2 + (positive_score == negative_score), 2
    )


def _pair_values(labels, *scores):
    """{(i, j): kernel} of positive i and negative j; with two scores, the difference of kernels."""
    pairs = [(i, j) for i in np.flatnonzero(labels) for j in np.flatnonzero(labels == 0)]
    values = [{(i, j): _kernel(s[i], s[j]) for i, j in pairs} for s in scores]
    return {p: values[0][p] - (values[1][p] if len(values) == 2 else 0) for p in pairs}


def _obuchowski(labels, clusters, pairs):
    """The variance as printed, S10/m + S01/n + 2 S11/(m n), with sums over pairs of patients."""
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(labels == 0)
    m, n = len(positives), len(negatives)
    auc = Fraction(sum(pairs.values()), m * n)
    patients = set(clusters.tolist())
    a = dict.fromkeys(patients, Fraction(0))
    b = dict.fromkeys(patients, Fraction(0))
    for i in positives:
        a[clusters[i]] += Fraction(sum(pairs[i, j] for j in negatives), n) - auc
    for j in negatives:
        b[clusters[j]] += Fraction(sum(pairs[i, j] for i in positives), m) - auc
    i10 = len({clusters[i] for i in positives})
    i01 = len({clusters[j] for j in negatives})
    i = len(patients)
    s10 = Fraction(i10, (i10 - 1) * m) * sum(a[g] ** 2 for g in patients)
    s01 = Fraction(i01, (i01 - 1) * n) * sum(b[g] ** 2 for g in patients)
    s11 = Fraction(i, i - 1) * sum(a[g] * b[g] for g in patients)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def _ours(labels, clusters, *scores):
    positive = labels == 1
    counts = outscored(positive, scores[0])
    if len(scores) == 2:
        counts = counts - outscored(positive, scores[1])
    return mean_variance(positive, counts, patient_numbers(clusters, len(labels)))


@pytest.mark.parametrize("seed", range(8))
def test_placements_equal_counting(seed):
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, 25), rng.integers(0, 6, 25).astype(float)
    counts = outscored(labels == 1, scores)
    pairs = _pair_values(labels, scores)
    for i in np.flatnonzero(labels):
        assert counts[i] == 2 * sum(value for (p, _), value in pairs.items() if p == i)
    for j in np.flatnonzero(labels == 0):
        assert counts[j] == 2 * sum(value for (_, q), value in pairs.items() if q == j)


def test_placements_of_one_class_are_zero():
    assert outscored(np.ones(3, bool), np.array([1.0, 1.0, 2.0])).tolist() == [0, 0, 0]
    assert outscored(np.zeros(0, bool), np.zeros(0)).tolist() == []
    assert np.isnan(mean_placement(np.ones(3, bool), np.zeros(3)))


@pytest.mark.parametrize("seed", range(12))
def test_clustered_variance_equals_brute_force(seed):
    """Patients with positives only, negatives only and both; ties; one score and two."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 9, 40)
    labels = (rng.random(40) < rng.choice([0, 0.5, 1], 9)[clusters]).astype(int)
    labels[:4], clusters[:4] = [1, 0, 1, 0], [0, 0, 1, 1]  # two patients who have both
    a, b = (labels + rng.integers(-2, 3, 40).astype(float) for _ in range(2))
    for scores in ((a,), (a, b)):
        expected = _obuchowski(labels, clusters, _pair_values(labels, *scores))
        variance, note = _ours(labels, clusters, *scores)
        assert note == ""
        assert variance == pytest.approx(float(expected), rel=1e-12, abs=0)


def test_clustered_variance_by_hand():
    # Patients P (positives 3 and 1), Q (positive 2), R (negatives 0 and 2.5), S (negative 1.5).
    labels = np.array([1, 1, 1, 0, 0, 0])
    scores = np.array([3.0, 1.0, 2.0, 0.0, 2.5, 1.5])
    clusters = np.array(["P", "P", "Q", "R", "R", "S"])
    # V10 = 1, 1/3, 2/3 (mean 2/3): a_P = 0, a_Q = 0. V01 = 1, 1/3, 2/3: b_R = 0, b_S = 0.
    assert _ours(labels, clusters, scores) == (0, "")
    # With the last negative at 0.5: V10 = 1, 2/3, 2/3 (mean 7/9): a = (1/9, -1/9);
    # V01 = 1, 1/3, 1 (mean 7/9): b = (-2/9, 2/9).
    scores[5] = 0.5
    expected = 2 / 9 * (2 / 81) + 2 / 9 * (8 / 81)
    assert _ours(labels, clusters, scores)[0] == pytest.approx(expected, rel=1e-12)


def test_variance_of_patients_with_both_classes_by_hand():
    # P (positive 3, negative 1), Q (positive 2, negative 2.5), R (negative 0).
    labels = np.array([1, 0, 1, 0, 0])
    scores = np.array([3.0, 1.0, 2.0, 2.5, 0.0])
    clusters = np.array(["P", "P", "Q", "Q", "R"])
    # V10 = 1, 2/3 (mean 5/6): a = (1/6, -1/6, 0). V01 = 1, 1/2, 1: b = (1/6, -1/3, 1/6).
    # 2/(1*4)*(2/36) + 3/(2*9)*(6/36) + 2*3/(2*2*3)*(1/36 + 2/36) = 1/36 + 1/36 + 1/24
    assert _ours(labels, clusters, scores)[0] == pytest.approx(7 / 72, rel=1e-12)


def test_covariance_that_cancels_everything_leaves_exactly_zero():
    """Each patient's lesion gains what her normal loses: the AUC cannot vary between patients."""
    labels = np.array([1, 0] * 3)
    clusters = np.repeat([0, 1, 2], 2)
    scores = np.array([1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
    assert _obuchowski(labels, clusters, _pair_values(labels, scores)) == 0
    assert _ours(labels, clusters, scores) == (0, "")


def test_variance_is_that_of_drawing_patients_again():
    """An estimate without placements: a bootstrap of whole patients, most of whom have both."""
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(150), 6)
    labels = (rng.random(900) < 0.5).astype(int)
    scores = labels + np.repeat(rng.standard_normal(150), 6) * 2 + rng.standard_normal(900)
    variance, _ = _ours(labels, clusters, scores)
    aucs = []
    for _ in range(600):
        drawn = (rng.integers(0, 150, 150)[:, None] * 6 + np.arange(6)).ravel()
        positive = labels[drawn] == 1
        aucs.append(mean_placement(positive, outscored(positive, scores[drawn])))
    assert np.var(aucs) == pytest.approx(variance, rel=0.25)  # 600 rounds: +-6% a standard error
    without_covariance, _ = _ours(labels, 2 * clusters + labels, scores)
    assert without_covariance > 1.5 * variance
