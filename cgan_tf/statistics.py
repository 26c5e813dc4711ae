"""Areas under ROC curves, and tests of their differences that allow for patients.

Notation (DeLong et al. 1988 in the rank form of Sun & Xu 2014): m positives, n negatives. The
placement of a positive, V10, is the share of negatives that it outscores (ties count half); that
of a negative, V01, the share of positives that outscore it. AUC = mean(V10) = mean(V01).
Patches of one patient are not independent; with `clusters` the variances are those of Obuchowski
(1997), which equal DeLong's when every patient gives one patch.

A quantity that the data do not define is NaN, with the reason in words in `note`.
"""

import dataclasses
import math

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

_NO_VARIANCE = 1e-30  # below what one tie among a million patches contributes


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


def midranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; tied values share the mean of their ranks. float64 [n]."""
    return rankdata(values, method="average")


def exact_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Share of (positive, negative) pairs in the right order, ties half; NaN without both."""
    positive, scores = _checked(labels, scores)
    return _auc(positive, _outscored(positive, scores))


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
    positive, scores_a = _checked(labels, scores_a)
    _, scores_b = _checked(labels, scores_b)
    counts_a, counts_b = _outscored(positive, scores_a), _outscored(positive, scores_b)
    auc_a, auc_b = _auc(positive, counts_a), _auc(positive, counts_b)
    difference = auc_a - auc_b
    variance, note = _variance(positive, counts_a - counts_b, clusters)
    if not note and variance <= _NO_VARIANCE:
        if difference == 0:
            return AucComparison(auc_a, auc_b, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
        note = "undefined: the AUCs differ but the difference has no variance"
    if note:
        nan = math.nan
        return AucComparison(auc_a, auc_b, difference, variance, nan, nan, nan, nan, nan, note)
    z = difference / math.sqrt(variance)
    log_p = float(math.log(2) + norm.logsf(abs(z)))
    reach = float(norm.ppf((1 + level) / 2)) * math.sqrt(variance)
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    return AucComparison(
        auc_a, auc_b, difference, variance, z, float(2 * norm.sf(abs(z))), log_p, low, high
    )


def auc_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    clusters: np.ndarray | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> AucEstimate:
    """AUC with a logit interval; at 0 and 1, where that is empty, a smoothed bootstrap.

    The plain bootstrap of perfectly separated scores is perfectly separated each time, so the
    resampled scores are jittered with Silverman's bandwidth. Arguments as in `delong_test`.
    """
    positive, scores = _checked(labels, scores)
    m, n = int(positive.sum()), int((~positive).sum())
    counts = _outscored(positive, scores)
    auc = _auc(positive, counts)
    variance, note = _variance(positive, counts, clusters)
    if m and n and auc in (0.0, 1.0):
        low, high = _bootstrap_interval(positive, scores, clusters, level, seed)
        return AucEstimate(auc, variance, low, high, "smoothed bootstrap", m, n)
    if not note and variance <= _NO_VARIANCE:
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
    positive, scores = _checked(labels, scores)
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
    positive, scores = _checked(labels, scores)
    negatives = np.sort(scores[~positive])
    if not positive.any() or not len(negatives):
        return math.nan, math.nan
    # The small allowance keeps 0.9 * 10 from needing the tenth negative.
    threshold = negatives[max(0, math.ceil(specificity * len(negatives) - 1e-9) - 1)]
    return float((scores[positive] > threshold).mean()), float(threshold)


def _checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise ValueError(
            f"expected labels and scores of one length, found {labels.shape} and {scores.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels: expected 0 and 1 only")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores: {int((~np.isfinite(scores)).sum())} are not finite")
    return labels.astype(bool), scores


def _outscored(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Placements in whole numbers: 2 n V10 for positives, 2 m V01 for negatives, float64 [n].

    Whole numbers keep the variance of equal placements at exactly zero.
    """
    ranks = midranks(scores)
    doubled = np.empty(len(scores))
    doubled[positive] = 2 * (ranks[positive] - midranks(scores[positive]))
    beaten = 2 * (ranks[~positive] - midranks(scores[~positive]))
    doubled[~positive] = 2 * positive.sum() - beaten
    return doubled


def _auc(positive: np.ndarray, counts: np.ndarray) -> float:
    m, n = int(positive.sum()), int((~positive).sum())
    return float(counts[positive].sum() / (2 * m * n)) if m and n else math.nan


def _variance(
    positive: np.ndarray, counts: np.ndarray, clusters: np.ndarray | None
) -> tuple[float, str]:
    """(variance, note) of the mean placement, from doubled placements or their differences."""
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return math.nan, f"undefined: {m} positive and {n} negative patches"
    if clusters is None:
        if m < 2 or n < 2:
            return math.nan, "undefined: one patch of a class has no variance"
        v10, v01 = counts[positive] / (2 * n), counts[~positive] / (2 * m)
        return float(v10.var(ddof=1) / m + v01.var(ddof=1) / n), ""
    return _clustered_variance(positive, counts, np.asarray(clusters))


def _clustered_variance(
    positive: np.ndarray, counts: np.ndarray, clusters: np.ndarray
) -> tuple[float, str]:
    """Obuchowski (1997): a and b are a patient's summed deviations of V10 and V01."""
    if clusters.shape != positive.shape:
        raise ValueError(f"clusters: expected {positive.shape}, found {clusters.shape}")
    patient = np.unique(clusters, return_inverse=True)[1]
    m, n = int(positive.sum()), int((~positive).sum())
    v10, v01 = counts[positive] / (2 * n), counts[~positive] / (2 * m)
    patients = int(patient.max()) + 1
    a = np.bincount(patient[positive], v10 - v10.mean(), minlength=patients)
    b = np.bincount(patient[~positive], v01 - v01.mean(), minlength=patients)
    with_positives = len(np.unique(patient[positive]))
    with_negatives = len(np.unique(patient[~positive]))
    if with_positives < 2 or with_negatives < 2:
        return math.nan, (
            f"undefined: {with_positives} patients with positive and {with_negatives} with "
            "negative patches"
        )
    variance = (
        with_positives / ((with_positives - 1) * m**2) * (a @ a)
        + with_negatives / ((with_negatives - 1) * n**2) * (b @ b)
        + 2 * patients / ((patients - 1) * m * n) * (a @ b)
    )
    if variance < -_NO_VARIANCE:  # the estimate is not guaranteed to be positive
        return math.nan, "undefined: the clustered variance is negative"
    return float(variance), ""


def _bootstrap_interval(
    positive: np.ndarray,
    scores: np.ndarray,
    clusters: np.ndarray | None,
    level: float,
    seed: int,
    rounds: int = 1000,
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    units = np.arange(len(scores)) if clusters is None else np.asarray(clusters)
    groups = [
        [np.flatnonzero((units == unit) & chosen) for unit in np.unique(units[chosen])]
        for chosen in (positive, ~positive)
    ]
    width = np.empty(len(scores))
    for chosen in (positive, ~positive):
        spread = scores[chosen].std() or scores.std()
        width[chosen] = 1.06 * spread * chosen.sum() ** -0.2
    aucs = []
    for _ in range(rounds):
        drawn = np.concatenate(
            [
                np.concatenate([group[i] for i in rng.integers(0, len(group), len(group))])
                for group in groups
            ]
        )
        jittered = scores[drawn] + width[drawn] * rng.standard_normal(len(drawn))
        aucs.append(exact_auc(positive[drawn], jittered))
    low, high = np.quantile(aucs, [(1 - level) / 2, (1 + level) / 2])
    # The interval holds the estimate: jitter alone would pull it off the edge.
    auc = exact_auc(positive, scores)
    return float(min(low, auc)), float(max(high, auc))
