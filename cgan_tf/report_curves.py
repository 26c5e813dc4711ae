"""Plots of the classifiers: ROC curves, validation curves, schedules; a colour a proportion."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.mixing import Schedule
from cgan_tf.report_data import ScoredTest, by_regime
from cgan_tf.report_style import FAINT, PAGE_INCHES, house_style, panels, proportion_colour
from cgan_tf.roc_bands import roc_band

# The paper's runs: Table 1 has these six initial proportions.
PAPER_PROPORTIONS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
KINDS = ("all lesions", "mass", "calcification")


@house_style
def roc_figure(evaluations: Sequence[ScoredTest]) -> Figure:
    """All lesions, masses, calcifications: a curve a regime; bands where they are two at most."""
    figure = Figure(figsize=(PAGE_INCHES, 3.3), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    regimes = by_regime(evaluations)
    for axis, kind in zip(axes, KINDS, strict=True):
        _roc_frame(axis, kind)
        for group in regimes.values():
            _roc_curve(axis, group, kind, band=len(regimes) <= 2)
        axis.set_xlabel("1 − specificity")
    axes[0].set_ylabel("sensitivity")
    axes[0].legend(loc="lower right")
    return figure


@house_style
def roc_panels(evaluations: Sequence[ScoredTest]) -> Figure:
    """Each regime against the baseline, both with their bands, all lesions."""
    baseline, *others = by_regime(evaluations).values()
    figure, axes = panels(len(others), "1 − specificity", height=2.9)
    for axis, group in zip(axes, others, strict=False):
        _roc_frame(axis, group[0].regime)
        for member in (baseline, group):
            _roc_curve(axis, member, KINDS[0], band=True)
        axis.legend(loc="lower right")
    axes[0].set_ylabel("sensitivity")
    return figure


@house_style
def schedule_figure(evaluations: Sequence[ScoredTest]) -> Figure:
    """The paper's six schedules, faint; those of the runs evaluated, strong."""
    flags = evaluations[0].training["flags"]
    trained = {evaluation.fraction for evaluation in evaluations}
    figure = Figure(figsize=(PAGE_INCHES, 3.0), layout="constrained")
    axis = figure.subplots()
    samples = np.linspace(0, max(0, flags["samples"] - 1), 2000).astype(int)
    for fraction in sorted({*PAPER_PROPORTIONS, *trained}):
        schedule = Schedule(fraction, flags["decay"], flags["decay_rate"], flags["decay_every"])
        ours = fraction in trained
        count = round(schedule.expected_synthetic(flags["samples"]))
        axis.plot(
            samples, 100 * schedule.share(samples),
            color=proportion_colour(fraction), linewidth=2 if ours else 0.9,
            alpha=1 if ours else 0.45, linestyle="-" if ours else "--",
            label=f"{fraction:.0%}: {count:,} synthetic" + ("" if ours else " (not run)"),
        )  # fmt: skip
    axis.set(xlabel="training samples", ylabel="synthetic samples, %")
    axis.set_ylim(bottom=-1)
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.legend(loc="upper right", title=f"of {flags['samples']:,} samples", title_fontsize=8)
    return figure


@house_style
def validation_figure(evaluations: Sequence[ScoredTest]) -> Figure:
    """A panel a proportion, a line a seed; the runs of the other proportions behind, faint."""
    regimes = by_regime(evaluations)
    figure, axes = panels(len(regimes), "training samples", height=2.5)
    for axis, (fraction, group) in zip(axes, regimes.items(), strict=False):
        for other in evaluations:
            if other.fraction != fraction:
                axis.plot(*_validations(other), color=FAINT, linewidth=0.7, alpha=0.6)
        for number, evaluation in enumerate(group):
            training, colour = evaluation.training, proportion_colour(fraction)
            style = ("-", "--", "-.", ":")[number % 4]
            axis.plot(
                *_validations(evaluation), color=colour, linestyle=style,
                label=f"seed {evaluation.seed}",
            )  # fmt: skip
            best = training["best_samples"], training["best_validation_auc"]
            axis.scatter(*best, s=45, facecolors="none", edgecolors=colour, zorder=3)
        axis.set_title(group[0].regime)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.locator_params(axis="x", nbins=4)
        if len(evaluations) > len(regimes):
            axis.legend(loc="lower right")
    axes[0].set_ylabel("validation AUC")
    return figure


def _roc_frame(axis: Axes, title: str) -> None:
    axis.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle="--")
    axis.set_title(title)
    axis.set_aspect("equal")


def _roc_curve(axis: Axes, group: Sequence[ScoredTest], kind: str, band: bool) -> None:
    """The mean curve over the seeds of a regime; nothing where there are no such lesions."""
    first = group[0]
    chosen = np.ones(len(first.labels), bool)
    if kind != KINDS[0]:
        chosen = (first.labels == 0) | (first.lesion_types == kind)
    if not first.labels[chosen].any():
        return
    scores = np.stack([evaluation.logits[chosen] for evaluation in group])
    curve = roc_band(first.labels[chosen], scores, first.clients[chosen], rounds=500 if band else 1)
    colour = proportion_colour(first.fraction)
    axis.plot(curve.false, curve.true, color=colour, label=_label(group))
    if band:
        axis.fill_between(curve.false, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)


def _label(group: Sequence[ScoredTest]) -> str:
    auc = np.mean([evaluation.metrics["auc"]["overall"]["auc"] for evaluation in group])
    return f"{group[0].regime} ({auc:.3f})"


def _validations(evaluation: ScoredTest) -> tuple[list[int], list[float]]:
    rows = evaluation.training["validations"]
    return [row["samples"] for row in rows], [row["auc"] for row in rows]
