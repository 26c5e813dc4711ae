"""Figures of merit of one classifier, ready for JSON: undefined values are null, with a note."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from cgan_tf.calibration import (
    brier_score,
    expected_calibration_error,
    recalibration,
    reliability_bins,
)
from cgan_tf.evaluation_tables import LESION_TYPES
from cgan_tf.operating_point import sensitivity_interval
from cgan_tf.statistics import auc_interval
from cgan_tf.subgroups import subgroup_aucs

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
