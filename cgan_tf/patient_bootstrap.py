"""The bootstrap of whole patients: patches of one patient are not independent."""

from collections.abc import Iterator

import numpy as np


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
