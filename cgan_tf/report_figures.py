"""The plots of the features and of the GANs: the t-SNE map, logits before and after, losses."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.report_style import GROUP_COLOURS, LINE_COLOURS, house_style, row_size


@house_style
def tsne_figure(points: np.ndarray, groups: np.ndarray) -> Figure:
    """The map [n, 2] with the paper's colours; `groups` names each point's group."""
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axis = figure.subplots()
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
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


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
def loss_figure(curves: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
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
