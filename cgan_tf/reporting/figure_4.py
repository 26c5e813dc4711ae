"""Figure 4 of the paper, real and synthetic patches in feature space, and how far they overlap."""

import dataclasses

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.assessment import overlap
from cgan_tf.assessment.base import probability
from cgan_tf.assessment.features import CLASSIFIER
from cgan_tf.assessment.measures import OVERLAP
from cgan_tf.assessment.overlap import Overlap
from cgan_tf.classifier.results import read_table
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import GROUP_COLOURS, format_probability, house_style
from cgan_tf.reporting.feature_space import FeatureSpace
from cgan_tf.reporting.inputs import ReportInputs

LEGEND = "patches of the class (number)"
_LAYERS = 20  # of a map: no group lies over another as a whole
# Beside the paper's colours, for eyes that do not tell them apart.
GROUP_MARKERS = {
    "real normal": "o",
    "real calcification": "s",
    "real mass": "^",
    "synthetic mass": "v",
    "synthetic calcification": "D",
}


@house_style
def tsne_figure(points: np.ndarray, groups: np.ndarray, original: str = "real") -> Figure:
    """The map [n, 2] with the paper's colours; `groups` names each point's group.

    `original`: what the legend calls real patches.
    """
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axis = figure.subplots()
    draw_map(axis, points, groups, original=original)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=LEGEND, title_fontsize=8)
    return figure


def draw_map(
    axis: Axes,
    points: np.ndarray,
    groups: np.ndarray,
    alpha: float = 0.75,
    original: str = "real",
) -> None:
    """Draws points float [n, 2] in the colours of their `groups`, text [n], with legend entries."""
    order = np.random.default_rng(0).permutation(len(points))  # no group hides another
    size = float(np.clip(6000 / max(1, len(points)), 4, 24))
    for part in np.array_split(order, _LAYERS):
        for group, colour in GROUP_COLOURS.items():
            x, y = points[part[groups[part] == group]].T
            marker = GROUP_MARKERS[group]
            axis.scatter(x, y, c=colour, marker=marker, s=size, linewidths=0, alpha=alpha)
    for group, colour in GROUP_COLOURS.items():
        count = int((groups == group).sum())
        if count:
            label = f"{group.replace('real', original)} ({count:,})"
            axis.scatter([], [], c=colour, marker=GROUP_MARKERS[group], s=28, label=label)
    axis.set(xticks=[], yticks=[])
    axis.spines[["left", "bottom"]].set_visible(False)


def section(inputs: ReportInputs) -> Section | None:
    """The map, and under it how far real and synthetic lesions overlap."""
    space = inputs.feature_space
    if space is None:
        return None
    topped_up = space.patches.topped_up
    extra = (
        "Validation had too few patches, so these come from the test split: "
        + ", ".join(f"{count:,} {group}" for group, count in topped_up.items())
        + ". "
        if topped_up
        else ""
    )
    caption = (
        "Figure 4. t-SNE of the last feature layer of the baseline classifier, trained on "
        f"{inputs.original} patches only, in the paper's colours. {inputs.original.capitalize()} "
        "patches are drawn from the validation split. "
        f"{extra}Distances between groups in such a map do not measure overlap."
        + ("" if inputs.phantom else PAPER_MAP)
    )
    figure = tsne_figure(space.points, space.patches.groups, inputs.original)
    return section_of(
        "Figure 4. Patches in feature space",
        Plot("figure_4_tsne", figure, caption),
        *(measured_by_quality(inputs) or overlap_parts(space, inputs.patches, inputs.config.seed)),
    )


PAPER_MAP = (
    " (The paper's map shows 2,000 normal patches of a validation set that has 1,000 according to "
    "its text.)"
)
KINDS = {"mass": "masses", "calcification": "calcifications"}


def measured_by_quality(inputs: ReportInputs) -> list[Part]:
    """Sentences with the numbers of quality, which has more patches than the map; none where it
    did not look at these features."""
    texts = []
    for result in inputs.quality.values():
        found = result.of(OVERLAP).get(CLASSIFIER)
        if found is not None and result.task in KINDS and not found.note:
            texts.append(
                f"{sentence(KINDS[result.task], found)} Measured on {found.synthetic:,} synthetic "
                f"and {found.real:,} real patches of {found.patients:,} women, in groups of "
                f"{found.group_size:,}."
            )
    if not texts:
        return []
    return [*map(html.Paragraph, texts), html.Paragraph(BY_QUALITY, "note")]


BY_QUALITY = (
    "These are the numbers of the section on quality, in the features of its classifier; the map "
    "shows fewer patches."
)


def overlap_parts(space: FeatureSpace, patches: PatchSet, seed: int) -> list[Part]:
    """A table and a sentence for masses and for calcifications, where both kinds are there."""
    parts: list[Part] = []
    clients = patch_clients(space, patches)
    for kind, name in KINDS.items():
        real, synthetic = (space.patches.groups == f"{origin} {kind}" for origin in _ORIGINS)
        if not real.any() or not synthetic.any():
            continue
        result = overlap.compare(
            space.features[real], space.features[synthetic], clients[real], seed, clients[synthetic]
        )
        parts.append(html.Heading(f"Real and synthetic {name}"))
        parts += [] if result.note else [_table(kind, result)]
        parts.append(html.Paragraph(sentence(name, result)))
    if parts:
        parts.append(html.Paragraph(NOTE, "note"))
    return parts


_ORIGINS = ("real", "synthetic")
NOTE = (
    "Measured in the features of the baseline, not in the map. Each measure compares half of the "
    "real patches, split by woman, with as many synthetic ones; the reference compares that half "
    "with the other. ± is the standard deviation over random halves. Neighbours: mean share of a "
    "patch's 5 nearest that belong to the other set. Classifier: linear, tested on other women. "
    "Precision: synthetic patches within reach of real ones; recall: real ones within reach of "
    "synthetic ones (Kynkäänniemi et al. 2019); density and coverage: Naeem et al. 2020. Synthetic "
    "lesions are in training tissue, real ones in validation and test tissue, so part of any "
    "difference is tissue."
)


def patch_clients(space: FeatureSpace, patches: PatchSet) -> np.ndarray:
    """The client of each patch of the map, or of its source: text [n]."""
    validation = space.arrays["validation_patch_id"].astype(str).tolist()
    indices, numbers = find_sources(patches, validation)
    records = PatchPool(indices).descriptions()
    rows = read_table(space.evaluation.directory / "synthetic_scores.csv")
    clients: dict[str, list[str]] = {
        "validation": [records[number].client_id for number in numbers],
        "test": space.evaluation.patients.tolist(),
        "synthetic": [row["client_id"] for row in rows],
    }
    return space.patches.take({name: np.array(ids, object) for name, ids in clients.items()})


def sentence(name: str, values: Overlap) -> str:
    """What the overlap of synthetic and real `name` says, in one or two sentences."""
    if values.note:
        return f"Synthetic and real {name}: {values.note}."
    auc, p = values.measures.classifier_auc, values.kid_p.synthetic
    mixing, coverage = values.measures.mixing, values.measures.coverage
    parts = [
        f"Of a patch's nearest neighbours, {mixing.synthetic:.0%} belong to the other set "
        f"(real against real: {mixing.ceiling:.0%})"
    ]
    if auc.synthetic is not None:
        real = "undefined" if auc.ceiling is None else f"{auc.ceiling:.2f}"
        parts.append(
            f"a simple classifier tells synthetic {name} from real ones with an AUC of "
            f"{auc.synthetic:.2f} (real from real: {real})"
        )
    parts.append(f"synthetic ones cover {coverage.synthetic:.0%} of the real ones' neighbourhoods")
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
        "Reference: real and real",
        "Equal gives",
    )
    return Table(f"figure_4_overlap_{kind}", headings, rows, records)
