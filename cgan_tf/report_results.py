"""Report sections that hold results: Table 1, ROC curves, the map, effects, training curves."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cgan_tf import report_curves, report_figures, report_html
from cgan_tf.report_content import Plot, Section, Table, section
from cgan_tf.report_data import ScoredTest, by_regime, read_table
from cgan_tf.report_table import (
    PAPER_NOTES,
    TableRow,
    format_p,
    format_probability,
)


def table_1(rows: Sequence[TableRow]) -> Section | None:
    headings = (
        "Training regime", "AUC (95% interval)", "Paper's AUC", "Difference (95% interval)",
        "p, DeLong", "Paper's p", "Holm", "p, by patient", "Holm",
    )  # fmt: skip
    return section(
        "Table 1. Classification of real test patches",
        Table("table_1", headings, [_table_1_cells(row) for row in rows]),
        _by_lesion(rows),
        report_html.notes(
            [
                *PAPER_NOTES,
                "Intervals of the AUC and of the difference are by patient. Benign patches are in "
                "no test set. Our figures and the paper's can be compared only where the data are "
                "the paper's.",
            ]
        ),
    )


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


def _table_1_cells(row: TableRow) -> list[str]:
    name, auc = row.evaluation.name, row.evaluation.metrics["auc"]["overall"]
    paper = "–" if row.paper_auc is None else f"{row.paper_auc:.3f}"
    first = [name, auc_and_interval(auc), paper]
    if row.plain is None or row.by_patient is None:
        return [*first, *"–" * 6]
    low, high = row.by_patient.low, row.by_patient.high
    reach = "undefined" if math.isnan(low) else f"{signed(low, 3)} to {signed(high, 3)}"
    return [
        *first,
        f"{signed(row.by_patient.difference, 3)} ({reach})",
        format_p(row.plain),
        row.paper_p or "–",
        format_probability(row.plain_holm),
        format_p(row.by_patient),
        format_probability(row.by_patient_holm),
    ]


def _by_lesion(rows: Sequence[TableRow]) -> Table:
    cells = []
    for row in rows:
        metrics = row.evaluation.metrics
        sensitivity = metrics["sensitivity"]
        cells.append(
            (
                row.evaluation.name,
                auc_and_interval(metrics["auc"]["mass"]),
                auc_and_interval(metrics["auc"]["calcification"]),
                "undefined" if sensitivity is None else f"{sensitivity:.1%}",
            )
        )
    headings = (
        "Training regime", "Masses: AUC (95% interval)", "Calcifications: AUC (95% interval)",
        "Sensitivity at 90% specificity",
    )  # fmt: skip
    return Table("table_1_by_lesion", headings, cells)


def auc_and_interval(auc: dict[str, Any]) -> str:
    if auc["auc"] is None:
        return auc["note"]
    low, high = auc["low_by_patient"], auc["high_by_patient"]
    interval = "interval undefined" if low is None else f"{low:.3f}–{high:.3f}"
    return f"{auc['auc']:.3f} ({interval})"


def signed(value: float, digits: int = 2) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")
