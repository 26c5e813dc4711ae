"""The plots of the report, each a PNG as bytes."""

import io
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from cgan_tf.report_data import ScoredTest
from cgan_tf.statistics import roc_curve

# Figure 4 of the paper: "red points represent real normal examples, the orange points real
# malignant calcifications, the green points real malignant masses, the blue-green points synthetic
# malignant masses, and the blue points synthetic malignant calcifications".
GROUP_COLOURS = {
    "real normal": "#d62728",
    "real calcification": "#ff8c1a",
    "real mass": "#2ca02c",
    "synthetic mass": "#1aa6a6",
    "synthetic calcification": "#1f4fd6",
}
LINE_COLOURS = ("#3d3d3d", "#b5452c", "#2f6f9f", "#5c8a3a", "#8a5a9e", "#b08a2e")
STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.labelcolor": "#222222",
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}


def roc_figure(evaluations: Sequence[ScoredTest]) -> bytes:
    """ROC curves: all lesions, masses, calcifications."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), sharey=True, layout="constrained")
        for axis, kind in zip(axes, ("all lesions", "mass", "calcification"), strict=True):
            axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, linestyle="--")
            for number, evaluation in enumerate(evaluations):
                chosen = (evaluation.labels == 0) | (evaluation.lesion_types == kind)
                if kind == "all lesions":
                    chosen = np.ones(len(evaluation.labels), bool)
                if not evaluation.labels[chosen].any():
                    continue
                false, true = roc_curve(evaluation.labels[chosen], evaluation.logits[chosen])
                axis.plot(false, true, color=_colour(number), label=_label(evaluation))
            axis.set_title(kind, fontsize=9)
            axis.set_xlabel("1 − specificity")
            axis.set_aspect("equal")
        axes[0].set_ylabel("sensitivity")
        axes[0].legend(loc="lower right", fontsize=8)
        return _png(figure)


def tsne_figure(points: np.ndarray, groups: np.ndarray) -> bytes:
    """The map [n, 2] with the paper's colours; `groups` names each point's group."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 5.4), layout="constrained")
        order = np.random.default_rng(0).permutation(len(points))  # no group hides another
        colours = np.array([GROUP_COLOURS[group] for group in groups])
        size = float(np.clip(6000 / max(1, len(points)), 4, 24))
        axis.scatter(*points[order].T, c=colours[order], s=size, linewidths=0, alpha=0.75)
        for group, colour in GROUP_COLOURS.items():
            count = int((groups == group).sum())
            if count:
                axis.scatter([], [], c=colour, s=28, label=f"{group} ({count:,})")
        axis.set(xticks=[], yticks=[])
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        return _png(figure)


def training_figure(evaluations: Sequence[ScoredTest]) -> bytes:
    """Validation AUC and synthetic share over the samples of each classifier."""
    from cgan_tf.mixing import Schedule

    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
        for number, evaluation in enumerate(evaluations):
            training, colour = evaluation.training, _colour(number)
            seen = [row["samples"] for row in training["validations"]]
            aucs = [row["auc"] for row in training["validations"]]
            left.plot(seen, aucs, color=colour, marker="o", markersize=3, label=_label(evaluation))
            best = training["best_samples"], training["best_validation_auc"]
            left.scatter(*best, s=60, facecolors="none", edgecolors=colour, zorder=3)
            flags = training["flags"]
            schedule = Schedule(
                flags["synthetic_fraction"],
                flags["decay"],
                flags["decay_rate"],
                flags["decay_every"],
            )
            samples = np.linspace(0, max(0, flags["samples"] - 1), 600).astype(int)
            right.plot(samples, 100 * schedule.share(samples), color=colour)
        left.set(xlabel="training samples", ylabel="validation AUC")
        left.legend(fontsize=8)
        right.set(xlabel="training samples", ylabel="synthetic samples, %")
        right.set_ylim(bottom=-1)
        return _png(figure)


def shift_figure(shifts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Logits before and after, one panel per set: distributions with their means."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(shifts), figsize=_row_size(len(shifts)), layout="constrained", squeeze=False
        )
        for axis, (name, (before, after)) in zip(axes[0], shifts.items(), strict=True):
            edges = np.histogram_bin_edges(np.concatenate([before, after]), bins=24)
            for values, colour, label in (
                (before, "#8c8c8c", "before"),
                (after, "#b5452c", "after"),
            ):
                axis.hist(values, edges, color=colour, alpha=0.5, label=label)
                axis.axvline(values.mean(), color=colour, linewidth=1.6)
            axis.set_title(name, fontsize=9)
            axis.set_xlabel("logit")
        axes[0][0].set_ylabel("patches")
        axes[0][0].legend(fontsize=8)
        return _png(figure)


def loss_figure(curves: Mapping[str, Mapping[str, np.ndarray]]) -> bytes:
    """Losses of the GANs, one panel each; a shaded band is the fade-in of the full resolution."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(curves), figsize=_row_size(len(curves)), layout="constrained", squeeze=False
        )
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
            axis.set_title(name, fontsize=9)
            axis.set_xlabel("iteration")
        axes[0][0].set_ylabel("loss")
        axes[0][0].legend(fontsize=8)
        return _png(figure)


def _row_size(panels: int) -> tuple[float, float]:
    """Inches of a row of panels: at most the width of the page, so that text keeps its size."""
    return min(9.0, 3.0 * panels), 2.7


def _label(evaluation: ScoredTest) -> str:
    return f"{evaluation.name} ({evaluation.metrics['auc']['overall']['auc']:.3f})"


def _colour(number: int) -> str:
    return LINE_COLOURS[number % len(LINE_COLOURS)]


def _png(figure) -> bytes:  # type: ignore[no-untyped-def]
    buffer = io.BytesIO()
    # No creation date and no version: the same data give the same bytes.
    figure.savefig(buffer, dpi=170, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
