"""Areas under ROC curves, and tests of their differences that allow for patients.

DeLong et al. (1988) as sums over placements (`cgan_tf.placements`). Patches of one patient are not
independent; with `clusters` the variances are those of Obuchowski (1997), which equal DeLong's
when every patient gives one patch.

A quantity that the data do not define is NaN, with the reason in words in `note`.
"""

import dataclasses
import math

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from cgan_tf.placements import (
    checked,
    mean_placement,
    mean_variance,
    outscored,
    patient_numbers,
)
from cgan_tf.smoothed_bootstrap import smoothed_interval


@dataclasses.dataclass(frozen=True)
class AucEstimate:
    """An AUC with its interval.

    Attributes:
      auc: exact rank AUC, 0 to 1. variance: of the AUC.
      low, high: limits of the interval. method: logit, smoothed bootstrap, or empty.
      positives, negatives: patches. note: empty, or "undefined: ..." in words.
    """

    auc: float
    variance: float
    low: float
    high: float
    method: str
    positives: int
    negatives: int
    note: str = ""


@dataclasses.dataclass(frozen=True)
class AucComparison:
    """Two scores of the same patches compared.

    Attributes:
      auc_a, auc_b: exact rank AUCs. difference: auc_a - auc_b. variance: of the difference.
      z: difference / sqrt(variance). p_value: two-sided; log_p: its natural logarithm, finite
        where p_value underflows. low, high: Wald interval of the difference.
      note: empty, or "undefined: ..." in words.
    """

    auc_a: float
    auc_b: float
    difference: float
    variance: float
    z: float
    p_value: float
    log_p: float
    low: float
    high: float
    note: str = ""


def exact_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties half; NaN without both."""
    positive, scores = checked(labels, scores)
    return mean_placement(positive, outscored(positive, scores))


def delong_test(
    labels: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    clusters: np.ndarray | None = None,
    level: float = 0.95,
) -> AucComparison:
    """Tests whether two scores of the same patches have the same AUC.

    Args:
      labels: [n], 1 for positive. scores_a, scores_b: [n], higher is more positive.
      clusters: [n] patient of each patch, for Obuchowski's variance; None for DeLong's.
      level: of the interval on the difference.

    Identical placements give z = 0 and p = 1, as in R's pROC. A difference without variance is
    undefined, not significant.
    """
    positive, scores_a = checked(labels, scores_a)
    _, scores_b = checked(labels, scores_b)
    counts_a, counts_b = outscored(positive, scores_a), outscored(positive, scores_b)
    aucs = mean_placement(positive, counts_a), mean_placement(positive, counts_b)
    difference = mean_placement(positive, counts_a - counts_b)
    patient = None if clusters is None else patient_numbers(clusters, len(positive))
    variance, note = mean_variance(positive, counts_a - counts_b, patient)
    if not note and variance == 0:
        if difference == 0:
            return AucComparison(*aucs, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
        note = "undefined: the AUCs differ but the difference has no variance"
    if note:
        nan = math.nan
        return AucComparison(*aucs, difference, variance, nan, nan, nan, nan, nan, note)
    z = difference / math.sqrt(variance)
    log_p = float(math.log(2) + norm.logsf(abs(z)))
    reach = float(norm.ppf((1 + level) / 2)) * math.sqrt(variance)
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    return AucComparison(
        *aucs, difference, variance, z, float(2 * norm.sf(abs(z))), log_p, low, high
    )


def auc_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    clusters: np.ndarray | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> AucEstimate:
    """AUC with a logit interval; at 0 and 1, where that is empty, a smoothed bootstrap.

    Arguments as in `delong_test`; seed: of the bootstrap.
    """
    positive, scores = checked(labels, scores)
    m, n = int(positive.sum()), int((~positive).sum())
    counts = outscored(positive, scores)
    auc = mean_placement(positive, counts)
    patient = None if clusters is None else patient_numbers(clusters, len(positive))
    variance, note = mean_variance(positive, counts, patient)
    if auc in (0.0, 1.0):
        each_its_own = np.arange(len(scores))
        units = each_its_own if patient is None else patient
        low, high = smoothed_interval(positive, scores, units, level, seed)
        return AucEstimate(auc, variance, low, high, "smoothed bootstrap", m, n)
    if not note and variance == 0:
        note = "undefined: the scores do not vary"
    if note:
        return AucEstimate(auc, variance, math.nan, math.nan, "", m, n, note)
    reach = float(norm.ppf((1 + level) / 2)) * math.sqrt(variance) / (auc * (1 - auc))
    low, high = (float(expit(logit(auc) + side * reach)) for side in (-1, 1))
    return AucEstimate(auc, variance, low, high, "logit", m, n)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, in the order given; an undefined one stays NaN but counts."""
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    largest = 0.0
    for place, index in enumerate(np.argsort(p_values)):  # NaN sorts last
        if not np.isnan(p_values[index]):
            largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
            adjusted[index] = largest
    return adjusted


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates from (0, 0) to (1, 1), one point per distinct score."""
    positive, scores = checked(labels, scores)
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    true = np.cumsum(positive[order])[last_of_tie] / max(1, positive.sum())
    false = np.cumsum(~positive[order])[last_of_tie] / max(1, (~positive).sum())
    return np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)


def sensitivity_at(
    labels: np.ndarray, scores: np.ndarray, specificity: float = 0.9
) -> tuple[float, float]:
    """(sensitivity, threshold) at the lowest threshold that reaches the specificity.

    A patch is called positive when its score is above the threshold. NaN without both classes.
    """
    positive, scores = checked(labels, scores)
    negatives = np.sort(scores[~positive])
    if not positive.any() or not len(negatives):
        return math.nan, math.nan
    # The small allowance keeps 0.9 * 10 from needing the tenth negative.
    threshold = negatives[max(0, math.ceil(specificity * len(negatives) - 1e-9) - 1)]
    return float((scores[positive] > threshold).mean()), float(threshold)
