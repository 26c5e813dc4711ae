"""Report sections on ROC curves, on the effect of synthesis and on training, with their plots.

`plot_curves` draws the curves of several GAN runs over one another.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.classifier.results import ScoredTest, by_arm, read_table
from cgan_tf.classifier.sampling import Schedule
from cgan_tf.config import CurvesConfig
from cgan_tf.pages.html import Plot, Section, Table, section_of
from cgan_tf.pages.style import (
    FAINT,
    LINE_COLOURS,
    PAGE_INCHES,
    arm_colour,
    house_style,
    panels,
    png,
    proportion_colour,
    row_size,
    signed,
)
from cgan_tf.reporting.inputs import Columns, ReportInputs, read_curves
from cgan_tf.runs.directory import read_json, write_bytes
from cgan_tf.runs.errors import UserError, check_output
from cgan_tf.statistics.bands import roc_band

# The paper's runs: Table 1 has these six initial proportions.
PAPER_PROPORTIONS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
KINDS = ("all lesions", "mass", "calcification")


@house_style
def roc_figure(evaluations: Sequence[ScoredTest]) -> Figure:
    """All lesions, masses, calcifications: one curve per regime, with bands for up to two."""
    figure = Figure(figsize=(PAGE_INCHES, 3.3), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    regimes = by_arm(evaluations)
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
    baseline, *others = by_arm(evaluations).values()
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
    """The paper's six schedules, dashed; those of the runs evaluated, solid."""
    decaying = [each for each in evaluations if each.arm.decayed] or evaluations
    flags = decaying[0].training["flags"]
    trained = {each.arm.share for each in evaluations if each.arm.decayed or each.arm.is_baseline}
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
    """One panel per proportion, one line per seed; the other proportions' runs in grey."""
    regimes = by_arm(evaluations)
    figure, axes = panels(len(regimes), "training samples", height=2.5)
    for axis, (arm, group) in zip(axes, regimes.items(), strict=False):
        for other in evaluations:
            if other.arm != arm:
                axis.plot(*_validations(other), color=FAINT, linewidth=0.7, alpha=0.6)
        for number, evaluation in enumerate(group):
            training, colour = evaluation.training, arm_colour(arm)
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
    curve = roc_band(
        first.labels[chosen], scores, first.patients[chosen], rounds=500 if band else 1
    )
    colour = arm_colour(first.arm)
    axis.plot(curve.false, curve.true, color=colour, label=_label(group))
    if band:
        axis.fill_between(curve.false, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)


def _label(group: Sequence[ScoredTest]) -> str:
    auc = np.mean([evaluation.metrics.auc["overall"].auc for evaluation in group])
    return f"{group[0].regime} ({auc:.3f})"


def _validations(evaluation: ScoredTest) -> tuple[list[int], list[float]]:
    rows = evaluation.training["validations"]
    return [row["samples"] for row in rows], [row["auc"] for row in rows]


@house_style
def shift_figure(shifts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Logits before and after, one panel per set: distributions with their means."""
    figure = Figure(figsize=row_size(len(shifts)), layout="constrained")
    axes = figure.subplots(1, len(shifts), squeeze=False)
    for axis, (name, (before, after)) in zip(axes[0], shifts.items(), strict=True):
        edges = np.histogram_bin_edges(np.concatenate([before, after]), bins=24)
        for values, colour, label in (
            (before, "#8c8c8c", "before"),
            (after, "#b5452c", "after"),
        ):
            axis.hist(values, edges, color=colour, alpha=0.5, label=label)
            axis.axvline(values.mean(), color=colour, linewidth=1.6)
        axis.set_title(name)
        axis.set_xlabel("logit")
    axes[0][0].set_ylabel("patches")
    axes[0][0].legend()
    return figure


@house_style
def loss_figure(curves: Mapping[str, Columns]) -> Figure:
    """Losses of the GANs, one panel each; a shaded band is the fade-in of the full resolution."""
    figure = Figure(figsize=row_size(len(curves)), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)
    for axis, (name, columns) in zip(axes[0], curves.items(), strict=True):
        steps = columns["step"]
        for number, (column, label) in enumerate(
            (("loss_d", "discriminator"), ("loss_g", "generator"))
        ):
            if column in columns:
                axis.plot(steps, columns[column], color=LINE_COLOURS[number + 1], label=label)
        fading = np.char.startswith(columns.get("phase", np.full(len(steps), "")), "fade")
        if fading.any():
            axis.axvspan(steps[fading][0], steps[fading][-1], color="#e9e4d8", linewidth=0)
        axis.set_title(name)
        axis.set_xlabel("iteration")
    axes[0][0].set_ylabel("loss")
    axes[0][0].legend()
    return figure


def roc(inputs: ReportInputs) -> Section | None:
    """ROC curves; with more than two regimes, each against the baseline too."""
    evaluations = inputs.evaluations
    patches, several = evaluations[0].metrics.patches, len(by_arm(evaluations)) > 2
    data = (
        f"{patches.malignant:,} malignant and {patches.normal:,} normal {inputs.original} patches "
        f"of {evaluations[0].metrics.patients:,} women"
    )
    bands = (
        "Bands are pointwise 95% intervals from 500 bootstrap rounds that draw whole women; curves "
        "are averaged vertically (and over the seeds, where there are several)."
    )
    caption = f"ROC curves on {data}; the AUC is in brackets. " + ("" if several else bands)
    parts = [Plot("roc", roc_figure(evaluations), caption.strip())]
    if several:
        figure = roc_panels(evaluations)
        parts.append(Plot("roc_against_baseline", figure, f"Each regime on {data}. {bands}"))
    return section_of("ROC curves", *parts)


def effect(inputs: ReportInputs) -> Section | None:
    """Logits of source and synthetic patches under the baseline; None without synthetic ones."""
    baseline = inputs.baseline
    effects = baseline.metrics.synthetic
    if not effects:
        return None
    scores = read_table(baseline.directory / "synthetic_scores.csv")
    shifts, rows = {}, []
    for effect in effects.values():
        members = [r for r in scores if (r["task"], r["split"]) == (effect.task, effect.split)]
        name = f"{effect.task} ({effect.split})"
        shifts[name] = (
            np.array([float(row["source_logit"]) for row in members]),
            np.array([float(row["logit"]) for row in members]),
        )
        rows.append(
            (
                name,
                f"{effect.patches:,}",
                signed(effect.mean_logit_before),
                signed(effect.mean_logit_after),
                signed(effect.mean_change),
                f"{effect.as_intended:.0%}",
            )
        )
    headings = ("Set", "Patches", "Mean logit before", "After", "Change", "On the right side of 0")
    return section_of(
        "How the baseline classifier responds",
        Table("effect", headings, rows),
        Plot(
            "effect",
            shift_figure(shifts),
            "Logits of the source patches and of the synthetic ones under the baseline, which has "
            "seen no synthetic patch. Vertical lines are means. Removal should lower the logit, "
            "synthesis should raise it. Sets of the training split are made from patches that the "
            "baseline was trained on.",
        ),
    )


def _still_rising(evaluations: Sequence[ScoredTest]) -> str:
    """Which runs were best at their end: longer ones may be better."""
    names = [
        each.name
        for each in evaluations
        if each.training["validations"]
        and each.training["best_samples"] == each.training["validations"][-1]["samples"]
    ]
    if not names:
        return ""
    return f"Best at the last validation, so longer training may help: {', '.join(names)}."


def training(inputs: ReportInputs) -> Section | None:
    """Validation AUCs and schedules of the classifiers; losses of the GANs."""
    evaluations, losses = inputs.evaluations, inputs.losses
    parts = [
        Plot(
            "validation",
            validation_figure(evaluations),
            "Exact AUC of each classifier on the validation split, with one panel per proportion "
            "and one line per seed. A ring marks the weights that were kept; runs of the other "
            "proportions are grey. " + _still_rising(evaluations),
        ),
        Plot(
            "schedules",
            schedule_figure(evaluations),
            "Share of synthetic samples over a training run, for the six initial proportions of "
            "the paper's Table 1; solid lines are the runs evaluated here. The legend gives the "
            "number of synthetic samples that a run is expected to draw.",
        ),
    ]
    if losses:
        parts.append(
            Plot(
                "gan_losses",
                loss_figure(losses),
                "GAN losses; the shaded band is the fade-in of the full resolution.",
            )
        )
    return section_of("Training", *parts)


PLACES = ("output_dir", "workdir", "patches_dir")  # flags that say where a run is, not what it does


def plot_curves(config: CurvesConfig) -> None:
    """Writes --output from the metrics.csv of --gan_dirs, finished or not."""
    check_output(config.output, ".png")
    curves = [chosen_curves(Path(run), config.columns) for run in config.gan_dirs]
    flags = [read_json(Path(run) / "run.json").get("flags", {}) for run in config.gan_dirs]
    figure = curves_figure(dict(zip(run_names(config.gan_dirs, flags), curves, strict=True)))
    Path(config.output).parent.mkdir(parents=True, exist_ok=True)
    write_bytes(config.output, png(figure))


def chosen_curves(run: Path, columns: Sequence[str]) -> Columns:
    """`step` and `columns` of a run, float64 [rows] each.

    Raises `UserError` for a column that is missing or holds text.
    """
    curves = read_curves(run)
    for name in ("step", *columns):
        path = run / "metrics.csv"
        if name not in curves:
            raise UserError(
                f"{path}: expected column '{name}', found {', '.join(curves) or 'no row'}"
            )
        if curves[name].dtype != np.float64:
            raise UserError(f"{path}: expected numbers in column '{name}', found {curves[name][0]}")
    return {name: curves[name] for name in ("step", *columns)}


def run_names(runs: Sequence[str], flags: Sequence[Mapping[str, object]]) -> list[str]:
    """Names that tell runs apart: the flags in which they differ, or else their directories."""
    known = sorted({name for values in flags for name in values} - set(PLACES))
    differing = [name for name in known if len({str(values.get(name)) for values in flags}) > 1]
    names = [", ".join(f"{name}={values.get(name)}" for name in differing) for values in flags]
    return names if differing and len(set(names)) == len(names) else list(runs)


@house_style
def curves_figure(curves: Mapping[str, Columns]) -> Figure:
    """One panel per column, one line per run."""
    columns = [name for name in next(iter(curves.values())) if name != "step"]
    figure = Figure(figsize=row_size(len(columns)), layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, name in zip(axes, columns, strict=True):
        for number, (run, values) in enumerate(curves.items()):
            colour = LINE_COLOURS[number % len(LINE_COLOURS)]
            axis.plot(values["step"], values[name], color=colour, linewidth=1.1, label=run)
        axis.set(title=name, xlabel="iteration")
    axes[0].legend()
    return figure
