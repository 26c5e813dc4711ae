"""The numbers under Figure 4: how far synthetic lesions overlap with real ones in feature space."""

from typing import Any

import numpy as np

from cgan_tf import overlap, report_html
from cgan_tf.evaluation_sources import find_sources
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.report_content import Part, Table
from cgan_tf.report_data import read_table
from cgan_tf.report_numbers import format_probability
from cgan_tf.report_space import FeatureSpace

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
        parts.append(report_html.heading(f"Real and synthetic {name}"))
        parts += [] if found["note"] else [_table(kind, found)]
        parts.append(report_html.paragraph(sentence(name, found)))
    if parts:
        parts.append(report_html.paragraph(NOTE, "note"))
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
