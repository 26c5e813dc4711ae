"""The plots of effects and of the GANs: logits before and after, losses."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.report_style import LINE_COLOURS, house_style, row_size


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
