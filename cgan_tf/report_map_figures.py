"""Plots of patches in feature space: the maps of Figures 4 and 5, the patches of Figure 6."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cgan_tf.records import PatchRecord
from cgan_tf.report_style import GROUP_COLOURS, PAGE_INCHES, house_style

HIGHLIGHT = "#0b1f66"  # "five misclassified malignant examples (in dark blue)"


@house_style
def tsne_figure(points: np.ndarray, groups: np.ndarray) -> Figure:
    """The map [n, 2] with the paper's colours; `groups` names each point's group."""
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axis = figure.subplots()
    _map(axis, points, groups)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@house_style
def moves_figure(
    maps: Sequence[tuple[str, np.ndarray]], groups: np.ndarray, members: np.ndarray
) -> Figure:
    """The same patches in two maps, side by side, with the numbered `members` on top."""
    figure = Figure(figsize=(PAGE_INCHES, 4.7), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (title, points) in zip(axes, maps, strict=True):
        _map(axis, points, groups, alpha=0.35)
        axis.scatter(*points[members].T, c=HIGHLIGHT, s=46, zorder=4, edgecolors="white")
        for number, point in enumerate(points[members], 1):
            axis.annotate(
                str(number), point, xytext=(5, 4), textcoords="offset points", zorder=5,
                color=HIGHLIGHT, weight="bold",
            )  # fmt: skip
        axis.set_title(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@house_style
def patches_figure(records: Sequence[PatchRecord], scores: np.ndarray) -> Figure:
    """Patches in a row, each with its scores before and after [n, 2] and its lesion's box."""
    figure = Figure(figsize=(1.8 * len(records), 2.2), layout="constrained")
    axes = figure.subplots(1, len(records), squeeze=False)[0]
    for number, (axis, record, (before, after)) in enumerate(
        zip(axes, records, scores, strict=True), 1
    ):
        low, high = np.quantile(record.patch, [0.002, 0.998])
        axis.imshow(record.patch, cmap="gray", vmin=low, vmax=max(high, low + 0.05))
        if record.box:
            x0, y0, x1, y1 = record.box
            outline = {"fill": False, "edgecolor": "#ffb000", "linewidth": 0.8, "linestyle": ":"}
            axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, **outline))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{number}: {before:.2f} → {after:.2f}")
    return figure


def _map(axis: Axes, points: np.ndarray, groups: np.ndarray, alpha: float = 0.75) -> None:
    order = np.random.default_rng(0).permutation(len(points))  # no group hides another
    colours = np.array([GROUP_COLOURS[group] for group in groups])
    size = float(np.clip(6000 / max(1, len(points)), 4, 24))
    axis.scatter(*points[order].T, c=colours[order], s=size, linewidths=0, alpha=alpha)
    for group, colour in GROUP_COLOURS.items():
        count = int((groups == group).sum())
        if count:
            axis.scatter([], [], c=colour, s=28, label=f"{group} ({count:,})")
    axis.set(xticks=[], yticks=[])
    axis.spines[["left", "bottom"]].set_visible(False)
