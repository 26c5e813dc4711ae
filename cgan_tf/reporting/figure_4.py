"""Report section on the baseline's feature space: the paper's Figure 4.

The t-SNE map of Figure 4: which patches it holds, and where they come to lie.

The same patches are mapped again in another classifier's features for Figure 5, so a choice of
patches is kept apart from their features.

Plots of patches in feature space: the maps of Figures 4 and 5, the patches of Figure 6.

The numbers under Figure 4: how far synthetic lesions overlap with real ones in feature space.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cgan_tf.assessment import overlap
from cgan_tf.assessment.base import probability
from cgan_tf.assessment.overlap import Overlap
from cgan_tf.classifier.results import ScoredTest, read_features, read_table
from cgan_tf.config import ReportConfig
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.data.records import PatchRecord
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Table, section
from cgan_tf.pages.style import GROUP_COLOURS, PAGE_INCHES, format_probability, house_style
from cgan_tf.runs.errors import UserError

PCA_COMPONENTS = 50
_INITIAL_SPREAD = 1e-4  # of the first axis at the start, as scikit-learn scales its own


@dataclasses.dataclass(frozen=True, eq=False)
class MapPatches:
    """The patches of a map.

    Attributes:
      sources: validation, test or synthetic, text [n]. numbers: place in that source, int [n].
      groups: e.g. "real normal", "synthetic mass", text [n].
      topped_up: per real group how many come from the test split, for validation had too few.
    """

    sources: np.ndarray
    numbers: np.ndarray
    groups: np.ndarray
    topped_up: dict[str, int]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Rows [n, ...] of one array a source, e.g. the features of an evaluation."""
        kinds = [arrays[source] for source in ("validation", "test", "synthetic")]
        taken = np.zeros((len(self), *kinds[0].shape[1:]), kinds[0].dtype)
        for source in np.unique(self.sources):
            chosen = self.sources == source
            taken[chosen] = arrays[source][self.numbers[chosen]]
        return taken


def group_sizes(config: ReportConfig) -> dict[str, int]:
    """Patches of each group, at most."""
    return {
        "real normal": config.tsne_normal,
        "real calcification": config.tsne_calcification,
        "real mass": config.tsne_mass,
        "synthetic mass": config.tsne_synthetic_mass,
        "synthetic calcification": config.tsne_synthetic_calcification,
    }


def choose_patches(
    features: Mapping[str, np.ndarray],
    test_classes: np.ndarray,
    sizes: Mapping[str, int],
    seed: int,
) -> MapPatches:
    """Patches drawn at random: real ones from validation first, synthetic ones of training.

    Args:
      features: with `validation_class`, `synthetic_task` and `synthetic_split`.
      test_classes: normal, mass or calcification [n]. sizes: see `group_sizes`.
    """
    generator = np.random.default_rng(seed)
    validation = np.char.replace(features["validation_class"].astype(str), "malignant_", "")
    held = features["synthetic_split"] == "train"
    candidates = {
        "real": (("validation", validation), ("test", test_classes)),
        "synthetic": (("synthetic", np.where(held, features["synthetic_task"], "")),),
    }
    chosen: list[tuple[str, int, str]] = []
    topped_up = {}
    for group, size in sizes.items():
        origin, kind = group.split()
        room = size
        for source, classes in candidates[origin]:
            drawn = generator.permutation(np.flatnonzero(classes == kind))[:room]
            chosen += [(source, int(number), group) for number in drawn]
            room -= len(drawn)
            if source == "test" and len(drawn):
                topped_up[group] = len(drawn)
    sources, numbers, groups = zip(*chosen, strict=True) if chosen else ((), (), ())
    return MapPatches(
        np.array(sources, str), np.array(numbers, int), np.array(groups, str), topped_up
    )


def tsne(features: np.ndarray, seed: int, start: np.ndarray | None = None) -> np.ndarray:
    """Features [n, d] to a map float [n, 2]: the first 50 principal components, then t-SNE.

    `start` is another map of the same patches [n, 2] to begin from, so that the two can be
    compared; without it the first two components are.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    components = min(PCA_COMPONENTS, *features.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(features.astype(np.float64))
    perplexity = min(30.0, (len(features) - 1) / 3)
    init: str | np.ndarray = "pca"
    if start is not None:
        init = (start / start[:, 0].std() * _INITIAL_SPREAD).astype(np.float32)
    with threadpool_limits(limits=1):  # the map must not depend on the number of cores
        return TSNE(perplexity=perplexity, init=init, random_state=seed).fit_transform(reduced)


HIGHLIGHT = "#0b1f66"  # "five misclassified malignant examples (in dark blue)"


@house_style
def tsne_figure(points: np.ndarray, groups: np.ndarray) -> Figure:
    """The map [n, 2] with the paper's colours; `groups` names each point's group."""
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axis = figure.subplots()
    _map(axis, points, groups)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@house_style
def moves_figure(
    maps: Sequence[tuple[str, np.ndarray]], groups: np.ndarray, members: np.ndarray
) -> Figure:
    """The same patches in two maps, side by side, with the numbered `members` on top."""
    figure = Figure(figsize=(PAGE_INCHES, 4.7), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (title, points) in zip(axes, maps, strict=True):
        _map(axis, points, groups, alpha=0.35)
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
            outline = {"fill": False, "edgecolor": "#ffb000", "linewidth": 0.8, "linestyle": ":"}
            axis.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, **outline))
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"{number}: {before:.2f} → {after:.2f}")
    return figure


def _map(axis: Axes, points: np.ndarray, groups: np.ndarray, alpha: float = 0.75) -> None:
    order = np.random.default_rng(0).permutation(len(points))  # no group hides another
    colours = np.array([GROUP_COLOURS[group] for group in groups])
    size = float(np.clip(6000 / max(1, len(points)), 4, 24))
    axis.scatter(*points[order].T, c=colours[order], s=size, linewidths=0, alpha=alpha)
    for group, colour in GROUP_COLOURS.items():
        count = int((groups == group).sum())
        if count:
            axis.scatter([], [], c=colour, s=28, label=f"{group} ({count:,})")
    axis.set(xticks=[], yticks=[])
    axis.spines[["left", "bottom"]].set_visible(False)


LEAST_PATCHES = 10  # fewer make no map


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSpace:
    """The patches of the map in one classifier's features.

    Attributes:
      evaluation: of the classifier. arrays: what `read_features` gives. patches: of the map.
      points: where they lie, float [n, 2].
    """

    evaluation: ScoredTest
    arrays: dict[str, np.ndarray]
    patches: MapPatches
    points: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """float32 [n, 2048]."""
        return self.patches.take(self.arrays)

    @property
    def logits(self) -> np.ndarray:
        """float64 [n]."""
        logits = {name: self.arrays[f"{name}_logit"] for name in ("validation", "synthetic")}
        logits |= {"test": self.evaluation.logits}
        return self.patches.take({name: np.float64(values) for name, values in logits.items()})

    @property
    def patch_ids(self) -> np.ndarray:
        """Text [n]; objects, for ids have any length."""
        ids = {name: self.arrays[f"{name}_patch_id"] for name in ("validation", "synthetic")}
        ids |= {"test": self.evaluation.patch_ids}
        return self.patches.take({name: values.astype(object) for name, values in ids.items()})

    @property
    def malignant(self) -> np.ndarray:
        """Whether a patch is a real lesion, bool [n]."""
        return np.isin(self.patches.groups, ("real mass", "real calcification"))


def baseline_space(config: ReportConfig, baseline: ScoredTest) -> FeatureSpace | None:
    """The map of Figure 4; None where there are next to no patches."""
    arrays = read_features(baseline)
    patches = choose_patches(arrays, baseline.classes, group_sizes(config), config.seed)
    if len(patches) < LEAST_PATCHES:
        return None
    return FeatureSpace(baseline, arrays, patches, tsne(patches.take(arrays), config.seed))


def same_patches(config: ReportConfig, space: FeatureSpace, other: ScoredTest) -> FeatureSpace:
    """The patches of a map in another classifier's features, its map begun from the first one.

    Raises `UserError` when the other evaluation scored other patches.
    """
    arrays = read_features(other)
    for name in ("validation_patch_id", "synthetic_patch_id"):
        if not np.array_equal(arrays[name], space.arrays[name]):
            raise UserError(
                f"{other.directory}: expected the {name.partition('_')[0]} patches of "
                f"{space.evaluation.directory}, found others"
            )
    points = tsne(space.patches.take(arrays), config.seed, start=space.points)
    return FeatureSpace(other, arrays, space.patches, points)


def figure_4(space: FeatureSpace, below: Sequence[Part]) -> Section | None:
    """The map, and the overlap numbers `below` it."""
    topped_up = space.patches.topped_up
    extra = (
        "Validation had too few patches; from the test split come "
        + ", ".join(f"{count:,} {group}" for group, count in topped_up.items())
        + ". "
        if topped_up
        else ""
    )
    caption = (
        "t-SNE of the last feature layer of the baseline classifier, trained on real patches only, "
        "in the paper's colours. Real patches are drawn from the validation split. "
        f"{extra}Distances between groups in such a map are no measure of overlap. (The paper's "
        "map shows 2,000 normal patches of a validation set that it says has 1,000.)"
    )
    figure = tsne_figure(space.points, space.patches.groups)
    return section(
        "Figure 4. Real and synthetic patches in feature space",
        Plot("figure_4_tsne", figure, caption),
        *below,
    )


KINDS = {"mass": "masses", "calcification": "calcifications"}


def overlap_parts(space: FeatureSpace, patches: PatchSet, seed: int) -> list[Part]:
    """A table and a sentence for masses and for calcifications, where both kinds are there."""
    parts: list[Part] = []
    clients = patch_clients(space, patches)
    for kind, name in KINDS.items():
        real, synthetic = (space.patches.groups == f"{origin} {kind}" for origin in _ORIGINS)
        if not real.any() or not synthetic.any():
            continue
        values = overlap.compare(
            space.features[real], space.features[synthetic], clients[real], seed, clients[synthetic]
        )
        parts.append(html.heading(f"Real and synthetic {name}"))
        parts += [] if values.note else [_table(kind, values)]
        parts.append(html.paragraph(sentence(name, values)))
    if parts:
        parts.append(html.paragraph(NOTE, "note"))
    return parts


_ORIGINS = ("real", "synthetic")
NOTE = (
    "In the features of the baseline, not in the map. Each measure compares half of the real "
    "patches, by woman, with as many synthetic ones; the ceiling compares it with the other half. "
    "± is the standard deviation over random halves. Neighbours: mean share of the 5 nearest that "
    "are of the other set. Classifier: a linear one, tested on other women. Precision: "
    "synthetic patches within the reach of real ones; recall: real ones within the reach of "
    "synthetic ones (Kynkäänniemi et al. 2019); density and coverage: Naeem et al. 2020. Synthetic "
    "lesions sit on training tissue, real ones on validation and test tissue, so a part of any "
    "difference is tissue."
)


def patch_clients(space: FeatureSpace, patches: PatchSet) -> np.ndarray:
    """The woman that each patch of the map is of, or was made from: text [n]."""
    validation = space.arrays["validation_patch_id"].astype(str).tolist()
    indices, numbers = find_sources(patches, validation)
    records = PatchPool(indices).descriptions()
    rows = read_table(space.evaluation.directory / "synthetic_scores.csv")
    clients = {
        "validation": [records[number].client_id for number in numbers],
        "test": space.evaluation.patients,
        "synthetic": [row["client_id"] for row in rows],
    }
    return space.patches.take({name: np.array(list(v), object) for name, v in clients.items()})


def sentence(name: str, values: Overlap) -> str:
    """What the overlap of synthetic and real `name` says, in one or two sentences."""
    if values.note:
        return f"Synthetic and real {name}: {values.note}."
    auc, p = values.measures.classifier_auc, values.kid_p.synthetic
    mixing, coverage = values.measures.mixing, values.measures.coverage
    parts = [
        f"Among the nearest neighbours of a patch {mixing.synthetic:.0%} are of the other set "
        f"(real against real: {mixing.ceiling:.0%})"
    ]
    if auc.synthetic is not None:
        real = "undefined" if auc.ceiling is None else f"{auc.ceiling:.2f}"
        parts.append(
            f"a simple classifier tells synthetic {name} from real ones with an AUC of "
            f"{auc.synthetic:.2f} (real from real: {real})"
        )
    parts.append(f"synthetic ones reach {coverage.synthetic:.0%} of the real ones' surroundings")
    if p is not None:
        verdict = "differ" if p < 0.05 else "are not shown to differ"
        parts.append(f"by KID the two {verdict} (p = {format_probability(p)})")
    return "; ".join(parts) + "."


def _table(kind: str, values: Overlap) -> Table:
    rows, records = [], []
    for statistic in overlap.STATISTICS:
        each = statistic.of(values.measures)
        cells = [each.text(statistic, side) for side in overlap.SIDES]
        rows.append((statistic.title, *cells, statistic.equal))
        records.append({"measure": statistic.name, **dataclasses.asdict(each)})
    p_values = dataclasses.asdict(values.kid_p)
    rows.append(("p of the KID", *map(probability, p_values.values()), "–"))
    records.append(dict.fromkeys(records[0], None) | {"measure": "kid_p", **p_values})
    headings = (
        f"Groups of {values.group_size:,}",
        "Real and synthetic",
        "Ceiling: real and real",
        "Equal gives",
    )
    return Table(f"figure_4_overlap_{kind}", headings, rows, records)
