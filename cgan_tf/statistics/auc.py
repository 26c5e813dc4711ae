"""Areas under ROC curves, and tests of their differences that allow for patients.

Notation of DeLong et al. (1988): m positives, n negatives. V10 of a positive is the share of
negatives that it outscores, ties half; V01 of a negative the share of positives that outscore it;
AUC = mean(V10) = mean(V01). These placements are kept as whole numbers, 2 n V10 and 2 m V01, in
float64 (exact to 2^53), so that equal placements have a variance of exactly zero.

Patches of one patient are not independent: with `patients` the variances are those of Obuchowski
(1997), which equal DeLong's when every patient gives one patch.

A quantity that the data do not define is NaN, with the reason in words in `note`.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata


def checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positive, scores) as bool [n] and float64 [n].

    Raises ValueError for other labels than 0 and 1, scores that are not finite, other lengths.
    """
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


def patient_numbers(patients: np.ndarray, count: int) -> np.ndarray:
    """Names of patients, text or numbers [count], as numbers from 0, int64 [count]."""
    patients = np.asarray(patients)
    if patients.shape != (count,):
        raise ValueError(f"patients: expected {(count,)}, found {patients.shape}")
    return np.unique(patients, return_inverse=True)[1]


def outscored(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """2 n V10 of the positives, 2 m V01 of the negatives: whole numbers, float64 [n]."""
    order = np.argsort(scores)
    first_of_tie = np.insert(np.diff(scores[order]) != 0, 0, True)[: len(scores)]
    level = np.cumsum(first_of_tie) - 1  # of each patch in order, equal for equal scores
    sorted_positive = positive[order]
    negatives = np.bincount(level[~sorted_positive], minlength=int(first_of_tie.sum()))
    positives = np.bincount(level[sorted_positive], minlength=int(first_of_tie.sum()))
    beats = 2 * np.cumsum(negatives) - negatives  # twice the negatives below, and those level
    beaten = 2 * (positives.sum() - np.cumsum(positives)) + positives
    counts = np.empty(len(scores))
    counts[order] = np.where(sorted_positive, beats[level], beaten[level])
    return counts


def mean_placement(positive: np.ndarray, counts: np.ndarray) -> float:
    """The AUC, or a difference of AUCs; NaN without both classes.

    Args:
      positive: bool [n]. counts: float64 [n], of `outscored`, or differences of such.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    return float(counts[positive].sum() / (2 * m * n)) if m and n else math.nan


def mean_variance(
    positive: np.ndarray, counts: np.ndarray, patient: np.ndarray | None
) -> tuple[float, str]:
    """(variance, note) of `mean_placement`; the note is empty, or "undefined: ..." in words.

    Args:
      counts: float64 [n], whole numbers: of `outscored`, or sums and differences of such.
      patient: from `patient_numbers`, for Obuchowski's (1997) variance; None for DeLong's.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return math.nan, f"undefined: {m} positive and {n} negative patches"
    v10 = m * counts[positive] - counts[positive].sum()  # deviations of V10, times 2 m n
    v01 = n * counts[~positive] - counts[~positive].sum()
    if patient is None:
        if m < 2 or n < 2:
            return math.nan, "undefined: one patch of a class has no variance"
        squares = (n**2 * (v10 @ v10) * m / (m - 1), m**2 * (v01 @ v01) * n / (n - 1))
        return float(sum(squares) / (2 * m**2 * n**2) ** 2), ""
    return _clustered_variance(positive, v10, v01, patient)


def _clustered_variance(
    positive: np.ndarray, v10: np.ndarray, v01: np.ndarray, patient: np.ndarray
) -> tuple[float, str]:
    """Obuchowski (1997), equation for two correlated AUCs, regrouped.

    With a and b a patient's summed deviations, divided by m and n, and I10, I01 and I the patients
    with positives, with negatives and in all:
      I10/(I10-1) sum(a^2) + I01/(I01-1) sum(b^2) + 2 I/(I-1) sum(a b)
    is the sum of three terms of which none is negative, as I10 <= I and I01 <= I:
      I/(I-1) sum((a+b)^2) + (I-I10)/((I10-1)(I-1)) sum(a^2) + (I-I01)/((I01-1)(I-1)) sum(b^2)
    """
    m, n = len(v10), len(v01)
    patients = int(patient.max()) + 1
    with_positives = int(np.count_nonzero(np.bincount(patient[positive])))
    with_negatives = int(np.count_nonzero(np.bincount(patient[~positive])))
    if with_positives < 2 or with_negatives < 2:
        return math.nan, (
            f"undefined: {with_positives} patients with positive and {with_negatives} with "
            "negative patches"
        )
    a = n * np.bincount(patient[positive], v10, minlength=patients)  # times 2 m^2 n^2
    b = m * np.bincount(patient[~positive], v01, minlength=patients)
    both = a + b
    total = patients * (both @ both)
    total += (patients - with_positives) / (with_positives - 1) * (a @ a)
    total += (patients - with_negatives) / (with_negatives - 1) * (b @ b)
    return float(total / (patients - 1) / (2 * m**2 * n**2) ** 2), ""


_BLOCK = 2_000_000  # scores drawn at a time, at 16 bytes and a few times that to sort them


def smoothed_interval(
    positive: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    level: float,
    seed: int,
    rounds: int = 1000,
) -> tuple[float, float]:
    """Percentile interval of a smoothed bootstrap of patients, for AUCs of 0 and 1.

    The variance of such an AUC vanishes, and every plain bootstrap round of perfectly separated
    scores is perfectly separated, too. What is drawn is therefore jittered with Silverman's
    bandwidth (Silverman & Young 1987). The ranks are drawn, not the scores: like the AUC, its
    interval must not depend on how wide the gap between the classes is. Patients are drawn whole,
    those with positives, with negatives and with both apart, so that every round has both classes.
    The interval is stretched where needed to hold the AUC itself.

    Args:
      positive: bool [n], both classes present. scores: float64 [n].
      patient: int [n] from 0, without gaps. rounds: draws of the whole test set.
    """
    rng = np.random.default_rng(seed)
    ranks = rankdata(scores)
    width = _bandwidths(positive, ranks)
    aucs: list[float] = []
    for round_of, patch in _draws(positive, patient, rounds, rng):
        jittered = ranks[patch] + width[patch] * rng.standard_normal(len(patch))
        aucs.extend(_aucs(round_of, positive[patch], jittered))
    low, high = np.quantile(aucs, [(1 - level) / 2, (1 + level) / 2])
    auc = mean_placement(positive, outscored(positive, scores))
    return float(min(low, auc)), float(max(high, auc))  # jitter alone pulls it off the edge


def _bandwidths(positive: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    width = np.empty(len(ranks))
    for chosen in (positive, ~positive):  # a class of one value takes the spread of both
        width[chosen] = 1.06 * (ranks[chosen].std() or ranks.std()) * chosen.sum() ** -0.2
    return width


def _draws(
    positive: np.ndarray, patient: np.ndarray, rounds: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of (round from 0, patch), int [drawn] each, sorted by round."""
    patches = np.argsort(patient, kind="stable")  # a patient's patches stand together
    sizes = np.bincount(patient)
    starts = np.cumsum(sizes) - sizes
    has_positives = np.bincount(patient[positive], minlength=len(sizes)) > 0
    has_negatives = np.bincount(patient[~positive], minlength=len(sizes)) > 0
    kinds = has_positives + 2 * has_negatives
    strata = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    at_a_time = max(1, _BLOCK // len(patient))
    for first in range(0, rounds, at_a_time):
        block = min(at_a_time, rounds - first)
        drawn = np.concatenate(
            [stratum[rng.integers(0, len(stratum), (block, len(stratum)))] for stratum in strata],
            axis=1,
        )  # patients [block, patients]
        lengths = sizes[drawn.ravel()]
        before = np.cumsum(lengths) - lengths
        place = np.arange(lengths.sum()) + np.repeat(starts[drawn.ravel()] - before, lengths)
        round_of = np.repeat(np.repeat(np.arange(block), drawn.shape[1]), lengths)
        yield round_of, patches[place]


def _aucs(round_of: np.ndarray, positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The AUC of each round; jittered scores have no ties."""
    # One sort for all rounds, which stay in their order, so that round_of needs no sorting.
    positive = positive[np.argsort(scores + round_of * (np.ptp(scores) + 1))]
    negatives = np.bincount(round_of[~positive])
    below = np.cumsum(~positive) - (np.cumsum(negatives) - negatives)[round_of]
    pairs = np.bincount(round_of[positive]) * negatives
    return np.bincount(round_of[positive], below[positive]) / pairs


@dataclasses.dataclass(frozen=True)
class AucEstimate:
    """An AUC with its interval.

    Attributes:
      auc: exact rank AUC, 0 to 1.
      variance: of the AUC.
      low: lower limit of the interval.
      high: upper limit.
      method: logit, smoothed bootstrap, or empty.
      positives: patches.
      negatives: patches.
      note: empty, or "undefined: ..." in words.
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
      auc_a: exact rank AUC of the first score.
      auc_b: of the second.
      difference: auc_a - auc_b.
      variance: of the difference.
      z: difference / sqrt(variance).
      p_value: two-sided.
      log_p: its natural logarithm, finite where p_value underflows.
      low: lower limit of the difference's Wald interval.
      high: upper limit.
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
    """Share of (positive, negative) pairs in the right order, ties half; NaN without both.

    Args:
      labels: [n], 1 for positive. scores: [n], higher is more positive.
    """
    positive, scores = checked(labels, scores)
    return mean_placement(positive, outscored(positive, scores))


def delong_test(
    labels: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    patients: np.ndarray | None = None,
    level: float = 0.95,
) -> AucComparison:
    """Tests whether two scores of the same patches have the same AUC.

    Args:
      labels: [n], 1 for positive. scores_a, scores_b: [n], higher is more positive.
      patients: [n] patient of each patch, for Obuchowski's variance; None for DeLong's.
      level: of the interval on the difference.

    Identical placements give z = 0 and p = 1, as in R's pROC. A difference without variance is
    undefined, not significant.
    """
    positive, scores_a = checked(labels, scores_a)
    _, scores_b = checked(labels, scores_b)
    counts_a, counts_b = outscored(positive, scores_a), outscored(positive, scores_b)
    aucs = mean_placement(positive, counts_a), mean_placement(positive, counts_b)
    difference = mean_placement(positive, counts_a - counts_b)
    patient = None if patients is None else patient_numbers(patients, len(positive))
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
    patients: np.ndarray | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> AucEstimate:
    """AUC with a logit interval; at 0 and 1, where that is empty, a smoothed bootstrap.

    Args:
      labels: [n], 1 malignant, 0 normal.
      scores: [n], higher is more malignant.
      patients: [n] patient of each patch, for Obuchowski's variance; None for DeLong's.
      level: of the interval.
      seed: of the bootstrap.
    """
    positive, scores = checked(labels, scores)
    m, n = int(positive.sum()), int((~positive).sum())
    counts = outscored(positive, scores)
    auc = mean_placement(positive, counts)
    patient = None if patients is None else patient_numbers(patients, len(positive))
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
    """Holm's adjusted p-values, float64 [k], in the order given; NaN stays NaN but counts."""
    p_values = np.asarray(p_values, np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    largest = 0.0
    for place, index in enumerate(np.argsort(p_values)):  # NaN sorts last
        if not np.isnan(p_values[index]):
            largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
            adjusted[index] = largest
    return adjusted


def sensitivity_at(
    labels: np.ndarray, scores: np.ndarray, specificity: float = 0.9
) -> tuple[float, float]:
    """(sensitivity, threshold) at the lowest threshold that reaches the specificity.

    A patch is called positive when its score is above the threshold. NaN without both classes.

    Args:
      labels: [n], 1 for positive. scores: [n], higher is more positive.
    """
    positive, scores = checked(labels, scores)
    negatives = np.sort(scores[~positive])
    if not positive.any() or not len(negatives):
        return math.nan, math.nan
    # The small allowance keeps 0.9 * 10 from needing the tenth negative.
    threshold = negatives[max(0, math.ceil(specificity * len(negatives) - 1e-9) - 1)]
    return float((scores[positive] > threshold).mean()), float(threshold)
