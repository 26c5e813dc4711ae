"""Are the lesions of a set all alike, whatever their place and strength?

The mean likeness of two lesions of the set, which one lesion pasted everywhere raises, and for
each lesion the likeness to the most alike other one, which a few lesions in turn raise; beside the
same among as many real ones. Lesions are described as for memorisation.
"""

from typing import Any

import numpy as np

from cgan_tf.memorisation import Lesions
from cgan_tf.overlap import feature_sets
from cgan_tf.overlap_measures import FeatureSet

MEASURES = ("alike", "real_alike", "twin", "real_twin", "repeats")
_LIKELY_TWIN = 0.95  # quantile of the real lesions
_LEAST = 10  # lesions of a group


def repetition(
    synthetic: Lesions, real: Lesions, seed: int, splits: int = 5, limit: int = 2000
) -> dict[str, Any]:
    """Likeness within a set, ready for JSON; 1 is the same up to place and strength.

    Returns:
      `group_size`: lesions in each group. `alike`, `real_alike`: mean similarity of two lesions of
      different patients, without what real lesions share: about 0 if they differ. `twin`,
      `real_twin`: median over the lesions of the similarity to the most alike one of another
      patient. `repeats`: share of synthetic lesions with a twin more alike than 95% of the real
      ones have, 0.05 if they differ as real ones do. Means over `splits` random groups of equal
      size; None, with the reason in `note`, where lesions are too few.
    """
    size = min(limit, len(synthetic), len(real))
    result: dict[str, Any] = {"group_size": size, **dict.fromkeys(MEASURES)}
    if size < _LEAST:
        return result | {"note": f"undefined: {size} lesions with a box"}
    mean = real.vectors.mean(axis=0)
    pool, fakes = feature_sets(
        real.vectors - mean, synthetic.vectors - mean, real.clients, synthetic.clients
    )
    rng, found = np.random.default_rng(seed), []
    for _ in range(splits):
        groups = [each.take(rng.permutation(len(each))[:size]) for each in (fakes, pool)]
        if any(len(set(group.patient.tolist())) < 2 for group in groups):
            return result | {"note": "undefined: lesions of one patient alone"}
        (alike, twins), (real_alike, real_twins) = map(likeness, groups)
        repeats = (twins > np.quantile(real_twins, _LIKELY_TWIN)).mean()
        found.append((alike, real_alike, np.median(twins), np.median(real_twins), repeats))
    means = np.mean(found, axis=0).tolist()
    return result | dict(zip(MEASURES, means, strict=True)) | {"note": ""}


def likeness(each: FeatureSet) -> tuple[float, np.ndarray]:
    """(mean cosine of two of different patients, greatest cosine of each, float64 [n])."""
    length = np.linalg.norm(each.features, axis=1, keepdims=True)
    unit = each.features / np.where(length > 0, length, 1)
    similarity = unit @ unit.T
    strangers = each.patient[:, None] != each.patient
    return float(similarity[strangers].mean()), np.where(strangers, similarity, -1).max(axis=1)
