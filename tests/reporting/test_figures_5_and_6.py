"""What two classifiers find and lose, each at its own threshold, by hand."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.classifier.metrics import OperatingPoint
from cgan_tf.reporting.figures_5_and_6 import (
    Crossings,
    calls,
    crossings,
    crossings_on_test,
    crossings_table,
    in_words,
    malignant_neighbours,
    specificity_rank,
)
from cgan_tf.statistics.auc import sensitivity_at
from tests.toys.scored_tests import scored_test


def with_scores(evaluation, logits, threshold):
    point = OperatingPoint(threshold, 0.0, 0.0)
    metrics = dataclasses.replace(evaluation.metrics, at_validation_threshold=point)
    return dataclasses.replace(evaluation, logits=logits, metrics=metrics)


def test_patches_are_counted_by_who_calls_them():
    first = np.array([True, True, False, False, False, True])
    second = np.array([True, False, True, True, False, True])
    assert crossings(first, second) == Crossings(neither=1, first=1, second=2, both=2)
    assert crossings(first, second).patches == 6


def test_scores_that_are_all_higher_are_no_gain():
    """The threshold moves with them: nothing is found, nothing is lost, no normal is called."""
    baseline = scored_test(0.0)
    threshold = sensitivity_at(baseline.labels, baseline.logits)[1]
    baseline = with_scores(baseline, baseline.logits, threshold)
    shifted = with_scores(scored_test(0.5), baseline.logits + 5, threshold + 5)
    lesions, normals = crossings_on_test(baseline, shifted)
    assert (lesions.first, lesions.second, normals.first, normals.second) == (0, 0, 0, 0)
    # At one threshold for both, every lesion that was missed would seem to be found.
    wrong = with_scores(shifted, shifted.logits, threshold)
    lesions, normals = crossings_on_test(baseline, wrong)
    assert lesions.neither == 0
    assert lesions.second > 20
    assert normals.second > 80


def test_without_a_threshold_nothing_is_counted():
    baseline = scored_test(0.0)
    assert crossings_on_test(baseline, with_scores(baseline, baseline.logits, np.nan)) is None


def test_both_directions_and_the_normals_are_said():
    text = in_words("50% w/ decay", Crossings(155, 15, 75, 355), Crossings(340, 10, 22, 28))
    for words in (
        "50% w/ decay finds 75 of the 230 lesions that the baseline misses",
        "misses 15 of the 370 that it finds (60 more in all)",
        "calls 22 normals malignant that the baseline does not",
        "clears 10 that the baseline calls malignant: 9.5% of the normals before, 12.5% after",
    ):
        assert words in text
    assert "(60 fewer in all)" in in_words("M", Crossings(0, 75, 15, 0), Crossings(1, 0, 0, 0))


def test_the_table_has_found_and_lost():
    table = crossings_table("M", Crossings(155, 15, 75, 355), Crossings(340, 10, 22, 28))
    assert table.headings[2:] == ("Neither", "Baseline alone", "M alone", "Both")
    assert table.rows[0] == ("Malignant test patches", "600", "155", "15", "75", "355")
    assert table.rows[1] == ("Normal test patches", "400", "340", "10", "22", "28")


def test_a_rank_says_what_the_threshold_says():
    """From 90% up, and only there, the classifier calls a patch malignant."""
    rng = np.random.default_rng(0)
    for normals in (rng.standard_normal(40), rng.integers(0, 4, 37).astype(float)):
        labels = np.repeat([0, 1], [len(normals), 1])
        threshold = sensitivity_at(labels, np.append(normals, 9.0))[1]
        scores = np.concatenate([normals, rng.standard_normal(200), [threshold]])
        evaluation = with_scores(scored_test(0.0), scores, threshold)
        ranks = specificity_rank(scores, normals)
        assert ((ranks >= 0.9 - 1e-9) == calls(evaluation, scores)).all()
    assert specificity_rank(np.array([0.5, 3.0]), np.array([1.0, 0.0])).tolist() == [0.5, 1.0]


def test_neighbours_are_counted_in_feature_space():
    features = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.5]], np.float32)
    malignant = np.array([True, False, False, True, True, True])
    shares = malignant_neighbours(features, malignant, np.array([0, 3, 2]), neighbours=2)
    # 0: {1, 2}; 10: {11, 12.5}; 2: {1, 0}
    assert shares.tolist() == [0.0, 1.0, 0.5]
    # With fewer patches than neighbours: all the others.
    assert malignant_neighbours(features, malignant, np.array([0]), 50)[0] == pytest.approx(3 / 5)
