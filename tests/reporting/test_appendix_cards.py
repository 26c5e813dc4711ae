"""A classifier's card says what its evaluation and its manifest say."""

import dataclasses
import re

from cgan_tf.reporting import appendix
from tests.toys.report import report_inputs
from tests.toys.scored_tests import scored_test


def test_the_card_holds_the_measures_and_the_flags():
    evaluation = scored_test(0.5, seed=3)
    text = appendix.card(evaluation, "Drawn patches only.")
    auc = evaluation.metrics.auc["overall"]
    row = f"| AUC, overall | {auc.auc:.3f} | {auc.low_by_patient:.3f} to "
    assert row in text
    assert text.startswith("# Classifier card: 50% w/ decay, seed 3\n")
    assert "> Drawn patches only." in text
    assert "120 malignant and 120 normal real patches of 40 women" in text
    assert "| synthetic positive | 500 | 90 |" in text
    assert "50% at the start, multiplicative decay by 10% every 5,000 samples" in text
    assert "--decay_rate=0.1\n" in text
    assert "--synthetic_dirs=a,b\n" in text
    for heading in ("Model", "Data", "Performance", "Sub-groups", "Limits", "Flags"):
        assert f"\n## {heading}\n" in text


def test_the_card_says_what_the_threshold_does_to_normals():
    baseline, mixed = scored_test(0.0, seed=3), scored_test(0.5, seed=3)
    point = mixed.metrics.at_validation_threshold
    text = appendix.card(mixed, baseline=baseline)
    assert f"gives {point.specificity:.1%} specificity and {point.sensitivity:.1%}" in text
    called = (mixed.logits[mixed.labels == 0] >= 0).mean()
    assert f"from there up are {called:.0%} of the normal test patches" in text
    assert "This classifier finds" in text
    assert "normals malignant that the baseline does not" in text
    assert "that the baseline misses" not in appendix.card(baseline)


def test_undefined_measures_are_named_so():
    evaluation = scored_test(0.0)
    aucs = evaluation.metrics.auc
    aucs["mass"] = dataclasses.replace(aucs["mass"], auc=None)
    aucs["overall"] = dataclasses.replace(aucs["overall"], low_by_patient=None)
    text = appendix.card(evaluation)
    assert "| AUC, mass | undefined | – |" in text
    assert re.search(r"\| AUC, overall \| 0\.\d{3} \| undefined \|", text)
    assert "undefined: breast_density is unknown" in text
    assert ">" not in text.split("\n")[2]  # no notice, no quotation


def test_tables_survive_a_bar_in_a_name():
    evaluation = scored_test(0.0)
    groups = evaluation.metrics.subgroups["manufacturer"].groups
    groups["A|B"] = next(iter(groups.values()))
    line = next(row for row in appendix.card(evaluation).splitlines() if "A\\|B" in row)
    assert len(re.findall(r"(?<!\\)\|", line)) == 7


def test_every_classifier_has_its_own_card():
    evaluations = [scored_test(0.0, 0), scored_test(0.0, 1), scored_test(1.0)]
    section = appendix.cards(report_inputs(evaluations))
    assert [part.name for part in section.parts] == [
        "classifier_card_seed_0_fraction_00",
        "classifier_card_seed_1_fraction_00",
        "classifier_card_seed_0_fraction_100",
    ]
