"""Report sections on synthetic patches: Figure 1, pairs before and after, and acceptance.

Figure 1 of the paper: "Each pair of images represents a real image (left) and the synthetic
counterpart (right). Each row represents a different synthesis task".
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Sliders, Table, section_of
from cgan_tf.pages.patches import Pair, pair_comparison, pair_views
from cgan_tf.pages.style import PAGE_INCHES, house_style
from cgan_tf.reporting.inputs import ReportInputs, read_set

_GAP, _WIDE_GAP = 0.03, 0.16  # inches between the patches of a pair, and between pairs
_TITLE = 0.26  # inches above a row

Views = tuple[np.ndarray, np.ndarray]  # (before, after) float [size, size], shown from 0 to 1


@house_style
def pairs_figure(rows: Sequence[tuple[str, Sequence[Views]]]) -> Figure:
    """For each (title, pairs), a row of pairs under its title."""
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


PAIRS_OF_A_ROW = 4  # in Figure 1
HOW_TO_COMPARE = (
    "Drag the edge in a picture, or move it with the arrow keys: the real patch is on its left, "
    "the synthetic one on its right. The pairs of Figure 1 come first. The lesion channel shows "
    "only what was added, scaled to its own range, with zero at mid-grey."
)


def section(inputs: ReportInputs) -> Section | None:
    """Figure 1, a row for every synthetic set; None without any."""
    if not inputs.examples:
        return None
    rows = [
        (title, [pair_views(pair) for pair in pairs[:PAIRS_OF_A_ROW]])
        for title, pairs in inputs.examples
    ]
    caption = (
        "Figure 1. Each pair: the real patch (left) and its synthetic counterpart (right), on one "
        "grey scale. Each row is a set. Pairs are drawn at random from the accepted patches."
    )
    return section_of(
        "Figure 1. Synthesised and removed lesions", Plot("figure_1", pairs_figure(rows), caption)
    )


def before_and_after(inputs: ReportInputs) -> Section | None:
    """The pairs of Figure 1, and more, each with an edge to move; None without a set."""
    if not inputs.examples:
        return None
    return section_of(
        "Before and after",
        html.Paragraph(HOW_TO_COMPARE, "lead"),
        *_galleries(inputs.examples, "set"),
    )


def showcase(inputs: ReportInputs) -> Section | None:
    """The generators on patches of real mammograms, before and after; None without such sets."""
    config = inputs.config
    if not config.showcase_dirs:
        return None
    patches = PatchSet(config.showcase_patches_dir)
    sets = [read_set(directory) for directory in config.showcase_dirs]
    caption = (
        "The same generators on patches of real mammograms. They were not trained on these, and "
        "the diagnoses are not used."
    )
    return section_of(
        "The generators on real mammograms",
        html.Paragraph(caption, "lead"),
        *_galleries([(each.title, inputs.pairs_of(each, patches)) for each in sets], "showcase"),
    )


def _galleries(sets: Sequence[tuple[str, Sequence[Pair]]], name: str) -> list[Part]:
    parts: list[Part] = []
    for number, (title, pairs) in enumerate(sets, 1):
        keys = (f"{name}-{number}-{place}" for place in range(1, len(pairs) + 1))
        parts.append(html.Heading(title))
        parts.append(Sliders([pair_comparison(*each) for each in zip(pairs, keys, strict=True)]))
    return parts


def acceptance(inputs: ReportInputs) -> Section | None:
    """How many candidates of every set the post-processing accepted; None without a set."""
    if not inputs.sets:
        return None
    rows = [
        (
            each.task,
            ", ".join(each.splits),
            f"{each.candidates:,}",
            f"{each.accepted:,}",
            f"{each.acceptance_rate:.1%}",
            f"{each.rejected.get('too_small', 0):,}",
            f"{each.rejected.get('too_large', 0):,}",
            f"{each.rejected.get('empty', 0):,}",
            f"{each.min_area_fraction:.1%}",
        )
        for each in inputs.sets
    ]
    headings = (
        "Task", "Split", "Candidates", "Accepted", "Rate", "Too small", "Too large", "Empty",
        "Min. area",
    )  # fmt: skip
    return section_of(
        "Acceptance by the post-processing",
        Table("acceptance", headings, rows),
        html.Paragraph(
            "A candidate is rejected when the largest object above the threshold in its lesion "
            "channel covers less than the minimum area, a share of the patch. The paper discards "
            "objects under 10%.",
            "note",
        ),
    )
