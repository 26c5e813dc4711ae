"""Figures 5 and 6 of the paper: what the mixed training corrects, and what it loses.

Each classifier has a threshold of its own: that of 90% specificity on the validation patches. At
one threshold for both, a classifier whose scores are all higher would seem to find lesions. Patches
that are selected for crossing one way show a gain by selection alone, so every number is given for
both directions, and for normal patches too.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cgan_tf.classifier.metrics import SPECIFICITY
from cgan_tf.classifier.results import ScoredTest
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.data.records import PatchRecord
from cgan_tf.labels import NORMAL
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import NEUTRAL, PAGE_INCHES, house_style, without_background
from cgan_tf.reporting.feature_space import FeatureSpace, same_patches
from cgan_tf.reporting.figure_4 import draw_map
from cgan_tf.reporting.inputs import ReportInputs

HIGHLIGHT = "#0b1f66"  # "five misclassified malignant examples (in dark blue)"


@dataclasses.dataclass(frozen=True)
class Crossings:
    """Patches of one class by which of two classifiers call them malignant.

    Attributes:
      neither, first, second, both: numbers of patches; `first` by the first one alone.
    """

    neither: int
    first: int
    second: int
    both: int

    @property
    def patches(self) -> int:
        """All of them."""
        return self.neither + self.first + self.second + self.both


def crossings(first: np.ndarray, second: np.ndarray) -> Crossings:
    """Counts patches; bool [n] each: whether a classifier calls a patch malignant."""
    table = np.bincount(2 * np.asarray(first, int) + np.asarray(second, int), minlength=4)
    return Crossings(int(table[0]), int(table[2]), int(table[1]), int(table[3]))


def calls(evaluation: ScoredTest, logits: np.ndarray) -> np.ndarray:
    """Whether the classifier calls patches malignant at its own threshold: bool [n]."""
    return np.asarray(logits, np.float64) > evaluation.metrics.at_validation_threshold.threshold


def specificity_rank(logits: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The share of normal patches that score lower, 0 to 1: float [n].

    It compares classifiers whose scores have different scales. From `SPECIFICITY` up, a patch is
    called malignant at the threshold that these normals gave.

    Args:
      logits: [n]. normals: logits of the normal validation patches, [m].
    """
    return np.searchsorted(np.sort(normals), logits, side="left") / len(normals)


def crossings_on_test(
    baseline: ScoredTest, mixed: ScoredTest
) -> tuple[Crossings, Crossings] | None:
    """(malignant, normal) test patches, baseline first; None without thresholds."""
    both = (baseline, mixed)
    if any(math.isnan(e.metrics.at_validation_threshold.threshold) for e in both):
        return None
    first, second = (calls(evaluation, evaluation.logits) for evaluation in both)
    chosen = baseline.labels == 1
    return crossings(first[chosen], second[chosen]), crossings(first[~chosen], second[~chosen])


def in_words(mixed: str, lesions: Crossings, normals: Crossings) -> str:
    """What changes from the baseline to `mixed`, in both directions and both classes."""
    before, after = (
        (normals.both + alone) / max(1, normals.patches)
        for alone in (normals.first, normals.second)
    )
    missed, found = lesions.neither + lesions.second, lesions.both + lesions.first
    net = lesions.second - lesions.first
    change = f"{abs(net):,} {'more' if net >= 0 else 'fewer'}"
    return (
        f"Each classifier at its own threshold, that of {SPECIFICITY:.0%} specificity on "
        f"validation: {mixed} finds {lesions.second:,} of the {missed:,} lesions that the "
        f"baseline misses, and misses {lesions.first:,} of the {found:,} that it finds "
        f"({change} in all). It calls "
        f"{normals.second:,} normals malignant that the baseline does not, and clears "
        f"{normals.first:,} that the baseline calls malignant: {before:.1%} of the normals before, "
        f"{after:.1%} after."
    )


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


TITLE = "Figures 5 and 6. Lesions found and lost by the mixed training"
NEIGHBOURS = 15
EXPLANATION = (
    "The lesions of Figures 5 and 6 are selected for being missed by the baseline and found by the "
    "mixed training, so they are no evidence by themselves: the table counts both directions."
)


def section(inputs: ReportInputs) -> Section | None:
    """What crosses the thresholds; None without a classifier to compare."""
    config, space, mixed = inputs.config, inputs.feature_space, inputs.mixed
    if space is None or mixed is None:
        return None
    counted = crossings_on_test(inputs.baseline, mixed)
    if counted is None:
        return section_of(TITLE, html.Paragraph("No validation patches give a threshold.", "note"))
    after = same_patches(config, space, mixed)
    first, second = (calls(each.evaluation, each.logits) for each in (space, after))
    corrected = np.flatnonzero(space.malignant & ~first & second)
    rng = np.random.default_rng(config.seed)
    members = np.sort(rng.permutation(corrected)[: config.corrections])
    parts: list[Part] = [
        html.Paragraph(in_words(mixed.regime, *counted)),
        crossings_table(mixed.regime, *counted),
        html.Paragraph(EXPLANATION, "note"),
    ]
    if len(members):
        parts += _plots(space, after, members, inputs)
    else:
        parts.append(html.Paragraph("No such patch: Figures 5 and 6 are empty.", "note"))
    return section_of(TITLE, *parts)


def crossings_table(mixed: str, lesions: Crossings, normals: Crossings) -> Table:
    """A row for lesions, where found and lost are told apart, and one for normals."""
    headings = (
        "Called malignant by", "Patches", "Neither", "Baseline alone", f"{mixed} alone", "Both",
    )  # fmt: skip
    rows, records = [], []
    for name, each in (("Malignant test patches", lesions), ("Normal test patches", normals)):
        counts = (each.patches, each.neither, each.first, each.second, each.both)
        rows.append((name, *(f"{count:,}" for count in counts)))
        records.append({"test_patches": name.split()[0].lower(), **dataclasses.asdict(each)})
    return Table("figure_5_crossings", headings, rows, records)


def _plots(
    space: FeatureSpace, after: FeatureSpace, members: np.ndarray, inputs: ReportInputs
) -> list[Part]:
    mixed = after.evaluation.regime
    ranks = np.stack([_ranks(each) for each in (space, after)], axis=1)[members]  # [n, 2]
    near = [_malignant_near(each, members) for each in (space, after)]
    maps = (("Baseline", space.points), (mixed, after.points))
    return [
        Plot(
            "figure_5_moves",
            moves_figure(maps, space.patches.groups, members, inputs.original),
            f"Figure 5. {len(members)} of the lesions that {mixed} finds and the baseline misses, "
            "drawn at random (dark blue), among the patches of Figure 4: on the left in the "
            f"baseline's features, on the right in those of {mixed}. The second map starts from "
            f"the first. Of their {NEIGHBOURS} nearest {inputs.original} patches in feature space "
            f"{near[0]:.0%} are malignant under the baseline and {near[1]:.0%} under {mixed}.",
        ),
        Plot(
            "figure_6_patches",
            patches_figure(_records(inputs.patches, space.patch_ids[members]), ranks),
            "Figure 6. The same patches. Above each: the share of normal validation patches that "
            f"score lower, under the baseline and under {mixed}; from {SPECIFICITY:.0%} up the "
            "classifier calls a patch malignant. The dotted box is the annotated lesion.",
        ),
    ]


def _ranks(space: FeatureSpace) -> np.ndarray:
    """`specificity_rank` of every patch of the map, among all normal validation patches."""
    normal = space.arrays["validation_class"].astype(str) == NORMAL
    return specificity_rank(space.logits, space.arrays["validation_logit"][normal])


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
    maps: Sequence[tuple[str, np.ndarray]],
    groups: np.ndarray,
    members: np.ndarray,
    original: str = "real",
) -> Figure:
    """The same patches in two maps, side by side, with the numbered `members` on top."""
    figure = Figure(figsize=(PAGE_INCHES, 4.7), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (title, points) in zip(axes, maps, strict=True):
        draw_map(axis, points, groups, alpha=0.35, original=original)
        label = f"found by the mixed training alone ({len(members)})"
        axis.scatter(
            *points[members].T, c=HIGHLIGHT, s=46, zorder=4, edgecolors="white", label=label
        )
        for number, point in enumerate(points[members], 1):
            axis.annotate(
                str(number), point, xytext=(5, 4), textcoords="offset points", zorder=5,
                color=HIGHLIGHT, weight="bold",
            )  # fmt: skip
        axis.set_title(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


@house_style
def patches_figure(records: Sequence[PatchRecord], ranks: np.ndarray) -> Figure:
    """Patches in a row, each with its ranks before and after [n, 2] and its lesion's box."""
    size = (1.8 * len(records), 2.2)
    figure = without_background(Figure(figsize=size, layout="constrained"))
    axes = figure.subplots(1, len(records), squeeze=False)[0]
    for number, (axis, record, (before, after)) in enumerate(
        zip(axes, records, ranks, strict=True), 1
    ):
        low, high = np.quantile(record.patch, [0.002, 0.998])
        axis.imshow(record.patch, cmap="gray", vmin=low, vmax=max(high, low + 0.05))
        if record.box:
            x0, y0, x1, y1 = record.box
            axis.add_patch(
                Rectangle(
                    (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0,
                    fill=False, edgecolor="#ffb000", linewidth=1.4, linestyle=":",
                )
            )  # fmt: skip
        axis.set(xticks=[], yticks=[])
        # Rounded down: 89.6% is not called malignant.
        ranks_shown = f"{math.floor(100 * before)}% → {math.floor(100 * after)}%"
        axis.set_title(f"{number}: {ranks_shown}", color=NEUTRAL)
    return figure
