"""Obuchowski-Rockette against a published example, a jackknife of this test's own, simulation."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from cgan_tf.statistics.auc import auc_interval, delong_test
from cgan_tf.statistics.readers import (
    CASES,
    READERS,
    Components,
    Performance,
    auc_performance,
    components,
    error_terms,
    panel_difference,
    panel_mean,
    power,
    proportion_performance,
    test_reader_square,
)

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "van_dyke.json").read_text(encoding="utf-8")
)
LABELS = np.array([int(digit) for digit in GOLDEN["truth"]])
SCORES = np.array(
    [[[float(digit) for digit in row] for row in test] for test in GOLDEN["ratings"]]
)  # [tests, readers, cases]
EACH = np.arange(len(LABELS))


def van_dyke() -> Performance:
    return auc_performance(SCORES, LABELS, EACH)


def matches(estimate, published: dict) -> None:
    for name, value in published.items():
        assert getattr(estimate, name) == pytest.approx(value, rel=2e-5, abs=1e-8), name


class TestVanDyke:
    """Spin-echo and cine MRI by five radiologists: the field's standard example."""

    def test_aucs_and_covariances(self):
        expected, terms = GOLDEN["delong"], error_terms(van_dyke())
        assert van_dyke().values == pytest.approx(np.array(GOLDEN["aucs"]), abs=5e-8)
        assert test_reader_square(van_dyke().values) == pytest.approx(
            expected["test_reader_square"], rel=1e-6
        )
        found = {"error": terms.variance, "cov1": terms.cov1, "cov2": terms.cov2}
        for name, value in (found | {"cov3": terms.cov3}).items():
            assert value == pytest.approx(expected[name], rel=1e-6), name

    def test_other_readers_and_other_cases(self):
        expected, found = GOLDEN["delong"], van_dyke()
        matches(panel_difference(found, 0, 1), expected["difference"])
        for test, published in enumerate(expected["means"]):
            matches(panel_mean(found.of_tests(test)), published)

    def test_these_readers_and_other_cases(self):
        expected = GOLDEN["jackknife_fixed_readers"]
        found = Performance(van_dyke().values, jackknife(SCORES, LABELS), len(LABELS))
        assert error_terms(found).cov2 == pytest.approx(expected["cov2"], rel=1e-6)
        matches(panel_difference(found, 0, 1, CASES), expected["difference"])
        for test, published in enumerate(expected["means"]):
            matches(panel_mean(found.of_tests(test), CASES), published)

    def test_other_readers_and_these_cases(self):
        expected, found = GOLDEN["fixed_cases"], van_dyke()
        matches(panel_difference(found, 0, 1, READERS), expected["difference"])
        for test, published in enumerate(expected["means"]):
            matches(panel_mean(found.of_tests(test), READERS), published)

    def test_variance_components(self):
        parts = components(van_dyke())
        assert (parts.of_readers, parts.sides) == (
            pytest.approx(GOLDEN["delong"]["test_readers"], rel=1e-6),
            2,
        )


def auc(labels, scores):
    """By pairs: an implementation that shares nothing with the library."""
    above = scores[labels == 1][:, None] - scores[labels == 0][None]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def jackknife(scores, labels):
    """Covariance of the AUCs by leaving out a case at a time, [t, r, t, r]."""
    flat = scores.reshape(-1, len(labels))
    keep = ~np.eye(len(labels), dtype=bool)
    out = np.array([[auc(labels[k], row[k]) for row in flat] for k in keep])
    out -= out.mean(axis=0)
    matrix = (len(labels) - 1) / len(labels) * out.T @ out
    return matrix.reshape(*scores.shape[:2], *scores.shape[:2])


class TestCovariance:
    def test_one_reader_is_delong_and_with_patients_obuchowski(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 2, 60)
        scores = rng.normal(size=(2, 1, 60)) + labels
        for patients in (None, rng.integers(0, 25, 60)):
            own = EACH[:60] if patients is None else patients
            found = auc_performance(scores, labels, own)
            ours = panel_difference(found, 0, 1, CASES)
            test = delong_test(labels, scores[0, 0], scores[1, 0], patients)
            assert ours.error**2 == pytest.approx(test.variance, rel=1e-9)
            assert ours.p_value == pytest.approx(test.p_value, rel=1e-6)
            single = auc_interval(labels, scores[0, 0], patients)
            assert found.covariance[0, 0, 0, 0] == pytest.approx(single.variance, rel=1e-9)

    def test_tests_may_share_only_their_negatives(self):
        """Two sets of positives against the same negatives: the bootstrap of cases agrees."""
        rng = np.random.default_rng(2)
        labels = np.repeat([1, 1, 0], [30, 30, 40])
        plain = rng.normal(size=(1, 100)) + 1.2 * labels
        scores = np.stack([plain, plain])
        scores[0, :, 30:60] = scores[1, :, :30] = np.nan
        found = error_terms(auc_performance(scores, labels, np.arange(100)))
        drawn = [
            [auc(labels[picked], plain[0, picked]) for picked in (np.r_[a, c], np.r_[b, c])]
            for a, b, c in (
                (rng.integers(0, 30, 30), rng.integers(30, 60, 30), rng.integers(60, 100, 40))
                for _ in range(2000)
            )
        ]
        expected = np.cov(np.array(drawn).T)
        assert found.cov1 == pytest.approx(expected[0, 1], rel=0.15)
        assert found.variance == pytest.approx(np.diag(expected).mean(), rel=0.12)

    def test_a_proportion_of_independent_cases_is_binomial(self):
        correct = np.repeat([1.0, 0.0], [30, 10]).reshape(1, 1, 40)
        found = proportion_performance(correct, np.arange(40))
        assert found.values[0, 0] == 0.75
        assert found.covariance.item() == pytest.approx(0.75 * 0.25 / 39)

    def test_twice_the_same_cases_of_a_patient_teach_nothing(self):
        correct = np.repeat([1.0, 0.0], [15, 5])
        once = proportion_performance(correct.reshape(1, 1, -1), np.arange(20))
        twice = proportion_performance(
            np.tile(correct, 2).reshape(1, 1, -1), np.tile(np.arange(20), 2)
        )
        assert twice.covariance == pytest.approx(once.covariance)


class TestUndefined:
    def test_one_reader_says_nothing_of_others(self):
        found = auc_performance(SCORES[:, :1], LABELS, EACH)
        for estimate in (panel_mean(found.of_tests(0)), panel_difference(found, 0, 1)):
            assert "one reader does not show how readers differ" in estimate.note
            assert math.isnan(estimate.p_value)
        assert panel_mean(found.of_tests(0), CASES).low > 0.8
        assert math.isnan(power(components(found.of_tests(0)), 0.05, 5, 100))

    def test_without_positives_or_with_one_patient(self):
        nothing = auc_performance(SCORES[:1], 0 * LABELS, EACH)
        assert panel_mean(nothing).note == "undefined: 0 positive and 114 negative cases"
        alone = auc_performance(SCORES[:1], LABELS, 0 * EACH)
        assert panel_mean(alone, CASES).note == "undefined: 1 patients"

    def test_readers_who_see_everything(self):
        perfect = auc_performance(np.stack([[LABELS, LABELS]]).astype(float), LABELS, EACH)
        assert panel_mean(perfect).note == "undefined: neither readers nor cases differ"


def panel(rng, ability, readers, cases, spread=0.0, shared=0.6, extra=(0.0,)):
    """Scores [tests, readers, cases] and labels: equal-variance readers who agree on hard cases.

    ability: d' of the mean reader; extra: added to it in each test. spread: sd of a reader's own
    d', and of how each takes a test. shared: part of the variance of a case that all readers see.
    """
    labels = np.repeat([0, 1], cases // 2)
    own = ability + spread * rng.standard_normal((1, readers, 1))
    taken = (
        own + np.reshape(extra, (-1, 1, 1)) + spread * rng.standard_normal((len(extra), readers, 1))
    )
    hard = math.sqrt(shared) * rng.standard_normal((1, 1, cases))
    noise = math.sqrt(1 - shared) * rng.standard_normal((len(extra), readers, cases))
    return taken * labels + hard + noise, labels


def estimates(rounds, seed, make):
    rng = np.random.default_rng(seed)
    return [make(rng) for _ in range(rounds)]


def level_of(found) -> float:
    return float(np.mean([estimate.p_value < 0.05 for estimate in found]))


class TestSimulation:
    """The level where nothing is to be found, and known abilities in their intervals."""

    def test_a_panel_that_guesses_is_called_so(self):
        def guessing(rng):
            scores, labels = panel(rng, 0.0, readers=5, cases=60, spread=0.15)
            return panel_mean(auc_performance(scores, labels, np.arange(60)))

        assert 0.015 <= level_of(estimates(200, 3, guessing)) <= 0.09

    def test_two_tests_alike_are_called_so(self):
        def alike(rng):
            scores, labels = panel(rng, 1.0, 4, 60, spread=0.15, extra=(0.0, 0.0))
            return panel_difference(auc_performance(scores, labels, np.arange(60)), 0, 1)

        assert 0.015 <= level_of(estimates(200, 4, alike)) <= 0.09

    def test_a_known_ability_is_in_the_interval(self):
        true = norm.cdf(1.0 / math.sqrt(2))  # of a reader without spread

        def able(rng):
            scores, labels = panel(rng, 1.0, readers=4, cases=80)
            return panel_mean(auc_performance(scores, labels, np.arange(80)))

        covered = [found.low <= true <= found.high for found in estimates(200, 5, able)]
        assert 0.91 <= np.mean(covered) <= 0.985

    def test_forgetting_that_readers_share_cases_would_show(self):
        """The control: with the cases taken as all there are, the level is far above 5%."""

        def guessing(rng):
            scores, labels = panel(rng, 0.0, readers=5, cases=60, shared=0.9)
            return panel_mean(auc_performance(scores, labels, np.arange(60)), READERS)

        assert level_of(estimates(100, 6, guessing)) > 0.2

    @pytest.mark.slow
    @pytest.mark.parametrize(("readers", "most"), [(2, 0.12), (3, 0.07), (6, 0.07), (12, 0.07)])
    @pytest.mark.parametrize("cases", [30, 100])
    def test_the_level_holds_for_panels_of_every_size(self, readers, cases, most):
        """Two readers hardly show how readers differ: docs/reader_study.md says what it costs."""

        def guessing(rng):
            scores, labels = panel(rng, 0.0, readers, cases, spread=0.2)
            return panel_mean(auc_performance(scores, labels, np.arange(cases)))

        assert 0.02 <= level_of(estimates(2000, 7, guessing)) <= most


class TestPower:
    def test_nothing_to_find_is_found_at_the_level(self):
        parts = components(van_dyke().of_tests(0))
        assert power(parts, 0.0, 5, 100) == pytest.approx(0.05, abs=1e-3)

    def test_more_readers_and_cases_find_more(self):
        parts = components(van_dyke())
        table = [[power(parts, 0.05, r, n) for n in (50, 100, 400)] for r in (3, 6, 12)]
        assert (np.diff(table, axis=0) > 0).all()
        assert (np.diff(table, axis=1) > 0).all()
        assert 0 < table[0][0] < table[2][2] < 1

    def test_the_same_panel_again(self):
        """By hand: F of the difference as it was found, with its own degrees of freedom."""
        from scipy.stats import f, ncf

        found = van_dyke()
        difference = panel_difference(found, 0, 1)
        shift = (difference.value / difference.error) ** 2
        by_hand = ncf.sf(f.ppf(0.95, 1, difference.degrees), 1, difference.degrees, shift)
        parts = components(found)
        assert power(parts, difference.value, 5, 114) == pytest.approx(by_hand, rel=1e-9)

    def test_what_is_foretold_happens(self):
        """Components of a great panel, and how often small ones find the same effect."""
        rng = np.random.default_rng(8)
        scores, labels = panel(rng, 0.5, readers=60, cases=1200, spread=0.1)
        great = auc_performance(scores, labels, np.arange(1200))
        foretold = power(components(great), norm.cdf(0.5 / math.sqrt(2)) - 0.5, 5, 40)

        def small(rng):
            scores, labels = panel(rng, 0.5, readers=5, cases=40, spread=0.1)
            return panel_mean(auc_performance(scores, labels, np.arange(40)))

        assert level_of(estimates(150, 9, small)) == pytest.approx(foretold, abs=0.12)
        assert foretold > 0.3

    def test_the_table_for_planning_in_the_docs(self):
        """Near 0.5 an AUC of n / 2 and n / 2 cases has the variance (n + 1) / (3 n^2)."""
        text = (Path(__file__).parents[2] / "docs" / "reader_study.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d+) \|((?: \d+% / \d+% \|)+)$", text, re.M)
        assert [int(readers) for readers, _ in rows] == [3, 5, 8, 12, 20]
        error = 101 / (3 * 100**2)
        parts = Components(0.05**2, 0.6 * error, 0.4 * error, 100, 1)
        for readers, cells in rows:
            told = [tuple(map(int, pair)) for pair in re.findall(r"(\d+)% / (\d+)%", cells)]
            expected = [
                tuple(round(100 * power(parts, e, int(readers), n)) for e in (0.05, 0.1))
                for n in (50, 100, 200, 400)
            ]
            assert told == expected
