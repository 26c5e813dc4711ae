"""Diversity as a table, as a plot and as sheets of patches."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from cgan_tf.display import mosaic, patch_levels
from cgan_tf.lesion_figures import LesionFigures
from cgan_tf.report_style import LINE_COLOURS, PAGE_INCHES, house_style

SHEET_COLUMNS = 8
UNDEFINED = "–"


def diversity_table(task: str, spreads: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown; `spreads` are those of lesion_figures.spread_of, by what was measured."""
    lines = [
        f"Diversity of the {task} generator's lesions",
        "",
        "| | lesions | position: spread | area: mean ± spread | contrast: mean ± spread |",
        "|---|---|---|---|---|",
    ]
    for name, spread in spreads.items():
        found = f"{spread['measured']} of {spread['measured'] + spread['without']}"
        cells = [UNDEFINED] * 3
        if spread["position"] is not None:
            cells = [
                f"{spread['position']:.1%}",
                f"{spread['area']:.1%} ± {spread['area_spread']:.1%}",
                f"{spread['contrast']:.2f} ± {spread['contrast_spread']:.2f}",
            ]
        lines.append(f"| {' | '.join([name, found, *cells])} |")
    lines += [
        "",
        "Position: root mean square distance of the centres from their mean, of the patch's side.",
        "Area: of the patch. Contrast: grey levels above the background, of a range of 2.",
        "Spreads are standard deviations.",
    ]
    return "\n".join(lines) + "\n"


@house_style
def scatter_figure(sets: Mapping[str, Sequence[LesionFigures | None]]) -> Figure:
    """Above, where the lesions are in their patches; below, area and contrast of each."""
    figure = Figure(figsize=(PAGE_INCHES, 2.5 * 2), layout="constrained")
    above = figure.subplots(2, len(sets), sharex="row", sharey="row")
    for number, (name, lesions) in enumerate(sets.items()):
        found = [lesion for lesion in lesions if lesion is not None]
        style = {"s": 9, "color": LINE_COLOURS[number], "alpha": 0.6, "linewidths": 0}
        place, looks = above[:, number]
        place.scatter([f.x for f in found], [f.y for f in found], **style)
        place.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", title=name)
        place.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        looks.scatter([100 * f.area for f in found], [f.contrast for f in found], **style)
        looks.set_xlabel("area, % of the patch")
    above[0, 0].set_ylabel("centre in the patch")
    above[1, 0].set_ylabel("contrast, grey levels")
    return figure


def sheet(patches: np.ndarray) -> bytes:
    """Patches [n, s, s] in [-1, 1] in rows of eight, as a grey PNG."""
    framed = np.pad(patch_levels(patches), ((0, 0), (1, 1), (1, 1)))
    picture = mosaic(framed, SHEET_COLUMNS)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
