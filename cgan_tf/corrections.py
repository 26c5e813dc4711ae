"""Malignant patches that one classifier misses and another finds (the paper's Figures 5 and 6).

A score is the sigmoid of a logit, 0 to 1: the paper's "increase in malignant classification score
by an average of 0.32" is of a bounded score. Patches chosen for having crossed the threshold have
risen by their choice alone, so every figure is given both ways round.
"""

import dataclasses
import math

import numpy as np
from scipy.special import expit


@dataclasses.dataclass(frozen=True)
class Crossing:
    """Malignant patches missed by one classifier and found by another.

    Attributes:
      patches: their number. missed: malignant patches that the first one misses, all told.
      before, after: mean score under the first and the second, NaN without any.
    """

    patches: int
    missed: int
    before: float
    after: float

    @property
    def rise(self) -> float:
        """Mean rise of the score."""
        return self.after - self.before


def crossed(
    malignant: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float
) -> np.ndarray:
    """Whether a patch is malignant, missed before and found after: bool [n]; scores [n]."""
    return malignant & (before < threshold) & (after >= threshold)


def crossing(
    malignant: np.ndarray, before: np.ndarray, after: np.ndarray, threshold: float
) -> Crossing:
    """The patches that cross the threshold, in figures. Arguments as in `crossed`."""
    chosen = crossed(malignant, before, after, threshold)
    means = (
        (float(before[chosen].mean()), float(after[chosen].mean()))
        if chosen.any()
        else (math.nan, math.nan)
    )
    return Crossing(int(chosen.sum()), int((malignant & (before < threshold)).sum()), *means)


def score(logits: np.ndarray) -> np.ndarray:
    """Scores 0 to 1."""
    return expit(np.asarray(logits, np.float64))


def malignant_neighbours(
    features: np.ndarray, malignant: np.ndarray, members: np.ndarray, neighbours: int = 15
) -> np.ndarray:
    """Malignant share, 0 to 1, of the nearest other patches: float [len(members)].

    Distances are Euclidean in the space of the features [n, d], where they mean something, not
    in a map. members: places of the patches asked about.
    """
    squares = (features.astype(np.float64) ** 2).sum(axis=1)
    own = features[members].astype(np.float64)
    distances = squares - 2 * own @ features.T.astype(np.float64)  # up to a constant of the row
    neighbours = min(neighbours, len(features) - 1)
    distances[np.arange(len(members)), members] = np.inf
    nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
    return malignant[nearest].mean(axis=1)
