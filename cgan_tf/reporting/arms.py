"""Table 1 of a sweep over arms: what stands beside the real samples, and what it brings."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.classifier.results import ScoredTest, by_arm
from cgan_tf.labels import Arm, arm_title
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import (
    FAINT,
    PAGE_INCHES,
    arm_colour,
    difference_and_interval,
    format_probability,
    house_style,
    signed,
)
from cgan_tf.reporting.comparisons import Results
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.reporting.table_1 import (
    POOLED,
    SCOPE,
    TABLE_1,
    TESTS,
    lesion_table,
    reason_of,
    run_table,
)
from cgan_tf.statistics.seeds import PooledDifference, Regime

LEVEL = 0.05
SYNTHETIC_ARMS = ("lesions", "removal", "both", "both_decayed")
DESIGN = (
    "All arms see the same number of samples, half of them malignant, and the same real samples in "
    "the same places. They differ in the rest of the places, whose share the name tells: real "
    "samples again (baseline); real ones with both types of lesion equally often and no benign "
    "patches (oversampled); real ones bent, with other contrast and noise (classical "
    "augmentation); lesions of the training women pasted onto other tissue; synthetic lesions "
    "beside real normals; real lesions beside normals from which a lesion was removed; both, as in "
    "the paper; lesions of other women, which is what a perfect generator could bring. "
    "“w/ decay” is the paper's schedule, under which that share falls."
)
OPERATING = (
    "The threshold for the sensitivity is that of 90% specificity on the validation patches; the "
    "specificity that it has on the test patches stands beside it."
)
PLOT_CAPTION = (
    "Diamond: mean AUC over the seeds; dots: each seed. Bar: the baseline's mean, the grey line, "
    "plus the 95% interval of the difference from it, for other patients and other seeds. Where a "
    "bar crosses the line, the interval holds zero."
)
SUBSTITUTES = (
    "Trained on these lesions alone and tested on real ones: how far they stand in for real ones. "
    "Normals are real, or those of the removal. The last column is (AUC − 0.5) of the arm over "
    "that of the baseline."
)


def section(inputs: ReportInputs) -> Section | None:
    """The answers in words, the arms over their seeds, every run; None for the paper's sweep."""
    results = inputs.results
    if not results.has_arms:
        return None
    parts: list[Part] = [html.Paragraph(text, "lead") for text in answers(results)]
    parts += [Plot("table_1_arms", arm_figure(results), PLOT_CAPTION), arm_table(results)]
    if any(regime.arm.is_substitute for regime in results.regimes):
        parts += [html.Heading("Without a real lesion"), substitute_table(results)]
        parts.append(html.Paragraph(SUBSTITUTES, "note"))
    parts += [html.Heading("Seed by seed"), run_table(results), lesion_table(results.evaluations)]
    failed = (reason_of(run) for run in results.failed)
    parts.append(html.Notes([DESIGN, OPERATING, POOLED, TESTS, SCOPE, *failed]))
    return section_of("Table 1 by arm. Classification of test patches", *parts)


def answers(results: Results) -> list[str]:
    """What the arms say: does it help, how far does it reach, is it more than pasting."""
    told = [
        _verdict(results, regime)
        for name in SYNTHETIC_ARMS
        if (regime := results.named(name)) and regime.pooled
    ]
    if oracle := results.named("oracle"):
        told.append(_recovered(results, oracle))
    if pasted := results.named("pasted"):
        told += [
            f"{arm_title(regime.arm)} against pasted real lesions: "
            f"{_difference(results.against(regime, pasted))}."
            for name in ("lesions", "both")
            if (regime := results.named(name))
        ]
    return told


def _verdict(results: Results, regime: Regime) -> str:
    pooled = results.compared(regime)
    assert pooled is not None
    name, difference = arm_title(regime.arm), _difference(pooled)
    if math.isnan(pooled.holm):
        return f"{name}: {difference} against real samples alone."
    if pooled.holm >= LEVEL:
        verdict = "neither helps nor harms visibly"
    else:
        verdict = "helps" if pooled.difference > 0 else "harms"
    holm = format_probability(pooled.holm)
    return f"{name}: {verdict}. {difference} against real samples alone, {holm} by Holm's method."


def _recovered(results: Results, oracle: Regime) -> str:
    gain = oracle.pooled.difference if oracle.pooled else math.nan
    if not gain > 0:
        return (
            f"Lesions of other women gain {signed(gain, 3)}: these patches leave no room, and no "
            "arm could show what synthetic lesions are worth."
        )
    shares = [
        f"{arm_title(regime.arm)} {regime.pooled.difference / gain:.0%}"
        for name in ("pasted", *SYNTHETIC_ARMS)
        if (regime := results.named(name)) and regime.pooled
    ]
    return f"Lesions of other women gain {signed(gain, 3)}. Of this gain: {', '.join(shares)}."


def _difference(pooled: PooledDifference) -> str:
    text = difference_and_interval(pooled.difference, pooled.low, pooled.high)
    return f"{text}, {pooled.note or f'p = {format_probability(pooled.p_value)}'}"


def arm_table(results: Results) -> Table:
    """A row for every arm in which real lesions are seen."""
    headings = (
        "Training set", "AUC", "Average precision", "Sensitivity at 90% specificity", "Seeds",
        "Difference of AUC (95% interval)", "p", "Holm",
    )  # fmt: skip
    rows, records = [], []
    for arm, members in _groups(results):
        if arm.is_substitute:
            continue
        lost = sum(run.trained == arm for run in results.failed)
        regime = next((each for each in results.regimes if each.arm == arm), None)
        pooled = results.compared(regime) if regime else None
        rows.append(
            (
                arm_title(arm),
                *_over_seeds(members),
                f"{len(members)}" + (f", {lost} failed" if lost else ""),
                *_compared(pooled),
            )
        )
        records.append(_record(arm, members, lost, pooled))
    return Table("table_1", headings, rows, records, TABLE_1)


@house_style
def arm_figure(results: Results) -> Figure:
    """A row for every arm: its seeds, their mean, and the interval of the difference, which begins
    at the baseline's mean."""
    baseline = _baseline_auc(results)
    groups = [
        (arm, _values(members)["auc"], results.compared(results.regime(arm)))
        for arm, members in _groups(results)
        if members and not arm.is_substitute
    ]
    figure = Figure(figsize=(PAGE_INCHES * 0.75, 0.8 + 0.32 * len(groups)), layout="constrained")
    axis = figure.subplots()
    for row, (arm, aucs, pooled) in enumerate(groups):
        colour = arm_colour(arm)
        axis.plot(aucs, np.full(len(aucs), row), ".", color=colour, markersize=4, alpha=0.5)
        axis.plot(aucs.mean(), row, "D", color=colour, markersize=6)
        if pooled:
            limits = baseline + pooled.low, baseline + pooled.high
            axis.plot(limits, (row, row), color=colour, linewidth=1.6)
    axis.axvline(baseline, color=FAINT, linewidth=0.8, zorder=0)
    axis.set_yticks(range(len(groups)), [arm_title(arm) for arm, *_ in groups])
    axis.set(xlabel="AUC", ylim=(len(groups) - 0.4, -0.6))
    return figure


def substitute_table(results: Results) -> Table:
    """A row for every arm without a real lesion, and the baseline above them."""
    headings = (
        "Training set", "AUC", "Average precision", "Sensitivity at 90% specificity", "Seeds",
        "Of the baseline",
    )  # fmt: skip
    gain = _baseline_auc(results) - 0.5
    rows, records = [], []
    for arm, members in _groups(results):
        if not members or not (arm.is_substitute or arm.is_baseline):
            continue
        share = (_mean_auc(members) - 0.5) / gain if gain > 0 else None
        shown = "–" if share is None else f"{share:.0%}"
        rows.append((arm_title(arm), *_over_seeds(members), f"{len(members)}", shown))
        records.append(_record(arm, members, 0, None) | {"of_baseline": share})
    return Table("table_1_substitutes", headings, rows, records)


def _groups(results: Results) -> list[tuple[Arm, Sequence[ScoredTest]]]:
    """Every arm in its order with its evaluations, none where all have failed."""
    groups = by_arm(results.evaluations)
    trained = sorted({*groups, *(run.trained for run in results.failed)})
    return [(arm, groups.get(arm, [])) for arm in trained]


def _baseline_auc(results: Results) -> float:
    """The mean over the baseline's seeds; NaN where all have failed."""
    own = [e for e in results.evaluations if e.arm.is_baseline]
    return _mean_auc(own) if own else math.nan


def _mean_auc(members: Sequence[ScoredTest]) -> float:
    return float(np.mean([e.metrics.auc["overall"].auc for e in members]))


def _values(members: Sequence[ScoredTest]) -> dict[str, np.ndarray]:
    """What the table has of every run, float64 [runs]."""
    metrics = [evaluation.metrics for evaluation in members]
    return {
        "auc": np.array([each.auc["overall"].auc for each in metrics], float),
        "average_precision": np.array([each.average_precision for each in metrics], float),
        "sensitivity": np.array([each.at_validation_threshold.sensitivity for each in metrics]),
        "specificity": np.array([each.at_validation_threshold.specificity for each in metrics]),
    }


def _over_seeds(members: Sequence[ScoredTest]) -> tuple[str, str, str]:
    """AUC, average precision and sensitivity, mean and deviation."""
    if not members:
        return "failed", "–", "–"
    values = _values(members)
    sensitivity = _mean_and_spread(values["sensitivity"], "{:.1%}")
    return (
        _mean_and_spread(values["auc"], "{:.3f}"),
        _mean_and_spread(values["average_precision"], "{:.3f}"),
        f"{sensitivity} (at {values['specificity'].mean():.1%})",
    )


def _mean_and_spread(values: np.ndarray, form: str) -> str:
    if len(values) < 2:
        return form.format(values.mean())
    return f"{form.format(values.mean())} ± {form.format(values.std(ddof=1))}"


def _compared(pooled: PooledDifference | None) -> tuple[str, str, str]:
    if pooled is None:
        return "–", "–", "–"
    return (
        difference_and_interval(pooled.difference, pooled.low, pooled.high),
        pooled.note or format_probability(pooled.p_value),
        format_probability(pooled.holm),
    )


def _record(
    arm: Arm, members: Sequence[ScoredTest], failed: int, pooled: PooledDifference | None
) -> dict[str, object]:
    record: dict[str, object] = {
        "arm": arm.name, "share": arm.share, "seeds": len(members), "failed": failed,
    }  # fmt: skip
    for name, values in _values(members).items():
        record[f"mean_{name}"] = float(values.mean()) if len(values) else ""
        record[f"sd_{name}"] = float(values.std(ddof=1)) if len(values) > 1 else ""
    for name in ("difference", "low", "high", "p_value", "holm", "note"):
        record[name] = getattr(pooled, name) if pooled else ""
    return record
