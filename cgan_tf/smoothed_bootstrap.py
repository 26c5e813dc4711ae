"""An interval for AUCs of 0 and 1, where variances vanish: a smoothed bootstrap of patients.

The plain bootstrap of perfectly separated scores is perfectly separated each time, so what is drawn
is jittered with Silverman's bandwidth (Silverman & Young 1987). The ranks are drawn, not the
scores: like the AUC, its interval must not depend on how wide the gap between the classes is on
the arbitrary scale of the scores. Patients are drawn whole, those with positives, with negatives
and with both apart, so that every round has both classes.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import rankdata

from cgan_tf.placements import mean_placement, outscored

_BLOCK = 2_000_000  # scores drawn at a time, at 16 bytes and a few times that to sort them


def smoothed_interval(
    positive: np.ndarray,
    scores: np.ndarray,
    patient: np.ndarray,
    level: float,
    seed: int,
    rounds: int = 1000,
) -> tuple[float, float]:
    """Percentile interval of the AUC, stretched where needed to hold the AUC itself.

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
