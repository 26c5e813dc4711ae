"""Agreement of two rows of ratings: Cohen's kappa, weighted by squares for ordered ratings.

kappa = 1 - sum(w o) / sum(w e), with o the shares of the pairs of ratings, e those expected from
the margins alone, and w 0 on the diagonal: 1 elsewhere (Cohen 1960) or the squared distance of the
ratings (Cohen 1968). The interval is by a jackknife over patients, as pairs of one patient are not
independent.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t

from cgan_tf.statistics.auc import patient_numbers


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Kappa of one or more pairs of readings, their mean.

    Attributes:
      kappa: -1 to 1. low, high: 95% interval. same: share of equal ratings. pairs: of ratings.
      note: empty, or "undefined: ..." in words.
    """

    kappa: float
    low: float
    high: float
    same: float
    pairs: int
    note: str = ""


def agreement(
    readings: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], levels: int, level: float = 0.95
) -> Agreement:
    """The mean kappa of pairs of readings.

    Args:
      readings: (first, second, patients) each: int [n] from 0 to levels - 1, and whose the case is.
        Names of patients mean the same in all of them.
      levels: of the rating; more than two are taken as ordered.
    """
    readings = [each for each in readings if len(each[0])]
    if not readings:
        return _undefined("undefined: nothing was read twice", 0, math.nan)
    names = np.concatenate([np.asarray(patients) for _, _, patients in readings])
    patient = patient_numbers(names, len(names))
    ends = np.cumsum([len(first) for first, _, _ in readings])
    tables = np.stack(
        [
            _tables(first, second, own, int(patient.max()) + 1, levels)
            for (first, second, _), own in zip(readings, np.split(patient, ends[:-1]), strict=True)
        ]
    )  # [readings, patients, levels, levels]
    whole, pairs = tables.sum(axis=1), int(tables.sum())
    same = float(np.trace(whole.sum(axis=0)) / pairs)
    kappa = float(_mean_kappas(whole[:, None])[0])
    if math.isnan(kappa):
        return _undefined("undefined: every case has the same rating", pairs, same)
    left_out = _mean_kappas(whole[:, None] - tables)
    left_out = left_out[~np.isnan(left_out)]
    count = len(left_out)
    if count < 2:
        return Agreement(kappa, math.nan, math.nan, same, pairs)
    error = math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))
    reach = float(t.ppf((1 + level) / 2, count - 1)) * error
    return Agreement(kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach), same, pairs)


def _undefined(note: str, pairs: int, same: float) -> Agreement:
    return Agreement(math.nan, math.nan, math.nan, same, pairs, note)


def _tables(
    first: np.ndarray, second: np.ndarray, patient: np.ndarray, patients: int, levels: int
) -> np.ndarray:
    """Pairs of ratings by patient: float64 [patients, levels, levels]."""
    tables = np.zeros((patients, levels, levels))
    np.add.at(tables, (patient, first, second), 1)
    return tables


def _mean_kappas(tables: np.ndarray) -> np.ndarray:
    """Of tables [readings, n, levels, levels] the mean over those that define a kappa, float64 [n];
    NaN without any."""
    levels = tables.shape[-1]
    grid = np.arange(levels)
    weights = (grid[:, None] - grid) ** 2 if levels > 2 else 1.0 - np.eye(levels)
    seen = tables.sum(axis=(2, 3)) * (weights * tables).sum(axis=(2, 3))
    rows, columns = tables.sum(axis=3), tables.sum(axis=2)
    expected = np.einsum("rna,ab,rnb->rn", rows, weights, columns)
    defined = expected > 0
    kappas = np.where(defined, 1 - seen / np.where(defined, expected, 1), 0.0)
    counts = defined.sum(axis=0)
    return np.where(counts > 0, kappas.sum(axis=0) / np.maximum(counts, 1), np.nan)
