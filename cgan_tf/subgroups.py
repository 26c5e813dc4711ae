"""AUCs in sub-groups of the test patches, with intervals that allow for patients.

A sub-group of the lesions (type, size, conspicuity) is compared with all normal patches, because a
normal patch has none of these. A sub-group of the women (manufacturer, breast density) is compared
with the normal patches of the same group: against all of them, a classifier that knows a
manufacturer's images from another's would seem to know cancer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cgan_tf.statistics import auc_interval

ALL_NORMALS, NORMALS_OF_GROUP = "all normal patches", "normal patches of the same group"
ATTRIBUTES = {
    "manufacturer": NORMALS_OF_GROUP,
    "lesion_type": ALL_NORMALS,
    "lesion_size_mm": ALL_NORMALS,
    "conspicuity": ALL_NORMALS,
    "breast_density": NORMALS_OF_GROUP,
}
UNKNOWN = "unknown"
# Of the longer side of the annotated box. The limits are those of the TNM stages T1c, T2 and T3.
SIZE_BANDS_MM = ((10.0, "up to 10 mm"), (20.0, "10 to 20 mm"), (50.0, "20 to 50 mm"))
LARGEST_BAND = "over 50 mm"
_BANDS = (*(name for _, name in SIZE_BANDS_MM), LARGEST_BAND)
FEWEST_PATIENTS = 5  # with positive, and with negative patches: below that an interval is a guess


def size_band(size_mm: float) -> str:
    """The band of a lesion's size: (0, 10], (10, 20], (20, 50] or more, in mm."""
    return next((name for limit, name in SIZE_BANDS_MM if size_mm <= limit), LARGEST_BAND)


def subgroup_aucs(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """For every attribute of `ATTRIBUTES`: what it is compared with, and its groups.

    Args:
      rows: of scores.csv.

    Returns:
      By attribute `negatives`, `note` and `groups`; by group the AUC, its limits by patient, the
      patches and patients of both classes, and a note that begins with "undefined" where the AUC
      or its interval (NaN) is. `note` says so where the attribute is unknown for every lesion.
    """
    labels = np.array([int(row["label"]) for row in rows])
    logits = np.array([float(row["logit"]) for row in rows])
    clients = np.array([str(row["client_id"]) for row in rows])
    result = {}
    for attribute, negatives in ATTRIBUTES.items():
        names = np.array([_group(attribute, row) for row in rows])
        found = _ordered(set(names[labels == 1].tolist()))
        groups = {}
        for name in [] if found == [UNKNOWN] else found:
            chosen = names == name
            if negatives == ALL_NORMALS:
                chosen = (chosen & (labels == 1)) | (labels == 0)
            groups[name] = _auc(labels[chosen], logits[chosen], clients[chosen])
        note = "" if groups else f"undefined: {attribute} is unknown for every malignant patch"
        result[attribute] = {"negatives": negatives, "groups": groups, "note": note}
    return result


def _group(attribute: str, row: Mapping[str, Any]) -> str:
    value = str(row[attribute])
    if attribute == "lesion_size_mm" and value:
        return size_band(float(value))
    return value or UNKNOWN


def _ordered(names: set[str]) -> list[str]:
    """Bands by size, others by name, the unknown last."""
    place = {name: number for number, name in enumerate(_BANDS)}
    return sorted(names, key=lambda name: (name == UNKNOWN, place.get(name, 0), name))


def _auc(labels: np.ndarray, logits: np.ndarray, clients: np.ndarray) -> dict[str, Any]:
    estimate = auc_interval(labels, logits, clients)
    patients = [len(set(clients[labels == label].tolist())) for label in (1, 0)]
    low, high, note = estimate.low, estimate.high, estimate.note
    if min(patients) < FEWEST_PATIENTS:
        low = high = float("nan")
        note = (
            f"undefined: {patients[0]} patients with positive and {patients[1]} with negative "
            f"patches; an interval needs {FEWEST_PATIENTS} of each"
        )
    return {
        "auc": estimate.auc,
        "low_by_patient": low,
        "high_by_patient": high,
        "note": note,
        "positives": estimate.positives,
        "negatives": estimate.negatives,
        "positive_clients": patients[0],
        "negative_clients": patients[1],
    }
