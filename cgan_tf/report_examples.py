"""Report sections that show patches: Figure 1, real mammograms, acceptance."""

from collections.abc import Sequence
from typing import Any

from cgan_tf import report_html
from cgan_tf.config import ReportConfig
from cgan_tf.patch_sets import PatchSet
from cgan_tf.report_content import Gallery, Part, Section, Table, section
from cgan_tf.report_pictures import example_pairs, pair_png
from cgan_tf.run_directory import read_manifest

PAIRS_OF_A_TASK = 6
PAIRS_OF_THE_SHOWCASE = 8
TASK_TITLES = {
    "mass": "Masses synthesised",
    "calcification": "Calcifications synthesised",
    "removal": "Lesions removed",
}


def examples(config: ReportConfig, patches: PatchSet) -> Section | None:
    parts: list[Part] = []
    for number, directory in enumerate(config.synthetic_dirs, 1):
        manifest = read_manifest(directory, "synthesize")
        held_out = [split for split in manifest["splits"] if split != "train"]
        title = TASK_TITLES.get(manifest["task"], manifest["task"])
        parts.append(report_html.heading(f"{title} ({held_out[0]} split)" if held_out else title))
        parts.append(
            _pair_gallery(
                f"figure_1_{number}_{manifest['task']}",
                directory,
                patches,
                PAIRS_OF_A_TASK,
                config.seed,
            )
        )
    if not parts:
        return None
    caption = (
        "Each strip: the real patch (left), its synthetic counterpart (right), and, set apart, the "
        "lesion channel alone (mid-grey is zero, scaled to its own range). Real and synthetic "
        "share one grey scale. Drawn at random from the accepted patches, not chosen."
    )
    return section(
        "Figure 1. Synthesised and removed lesions", report_html.paragraph(caption, "lead"), *parts
    )


def showcase(config: ReportConfig) -> Section | None:
    if not config.showcase_dirs:
        return None
    patches = PatchSet(config.showcase_patches_dir)
    parts: list[Part] = []
    for number, directory in enumerate(config.showcase_dirs, 1):
        manifest = read_manifest(directory, "synthesize")
        parts.append(report_html.heading(TASK_TITLES.get(manifest["task"], manifest["task"])))
        parts.append(
            _pair_gallery(
                f"real_mammograms_{number}_{manifest['task']}",
                directory,
                patches,
                PAIRS_OF_THE_SHOWCASE,
                config.seed,
            )
        )
    caption = (
        "The same generators on patches of real mammograms, which they were not trained on and "
        "whose diagnosis is not used. Before, after, and the lesion channel, as above."
    )
    return section(
        "The generators on real mammograms", report_html.paragraph(caption, "lead"), *parts
    )


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


def _pair_gallery(name: str, directory: str, patches: PatchSet, count: int, seed: int) -> Gallery:
    return Gallery(
        name,
        [
            (pair_png(pair), f"{pair.source.patch_id} and {pair.synthetic.patch_id}")
            for pair in example_pairs(directory, patches, count, seed)
        ],
    )
