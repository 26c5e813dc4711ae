"""ROC curves with pointwise bands: vertical averaging over a bootstrap of patients.

Fawcett (2006), "An introduction to ROC analysis", section 8.1: curves are averaged vertically, the
sensitivity at each false-positive rate. Patches of one patient are not independent, so whole
patients are drawn with replacement; classifiers of several seeds score the same drawn patients,
and their curves are averaged within every round.
"""

import dataclasses
import math

import numpy as np

from cgan_tf.patient_bootstrap import drawn_weights

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
    clusters: np.ndarray,
    rounds: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> RocBand:
    """The mean curve of k classifiers with its band.

    Args:
      labels: [n], 1 for positive. scores: [k, n], a row per classifier, higher is more positive.
      clusters: [n], the patient of each patch. rounds: of the bootstrap. level: of the band.
    """
    positive = np.asarray(labels).astype(bool)
    patient = np.unique(clusters, return_inverse=True)[1]
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
