"""Figures of merit of one classifier, ready for JSON: undefined values are null, with a note."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cgan_tf.config import MALIGNANT_CALCIFICATION, MALIGNANT_MASS
from cgan_tf.statistics import auc_interval, sensitivity_at

SPECIFICITY = 0.9
_LESION_TYPES = {MALIGNANT_MASS: "mass", MALIGNANT_CALCIFICATION: "calcification"}


def lesion_type(patch_class: str) -> str:
    """mass, calcification, or empty."""
    return _LESION_TYPES.get(patch_class, "")


def metrics_of_scores(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """AUCs with intervals, overall and per lesion type, and the sensitivity at 90% specificity.

    Args:
      rows: of scores.csv. A lesion type is compared with all normal patches.
    """
    labels = np.array([int(row["label"]) for row in rows])
    logits = np.array([float(row["logit"]) for row in rows])
    clients = np.array([row["client_id"] for row in rows])
    kinds = np.array([row["lesion_type"] for row in rows])
    groups = {"overall": np.ones(len(rows), bool)}
    for kind in _LESION_TYPES.values():
        groups[kind] = (labels == 0) | (kinds == kind)
    sensitivity, threshold = sensitivity_at(labels, logits, SPECIFICITY)
    return {
        "auc": {
            name: _auc(labels[chosen], logits[chosen], clients[chosen])
            for name, chosen in groups.items()
        },
        "specificity": SPECIFICITY,
        "sensitivity": _defined(sensitivity),
        "threshold": _defined(threshold),
        "patches": {"normal": int((labels == 0).sum()), "malignant": int(labels.sum())},
        "clients": len(set(clients.tolist())),
    }


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
    plain = auc_interval(labels, logits)
    by_patient = auc_interval(labels, logits, clients)
    values = {name: _defined(value) for name, value in dataclasses.asdict(plain).items()}
    return values | {
        "low_by_patient": _defined(by_patient.low),
        "high_by_patient": _defined(by_patient.high),
        "note_by_patient": by_patient.note,
    }


def _defined(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
