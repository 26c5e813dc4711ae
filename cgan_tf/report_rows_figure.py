"""Figure 3: "five 256x256px patches in a row is selected for augmentation [...] (above) [...] the
patches are then reinserted back into the mammogram (below)"."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.report_style import PAGE_INCHES, house_style

_GAP, _TITLE = 0.12, 0.3  # inches between the strips of a row, and above it

# (name, number of patches, before, after): strips uint8 [height, width] of one size.
Row = tuple[str, int, np.ndarray, np.ndarray]


@house_style
def rows_figure(rows: Sequence[Row]) -> Figure:
    """Each row as wide as the page, before above after, with ticks where patches meet."""
    heights = [PAGE_INCHES * before.shape[0] / before.shape[1] for _, _, before, _ in rows]
    total = sum(2 * height + _GAP + _TITLE for height in heights)
    figure = Figure(figsize=(PAGE_INCHES, total))
    top = total
    for (name, patches, *views), height in zip(rows, heights, strict=True):
        figure.text(0, (top - 0.2) / total, name, fontsize=9, fontweight="bold", parse_math=False)
        top -= _TITLE
        for view in views:
            axes = figure.add_axes((0, (top - height) / total, 1, height / total))
            axes.imshow(view, cmap="gray", vmin=0, vmax=255, aspect="auto")
            edges = np.arange(1, patches) * view.shape[1] / patches - 0.5
            axes.set(xticks=edges, xticklabels=[], yticks=[])
            axes.tick_params(top=True, direction="in", color="#ffb000", length=5)
            axes.spines[:].set_visible(False)
            top -= height + _GAP
    return figure
