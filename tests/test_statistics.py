"""DeLong against R's pROC and exact fractions; the clustered form; degenerate data in words."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cgan_tf import statistics

GOLDEN = json.loads((Path(__file__).parent / "golden" / "delong.json").read_text())
TIGHT = {"rel": 1e-12, "abs": 1e-12}


def _generated_case():
    """The golden file's case that is given by its formula: a linear congruential generator."""
    state, draws = 20181129, []
    for _ in range(12000):
        state = (1103515245 * state + 12345) % 2**31
        draws.append(state / 2**31)
    u = np.array(draws).reshape(4, 3000)
    labels = (u[0] < 2 / 3).astype(int)
    a = np.round(u[1] + 0.35 * labels + 0.30 * u[2], 3)
    b = np.round(u[1] + 0.30 * labels + 0.30 * u[3], 3)
    return labels, a, b


def _scores(case):
    if "formula" in case:
        labels, a, b = _generated_case()
        assert labels.sum() == case["label_sum"]
        assert a.sum() == pytest.approx(case["sum_a"])
        return labels, a, b
    return tuple(np.array(case[name]) for name in ("labels", "scores_a", "scores_b"))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_delong_equals_proc(case):
    labels, a, b = _scores(case)
    expected = case["pROC"]
    result = statistics.delong_test(labels, a, b)
    assert result.auc_a == pytest.approx(expected["auc_a"], **TIGHT)
    assert result.auc_b == pytest.approx(expected["auc_b"], **TIGHT)
    assert result.z == pytest.approx(expected["z"], **TIGHT)
    assert result.p_value == pytest.approx(expected["p_two_sided"], rel=1e-12)
    assert [result.low, result.high] == pytest.approx(expected["diff_ci95"], **TIGHT)
    assert math.exp(result.log_p) == pytest.approx(result.p_value, rel=1e-12)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_delong_equals_exact_fractions(case):
    exact = case["exact_rational"]
    if exact is None:
        exact = {"auc_a": case["pROC"]["auc_a"]}
    labels, a, b = _scores(case)
    result = statistics.delong_test(labels, a, b)
    estimate = statistics.auc_interval(labels, a)
    assert result.auc_a == pytest.approx(float(Fraction(exact["auc_a"])), rel=1e-12)
    if "var_diff" in exact:
        assert result.variance == pytest.approx(float(Fraction(exact["var_diff"])), rel=1e-12)
        assert estimate.variance == pytest.approx(float(Fraction(exact["var_a"])), rel=1e-12)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_logit_interval_equals_reference(case):
    labels, a, b = _scores(case)
    for scores, expected in ((a, case["logit_ci95_a"]), (b, case["logit_ci95_b"])):
        estimate = statistics.auc_interval(labels, scores)
        if expected is not None:
            assert estimate.method == "logit"
            assert [estimate.low, estimate.high] == pytest.approx(expected, rel=1e-10)


def test_singleton_clusters_equal_delong():
    labels, a, b = _generated_case()
    plain = statistics.delong_test(labels, a, b)
    singletons = statistics.delong_test(labels, a, b, clusters=np.arange(len(labels)))
    assert singletons.variance == pytest.approx(plain.variance, rel=1e-12)
    assert singletons.p_value == pytest.approx(plain.p_value, rel=1e-9)


def test_clustered_variance_by_hand():
    # Patients P (positives 3 and 1), Q (positive 2), R (negatives 0 and 2.5), S (negative 1.5).
    labels = np.array([1, 1, 1, 0, 0, 0])
    scores = np.array([3.0, 1.0, 2.0, 0.0, 2.5, 1.5])
    clusters = np.array(["P", "P", "Q", "R", "R", "S"])
    # V10 = 1, 1/3, 2/3 (mean 2/3): a_P = 0, a_Q = 0. V01 = 1, 1/3, 2/3: b_R = 0, b_S = 0.
    assert statistics.auc_interval(labels, scores, clusters).variance == pytest.approx(0, abs=1e-15)
    # With the last negative at 0.5: V10 = 1, 2/3, 2/3 (mean 7/9): a = (1/9, -1/9);
    # V01 = 1, 1/3, 1 (mean 7/9): b = (-2/9, 2/9).
    scores[5] = 0.5
    expected = 2 / 9 * (2 / 81) + 2 / 9 * (8 / 81)
    assert statistics.auc_interval(labels, scores, clusters).variance == pytest.approx(expected)


def test_type_one_error_of_correlated_patches():
    """200 patients x 6 patches under the null: DeLong rejects far too often."""
    rng = np.random.default_rng(7)
    plain, clustered = [], []
    for _ in range(300):
        clusters = np.repeat(np.arange(200), 6)
        labels = np.repeat(rng.integers(0, 2, 200), 6)
        a, b = (
            labels + np.repeat(rng.standard_normal(200), 6) * 1.5 + rng.standard_normal(1200)
            for _ in range(2)
        )
        plain.append(statistics.delong_test(labels, a, b).p_value < 0.05)
        clustered.append(statistics.delong_test(labels, a, b, clusters).p_value < 0.05)
    assert np.mean(plain) > 0.2
    assert 0.02 < np.mean(clustered) < 0.095  # 5% plus or minus three standard errors


def test_swapping_the_scores_mirrors_the_result():
    labels, a, b = _generated_case()
    clusters = np.arange(len(labels)) // 3
    forward = statistics.delong_test(labels, a, b, clusters)
    backward = statistics.delong_test(labels, b, a, clusters)
    assert backward.z == pytest.approx(-forward.z)
    assert backward.p_value == pytest.approx(forward.p_value)


def test_tiny_p_values_keep_their_logarithm():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20000)
    result = statistics.delong_test(labels, labels + rng.random(40000) * 1.1, rng.random(40000))
    assert result.p_value == 0
    assert -1e6 < result.log_p < -700


def test_difference_without_variance_is_undefined():
    labels, perfect = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    result = statistics.delong_test(labels, perfect, -perfect)
    assert result.difference == 1
    assert math.isnan(result.p_value)
    assert result.note.startswith("undefined: the AUCs differ")


@pytest.mark.parametrize(
    ("labels", "clusters", "words"),
    [
        ([1, 1, 1], None, "3 positive and 0 negative"),
        ([1, 0, 0], None, "one patch of a class"),
        ([1, 1, 0, 0], ["p", "p", "q", "r"], "1 patients with positive"),
    ],
)
def test_too_few_patches_or_patients_are_undefined(labels, clusters, words):
    scores = np.arange(len(labels), dtype=float)
    result = statistics.delong_test(labels, scores, scores[::-1], clusters)
    assert math.isnan(result.p_value)
    assert result.note.startswith("undefined")
    assert words in result.note


def test_interval_at_the_edge_is_not_empty():
    labels, scores = np.repeat([0, 1], 12), np.arange(24.0)
    for sign, method in ((1, "smoothed bootstrap"), (-1, "smoothed bootstrap")):
        estimate = statistics.auc_interval(labels, sign * scores)
        assert estimate.method == method
        assert estimate.low <= estimate.auc <= estimate.high
        assert 0.01 < estimate.high - estimate.low < 0.5
    constant = statistics.auc_interval(labels, np.zeros(24))
    assert constant.note == "undefined: the scores do not vary"


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        statistics.exact_auc([0, 1], [0.0, math.nan])
    with pytest.raises(ValueError, match="0 and 1 only"):
        statistics.exact_auc([0, 2], [0.0, 1.0])
    with pytest.raises(ValueError, match="of one length"):
        statistics.exact_auc([0, 1], [0.0])


def test_exact_auc_does_not_depend_on_the_scale():
    """Thresholded AUC (keras.metrics.AUC) fails on squeezed scores; ranks do not."""
    labels, a, _ = _generated_case()
    squeezed = (a * 1e-6).astype(np.float32)
    assert statistics.exact_auc(labels, squeezed) == pytest.approx(
        statistics.exact_auc(labels, a), abs=1e-3
    )
    by_pairs = np.mean(
        (a[labels == 1][:, None] > a[labels == 0]) + (a[labels == 1][:, None] == a[labels == 0]) / 2
    )
    assert statistics.exact_auc(labels, a) == pytest.approx(by_pairs, rel=1e-12)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, then the running maximum.
    adjusted = statistics.holm([0.04, 0.01, 0.03, 0.02])
    assert adjusted == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    with_undefined = statistics.holm([0.01, math.nan])
    assert with_undefined[0] == pytest.approx(0.02)
    assert math.isnan(with_undefined[1])


def test_roc_curve_joins_ties_and_holds_the_auc():
    labels, scores = np.array([1, 0, 1, 0]), np.array([2.0, 1.0, 1.0, 0.0])
    false, true = statistics.roc_curve(labels, scores)
    assert false == pytest.approx([0, 0, 0.5, 1])
    assert true == pytest.approx([0, 0.5, 1, 1])
    labels, a, _ = _generated_case()
    false, true = statistics.roc_curve(labels, a)
    assert np.trapezoid(true, false) == pytest.approx(statistics.exact_auc(labels, a), rel=1e-12)


def test_sensitivity_at_ninety_per_cent_specificity():
    negatives = np.arange(10.0)
    positives = np.array([7.5, 8.0, 8.5, 9.5])
    labels = np.repeat([0, 1], [10, 4])
    sensitivity, threshold = statistics.sensitivity_at(labels, np.append(negatives, positives))
    assert threshold == 8  # nine of ten negatives are at or below it
    assert sensitivity == 0.5
