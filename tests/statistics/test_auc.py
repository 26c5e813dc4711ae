"""DeLong against R's pROC and exact fractions; the clustered form; degenerate data in words."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cgan_tf.statistics import auc

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "delong.json").read_text())
TIGHT = {"rel": 1e-12, "abs": 0}  # R prints 15 digits: relative everywhere, also for p = 1e-19
Z95 = 1.959963984540054


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
    result = auc.delong_test(labels, a, b)
    found = {
        "auc_a": result.auc_a,
        "auc_b": result.auc_b,
        "var_a": auc.auc_interval(labels, a).variance,
        "var_b": auc.auc_interval(labels, b).variance,
        "z": result.z,
        "p_two_sided": result.p_value,
    }
    found["cov_ab"] = (found["var_a"] + found["var_b"] - result.variance) / 2
    assert found == pytest.approx({name: expected[name] for name in found}, **TIGHT)
    assert [result.low, result.high] == pytest.approx(expected["diff_ci95"], **TIGHT)
    assert math.exp(result.log_p) == pytest.approx(result.p_value, rel=1e-12, abs=0)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_variance_gives_the_wald_interval_of_proc(case):
    labels, *both = _scores(case)
    for scores, name in zip(both, ("ci95_a", "ci95_b"), strict=True):
        estimate = auc.auc_interval(labels, scores)
        reach = Z95 * math.sqrt(estimate.variance)
        limits = [max(0, estimate.auc - reach), min(1, estimate.auc + reach)]
        assert limits == pytest.approx(case["pROC"][name], **TIGHT)


@pytest.mark.parametrize(
    "case",
    [case for case in GOLDEN["cases"] if case["exact_rational"]],
    ids=lambda case: case["name"],
)
def test_delong_equals_exact_fractions(case):
    labels, a, b = _scores(case)
    result = auc.delong_test(labels, a, b)
    found = {
        "auc_a": result.auc_a,
        "auc_b": result.auc_b,
        "var_a": auc.auc_interval(labels, a).variance,
        "var_b": auc.auc_interval(labels, b).variance,
        "var_diff": result.variance,
    }
    found["cov_ab"] = (found["var_a"] + found["var_b"] - found["var_diff"]) / 2
    exact = {name: float(Fraction(value)) for name, value in case["exact_rational"].items()}
    assert found == pytest.approx(exact, **TIGHT)
    difference = Fraction(case["exact_rational"]["auc_a"]) - Fraction(
        case["exact_rational"]["auc_b"]
    )
    assert result.difference == pytest.approx(float(difference), **TIGHT)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_logit_interval_equals_reference(case):
    labels, *both = _scores(case)
    for scores, name in zip(both, ("logit_ci95_a", "logit_ci95_b"), strict=True):
        estimate = auc.auc_interval(labels, scores)
        if case[name] is None:  # at 0, 0.5 without variance, and 1 the reference has none
            assert estimate.method != "logit"
        else:
            assert estimate.method == "logit"
            assert [estimate.low, estimate.high] == pytest.approx(case[name], **TIGHT)


def test_singleton_clusters_equal_delong():
    labels, a, b = _generated_case()
    plain = auc.delong_test(labels, a, b)
    singletons = auc.delong_test(labels, a, b, patients=np.arange(len(labels)))
    assert singletons.variance == pytest.approx(plain.variance, **TIGHT)
    assert singletons.p_value == pytest.approx(plain.p_value, **TIGHT)


def test_type_one_error_of_correlated_patches():
    """200 patients x 6 patches under the null: DeLong rejects far too often."""
    rng = np.random.default_rng(7)
    clusters = np.repeat(np.arange(200), 6)

    def draw():
        labels = np.repeat(rng.integers(0, 2, 200), 6)
        return labels, *(labels + 1.5 * _patient_effects(rng, 200, 6) for _ in range(2))

    plain, clustered = _rejections(draw, clusters, 300)
    assert plain > 0.2
    assert 0.02 < clustered < 0.095  # 5% plus or minus three standard errors


def test_type_one_error_of_patients_with_both_classes():
    """Every patient has lesions and normals, and her own level in both: DeLong is too shy."""
    rng = np.random.default_rng(8)
    clusters = np.repeat(np.arange(100), 6)
    labels = np.tile([0, 1], 300)

    def draw():
        return labels, *(labels + 1.5 * _patient_effects(rng, 100, 6) for _ in range(2))

    plain, clustered = _rejections(draw, clusters, 400)
    assert plain < 0.02
    assert 0.017 < clustered < 0.083


def test_type_one_error_of_patients_some_of_whom_have_both_classes():
    rng = np.random.default_rng(9)
    clusters = np.repeat(np.arange(120), 5)

    def draw():
        share = np.repeat(rng.choice([0.0, 0.4, 1.0], 120), 5)
        labels = (rng.random(600) < share).astype(int)
        return labels, *(labels + 1.5 * _patient_effects(rng, 120, 5) for _ in range(2))

    _, clustered = _rejections(draw, clusters, 400)
    assert 0.017 < clustered < 0.083


def _patient_effects(rng, patients, patches):
    """Scores float [patients * patches]: patients differ with sd 1, patches with 1/1.5."""
    noise = rng.standard_normal(patients * patches) / 1.5
    return np.repeat(rng.standard_normal(patients), patches) + noise


def _rejections(draw, clusters, simulations):
    """Shares of `draw`s that DeLong's and the clustered test reject at 5%."""
    p_values = []
    for _ in range(simulations):
        labels, a, b = draw()
        p_values.append(
            [auc.delong_test(labels, a, b, known).p_value for known in (None, clusters)]
        )
    return np.mean(np.array(p_values) < 0.05, axis=0)


def test_swapping_the_scores_mirrors_the_result():
    labels, a, b = _generated_case()
    clusters = np.arange(len(labels)) // 3
    forward = auc.delong_test(labels, a, b, clusters)
    backward = auc.delong_test(labels, b, a, clusters)
    assert backward.z == pytest.approx(-forward.z)
    assert backward.p_value == pytest.approx(forward.p_value)


def test_tiny_p_values_keep_their_logarithm():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20000)
    result = auc.delong_test(labels, labels + rng.random(40000) * 1.1, rng.random(40000))
    assert result.p_value == 0
    assert -1e6 < result.log_p < -700


def test_difference_without_variance_is_undefined():
    labels, perfect = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    result = auc.delong_test(labels, perfect, -perfect)
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
    result = auc.delong_test(labels, scores, scores[::-1], clusters)
    assert math.isnan(result.p_value)
    assert result.note.startswith("undefined")
    assert words in result.note


def test_interval_at_the_edge_is_not_empty():
    labels, scores = np.repeat([0, 1], 12), np.arange(24.0)
    best, worst = (auc.auc_interval(labels, sign * scores) for sign in (1, -1))
    assert (best.auc, best.high, worst.auc, worst.low) == (1, 1, 0, 0)
    for estimate in (best, worst):
        assert estimate.method == "smoothed bootstrap"
        assert 0.01 < estimate.high - estimate.low < 0.5
    constant = auc.auc_interval(labels, np.zeros(24))
    assert constant.note == "undefined: the scores do not vary"


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        auc.exact_auc([0, 1], [0.0, math.nan])
    with pytest.raises(ValueError, match="0 and 1 only"):
        auc.exact_auc([0, 2], [0.0, 1.0])
    with pytest.raises(ValueError, match="of one length"):
        auc.exact_auc([0, 1], [0.0])
    with pytest.raises(ValueError, match=r"patients: expected \(2,\), found \(3,\)"):
        auc.delong_test([0, 1], [0.0, 1.0], [1.0, 0.0], ["p", "q", "r"])


def test_names_of_patients_do_not_matter():
    labels, a, b = _generated_case()
    numbers = np.arange(len(labels)) // 4
    named = np.array([f"client-{7 * number % 750}" for number in numbers])
    by_number = auc.delong_test(labels, a, b, numbers)
    by_name = auc.delong_test(labels, a, b, named)
    assert by_name.variance == pytest.approx(by_number.variance, rel=1e-12)


def test_exact_auc_does_not_depend_on_the_scale():
    """Thresholded AUC (keras.metrics.AUC) fails on squeezed scores; ranks do not."""
    labels, a, _ = _generated_case()
    squeezed = (a * 1e-6).astype(np.float32)
    assert auc.exact_auc(labels, squeezed) == pytest.approx(auc.exact_auc(labels, a), abs=1e-3)
    by_pairs = np.mean(
        (a[labels == 1][:, None] > a[labels == 0]) + (a[labels == 1][:, None] == a[labels == 0]) / 2
    )
    assert auc.exact_auc(labels, a) == pytest.approx(by_pairs, rel=1e-12)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, then the running maximum.
    adjusted = auc.holm([0.04, 0.01, 0.03, 0.02])
    assert adjusted == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert auc.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    with_undefined = auc.holm([0.01, math.nan])
    assert with_undefined[0] == pytest.approx(0.02)
    assert math.isnan(with_undefined[1])


def test_sensitivity_at_ninety_per_cent_specificity():
    negatives = np.arange(10.0)
    positives = np.array([7.5, 8.0, 8.5, 9.5])
    labels = np.repeat([0, 1], [10, 4])
    sensitivity, threshold = auc.sensitivity_at(labels, np.append(negatives, positives))
    assert threshold == 8  # nine of ten negatives are at or below it
    assert sensitivity == 0.5
