"""Figures of merit of one classifier, ready for JSON: undefined values are null, with a note.

AUCs in sub-groups of the test patches, with intervals that allow for patients.

A sub-group of the lesions (type, size, conspicuity) is compared with all normal patches, because a
normal patch has none of these. A sub-group of the women (manufacturer, breast density) is compared
with the normal patches of the same group: against all of them, a classifier that knows a
manufacturer's images from another's would seem to know cancer.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from cgan_tf.classifier.results import LESION_TYPES
from cgan_tf.statistics.auc import auc_interval
from cgan_tf.statistics.bands import sensitivity_interval
from cgan_tf.statistics.calibration import (
    brier_score,
    expected_calibration_error,
    recalibration,
    reliability_bins,
)

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
            groups[name] = _group_auc(labels[chosen], logits[chosen], clients[chosen])
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


def _group_auc(labels: np.ndarray, logits: np.ndarray, clients: np.ndarray) -> dict[str, Any]:
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


SPECIFICITY = 0.9


def metrics_of_scores(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """AUCs with intervals, overall, per lesion type and in sub-groups, the sensitivity at 90%
    specificity, and the calibration.

    Args:
      rows: of scores.csv. A lesion type is compared with all normal patches.
    """
    labels = np.array([int(row["label"]) for row in rows])
    logits = np.array([float(row["logit"]) for row in rows])
    clients = np.array([row["client_id"] for row in rows])
    kinds = np.array([row["lesion_type"] for row in rows])
    groups = {"overall": np.ones(len(rows), bool)}
    for kind in LESION_TYPES:
        groups[kind] = (labels == 0) | (kinds == kind)
    point = sensitivity_interval(labels, logits, clients, SPECIFICITY)
    metrics = {
        "auc": {
            name: _auc(labels[chosen], logits[chosen], clients[chosen])
            for name, chosen in groups.items()
        },
        "specificity": SPECIFICITY,
        "sensitivity": point.sensitivity,
        "sensitivity_low_by_patient": point.low,
        "sensitivity_high_by_patient": point.high,
        "sensitivity_note_by_patient": point.note,
        "threshold": point.threshold,
        "patches": {"normal": int((labels == 0).sum()), "malignant": int(labels.sum())},
        "clients": len(set(clients.tolist())),
        "calibration": _calibration(labels, logits, clients),
        "subgroups": subgroup_aucs(rows),
    }
    return _defined(metrics)


def metrics_of_synthetic(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean logit of the source patches and of what was made of them, per task and split.

    The key is the task for the training split and task_split for others, which are held out.
    `as_intended` is the share of patches whose logit moved the right way: down for removal, up
    for the others.
    """
    metrics = {}
    for task, split in dict.fromkeys((row["task"], row["split"]) for row in rows):
        members = [row for row in rows if (row["task"], row["split"]) == (task, split)]
        after = np.array([float(row["logit"]) for row in members])
        before = np.array([float(row["source_logit"]) for row in members])
        intended = after < before if task == "removal" else after > before
        metrics[task if split == "train" else f"{task}_{split}"] = {
            "task": task,
            "split": split,
            "patches": len(members),
            "mean_logit_before": float(before.mean()),
            "mean_logit_after": float(after.mean()),
            "mean_change": float((after - before).mean()),
            "as_intended": float(intended.mean()),
        }
    return metrics


def _auc(labels: np.ndarray, logits: np.ndarray, clients: np.ndarray) -> dict[str, Any]:
    by_patient = auc_interval(labels, logits, clients)
    return dataclasses.asdict(auc_interval(labels, logits)) | {
        "low_by_patient": by_patient.low,
        "high_by_patient": by_patient.high,
        "note_by_patient": by_patient.note,
    }


def _calibration(labels: np.ndarray, logits: np.ndarray, clients: np.ndarray) -> dict[str, Any]:
    probabilities = expit(logits)
    bins = reliability_bins(labels, probabilities)
    return {
        "prevalence": float(labels.mean()),
        "prevalence_note": (
            f"{labels.mean():.0%} of these patches are malignant, a share that was chosen when "
            "they were cut; in screening it is a small fraction of that. Bins, error, Brier score "
            "and intercept hold for this share only; the slope is the figure that carries over."
        ),
        "bins": [dataclasses.asdict(row) for row in bins],
        "expected_calibration_error": expected_calibration_error(bins),
        "brier_score": brier_score(labels, probabilities),
        **dataclasses.asdict(recalibration(labels, logits, clients)),
    }


def _defined(value: Any) -> Any:
    """The value with null in the place of NaN."""
    if isinstance(value, dict):
        return {name: _defined(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
