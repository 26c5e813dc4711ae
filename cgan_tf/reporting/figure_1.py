"""Report sections on synthetic patches: Figure 1, pairs before and after, and acceptance.

Figure 1 of the paper: "Each pair of images represents a real image (left) and the synthetic
counterpart (right). Each row represents a different synthesis task".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import attribution
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Sliders, Table, section_of
from cgan_tf.pages.patches import Pair, pair_comparison, pair_views
from cgan_tf.pages.style import NEUTRAL, PAGE_INCHES, house_style, without_background
from cgan_tf.reporting.inputs import ReportInputs, SyntheticSet, read_set

_GAP, _WIDE_GAP = 0.03, 0.16  # inches between the patches of a pair, and between pairs
_TITLE = 0.26  # inches above a row

Views = tuple[np.ndarray, np.ndarray]  # (before, after) float [size, size], shown from 0 to 1


@house_style
def pairs_figure(rows: Sequence[tuple[str, Sequence[Views]]]) -> Figure:
    """For each (title, pairs), a row of pairs under its title."""
    pairs = max(len(views) for _, views in rows)
    side = (PAGE_INCHES - (pairs - 1) * _WIDE_GAP - pairs * _GAP) / (2 * pairs)
    height = len(rows) * (side + _TITLE)
    figure = without_background(Figure(figsize=(PAGE_INCHES, height)))
    for row, (title, views) in enumerate(rows):
        top = height - row * (side + _TITLE)
        text: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "color": NEUTRAL}
        figure.text(0, (top - 0.2) / height, title, **text)
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
SHOWCASE = "The generators on real mammograms"
HOW_TO_COMPARE = (
    "Drag the divider in a picture, or move it with the arrow keys: the original is on its left, "
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
        "Figure 1. Each pair: the original patch (left) and its synthetic counterpart (right), on "
        "one grey scale. Each row is a set. Pairs are drawn at random from the accepted patches."
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
    pairs = [(_on_films(each), inputs.pairs_of(each, patches)) for each in sets]
    caption = (
        "The same generators on patches of real mammograms, which are no part of the numbers on "
        "this page. They were not trained on these, and the diagnoses are not used, so where "
        "lesions lie is unknown. "
        + attribution(pair.source.sop_uid for _, members in pairs for pair in members)
    )
    return section_of(
        SHOWCASE,
        html.Paragraph(caption.strip(), "lead"),
        *_galleries(pairs, "showcase"),
    )


def _on_films(synthetic: SyntheticSet) -> str:
    """A title that claims no lesion where none is known."""
    if synthetic.task == "removal":
        return "Removal applied to tissue without a known lesion"
    return synthetic.title


def _galleries(sets: Sequence[tuple[str, Sequence[Pair]]], name: str) -> list[Part]:
    parts: list[Part] = []
    for number, (title, pairs) in enumerate(sets, 1):
        comparisons = [
            pair_comparison(pair, f"{name}-{number}-{place}", f"{title}, pair {place}")
            for place, pair in enumerate(pairs, 1)
        ]
        parts += [html.Heading(title), Sliders(comparisons)]
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
