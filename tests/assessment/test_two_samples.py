"""The six measures by hand, against brute force and the literature's special cases."""

import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors

from cgan_tf.assessment import two_samples
from cgan_tf.assessment.two_samples import (
    FeatureSet,
    classifier_auc,
    enough_neighbours,
    fid,
    kid,
    mixing,
    precision_recall,
)


def _line(*places, first_patient=0):
    """Patches on a line, each of a patient of her own."""
    return FeatureSet(
        np.array(places, float)[:, None], first_patient + np.arange(len(places), dtype=int)
    )


def _cloud(rng, count, width=4, shift=0.0, patches=1, first_patient=0):
    """Normal clouds; the patches of a patient share an effect of sd 1 when there are several."""
    patient = np.arange(count) // patches
    features = rng.standard_normal((count, width))
    if patches > 1:
        features = (features + rng.standard_normal((count, width))[patient]) / np.sqrt(2)
    return FeatureSet(features + shift, patient + first_patient)


def _stretched(cloud):
    """The axes 1, 2, ... times as long."""
    factors = np.arange(1, cloud.features.shape[1] + 1)
    return FeatureSet(cloud.features * factors, cloud.patient)


def test_mixing_by_hand():
    # On the line 0 1 | 2.5 10 with k = 1: 0 -> 1 own, 1 -> 0 own, 2.5 -> 1 other, 10 -> 2.5 own.
    assert mixing(_line(0, 1), _line(2.5, 10, first_patient=5), k=1) == 1 / 4
    # With k = 3 everybody sees one of her own and two others.
    assert mixing(_line(0, 1), _line(2.5, 10, first_patient=5), k=3) == pytest.approx(2 / 3)
    # Far apart, k = 1: none.
    assert mixing(_line(0, 1), _line(90, 91, first_patient=5), k=1) == 0


def test_neighbours_at_one_distance_share_the_places():
    # 0 has an own neighbour at 1 and another's at -1: half each. 1 -> 0 own; -1 -> 0 other.
    assert mixing(_line(0, 1), _line(-1, first_patient=5), k=1) == pytest.approx((0.5 + 0 + 1) / 3)
    constant = FeatureSet(np.ones((6, 3)), np.arange(6))
    other = FeatureSet(np.ones((6, 3)), np.arange(6, 12))
    assert mixing(constant, other, k=3) == pytest.approx(6 / 11)


def test_a_patient_is_no_neighbour_of_herself():
    # Without patients each patch's nearest is its twin of the same set; with them, of the other.
    first = FeatureSet(np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([0, 0, 1, 1]))
    second = FeatureSet(np.array([[1.0], [1.1], [6.0], [6.1]]), np.array([2, 2, 3, 3]))
    assert mixing(first, second, k=1) == 1
    alone = [FeatureSet(s.features, i * 4 + np.arange(4)) for i, s in enumerate((first, second))]
    assert mixing(*alone, k=1) == 0


@pytest.mark.parametrize("sizes", [(40, 30), (5, 6), (3, 40)])
def test_fid_equals_the_matrix_square_root(sizes):
    """More patches than features and fewer; C1 C2 of few patches has rank 2 of 4."""
    rng = np.random.default_rng(3)
    first, second = (
        _stretched(_cloud(rng, size, shift=shift))
        for size, shift in zip(sizes, (0, 0.5), strict=True)
    )
    c1, c2 = np.cov(first.features.T), np.cov(second.features.T)
    gap = first.features.mean(axis=0) - second.features.mean(axis=0)
    root = sqrtm(c1 @ c2 + 1e-14 * np.eye(4)).real
    expected = gap @ gap + np.trace(c1 + c2 - 2 * root)
    assert fid(first, second) == pytest.approx(expected, rel=1e-4)


def test_fid_by_hand():
    """On a line: (m1 - m2)^2 + (s1 - s2)^2, here of -1, 1 and of 3, 9."""
    expected = 6**2 + (np.sqrt(2) - np.sqrt(18)) ** 2
    assert fid(_line(-1, 1), _line(3, 9)) == pytest.approx(expected)
    assert fid(_line(-1, 1), _line(1, -1)) == pytest.approx(0, abs=1e-12)


def test_kid_equals_the_sum_over_pairs():
    rng = np.random.default_rng(0)
    first, second = _cloud(rng, 7, 3), _cloud(rng, 9, 3, shift=0.5, first_patient=50)

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    def within(features):
        return np.mean([kernel(x, y) for x, y in itertools.permutations(features, 2)])

    between = np.mean([kernel(x, y) for x in first.features for y in second.features])
    expected = within(first.features) + within(second.features) - 2 * between
    assert kid(first, second, rng, 10)[0] == pytest.approx(expected, rel=1e-12)


def test_kid_leaves_out_pairs_of_one_patient():
    first = FeatureSet(np.array([[1.0], [2.0], [3.0]]), np.array([0, 0, 1]))
    second = FeatureSet(np.array([[0.0], [1.0]]), np.array([2, 3]))
    known = FeatureSet(second.features, np.array([2, 1]))  # the 1 is of the patient of the 3
    # Kernel (xy + 1)^3. Within the first (1,3) and (2,3): (64 + 343)/2; within the second 1;
    # between 1, 8, 1, 27, 1, 64: mean 17.
    rng = np.random.default_rng(0)
    assert kid(first, second, rng, 5)[0] == pytest.approx(203.5 + 1 - 2 * 17)
    assert kid(first, known, rng, 5)[0] == pytest.approx(203.5 + 1 - 2 * 38 / 5)  # without 3 x 1


def test_p_value_of_kid_is_exact_where_permutations_are_few():
    # Of the 6 ways to halve 4 patients, the observed one and its mirror are the most extreme.
    first, second = _line(0, 0.1), _line(9, 9.1, first_patient=5)
    assert kid(first, second, np.random.default_rng(1), 3000)[1] == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize(("patches_a", "patches_b"), [(1, 1), (5, 5), (5, 1)])
def test_p_value_of_kid_is_uniform_for_equal_distributions(patches_a, patches_b):
    """Permuting patches instead of patients would reject far too often for five a patient."""
    rng = np.random.default_rng(3)
    p_values = []
    for _ in range(200):
        first = _cloud(rng, 40, patches=patches_a)
        second = _cloud(rng, 40, patches=patches_b, first_patient=99)
        p_values.append(kid(first, second, rng, 99)[1])
    assert np.mean(np.array(p_values) <= 0.05) < 0.11
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.1)


def test_kid_sees_a_shift_and_a_difference_of_spread():
    rng = np.random.default_rng(4)
    first = _cloud(rng, 80)
    wide = FeatureSet(2 * rng.standard_normal((80, 4)), 200 + np.arange(80))
    for second in (_cloud(rng, 80, shift=0.8, first_patient=200), wide):
        value, p_value = kid(first, second, rng, 199)
        assert value > 0
        assert p_value == pytest.approx(1 / 200)


def test_classifier_cannot_tell_equal_sets_and_tells_shifted_ones():
    rng = np.random.default_rng(5)
    aucs = [
        classifier_auc(_cloud(rng, 100), _cloud(rng, 100, first_patient=500), seed)
        for seed in range(10)
    ]
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.05)
    assert (
        classifier_auc(_cloud(rng, 100), _cloud(rng, 100, shift=1.5, first_patient=500), 0) > 0.95
    )


def test_classifier_does_not_learn_from_the_patients_it_judges():
    """Ten patches a patient, each a point of its own in 60 dimensions: easy to memorise."""
    rng = np.random.default_rng(6)
    first, second = (
        FeatureSet(
            np.repeat(rng.standard_normal((10, 60)), 10, axis=0) + rng.normal(0, 0.01, (100, 60)),
            start + np.arange(100) // 10,
        )
        for start in (0, 10)
    )
    by_patch = [
        FeatureSet(s.features, i * 100 + np.arange(100)) for i, s in enumerate((first, second))
    ]
    assert classifier_auc(*by_patch, seed=0) > 0.95
    assert classifier_auc(first, second, seed=0) < 0.8


def test_classifier_without_patients_to_judge_is_undefined():
    rng = np.random.default_rng(7)
    one, other = (FeatureSet(rng.standard_normal((6, 2)), np.full(6, i)) for i in range(2))
    assert np.isnan(classifier_auc(one, other, 0))


def test_precision_recall_density_coverage_by_hand():
    # Balls of the real 0, 1, 4 with k = 1: radii 1, 1, 3 -> [-1, 1], [0, 2], [1, 7].
    real, other = _line(0, 1, 4), _line(1.5, 6, 20, first_patient=9)
    # Of 1.5, 6, 20: in 2, 1, 0 balls. Balls of the other: radii 4.5, 4.5, 14.
    assert precision_recall(real, other, k=1) == {
        "precision": pytest.approx(2 / 3),
        "recall": 1,  # 0 and 1 lie within 4.5 of 1.5, and so does 4
        "density": pytest.approx(3 / 3),
        "coverage": pytest.approx(2 / 3),  # the ball [-1, 1] is empty
    }


def test_precision_recall_equal_brute_force_on_nearest_neighbours():
    rng = np.random.default_rng(8)
    real, other = _cloud(rng, 60), _cloud(rng, 50, shift=0.7, first_patient=99)
    radii = [
        NearestNeighbors(n_neighbors=4).fit(s.features).kneighbors(s.features)[0][:, 3]
        for s in (real, other)
    ]
    distances = np.linalg.norm(real.features[:, None] - other.features, axis=2)
    inside, around = distances <= radii[0][:, None], distances <= radii[1]
    assert precision_recall(real, other, k=3) == {
        "precision": pytest.approx(inside.any(0).mean()),
        "recall": pytest.approx(around.any(1).mean()),
        "density": pytest.approx(inside.sum(0).mean() / 3),
        "coverage": pytest.approx(inside.any(1).mean()),
    }


def test_collapsed_set_is_precise_but_covers_nothing():
    rng = np.random.default_rng(9)
    real = _cloud(rng, 80)
    collapsed = FeatureSet(
        real.features[:1] + 1e-3 * rng.standard_normal((80, 4)), 99 + np.arange(80)
    )
    actual = precision_recall(real, collapsed)
    assert actual["precision"] == 1
    assert actual["recall"] < 0.1
    assert actual["coverage"] < 0.3


def _all(first, second):
    return (
        mixing(first, second),
        kid(first, second, np.random.default_rng(0), 49),
        *precision_recall(first, second).values(),
    )


def test_blocks_do_not_change_anything(monkeypatch):
    rng = np.random.default_rng(10)
    first, second = _cloud(rng, 33, patches=3), _cloud(rng, 31, first_patient=99)
    whole = _all(first, second)
    monkeypatch.setattr(two_samples, "_BLOCK_VALUES", 200)  # a few rows at a time
    rows = [block.stop - block.start for block in two_samples._blocks(33, 31)]
    assert max(rows) == 6
    assert sum(rows) == 33
    assert np.hstack(_all(first, second)) == pytest.approx(np.hstack(whole))


def test_rotation_and_order_do_not_matter():
    rng = np.random.default_rng(11)
    first, second = _cloud(rng, 30), _cloud(rng, 30, shift=0.3, first_patient=99)
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    turned = [FeatureSet(s.features @ rotation, s.patient) for s in (first, second)]
    shuffled = [s.take(rng.permutation(30)) for s in (first, second)]
    for other in (turned, shuffled):
        assert mixing(*other) == pytest.approx(mixing(first, second))
        assert kid(*other, rng, 1)[0] == pytest.approx(kid(first, second, rng, 1)[0])
        assert precision_recall(*other) == pytest.approx(precision_recall(first, second))


def test_mixing_is_symmetric_and_ignores_the_scale():
    rng = np.random.default_rng(12)
    first, second = _cloud(rng, 30), _cloud(rng, 30, shift=0.5, first_patient=99)
    assert mixing(first, second) == pytest.approx(mixing(second, first))
    scaled = [FeatureSet(7 * s.features + 3, s.patient) for s in (first, second)]
    assert mixing(*scaled) == pytest.approx(mixing(first, second))
    assert precision_recall(*scaled) == pytest.approx(precision_recall(first, second))


def test_enough_neighbours_counts_other_patients():
    crowd = FeatureSet(np.zeros((8, 1)), np.array([0, 0, 0, 0, 1, 1, 2, 3]))
    assert enough_neighbours((crowd,), 4)
    assert not enough_neighbours((crowd,), 5)
    assert not enough_neighbours((crowd, crowd.take(np.arange(0))), 1)
