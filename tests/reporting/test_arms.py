"""The table of arms: its rows and columns by hand, its answers, failed runs in their places."""

import dataclasses

import numpy as np
import pytest

from cgan_tf.labels import Arm, arm_named
from cgan_tf.pages.html import Paragraph, Table
from cgan_tf.pages.style import difference_and_interval, format_probability
from cgan_tf.reporting import arms, table_1
from cgan_tf.reporting.arms import answers
from cgan_tf.reporting.comparisons import FailedRun, compare
from cgan_tf.statistics.auc import delong_test, holm
from cgan_tf.statistics.seeds import pool_seeds
from tests.toys.report import report_inputs
from tests.toys.scored_tests import scored_test, sweep

SKILLS = {
    "real_only": 1.0, "pasted": 1.1, "lesions": 1.4, "removal": 0.4, "both": 1.0,
    "both_decayed": 1.0, "oracle": 2.0, "only_lesions": 0.9,
}  # fmt: skip


def study(seeds=3, skills=SKILLS):
    """Runs that share the noise of their patches, so that skills alone tell them apart."""
    runs = []
    for seed in range(seeds):
        for name, skill in skills.items():
            arm = arm_named(name, 0.5)
            run = scored_test(arm.share, seed, arm=arm)
            noise = np.random.default_rng(99).standard_normal(len(run.labels))
            own = np.random.default_rng([seed, len(runs)]).standard_normal(len(run.labels))
            logits = skill * run.labels + noise + 0.1 * own
            runs.append(with_logits(run, logits))
    return runs


def with_logits(run, logits):
    from cgan_tf.classifier.metrics import ScoreRow, metrics_of

    rows = [
        ScoreRow(
            f"p{n}", str(run.patients[n]), int(run.labels[n]), "", str(run.lesion_types[n]),
            float(logits[n]),
        )
        for n in range(len(logits))
    ]  # fmt: skip
    metrics = metrics_of("test", rows, [], (run.labels, logits))
    return dataclasses.replace(run, logits=logits, metrics=metrics)


def tables(evaluations, failed=()):
    section = arms.section(report_inputs(evaluations, failed))
    return {part.name: part for part in section.parts if isinstance(part, Table)}


@pytest.fixture(scope="module")
def runs():
    return study()


def test_the_papers_sweep_has_its_own_table():
    assert arms.section(report_inputs(sweep(seeds=1))) is None
    assert table_1.section(report_inputs(sweep(seeds=1))) is not None


def test_arms_have_theirs_in_their_order(runs):
    assert table_1.section(report_inputs(runs)) is None
    rows = tables(runs)["table_1"].rows
    assert [row[0] for row in rows] == [
        "Baseline", "Pasted real lesions, 50%", "Synthetic lesions, 50%", "Lesions removed, 50%",
        "Synthetic and removed, 50%", "50% w/ decay", "Lesions of other women, 50%",
    ]  # fmt: skip


def test_columns_by_hand(runs):
    own = [run.metrics for run in runs if run.arm == Arm("lesions", 0.5)]
    row = tables(runs)["table_1"].rows[2]
    aucs = [metrics.auc["overall"].auc for metrics in own]
    assert row[1] == f"{np.mean(aucs):.3f} ± {np.std(aucs, ddof=1):.3f}"
    precision = [metrics.average_precision for metrics in own]
    assert row[2] == f"{np.mean(precision):.3f} ± {np.std(precision, ddof=1):.3f}"
    found = [metrics.at_validation_threshold.sensitivity for metrics in own]
    assert row[3].startswith(f"{np.mean(found):.1%} ± ")
    assert row[3].endswith("(at 90.0%)")
    assert row[4] == "3"


def test_the_plot_shows_means_seeds_and_intervals(runs):
    results = compare(runs)
    (axis,) = arms.arm_figure(results).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[0] == "Baseline"
    assert not [name for name in names if "100%" in name]  # no substitutes
    row = names.index("Synthetic lesions, 50%")
    aucs = [e.metrics.auc["overall"].auc for e in runs if e.arm.name == "lesions"]
    drawn = [line.get_xdata() for line in axis.lines if np.all(np.equal(line.get_ydata(), row))]
    seeds, mean, bar = (np.atleast_1d(values) for values in drawn)
    np.testing.assert_allclose(seeds, aucs)
    np.testing.assert_allclose(mean, [np.mean(aucs)])
    pooled = results.compared(results.named("lesions"))
    base = np.mean([e.metrics.auc["overall"].auc for e in runs if e.arm.is_baseline])
    np.testing.assert_allclose(bar, [base + pooled.low, base + pooled.high])


def test_holm_leaves_out_what_asks_another_question(runs):
    """Six arms with real lesions; the one without is adjusted for itself alone."""
    results = compare(runs)
    first = runs[0]
    real = [run for run in runs if not run.arm.is_substitute]
    pooled = pool_seeds(first.labels, real, first.patients, Arm("both", 0.0))[1:]
    expected = holm(np.array([each.pooled.p_value for each in pooled]))
    found = [results.regime(each.arm).pooled.holm for each in pooled]
    assert found == pytest.approx(expected.tolist())
    alone = results.named("only_lesions").pooled
    assert alone.holm == pytest.approx(alone.p_value)


def test_answers(runs):
    results = compare(runs)
    told = answers(results)
    assert told[0].startswith("Synthetic lesions, 50%: helps. +0.")
    assert told[1].startswith("Lesions removed, 50%: harms. −0.")
    assert told[2].startswith("Synthetic and removed, 50%: neither helps nor harms visibly. ")
    gain = results.named("oracle").pooled.difference
    share = results.named("lesions").pooled.difference / gain
    assert told[4].startswith(f"Lesions of other women gain +{gain:.3f}. Of this gain: Pasted")
    assert f"Synthetic lesions, 50% {share:.0%}" in told[4]
    assert told[5].startswith("Synthetic lesions, 50% against pasted real lesions: +0.")
    against = results.against(results.named("lesions"), results.named("pasted"))
    differences = [
        lesions.metrics.auc["overall"].auc - pasted.metrics.auc["overall"].auc
        for lesions, pasted in zip(
            (run for run in runs if run.arm.name == "lesions"),
            (run for run in runs if run.arm.name == "pasted"),
            strict=True,
        )
    ]
    assert against.difference == pytest.approx(np.mean(differences))
    section = arms.section(report_inputs(runs))
    leads = [part.text for part in section.parts if isinstance(part, Paragraph)]
    assert leads[: len(told)] == told


def test_no_room_is_said():
    told = answers(compare(study(skills=SKILLS | {"oracle": 0.9})))
    assert "these patches leave no room" in told[4]


def test_one_seed_is_compared_by_patient():
    runs = {run.arm.name: run for run in study(seeds=1)}
    results = compare(list(runs.values()))
    lesions, pasted = runs["lesions"], runs["pasted"]
    test = delong_test(lesions.labels, lesions.logits, runs["real_only"].logits, lesions.patients)
    row = tables(list(runs.values()))["table_1"].rows[2]
    assert row[4:7] == (
        "1", difference_and_interval(test.difference, test.low, test.high),
        format_probability(test.p_value),
    )  # fmt: skip
    test = delong_test(lesions.labels, lesions.logits, pasted.logits, lesions.patients)
    against = results.against(results.named("lesions"), results.named("pasted"))
    assert (against.difference, against.p_value) == (test.difference, test.p_value)


def test_substitutes_stand_beside_the_baseline(runs):
    table = tables(runs)["table_1_substitutes"]
    assert [row[0] for row in table.rows] == ["Baseline", "Synthetic lesions, 100%"]
    means = [
        np.mean([run.metrics.auc["overall"].auc for run in runs if run.arm.name == name])
        for name in ("real_only", "only_lesions")
    ]
    assert table.records[1]["of_baseline"] == pytest.approx((means[1] - 0.5) / (means[0] - 0.5))
    assert table.rows[0][-1] == "100%"


def test_failed_runs_have_rows(runs):
    failed = [
        FailedRun(1, 0.5, "training", "killed", "a.log", "pasted"),
        FailedRun(0, 0.5, "training", "killed", "b.log", "oversampled"),
    ]
    left = [run for run in runs if (run.seed, run.arm.name) != (1, "pasted")]
    table = tables(left, failed)["table_1"]
    assert table.rows[1][:2] == ("Oversampled, 50%", "failed")
    assert table.rows[2][4] == "2, 1 failed"
    assert table.records[1]["arm"] == "oversampled"
    by_seed = tables(left, failed)["table_1_by_seed"].rows
    assert ("Pasted real lesions, 50%, seed 1", "failed") in [row[:2] for row in by_seed]


def test_files_hold_plain_numbers(runs):
    records = tables(runs)["table_1"].records
    assert [record["arm"] for record in records][:2] == ["real_only", "pasted"]
    assert records[0]["difference"] == ""
    assert records[2]["p_value"] == compare(runs).named("lesions").pooled.p_value


@pytest.mark.parametrize("baseline", ["failed", "guesses"])
def test_no_proportion_of_a_baseline_that_tells_nothing(runs, baseline):
    shown = [run for run in runs if run.seed == 0 and run.arm.name in ("real_only", "only_lesions")]
    rest = [run for run in runs if run.seed == 0 and not run.arm.is_baseline]
    if baseline == "guesses":
        (first,) = (run for run in shown if run.arm.is_baseline)
        rest.insert(0, with_logits(first, np.zeros(len(first.labels))))
    rows = tables(rest)["table_1_substitutes"].rows
    assert {row[-1] for row in rows} == {"–"}


def test_without_a_baseline_nothing_is_said_of_the_oracle_s_gain(runs):
    told = answers(compare([run for run in runs if not run.arm.is_baseline]))
    assert not any("nan" in line or "leave no room" in line for line in told)
