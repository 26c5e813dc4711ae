"""Table 1: the paper's values, each seed against its own baseline, failed runs in their places."""

import pytest

from cgan_tf.labels import arm_of
from cgan_tf.pages.html import Table
from cgan_tf.pages.style import format_p, format_probability, signed
from cgan_tf.reporting import table_1
from cgan_tf.reporting.comparisons import FailedRun, compare
from cgan_tf.reporting.page import table_csv
from cgan_tf.statistics.auc import delong_test, holm
from tests.toys.report import report_inputs
from tests.toys.scored_tests import scored_test, sweep

FAILED = FailedRun(1, 0.5, "training", "out of memory", "logs/a.log")


def tables(evaluations, failed=()) -> dict:
    section = table_1.section(report_inputs(evaluations, failed))
    return {part.name: part for part in section.parts if isinstance(part, Table)}


def test_the_papers_values_stand_beside_ours():
    by_name = tables(sweep(seeds=1))
    rows = by_name["table_1"].rows
    assert [row[0] for row in rows] == [
        "Baseline", *(f"{share}% w/ decay" for share in (10, 25, 50, 75, 100))
    ]  # fmt: skip
    assert [row[2] for row in rows] == ["0.829", "0.837", "0.839", "0.846", "0.828", "0.797"]
    # The footnote marks the three values that the paper's text contradicts.
    assert [row[5] for row in rows] == ["–", "0.10 ¹", "0.055 ¹", "1e-4 ¹", "0.72", "1e-8"]
    assert set(by_name) == {"table_1", "table_1_by_lesion"}


def test_a_proportion_of_ones_own_has_no_value_of_the_papers():
    rows = tables([scored_test(0.0), scored_test(0.3)])["table_1"].rows
    assert (rows[1][0], rows[1][2], rows[1][5]) == ("30% w/ decay", "–", "–")


def test_every_seed_is_compared_with_its_own_baseline():
    evaluations = sweep(seeds=2)
    by_name = tables(evaluations)
    for seed in (0, 1):
        baseline, *mixed = evaluations[6 * seed : 6 * seed + 6]
        tests = [delong_test(e.labels, e.logits, baseline.logits, baseline.patients) for e in mixed]
        rows = by_name["table_1_by_seed"].rows[6 * seed : 6 * seed + 6]
        assert rows[0][2:] == ("–", "–", "–", "–", "–")
        assert [row[5] for row in rows[1:]] == [format_p(test) for test in tests]
        adjusted = holm([test.p_value for test in tests])  # five comparisons, of this seed alone
        assert [row[6] for row in rows[1:]] == [format_probability(p) for p in adjusted]


def test_the_papers_values_are_shown_once():
    by_name = tables(sweep(seeds=2))
    assert [h for h in by_name["table_1"].headings if "Paper" in h] == ["Paper's AUC", "Paper's p"]
    by_seed = by_name["table_1_by_seed"]
    assert by_seed.headings == (
        "Training regime", "AUC (95% interval)", "Difference (95% interval)", "p, DeLong", "Holm",
        "p, by patient", "Holm",
    )  # fmt: skip
    assert {len(row) for row in by_seed.rows} == {7}


def test_proportions_are_pooled_over_their_seeds():
    evaluations = sweep(seeds=3)
    results = compare(evaluations)
    rows = tables(evaluations)["table_1"].rows
    pooled = results.regime(arm_of("both", 0.5, "multiplicative")).pooled
    aucs = [e.metrics.auc["overall"].auc for e in evaluations if e.arm.share == 0.5]
    spread = (sum((auc - sum(aucs) / 3) ** 2 for auc in aucs) / 2) ** 0.5
    assert rows[3][1:4] == (f"{sum(aucs) / 3:.3f} ± {spread:.3f}", "3", "0.846")
    intervals = [each.pooled for each in results.regimes if each.pooled]
    widest = max((each.high - each.low) / 2 for each in intervals)
    digits = 2 if widest >= 0.1 else 3  # of the whole column
    assert rows[3][4].startswith(signed(pooled.difference, digits))
    assert {len(row[4].split()[0].partition(".")[2]) for row in rows[1:]} == {digits}
    assert rows[3][5] == format_probability(pooled.p_value)


def test_failed_runs_are_shown_as_failed():
    evaluations = [e for e in sweep(seeds=2) if (e.seed, e.arm.share) != (1, 0.5)]
    section = table_1.section(report_inputs(evaluations, [FAILED]))
    by_name = tables(evaluations, [FAILED])
    row = next(row for row in by_name["table_1_by_seed"].rows if row[1] == "failed")
    assert row[0] == "50% w/ decay, seed 1"
    assert by_name["table_1_by_seed"].rows.index(row) == 9  # between 25% and 75% of its seed
    assert by_name["table_1"].rows[3][2] == "1, 1 failed"
    assert "training failed: out of memory (see logs/a.log)" in section.parts[-1].texts[-1]
    lines = table_csv(by_name["table_1_by_seed"]).decode().splitlines()
    assert len(lines) == 13
    assert lines[-1].startswith("0.5,1,failed,,")


def test_a_proportion_that_failed_with_every_seed_keeps_its_row():
    evaluations = [e for e in sweep(seeds=1) if e.arm.share != 1.0]
    failed = [FailedRun(0, 1.0, "training", "killed", "b.log")]
    row = tables(evaluations, failed)["table_1"].rows[-1]
    assert row[:3] == ("100% w/ decay, seed 0", "failed", "0.797")
    several = [*(e for e in sweep(seeds=2) if e.arm.share != 1.0)]
    row = tables(several, failed)["table_1"].rows[-1]
    assert row[:4] == ("100% w/ decay", "failed", "0, 1 failed", "0.797")


def test_a_seed_without_a_baseline_is_undefined_in_words():
    evaluations = [e for e in sweep(seeds=2) if (e.seed, e.arm.share) != (1, 0.0)]
    rows = tables(evaluations)["table_1_by_seed"].rows
    of_seed_1 = [row for row in rows if row[0].endswith("seed 1") or "seed 1" in row[5]]
    assert of_seed_1
    assert all("undefined: seed 1 has no baseline" in row[5] for row in of_seed_1)


def test_files_hold_plain_numbers():
    lines = table_csv(tables(sweep(seeds=2))["table_1"]).decode().splitlines()
    header, first = lines[0].split(","), lines[1].split(",")
    values = dict(zip(header, first, strict=True))
    assert values["paper_auc"] == "0.829"
    assert 0 < float(values["mean_auc"]) < 1
    assert dict(zip(header, lines[4].split(","), strict=True))["paper_p"] == "1e-4"
    assert float(lines[4].split(",")[header.index("p")]) == pytest.approx(
        compare(sweep(seeds=2)).regime(arm_of("both", 0.5, "multiplicative")).pooled.p_value
    )
