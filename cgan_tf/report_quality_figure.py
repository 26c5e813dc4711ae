"""The report's plot of lesions and their noise, synthetic beside real."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.noise_power import BANDS
from cgan_tf.report_style import LINE_COLOURS, PAGE_INCHES, house_style

SIDES = {"synthetic": LINE_COLOURS[1], "real": LINE_COLOURS[0]}
# Kind, column, what the axis says, factor.
PANELS = (
    ("lesions", "contrast", "contrast, grey levels", 1),
    ("lesions", "area", "area, % of the patch", 100),
    ("lesions", "components", "parts", 1),
    ("appearance", "saturation", "saturated, % of the box", 100),
)


@house_style
def quality_figure(sets: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row a set: quantiles of the lesions' figures, then the noise inside over that beside."""
    figure = Figure(figsize=(PAGE_INCHES, 0.6 + 1.25 * len(sets)), layout="constrained")
    rows = figure.subplots(len(sets), len(PANELS) + 1, sharex="col", squeeze=False)
    for axes, (name, found) in zip(rows, sets.items(), strict=True):
        axes[0].set_ylabel(name)
        for axis, (kind, column, _, factor) in zip(axes, PANELS, strict=False):
            _quantiles(axis, found[kind][column], factor)
        _noise(axes[-1], found["appearance"])
    for axis, (*_, label, _) in zip(rows[-1], PANELS, strict=False):
        axis.set_xlabel(label)
    rows[-1, -1].set_xlabel("cycles per pixel")
    rows[0, -1].set_title("noise inside / beside")
    for number, (side, colour) in enumerate(SIDES.items()):
        rows[0, number].set_title(side, color=colour, fontweight="bold")
    return figure


def _quantiles(axis: Axes, values: Mapping[str, Any], factor: float) -> None:
    """A thin line from 5% to 95%, a thick one over the middle half, a point at the median."""
    for place, (side, colour) in enumerate(SIDES.items()):
        if values[side] is None:
            continue
        low, quarter, middle, three_quarters, high = (factor * value for value in values[side])
        axis.plot([low, high], [place, place], color=colour, linewidth=1)
        axis.plot([quarter, three_quarters], [place, place], color=colour, linewidth=5, alpha=0.5)
        axis.plot(middle, place, "o", color=colour, markersize=4)
    axis.set(ylim=(1.6, -0.6), yticks=[])
    axis.set_xlim(left=0)


def _noise(axis: Axes, columns: Mapping[str, Any]) -> None:
    """Medians and the middle halves by band; 1 is as beside."""
    axis.axhline(1, color="#bbbbbb", linewidth=0.8)
    places = [(number + 0.5) / (2 * len(BANDS)) for number in range(len(BANDS))]
    for side, colour in SIDES.items():
        quantiles = [columns[f"noise_{number}"][side] for number in range(len(BANDS))]
        if None in quantiles:
            continue
        low, middle, high = ([2 ** value[i] for value in quantiles] for i in (1, 2, 3))
        axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.plot(places, middle, "o-", color=colour, markersize=3)
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axis.set(xlim=(0, 0.5), xticks=[0, 0.25, 0.5])
