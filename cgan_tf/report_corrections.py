"""Report section on what the mixed training corrects: the paper's Figures 5 and 6."""

from collections.abc import Sequence

import numpy as np

from cgan_tf import report_html, report_map_figures
from cgan_tf.config import ReportConfig
from cgan_tf.corrections import Crossing, crossed, crossing, malignant_neighbours, score
from cgan_tf.evaluation_sources import find_sources
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.records import PatchRecord
from cgan_tf.report_content import Part, Plot, Section, Table, section
from cgan_tf.report_data import ScoredTest
from cgan_tf.report_space import FeatureSpace, same_patches

TITLE = "Figures 5 and 6. Lesions that the baseline misses and the mixed training finds"
PAPER_PATCHES, PAPER_RISE = 5, 0.32
NEIGHBOURS = 15


def figures_5_and_6(
    config: ReportConfig, space: FeatureSpace, mixed: ScoredTest, patches: PatchSet
) -> Section | None:
    after = same_patches(config, space, mixed)
    scores = np.stack([score(space.logits), score(after.logits)], axis=1)  # [n, 2]
    threshold = config.correction_threshold
    found = np.flatnonzero(crossed(space.malignant, *scores.T, threshold))
    rng = np.random.default_rng(config.seed)
    members = np.sort(rng.permutation(found)[: config.corrections])
    parts: list[Part] = [_crossings(space, mixed, scores, threshold)]
    parts.append(report_html.paragraph(_price(space, mixed, scores, threshold), "note"))
    if len(members):
        parts += _plots(space, after, members, scores, patches)
    else:
        parts.append(report_html.paragraph("No such patch: Figures 5 and 6 are empty.", "note"))
    return section(TITLE, *parts)


def _crossings(
    space: FeatureSpace, mixed: ScoredTest, scores: np.ndarray, threshold: float
) -> Table:
    """Both ways round, for patches chosen for having crossed have risen by their choice."""
    before, after = scores.T
    ways = (
        (f"Missed by the baseline, found by {mixed.regime}", before, after),
        (f"Missed by {mixed.regime}, found by the baseline", after, before),
    )
    rows, records = [], []
    for name, first, second in ways:
        result = crossing(space.malignant, first, second, threshold)
        rows.append(_cells(name, result))
        records.append(
            {"way": name, "patches": result.patches, "missed_by_the_first": result.missed,
             "mean_score_before": result.before, "mean_score_after": result.after,
             "mean_rise": result.rise, "threshold": threshold}
        )  # fmt: skip
    rows.append(("The paper's Figure 5", f"{PAPER_PATCHES} shown", "–", "–", f"+{PAPER_RISE:.2f}"))
    headings = ("Lesions of the map", "Patches", "Mean score before", "After", "Mean rise")
    return Table("figure_5_crossings", headings, rows, records)


def _price(space: FeatureSpace, mixed: ScoredTest, scores: np.ndarray, threshold: float) -> str:
    """A classifier that scores everything higher finds more lesions too: what of the normals?"""
    normal = space.patches.groups == "real normal"
    if not normal.any():
        return ""
    before, after = (scores[normal] >= threshold).mean(axis=0)
    return (
        f"A score is the sigmoid of the classifier's logit; a lesion is missed below {threshold:g} "
        "and found from there up. The patches are chosen for having risen, so their rise is no "
        "evidence by itself: the second row chooses the same way in the other direction. Of the "
        f"{int(normal.sum()):,} normal patches, {before:.0%} score {threshold:g} or more under the "
        f"baseline, {after:.0%} under {mixed.regime}."
    )


def _cells(name: str, result: Crossing) -> tuple[str, ...]:
    count = f"{result.patches:,} of {result.missed:,} missed"
    if not result.patches:
        return (name, count, "–", "–", "–")
    return (
        name, count, f"{result.before:.2f}", f"{result.after:.2f}", f"{result.rise:+.2f}",
    )  # fmt: skip


def _plots(
    space: FeatureSpace,
    after: FeatureSpace,
    members: np.ndarray,
    scores: np.ndarray,
    patches: PatchSet,
) -> list[Part]:
    mixed = after.evaluation.regime
    rise = float(np.diff(scores[members]).mean())
    near = [_malignant_near(each, members) for each in (space, after)]
    maps = (("baseline", space.points), (mixed, after.points))
    return [
        Plot(
            "figure_5_moves",
            report_map_figures.moves_figure(maps, space.patches.groups, members),
            f"Figure 5. {len(members)} of these lesions, drawn at random (dark blue), among the "
            f"patches of Figure 4: on the left in the baseline's features, on the right in those "
            f"of {mixed}, whose map begins from the left one. Of their {NEIGHBOURS} nearest real "
            f"patches in feature space {near[0]:.0%} are malignant under the baseline and "
            f"{near[1]:.0%} under {mixed}. Their score rises by {rise:.2f} on average (the "
            f"paper's five: {PAPER_RISE:.2f}).",
        ),
        Plot(
            "figure_6_patches",
            report_map_figures.patches_figure(
                _records(patches, space.patch_ids[members]), scores[members]
            ),
            f"Figure 6. The same patches, with their scores under the baseline and under {mixed}; "
            "the dotted box is the annotated lesion.",
        ),
    ]


def _malignant_near(space: FeatureSpace, members: np.ndarray) -> float:
    """Malignant share of the members' nearest real patches, 0 to 1."""
    real = np.flatnonzero(np.char.startswith(space.patches.groups, "real"))
    places = np.searchsorted(real, members)
    shares = malignant_neighbours(space.features[real], space.malignant[real], places, NEIGHBOURS)
    return float(shares.mean())


def _records(patches: PatchSet, patch_ids: Sequence[str]) -> list[PatchRecord]:
    indices, numbers = find_sources(patches, list(patch_ids))
    pool = PatchPool(indices)
    return [pool.record(number) for number in numbers]
