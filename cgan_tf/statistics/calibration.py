"""How well a classifier's probabilities agree with what the patches are.

Reliability bins and the expected calibration error as in Guo et al. (2017), the Brier score (1950),
and Cox's (1958) logistic recalibration: logit P(malignant) = intercept + slope * logit, fitted to
the test patches. A perfect classifier has slope 1 and intercept 0; a slope below 1 means that it is
too sure of itself. The intervals allow for patients: the variance is the sandwich of the patients'
summed scores (Liang & Zeger 1986).

All but the slope depend on the share of malignant patches, which whoever cuts the patches chooses:
see `Recalibration.intercept_at_even_odds`.
"""

import dataclasses
import math

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from scipy.stats import norm

BINS = 10


@dataclasses.dataclass(frozen=True)
class ReliabilityBin:
    """Patches whose probability is above `low` (from 0 on in the first bin) and at most `high`.

    Attributes:
      mean_probability, positive_share: 0 to 1; None in an empty bin.
    """

    low: float
    high: float
    patches: int
    mean_probability: float | None
    positive_share: float | None


@dataclasses.dataclass(frozen=True)
class Recalibration:
    """Cox's line through the logits, with intervals.

    Attributes:
      intercept_at_even_odds: the intercept if half of the patches were positive, as in training:
        a class that is drawn more often moves the intercept by the log of the odds, not the slope.
      note: empty, or "undefined: ..." in words, with NaN for what it concerns.
    """

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    intercept_low: float
    intercept_high: float
    intercept_at_even_odds: float
    note: str = ""


def reliability_bins(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> list[ReliabilityBin]:
    """Bins of equal width from 0 to 1.

    Args:
      labels: [n], 1 for positive. probabilities: [n], 0 to 1.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    edges = np.arange(bins + 1) / bins  # linspace's would print as 0.30000000000000004
    members = np.maximum(np.searchsorted(edges, probabilities, side="left") - 1, 0)
    rows = []
    for number in range(bins):
        chosen = members == number
        count = int(chosen.sum())
        mean = float(probabilities[chosen].mean()) if count else None
        share = float(labels[chosen].mean()) if count else None
        rows.append(
            ReliabilityBin(float(edges[number]), float(edges[number + 1]), count, mean, share)
        )
    return rows


def expected_calibration_error(bins: list[ReliabilityBin]) -> float:
    """Mean distance of probability and share over the patches, 0 to 1; NaN without patches."""
    distances = [
        row.patches * abs(row.positive_share - row.mean_probability)
        for row in bins
        if row.positive_share is not None and row.mean_probability is not None
    ]
    return sum(distances) / sum(row.patches for row in bins) if distances else math.nan


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance of probabilities [n] and labels [n], 0 to 1; NaN without patches."""
    from sklearn.metrics import brier_score_loss  # a second to import, for its one reader

    return float(brier_score_loss(labels, probabilities)) if len(labels) else math.nan


def recalibration(
    labels: np.ndarray,
    logits: np.ndarray,
    patients: np.ndarray | None = None,
    level: float = 0.95,
) -> Recalibration:
    """Fits Cox's line.

    Args:
      labels: [n], 1 for positive. logits: [n].
      patients: [n], the patient of each patch; None: every patch is its own.
    """
    positive, logits = np.asarray(labels).astype(bool), np.asarray(logits, np.float64)
    note = _no_line(positive, logits)
    if note:
        return Recalibration(*(math.nan,) * 7, note)
    intercept, slope = _fit(positive, logits)
    even = intercept - math.log(positive.sum() / (~positive).sum())
    units = np.arange(len(logits)) if patients is None else np.asarray(patients)
    note = _too_few(positive, units)
    errors = (math.nan, math.nan) if note else _errors(positive, logits, units, intercept, slope)
    reach = float(norm.ppf((1 + level) / 2))
    return Recalibration(
        slope=slope,
        slope_low=slope - reach * errors[1],
        slope_high=slope + reach * errors[1],
        intercept=intercept,
        intercept_low=intercept - reach * errors[0],
        intercept_high=intercept + reach * errors[0],
        intercept_at_even_odds=even,
        note=note,
    )


def _no_line(positive: np.ndarray, logits: np.ndarray) -> str:
    """Why there is no line: the likelihood has no maximum when a threshold splits the classes."""
    if not positive.any() or positive.all():
        return f"undefined: {positive.sum()} positive and {(~positive).sum()} negative patches"
    if not np.ptp(logits):
        return "undefined: the logits do not vary"
    above, below = logits[positive], logits[~positive]
    if above.min() >= below.max() or below.min() >= above.max():
        return "undefined: a threshold separates the classes, so the slope has no bound"
    return ""


def _too_few(positive: np.ndarray, patients: np.ndarray) -> str:
    counts = [len(np.unique(patients[chosen])) for chosen in (positive, ~positive)]
    if min(counts) >= 2:
        return ""
    return "undefined interval: {} patients with positive and {} with negative patches".format(
        *counts
    )


def _fit(positive: np.ndarray, logits: np.ndarray) -> tuple[float, float]:
    """(intercept, slope) of the highest likelihood, found on standardised logits."""
    centre, spread = logits.mean(), logits.std()
    design = np.stack([np.ones_like(logits), (logits - centre) / spread], axis=1)
    signs = np.where(positive, 1.0, -1.0)

    def loss(line: np.ndarray) -> float:
        return -float(log_expit(signs * (design @ line)).mean())

    def gradient(line: np.ndarray) -> np.ndarray:
        return design.T @ (expit(design @ line) - positive) / len(logits)

    def hessian(line: np.ndarray) -> np.ndarray:
        chance = expit(design @ line)
        return (design.T * (chance * (1 - chance))) @ design / len(logits)

    found = minimize(
        loss, np.zeros(2), method="trust-exact", jac=gradient, hess=hessian, tol=1e-10
    ).x
    slope = float(found[1] / spread)
    return float(found[0]) - slope * float(centre), slope


def _errors(
    positive: np.ndarray, logits: np.ndarray, patients: np.ndarray, intercept: float, slope: float
) -> tuple[float, float]:
    """Standard errors of (intercept, slope)."""
    design = np.stack([np.ones_like(logits), logits], axis=1)
    chance = expit(design @ (intercept, slope))
    names, patient = np.unique(patients, return_inverse=True)
    scores = np.zeros((len(names), 2))
    np.add.at(scores, patient, design * (positive - chance)[:, None])
    bread = np.linalg.inv((design.T * (chance * (1 - chance))) @ design)
    variance = bread @ (scores.T @ scores) @ bread * len(names) / (len(names) - 1)
    intercept_error, slope_error = np.sqrt(np.diag(variance))
    return float(intercept_error), float(slope_error)
