"""Table 1: every classifier against the baseline of its seed, beside the paper's values."""

import dataclasses
import math
from collections.abc import Sequence

from cgan_tf.classifier.metrics import Metrics
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.labels import DECAYED, LESION_TYPES, Arm, arm_title
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Section, Table, section_of
from cgan_tf.pages.style import (
    auc_and_interval,
    column_decimals,
    difference_and_interval,
    format_p,
    format_probability,
    interval,
)
from cgan_tf.reporting.comparisons import FailedRun, Results
from cgan_tf.reporting.inputs import ReportInputs, auc_of, sensitivity_of
from cgan_tf.statistics.seeds import Regime, SeedComparison

# Paper, Table 1: initial synthetic share to (AUC, p-value); ¹ where its text says otherwise.
PAPER_TABLE = {
    0.0: (0.829, "–"),
    0.1: (0.837, "0.10 ¹"),
    0.25: (0.839, "0.055 ¹"),
    0.5: (0.846, "1e-4 ¹"),
    0.75: (0.828, "0.72"),
    1.0: (0.797, "1e-8"),
}
TABLE_1 = "Table 1. AUC on the test patches, and its difference from the baseline."
CONTRADICTIONS = (
    "¹ The paper's columns are from its Table 1. The paper's text disagrees with the table: it "
    "gives p < 1e-8 for 50%, where the table has 1e-4, and calls 10% and 25% significant, where "
    "the table has 0.10 and 0.055. The text lists five proportions; the table has a sixth, 10%."
)
TESTS = (
    "The first p is from DeLong's test, as in the paper, which assumes that all patches are "
    "independent. Patches of one woman are not: the second p (Obuchowski 1997) treats each woman "
    "as one unit and is the one to trust. Every classifier is compared with the baseline of its "
    "own seed. Holm's method adjusts both p for the comparisons of that seed."
)
POOLED = (
    "Differences over several seeds allow for variation between women and between seeds "
    "(Obuchowski and Rockette 1995, with Hillis' degrees of freedom); ± is the standard deviation "
    "over the seeds. Holm's method adjusts for the number of proportions."
)
SCOPE = (
    "Intervals of single AUCs and differences are by patient. No test set has benign patches. "
    "Our values can be compared with the paper's only on the paper's data."
)
SCOPE_OF_A_PHANTOM = (
    "Intervals of single AUCs and differences are by patient. No test set has benign patches. The "
    "paper's values are left out: they are of mammograms."
)


def section(inputs: ReportInputs) -> Section | None:
    """A row for every classifier; with several seeds, first a row for every synthetic share.

    Other arms than the paper's have a table of their own, `arms.section`.
    """
    results = inputs.results
    if results.has_arms:
        return None
    paper = not inputs.phantom
    notes = [*([CONTRADICTIONS] if paper else []), TESTS, SCOPE if paper else SCOPE_OF_A_PHANTOM]
    parts: list[Part] = []
    if results.several_seeds:
        parts += [_regime_table(results), html.Heading("Seed by seed")]
        notes.insert(0, POOLED)
    parts += [run_table(results), lesion_table(results.evaluations)]
    if not paper:
        parts = [_of_a_phantom(part) for part in parts]
    parts.append(html.Notes([*notes, *(reason_of(run) for run in results.failed)]))
    return section_of("Table 1. Classification of test patches", *parts)


def _of_a_phantom(part: Part) -> Part:
    """A table without the columns of the paper's values, which are of mammograms."""
    if not isinstance(part, Table):
        return part
    kept = [place for place, name in enumerate(part.headings) if not name.startswith("Paper")]
    return dataclasses.replace(
        part,
        headings=[part.headings[place] for place in kept],
        rows=[[row[place] for place in kept] for row in part.rows],
        records=[
            {name: value for name, value in record.items() if not name.startswith("paper_")}
            for record in part.records
        ],
    )


def _regime_table(results: Results) -> Table:
    """The proportions over their seeds, those whose runs all failed included."""
    known = {regime.arm: regime for regime in results.regimes}
    trained = sorted({*known, *(run.trained for run in results.failed)})
    headings = (
        "Training regime", "AUC, mean ± sd", "Seeds", "Paper's AUC", "Difference (95% interval)",
        "p", "Paper's p", "Holm",
    )  # fmt: skip
    rows, records = [], []
    pooled = [regime.pooled for regime in results.regimes if regime.pooled]
    decimals = column_decimals((each.low, each.high) for each in pooled)
    for arm in trained:
        lost = sum(run.trained == arm for run in results.failed)
        rows.append(_regime_cells(arm, known.get(arm), lost, decimals))
        records.append(_regime_record(arm, known.get(arm), lost))
    return Table("table_1", headings, rows, records, TABLE_1)


def _regime_cells(arm: Arm, regime: Regime | None, failed: int, decimals: int) -> tuple[str, ...]:
    paper_auc, paper_p = _paper(arm)
    name = arm_title(arm)
    if regime is None:
        return (name, "failed", f"0, {failed} failed", paper_auc, "–", "–", paper_p, "–")
    spread = "" if math.isnan(regime.spread) else f" ± {regime.spread:.3f}"
    seeds = f"{len(regime.seeds)}" + (f", {failed} failed" if failed else "")
    first = (name, f"{regime.mean:.3f}{spread}", seeds, paper_auc)
    pooled = regime.pooled
    if pooled is None:
        return (*first, "–", "–", paper_p, "–")
    return (
        *first,
        difference_and_interval(pooled.difference, pooled.low, pooled.high, decimals),
        pooled.note or format_probability(pooled.p_value),
        paper_p,
        format_probability(pooled.holm),
    )


def _regime_record(arm: Arm, regime: Regime | None, failed: int) -> dict[str, object]:
    paper_auc, paper_p = _paper(arm)
    pooled = regime.pooled if regime else None
    return {
        "synthetic_fraction": arm.share,
        "mean_auc": regime.mean if regime else "",
        "sd_auc": regime.spread if regime else "",
        "seeds": len(regime.seeds) if regime else 0,
        "failed": failed,
        "difference": pooled.difference if pooled else "",
        "low": pooled.low if pooled else "",
        "high": pooled.high if pooled else "",
        "p": pooled.p_value if pooled else "",
        "holm": pooled.holm if pooled else "",
        "note": pooled.note if pooled else "",
        "paper_auc": paper_auc.replace("–", ""),
        "paper_p": paper_p.removesuffix(" ¹").replace("–", ""),
    }


def run_table(results: Results) -> Table:
    """Every run, failed ones in their places. The paper's values are in it unless the table of
    the proportions has them: nine columns are wider than a page."""
    tests = [comparison.by_patient for comparison in results.comparisons.values()]
    overall = [auc_of(evaluation.metrics.auc["overall"]) for evaluation in results.evaluations]
    # One precision a column, so that its rows can be compared.
    decimals = (
        column_decimals(auc.limits for auc in overall),
        column_decimals((test.low, test.high) for test in tests),
    )
    cells: dict[tuple[int, Arm], tuple[str, ...]] = {
        (evaluation.seed, evaluation.arm): _run_cells(
            evaluation, results.comparisons.get((evaluation.arm, evaluation.seed)), *decimals
        )
        for evaluation in results.evaluations
    }
    for run in results.failed:
        paper_auc, paper_p = _paper(run.trained)
        name = f"{arm_title(run.trained)}, seed {run.seed}"
        cells[run.seed, run.trained] = (
            name, "failed", paper_auc, "–", "–", paper_p, "–", "–", "–",
        )  # fmt: skip
    headings = (
        "Training regime", "AUC (95% interval)", "Paper's AUC", "Difference (95% interval)",
        "p, DeLong", "Paper's p", "Holm", "p, by patient", "Holm",
    )  # fmt: skip
    rows = [cells[key] for key in sorted(cells)]
    records = _run_records(results)
    if not results.several_seeds and not results.has_arms:
        return Table("table_1", headings, rows, records, TABLE_1)
    rows = [_without_paper(row) for row in rows]
    return Table("table_1_by_seed", _without_paper(headings), rows, records)


def _without_paper(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row of the table of every run without the paper's AUC and p."""
    return (*row[:2], *row[3:5], *row[6:])


def _run_cells(
    evaluation: ScoredTest,
    comparison: SeedComparison | None,
    auc_decimals: int,
    difference_decimals: int,
) -> tuple[str, ...]:
    paper_auc, paper_p = _paper(evaluation.arm)
    auc = auc_and_interval(auc_of(evaluation.metrics.auc["overall"]), auc_decimals)
    first = (evaluation.name, auc, paper_auc)
    if comparison is None:
        return (*first, "–", "–", paper_p, "–", "–", "–")
    test = comparison.by_patient
    return (
        *first,
        difference_and_interval(test.difference, test.low, test.high, difference_decimals),
        format_p(comparison.plain),
        paper_p,
        format_probability(comparison.plain_holm),
        format_p(test),
        format_probability(comparison.by_patient_holm),
    )


def _run_records(results: Results) -> list[dict[str, object]]:
    records = []
    for evaluation in results.evaluations:
        auc = evaluation.metrics.auc["overall"]
        record: dict[str, object] = {
            **({"arm": evaluation.arm.name} if results.has_arms else {}),
            "synthetic_fraction": evaluation.arm.share,
            "seed": evaluation.seed,
            "state": "finished",
            "auc": auc.auc,
            "low_by_patient": auc.low_by_patient,
            "high_by_patient": auc.high_by_patient,
        }
        comparison = results.comparisons.get((evaluation.arm, evaluation.seed))
        record |= dict.fromkeys(_TEST_COLUMNS, "")
        if comparison:
            test = comparison.by_patient
            values = (
                test.difference, test.low, test.high, comparison.plain.p_value,
                comparison.plain_holm, test.p_value, comparison.by_patient_holm,
            )  # fmt: skip
            record |= dict(zip(_TEST_COLUMNS, values, strict=True))
        records.append(record)
    for run in results.failed:
        empty = dict.fromkeys(records[0], "")
        if results.has_arms:
            empty["arm"] = run.trained.name
        records.append(
            empty
            | {"synthetic_fraction": run.synthetic_fraction, "seed": run.seed, "state": "failed"}
        )
    return records


_TEST_COLUMNS = (
    "difference", "difference_low", "difference_high", "p_delong", "holm_delong", "p_by_patient",
    "holm_by_patient",
)  # fmt: skip


def lesion_table(evaluations: Sequence[ScoredTest]) -> Table:
    aucs = {
        kind: [auc_of(evaluation.metrics.auc[kind]) for evaluation in evaluations]
        for kind in LESION_TYPES.values()
    }
    decimals = {
        kind: column_decimals(auc.limits for auc in aucs[kind]) for kind in LESION_TYPES.values()
    }
    rows = [
        (
            evaluation.name,
            *(auc_and_interval(aucs[kind][row], decimals[kind]) for kind in LESION_TYPES.values()),
            _sensitivity(evaluation.metrics),
        )
        for row, evaluation in enumerate(evaluations)
    ]
    headings = (
        "Training regime", "Masses: AUC (95% interval)", "Calcifications: AUC (95% interval)",
        f"Sensitivity at {evaluations[0].metrics.specificity:.0%} specificity",
    )  # fmt: skip
    return Table("table_1_by_lesion", headings, rows, caption="By type of lesion.")


def _sensitivity(metrics: Metrics) -> str:
    sensitivity = sensitivity_of(metrics)
    if sensitivity.value is None:
        return "undefined"
    return f"{sensitivity.value:.0%} ({interval(sensitivity, '{:.0%}–{:.0%}')})"


def reason_of(run: FailedRun) -> str:
    name = f"{arm_title(run.trained)}, seed {run.seed}"
    return f"{name}: {run.step} failed: {run.reason} (see {run.log})."


def _paper(arm: Arm) -> tuple[str, str]:
    """(AUC, p) as printed, or dashes."""
    printed = arm.is_baseline or arm.name == DECAYED
    auc, p = PAPER_TABLE.get(round(arm.share, 6) if printed else math.nan, (None, "–"))
    return ("–" if auc is None else f"{auc:.3f}"), p
