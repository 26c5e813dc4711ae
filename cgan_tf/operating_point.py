"""Sensitivity at a specificity with an interval that allows for patients.

The threshold is itself estimated from the negative patches, so the interval comes from a bootstrap
of whole patients that finds the threshold anew in every round (Platt et al. 2000 for independent
patches).
"""

import dataclasses
import math

import numpy as np
from scipy.stats import beta

from cgan_tf.patient_bootstrap import drawn_weights
from cgan_tf.statistics import sensitivity_at

PERCENTILE, EXACT = "bootstrap of patients", "Clopper-Pearson on patients"


@dataclasses.dataclass(frozen=True)
class SensitivityEstimate:
    """A sensitivity with its interval.

    Attributes:
      sensitivity: 0 to 1. threshold: a patch is called positive when its score is above it.
      low, high: limits of the interval. method: `PERCENTILE`, `EXACT`, or empty.
      note: empty, or "undefined: ..." in words.
    """

    sensitivity: float
    threshold: float
    low: float
    high: float
    method: str
    note: str = ""


def sensitivity_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    clusters: np.ndarray,
    specificity: float = 0.9,
    level: float = 0.95,
    rounds: int = 1000,
    seed: int = 0,
) -> SensitivityEstimate:
    """The sensitivity at the lowest threshold that reaches the specificity.

    Where it is 0 or 1 every round of the bootstrap may agree; the interval is then Clopper and
    Pearson's with each patient with positive patches counted once.

    Args:
      labels: [n], 1 for positive. scores: [n], higher is more positive.
      clusters: [n], the patient of each patch. rounds: of the bootstrap. level: of the interval.
    """
    sensitivity, threshold = sensitivity_at(labels, scores, specificity)
    positive = np.asarray(labels).astype(bool)
    patient = np.unique(clusters, return_inverse=True)[1]
    counts = [len(np.unique(patient[chosen])) for chosen in (positive, ~positive)]
    if min(counts) < 2:
        note = "undefined: {} patients with positive and {} with negative patches".format(*counts)
        return SensitivityEstimate(sensitivity, threshold, math.nan, math.nan, "", note)
    tail = (1 - level) / 2
    if sensitivity in (0.0, 1.0):
        low = float(beta.ppf(tail, counts[0], 1)) if sensitivity else 0.0
        high = 1.0 if sensitivity else float(beta.ppf(1 - tail, 1, counts[0]))
        return SensitivityEstimate(sensitivity, threshold, low, high, EXACT)
    point = _WeightedPoint(positive, np.asarray(scores, np.float64), specificity)
    drawn = [point.sensitivity(w) for w in drawn_weights(positive, patient, rounds, seed)]
    low, high = (float(limit) for limit in np.quantile(drawn, (tail, 1 - tail)))
    return SensitivityEstimate(sensitivity, threshold, low, high, PERCENTILE)


class _WeightedPoint:
    """`sensitivity_at` with each patch counted `weights` times, sorted only once."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray, specificity: float):
        self.specificity = specificity
        negatives = np.flatnonzero(~positive)
        self.positives = np.flatnonzero(positive)
        self.negatives = negatives[np.argsort(scores[negatives], kind="stable")]
        self.scores = scores

    def sensitivity(self, weights: np.ndarray) -> float:
        below = np.cumsum(weights[self.negatives])
        place = np.searchsorted(below, max(1.0, self.specificity * below[-1] - 1e-9))
        above = self.scores[self.positives] > self.scores[self.negatives[place]]
        counts = weights[self.positives]
        return float((counts * above).sum() / counts.sum())
