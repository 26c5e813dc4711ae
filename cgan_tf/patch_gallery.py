"""A page to look at a synthetic set: each patch over its source, before and after."""

from collections.abc import Sequence

from cgan_tf import report_html
from cgan_tf.report_content import Section, Sliders
from cgan_tf.report_pictures import Pair, pair_comparison

HOW_TO_LOOK = (
    "Pull the edge in a picture, or move it with the arrow keys: left of it is the source patch, "
    "right of it the synthetic one. The switches lay the lesion's box or the lesion channel over "
    "it; zero is mid-grey there. Drawn at random, not chosen."
)


def gallery_page(title: str, facts: str, pairs: Sequence[Pair]) -> bytes:
    """The page, whole in one file; the same pairs give the same bytes."""
    opening = "\n".join(
        [
            f"<header><h1>{report_html.escape(title)}</h1>",
            report_html.paragraph(facts, "lead"),
            report_html.paragraph(HOW_TO_LOOK, "lead"),
            "</header>",
        ]
    )
    comparisons = [pair_comparison(pair, f"pair-{n}") for n, pair in enumerate(pairs, 1)]
    return report_html.page(
        title, opening, [Section("Before and after", (Sliders(comparisons),))]
    ).encode()
