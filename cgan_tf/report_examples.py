"""Report sections that show patches: Figure 1, before and after, real mammograms, acceptance."""

from collections.abc import Sequence
from typing import Any

from cgan_tf import report_html
from cgan_tf.config import ReportConfig
from cgan_tf.patch_sets import PatchSet
from cgan_tf.report_content import Part, Plot, Section, Sliders, Table, section
from cgan_tf.report_pairs_figure import pairs_figure
from cgan_tf.report_pictures import Pair, example_pairs, pair_comparison, pair_views
from cgan_tf.run_directory import read_manifest

PAIRS_OF_A_ROW = 4  # in Figure 1
PAIRS_OF_A_SET = 6
BEFORE_AND_AFTER = "Before and after"
HOW_TO_COMPARE = (
    "Pull the edge in a picture, or move it with the arrow keys: left of it is the real patch, "
    "right of it the synthetic one. The pairs of Figure 1 come first. The lesion channel is what "
    "was added, alone: mid-grey is zero, scaled to its own range."
)
TASK_TITLES = {
    "mass": "Masses synthesised",
    "calcification": "Calcifications synthesised",
    "removal": "Lesions removed",
}


def examples(config: ReportConfig, patches: PatchSet) -> list[Section | None]:
    """Figure 1, a row a set, and its pairs and more before and after."""
    sets = [
        (_title(directory), example_pairs(directory, patches, PAIRS_OF_A_SET, config.seed))
        for directory in config.synthetic_dirs
    ]
    if not sets:
        return []
    rows = [(title, [pair_views(pair) for pair in pairs[:PAIRS_OF_A_ROW]]) for title, pairs in sets]
    caption = (
        "Figure 1. Each pair: the real patch (left) and its synthetic counterpart (right), on one "
        "grey scale. A row is a set. Drawn at random from the accepted patches, not chosen."
    )
    return [
        section(
            "Figure 1. Synthesised and removed lesions",
            Plot("figure_1", pairs_figure(rows), caption),
        ),
        section(BEFORE_AND_AFTER, report_html.paragraph(HOW_TO_COMPARE, "lead"), *_galleries(sets)),
    ]


def showcase(config: ReportConfig) -> Section | None:
    if not config.showcase_dirs:
        return None
    patches = PatchSet(config.showcase_patches_dir)
    sets = [
        (_title(directory), example_pairs(directory, patches, PAIRS_OF_A_SET, config.seed))
        for directory in config.showcase_dirs
    ]
    caption = (
        "The same generators on patches of real mammograms, which they were not trained on and "
        "whose diagnosis is not used."
    )
    return section(
        "The generators on real mammograms",
        report_html.paragraph(caption, "lead"),
        *_galleries(sets, "showcase"),
    )


def _title(directory: str) -> str:
    """Of a set: its task, and its split unless that is train."""
    manifest = read_manifest(directory, "synthesize")
    held_out = [split for split in manifest["splits"] if split != "train"]
    title = TASK_TITLES.get(manifest["task"], manifest["task"])
    return f"{title} ({held_out[0]} split)" if held_out else title


def _galleries(sets: Sequence[tuple[str, Sequence[Pair]]], name: str = "set") -> list[Part]:
    parts: list[Part] = []
    for number, (title, pairs) in enumerate(sets, 1):
        keys = (f"{name}-{number}-{place}" for place in range(1, len(pairs) + 1))
        parts.append(report_html.heading(title))
        parts.append(Sliders([pair_comparison(*each) for each in zip(pairs, keys, strict=True)]))
    return parts


def synthesis(sets: Sequence[tuple[str, dict[str, Any]]]) -> Section | None:
    if not sets:
        return None
    rows = []
    for _, manifest in sets:
        rejected = manifest.get("rejected", {})
        rows.append(
            (
                manifest["task"],
                ", ".join(manifest["splits"]),
                f"{manifest['candidates']:,}",
                f"{manifest['accepted']:,}",
                f"{manifest['acceptance_rate']:.1%}",
                f"{rejected.get('too_small', 0):,}",
                f"{rejected.get('empty', 0):,}",
                f"{manifest['flags']['min_area_fraction']:.1%}",
            )
        )
    headings = (
        "Task",
        "Split",
        "Candidates",
        "Accepted",
        "Rate",
        "Too small",
        "Empty",
        "Min. area",
    )
    return section(
        "Acceptance by the post-processing",
        Table("acceptance", headings, rows),
        report_html.paragraph(
            "A candidate is rejected when the largest object above the threshold in its lesion "
            "channel covers less than the minimum area of the patch; the paper discards objects "
            "under 10%.",
            "note",
        ),
    )
