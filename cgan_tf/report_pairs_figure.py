"""Figure 1: "Each pair of images represents a real image (left) and the synthetic counterpart
(right). Each row represents a different synthesis task"."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.report_style import PAGE_INCHES, house_style

_GAP, _WIDE_GAP = 0.03, 0.16  # inches between the patches of a pair, and between pairs
_TITLE = 0.26  # inches above a row

Views = tuple[np.ndarray, np.ndarray]  # (before, after) float [size, size], shown from 0 to 1


@house_style
def pairs_figure(rows: Sequence[tuple[str, Sequence[Views]]]) -> Figure:
    """A row of pairs under its title for each set."""
    pairs = max(len(views) for _, views in rows)
    side = (PAGE_INCHES - (pairs - 1) * _WIDE_GAP - pairs * _GAP) / (2 * pairs)
    height = len(rows) * (side + _TITLE)
    figure = Figure(figsize=(PAGE_INCHES, height))
    for row, (title, views) in enumerate(rows):
        top = height - row * (side + _TITLE)
        figure.text(0, (top - 0.2) / height, title, fontsize=9, fontweight="bold")
        for number, view in enumerate(view for pair in views for view in pair):
            pair, place = divmod(number, 2)
            left = pair * (2 * side + _GAP + _WIDE_GAP) + place * (side + _GAP)
            bottom = top - _TITLE - side
            axes = figure.add_axes(
                (left / PAGE_INCHES, bottom / height, side / PAGE_INCHES, side / height)
            )
            axes.imshow(view, cmap="gray", vmin=0, vmax=1, interpolation="lanczos")
            axes.set_axis_off()
    return figure
