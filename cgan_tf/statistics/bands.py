"""ROC curves and sensitivities with intervals from a bootstrap of whole patients.

Patches of one patient are not independent, so whole patients are drawn with replacement. ROC curves
are averaged vertically, the sensitivity at each false-positive rate (Fawcett 2006, "An introduction
to ROC analysis", section 8.1). The threshold for a specificity is itself estimated from the
negative patches, so every round finds it anew (Platt et al. 2000, for independent patches).
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest

from cgan_tf.statistics.auc import sensitivity_at


def drawn_weights(
    positive: np.ndarray, patient: np.ndarray, rounds: int, seed: int
) -> Iterator[np.ndarray]:
    """How often each patch is drawn, int [n], in each round that has patches of both classes.

    Args:
      positive: bool [n], both classes present. patient: int [n] from 0, without gaps.
      rounds: yielded; draws that miss a class are drawn again and do not count.
    """
    rng = np.random.default_rng(seed)
    patients = int(patient.max()) + 1
    while rounds:
        picks = rng.integers(0, patients, patients)
        weights = np.bincount(picks, minlength=patients)[patient]
        if weights[positive].any() and weights[~positive].any():
            rounds -= 1
            yield weights


GRID = np.linspace(0, 1, 101)


@dataclasses.dataclass(frozen=True, eq=False)
class RocBand:
    """A curve on a grid of false-positive rates.

    Attributes:
      false, true: rates, float64 [grid]; `true` is the mean over the classifiers.
      low, high: pointwise limits of `true`, NaN where patients are too few for any.
    """

    false: np.ndarray
    true: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc_band(
    labels: np.ndarray,
    scores: np.ndarray,
    patients: np.ndarray,
    rounds: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> RocBand:
    """The mean curve of k classifiers with its band.

    Classifiers of several seeds score the same drawn patients; their curves are averaged within
    every round.

    Args:
      labels: [n], 1 for positive. scores: [k, n], a row per classifier, higher is more positive.
      patients: [n], the patient of each patch. rounds: of the bootstrap. level: of the band.
    """
    positive = np.asarray(labels).astype(bool)
    patient = np.unique(patients, return_inverse=True)[1]
    curves = [_Curve(positive, row) for row in np.atleast_2d(scores)]

    def mean_curve(weights: np.ndarray) -> np.ndarray:
        return np.mean([curve.sensitivity(weights) for curve in curves], axis=0)

    true = mean_curve(np.ones(len(positive)))
    undefined = np.full(len(GRID), math.nan)
    if min(len(np.unique(patient[positive])), len(np.unique(patient[~positive]))) < 2:
        return RocBand(GRID, true, undefined, undefined)
    drawn = [mean_curve(weights) for weights in drawn_weights(positive, patient, rounds, seed)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return RocBand(GRID, true, low, high)


class _Curve:
    """One classifier's patches in the order of their scores."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray):
        self.order = np.argsort(-scores, kind="stable")
        self.positive = positive[self.order]
        self.last_of_tie = np.append(np.diff(scores[self.order]) != 0, True)

    def sensitivity(self, weights: np.ndarray) -> np.ndarray:
        """True-positive rate on the grid, each patch counted `weights` [n] times."""
        weights = weights[self.order]
        true, false = (
            np.insert(np.cumsum(weights * chosen)[self.last_of_tie], 0, 0.0)
            for chosen in (self.positive, ~self.positive)
        )
        # Where the curve is vertical, np.interp takes its upper end.
        return np.interp(GRID, false / false[-1], true / true[-1])


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
    patients: np.ndarray,
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
      patients: [n], the patient of each patch. rounds: of the bootstrap. level: of the interval.
    """
    sensitivity, threshold = sensitivity_at(labels, scores, specificity)
    positive = np.asarray(labels).astype(bool)
    patient = np.unique(patients, return_inverse=True)[1]
    counts = [len(np.unique(patient[chosen])) for chosen in (positive, ~positive)]
    if min(counts) < 2:
        note = "undefined: {} patients with positive and {} with negative patches".format(*counts)
        return SensitivityEstimate(sensitivity, threshold, math.nan, math.nan, "", note)
    if sensitivity in (0.0, 1.0):
        found = counts[0] if sensitivity else 0
        limits = binomtest(found, counts[0]).proportion_ci(level, method="exact")
        low, high = float(limits.low), float(limits.high)
        return SensitivityEstimate(sensitivity, threshold, low, high, EXACT)
    tail = (1 - level) / 2
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
