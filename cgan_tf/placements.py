"""Placements: how many patches of the other class a patch is on the right side of.

Notation of DeLong et al. (1988): m positives, n negatives. V10 of a positive is the share of
negatives that it outscores, ties half; V01 of a negative the share of positives that outscore it;
AUC = mean(V10) = mean(V01). They are kept as whole numbers, 2 n V10 and 2 m V01, in float64 (exact
to 2^53), so that equal placements have a variance of exactly zero.
"""

import math

import numpy as np


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


def patient_numbers(clusters: np.ndarray, count: int) -> np.ndarray:
    """Names of patients, text or numbers [count], as numbers from 0, int64 [count]."""
    clusters = np.asarray(clusters)
    if clusters.shape != (count,):
        raise ValueError(f"clusters: expected {(count,)}, found {clusters.shape}")
    return np.unique(clusters, return_inverse=True)[1]


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
    """The AUC, or a difference of AUCs, from `outscored` or its differences; NaN if undefined."""
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
