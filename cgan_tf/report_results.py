"""Report sections that hold results: ROC curves, effects, training curves."""

from collections.abc import Sequence

import numpy as np

from cgan_tf import report_curves, report_figures
from cgan_tf.report_content import Plot, Section, Table, section
from cgan_tf.report_data import ScoredTest, by_regime, read_table
from cgan_tf.report_numbers import signed


def curves(evaluations: Sequence[ScoredTest]) -> Section | None:
    patches, several = evaluations[0].metrics["patches"], len(by_regime(evaluations)) > 2
    data = (
        f"{patches['malignant']:,} malignant and {patches['normal']:,} normal real patches of "
        f"{evaluations[0].metrics['clients']:,} women"
    )
    bands = (
        "Bands: 95%, pointwise, from 500 bootstrap rounds that draw whole women, with the curves "
        "averaged vertically (and over the seeds, where there are several)."
    )
    caption = f"ROC curves on {data}; the AUC in brackets. " + ("" if several else bands)
    parts = [Plot("roc", report_curves.roc_figure(evaluations), caption.strip())]
    if several:
        figure = report_curves.roc_panels(evaluations)
        parts.append(Plot("roc_against_baseline", figure, f"Each regime on {data}. {bands}"))
    return section("ROC curves", *parts)


def effect(baseline: ScoredTest) -> Section | None:
    effects = baseline.metrics["synthetic"]
    if not effects:
        return None
    scores = read_table(baseline.directory / "synthetic_scores.csv")
    shifts, rows = {}, []
    for effect in effects.values():
        members = [
            r for r in scores if (r["task"], r["split"]) == (effect["task"], effect["split"])
        ]
        name = f"{effect['task']} ({effect['split']})"
        shifts[name] = (
            np.array([float(row["source_logit"]) for row in members]),
            np.array([float(row["logit"]) for row in members]),
        )
        rows.append(
            (
                name,
                f"{effect['patches']:,}",
                signed(effect["mean_logit_before"]),
                signed(effect["mean_logit_after"]),
                signed(effect["mean_change"]),
                f"{effect['as_intended']:.0%}",
            )
        )
    headings = ("Set", "Patches", "Mean logit before", "After", "Change", "Moved as intended")
    return section(
        "What the baseline classifier makes of it",
        Table("effect", headings, rows),
        Plot(
            "effect",
            report_figures.shift_figure(shifts),
            "Logits of the source patches and of the synthetic ones under the baseline, which has "
            "seen no synthetic patch; vertical lines are means. Removal should lower the logit, "
            "synthesis raise it. Sets of the training split start from patches that the baseline "
            "was trained on.",
        ),
    )


def training(
    evaluations: Sequence[ScoredTest], curves: dict[str, dict[str, np.ndarray]]
) -> Section | None:
    """Validation AUCs and schedules of the classifiers; losses of the GANs."""
    parts = [
        Plot(
            "validation",
            report_curves.validation_figure(evaluations),
            "Exact AUC of each classifier on the validation split: a panel a proportion, a line a "
            "seed, a ring on the weights that were kept; the other proportions' runs in grey.",
        ),
        Plot(
            "schedules",
            report_curves.schedule_figure(evaluations),
            "Share of synthetic samples over a training run, for the six initial proportions of "
            "the paper's Table 1; the runs evaluated here are drawn strong. The legend has the "
            "synthetic samples that a run is expected to draw.",
        ),
    ]
    if curves:
        parts.append(
            Plot(
                "gan_losses",
                report_figures.loss_figure(curves),
                "GAN losses; the shaded band is the fade-in of the full resolution.",
            )
        )
    return section("Training", *parts)
