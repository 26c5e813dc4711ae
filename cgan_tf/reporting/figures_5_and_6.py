"""Figures 5 and 6 of the paper: lesions that the baseline misses and the mixed training finds.

A score is the sigmoid of a logit, 0 to 1: the paper's "increase in malignant classification score
by an average of 0.32" is of a bounded score. Patches selected because their score rose show a rise
by selection alone, so every number is given for both directions.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.special import expit

from cgan_tf.classifier.results import ScoredTest
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.data.records import PatchRecord
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import PAGE_INCHES, house_style
from cgan_tf.reporting.feature_space import FeatureSpace, same_patches
from cgan_tf.reporting.figure_4 import draw_map
from cgan_tf.reporting.inputs import ReportInputs

HIGHLIGHT = "#0b1f66"  # "five misclassified malignant examples (in dark blue)"


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Malignant patches missed by one classifier and found by another.

    Attributes:
      patches: their number. missed: all malignant patches that the first one misses.
      before, after: mean score under the first and the second, NaN without any.
    """

    patches: int
    missed: int
    before: float
    after: float

    @property
    def rise(self) -> float:
        """Mean rise of the score."""
        return self.after - self.before


def crossed(
    malignant: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float
) -> np.ndarray:
    """Whether a patch is malignant, missed before and found after: bool [n]; scores [n]."""
    return malignant & (before < threshold) & (after >= threshold)


def crossing(
    malignant: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float
) -> Crossing:
    """Counts and mean scores of the patches that cross. Arguments as in `crossed`."""
    chosen = crossed(malignant, before, after, threshold)
    means = (
        (float(before[chosen].mean()), float(after[chosen].mean()))
        if chosen.any()
        else (math.nan, math.nan)
    )
    return Crossing(int(chosen.sum()), int((malignant & (before < threshold)).sum()), *means)


def score(logits: np.ndarray) -> np.ndarray:
    """Scores 0 to 1."""
    return expit(np.asarray(logits, np.float64))


def malignant_neighbours(
    features: np.ndarray, malignant: np.ndarray, members: np.ndarray, neighbours: int = 15
) -> np.ndarray:
    """Malignant share, 0 to 1, of the nearest other patches: float [len(members)].

    Distances are Euclidean in the space of the features [n, d], where they mean something, not
    in a map. members: places of the patches asked about.
    """
    squares = (features.astype(np.float64) ** 2).sum(axis=1)
    own = features[members].astype(np.float64)
    distances = squares - 2 * own @ features.T.astype(np.float64)  # up to a constant of the row
    neighbours = min(neighbours, len(features) - 1)
    distances[np.arange(len(members)), members] = np.inf
    nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
    return malignant[nearest].mean(axis=1)


TITLE = "Figures 5 and 6. Lesions that the baseline misses and the mixed training finds"
PAPER_PATCHES, PAPER_RISE = 5, 0.32
NEIGHBOURS = 15


def section(inputs: ReportInputs) -> Section | None:
    """The lesions that cross the threshold; None without a classifier to compare."""
    config, space, mixed = inputs.config, inputs.feature_space, inputs.mixed
    if space is None or mixed is None:
        return None
    after = same_patches(config, space, mixed)
    scores = np.stack([score(space.logits), score(after.logits)], axis=1)  # [n, 2]
    threshold = config.correction_threshold
    corrected = np.flatnonzero(crossed(space.malignant, scores[:, 0], scores[:, 1], threshold))
    rng = np.random.default_rng(config.seed)
    members = np.sort(rng.permutation(corrected)[: config.corrections])
    parts: list[Part] = [_crossings(space, mixed, scores, threshold)]
    if price := _price(space, mixed, scores, threshold):
        parts.append(html.Paragraph(price, "note"))
    if len(members):
        parts += _plots(space, after, members, scores, inputs.patches)
    else:
        parts.append(html.Paragraph("No such patch: Figures 5 and 6 are empty.", "note"))
    return section_of(TITLE, *parts)


def _crossings(
    space: FeatureSpace, mixed: ScoredTest, scores: np.ndarray, threshold: float
) -> Table:
    """In both directions: patches selected for crossing rise by selection alone."""
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
    """What it costs: a classifier that scores everything higher finds more lesions too."""
    normal = space.patches.groups == "real normal"
    if not normal.any():
        return ""
    before, after = (scores[normal] >= threshold).mean(axis=0)
    return (
        f"A score is the sigmoid of the classifier's logit; a lesion is missed below {threshold:g} "
        "and found from there up. The patches are selected because their score rose, so the rise "
        "alone is no evidence; the second row selects in the other direction. Of the "
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
            moves_figure(maps, space.patches.groups, members),
            f"Figure 5. {len(members)} of these lesions, drawn at random (dark blue), among the "
            f"patches of Figure 4: on the left in the baseline's features, on the right in those "
            f"of {mixed}, whose map begins from the left one. Of their {NEIGHBOURS} nearest real "
            f"patches in feature space {near[0]:.0%} are malignant under the baseline and "
            f"{near[1]:.0%} under {mixed}. Their score rises by {rise:.2f} on average (the "
            f"paper's five: {PAPER_RISE:.2f}).",
        ),
        Plot(
            "figure_6_patches",
            patches_figure(_records(patches, space.patch_ids[members]), scores[members]),
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


@house_style
def moves_figure(
    maps: Sequence[tuple[str, np.ndarray]], groups: np.ndarray, members: np.ndarray
) -> Figure:
    """The same patches in two maps, side by side, with the numbered `members` on top."""
    figure = Figure(figsize=(PAGE_INCHES, 4.7), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (title, points) in zip(axes, maps, strict=True):
        draw_map(axis, points, groups, alpha=0.35)
        axis.scatter(*points[members].T, c=HIGHLIGHT, s=46, zorder=4, edgecolors="white")
        for number, point in enumerate(points[members], 1):
            axis.annotate(
                str(number), point, xytext=(5, 4), textcoords="offset points", zorder=5,
                color=HIGHLIGHT, weight="bold",
            )  # fmt: skip
        axis.set_title(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


@house_style
def patches_figure(records: Sequence[PatchRecord], scores: np.ndarray) -> Figure:
    """Patches in a row, each with its scores before and after [n, 2] and its lesion's box."""
    figure = Figure(figsize=(1.8 * len(records), 2.2), layout="constrained")
    axes = figure.subplots(1, len(records), squeeze=False)[0]
    for number, (axis, record, (before, after)) in enumerate(
        zip(axes, records, scores, strict=True), 1
    ):
        low, high = np.quantile(record.patch, [0.002, 0.998])
        axis.imshow(record.patch, cmap="gray", vmin=low, vmax=max(high, low + 0.05))
        if record.box:
            x0, y0, x1, y1 = record.box
            axis.add_patch(
                Rectangle(
                    (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0,
                    fill=False, edgecolor="#ffb000", linewidth=0.8, linestyle=":",
                )
            )  # fmt: skip
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{number}: {before:.2f} → {after:.2f}")
    return figure
