"""Figure 4 of the paper, real and synthetic patches in feature space, and how far they overlap."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.assessment import overlap
from cgan_tf.classifier.results import read_table
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.pages import html
from cgan_tf.pages.html import Part, Plot, Section, Table, section_of
from cgan_tf.pages.style import GROUP_COLOURS, format_probability, house_style
from cgan_tf.reporting.feature_space import FeatureSpace
from cgan_tf.reporting.inputs import ReportInputs


@house_style
def tsne_figure(points: np.ndarray, groups: np.ndarray) -> Figure:
    """The map [n, 2] with the paper's colours; `groups` names each point's group."""
    figure = Figure(figsize=(7, 5.4), layout="constrained")
    axis = figure.subplots()
    draw_map(axis, points, groups)
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def draw_map(axis: Axes, points: np.ndarray, groups: np.ndarray, alpha: float = 0.75) -> None:
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


def section(inputs: ReportInputs) -> Section | None:
    """The map, and under it how far real and synthetic lesions overlap."""
    space = inputs.feature_space
    if space is None:
        return None
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
    return section_of(
        "Figure 4. Real and synthetic patches in feature space",
        Plot("figure_4_tsne", figure, caption),
        *overlap_parts(space, inputs.patches, inputs.config.seed),
    )


KINDS = {"mass": "masses", "calcification": "calcifications"}
# Name, format, what equal distributions give.
MEASURES = {
    "mixing": ("Neighbours of the other set", ".3f", "0.5"),
    "kid": ("Kernel distance (KID)", ".3g", "0"),
    "fid": ("Fréchet distance (FID)", ",.1f", "the ceiling"),
    "classifier_auc": ("AUC of a classifier that tells them apart", ".3f", "0.5"),
    "precision": ("Precision", ".3f", "the ceiling"),
    "recall": ("Recall", ".3f", "the ceiling"),
    "density": ("Density", ".3f", "the ceiling"),
    "coverage": ("Coverage", ".3f", "the ceiling"),
}


def overlap_parts(space: FeatureSpace, patches: PatchSet, seed: int) -> list[Part]:
    """A table and a sentence for masses and for calcifications, where both kinds are there."""
    parts: list[Part] = []
    clients = patch_clients(space, patches)
    for kind, name in KINDS.items():
        real, synthetic = (space.patches.groups == f"{origin} {kind}" for origin in _ORIGINS)
        if not real.any() or not synthetic.any():
            continue
        found = overlap.compare(
            space.features[real], space.features[synthetic], clients[real], seed, clients[synthetic]
        )
        parts.append(html.Heading(f"Real and synthetic {name}"))
        parts += [] if found["note"] else [_table(kind, found)]
        parts.append(html.Paragraph(sentence(name, found)))
    if parts:
        parts.append(html.Paragraph(NOTE, "note"))
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
        "test": space.evaluation.clients,
        "synthetic": [row["client_id"] for row in rows],
    }
    return space.patches.take({name: np.array(list(v), object) for name, v in clients.items()})


def sentence(name: str, found: dict[str, Any]) -> str:
    """What the numbers say, in one or two sentences."""
    if found["note"]:
        return f"Synthetic and real {name}: {found['note']}."
    auc, p = found["measures"]["classifier_auc"], found["kid_p"]["synthetic"]
    mixing, coverage = found["measures"]["mixing"], found["measures"]["coverage"]
    parts = [
        f"Among the nearest neighbours of a patch {mixing['synthetic']:.0%} are of the other set "
        f"(real against real: {mixing['ceiling']:.0%})"
    ]
    if auc["synthetic"] is not None:
        real = "undefined" if auc["ceiling"] is None else f"{auc['ceiling']:.2f}"
        parts.append(
            f"a simple classifier tells synthetic {name} from real ones with an AUC of "
            f"{auc['synthetic']:.2f} (real from real: {real})"
        )
    parts.append(f"synthetic ones reach {coverage['synthetic']:.0%} of the real ones' surroundings")
    if p is not None:
        verdict = "differ" if p < 0.05 else "are not shown to differ"
        parts.append(f"by KID the two {verdict} (p = {format_probability(p)})")
    return "; ".join(parts) + "."


def _table(kind: str, found: dict[str, Any]) -> Table:
    rows, records = [], []
    for name, (title, form, ideal) in MEASURES.items():
        values = found["measures"][name]
        cells = [_with_spread(values, side, form) for side in ("synthetic", "ceiling")]
        rows.append((title, *cells, ideal))
        records.append({"measure": name, **{side: values[side] for side in values}})
    p_values = [found["kid_p"][side] for side in ("synthetic", "ceiling")]
    rows.append(("p of the KID", *map(_probability, p_values), "–"))
    records.append(
        dict.fromkeys(records[0], None)
        | {"measure": "kid_p", "synthetic": p_values[0], "ceiling": p_values[1]}
    )
    size = found["group_size"]
    headings = (
        f"Groups of {size:,}",
        "Real and synthetic",
        "Ceiling: real and real",
        "Equal gives",
    )
    return Table(f"figure_4_overlap_{kind}", headings, rows, records)


def _with_spread(values: dict[str, Any], side: str, form: str) -> str:
    if values[side] is None:
        return "undefined"
    spread = values[f"{side}_spread"]
    text = f"{values[side]:{form}}".replace("-", "−")
    return text if spread is None else f"{text} ± {spread:{form}}"


def _probability(value: float | None) -> str:
    return "undefined" if value is None else format_probability(value)
