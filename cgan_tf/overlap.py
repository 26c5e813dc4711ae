"""Overlap of real and synthetic patches in feature space, beside what real patches reach.

A t-SNE map shows groups, not overlap. Here real patches are split by patient into two halves, and
one half is compared with as many synthetic patches and with the other half: the second comparison
is the ceiling, what the measure gives for two samples of one population of that size. Several
random splits show how far the split matters.
"""

import math
from typing import Any

import numpy as np

from cgan_tf.overlap_measures import (
    FeatureSet,
    classifier_auc,
    enough_neighbours,
    fid,
    kid,
    mixing,
    precision_recall,
)

MEASURES = (
    "mixing", "kid", "fid", "classifier_auc", "precision", "recall", "density", "coverage",
)  # fmt: skip


def compare(
    real: np.ndarray,
    synthetic: np.ndarray,
    real_clusters: np.ndarray,
    seed: int,
    synthetic_clusters: np.ndarray | None = None,
    *,
    k: int = 5,
    splits: int = 5,
    limit: int = 2000,
    permutations: int = 999,
) -> dict[str, Any]:
    """The measures of `overlap_measures`, ready for JSON.

    Args:
      real: [n, d]. synthetic: [m, d], of the same network. seed: of splits and samples.
      real_clusters: [n], patient of each patch. synthetic_clusters: [m], patient of the patch that
        each was made from; None where all are of different patients, none of them in `real`.
      k: neighbours. splits: of the real patches. limit: patches of a group, at most.
      permutations: for the p-value of each split's KID.

    Returns:
      `real`, `synthetic`, `patients`: patches and real patients found; `group_size`: patches in
      each group compared; `k`, `splits`; `note`: empty, or "undefined: ..." in words; `measures`:
      for each of `MEASURES` means over the splits `synthetic` and `ceiling`, with their sds
      `synthetic_spread` and `ceiling_spread`; `kid_p`: `synthetic` and `ceiling`, twice the median
      over the splits, which is valid however they depend on one another (Ruger 1978).
      What is undefined is None.

    Raises ValueError for features that are not finite or of different widths.
    """
    _check(real, synthetic)
    pool, fakes = feature_sets(real, synthetic, real_clusters, synthetic_clusters)
    rng = np.random.default_rng(seed)
    found: list[tuple[dict[str, float], ...]] = []
    result = {
        "note": "",
        "real": len(pool),
        "synthetic": len(fakes),
        "patients": len(set(pool.patient.tolist())),
        "group_size": 0,
        "k": k,
        "splits": splits,
    }
    for _ in range(splits):
        groups = equal_groups(pool, fakes, limit, rng)
        result["group_size"] = len(groups[0])
        if not enough_neighbours(groups, k):
            found, result["note"] = [], _too_few(result)
            break
        half, others, sample = groups
        found.append(
            tuple(_measure(half, other, k, permutations, rng) for other in (sample, others))
        )
    return result | _summary(found)


def _check(real: np.ndarray, synthetic: np.ndarray) -> None:
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"expected features [n, d] of one width, found {real.shape} and {synthetic.shape}"
        )
    for name, features in (("real", real), ("synthetic", synthetic)):
        if not np.isfinite(features).all():
            raise ValueError(f"{name}: expected finite features")


def feature_sets(
    real: np.ndarray,
    synthetic: np.ndarray,
    real_clusters: np.ndarray,
    synthetic_clusters: np.ndarray | None,
) -> tuple[FeatureSet, FeatureSet]:
    """Both sets on one scale, with the patients numbered alike."""
    real_clusters = np.asarray(real_clusters)
    if real_clusters.shape != (len(real),):
        raise ValueError(f"real_clusters: expected {(len(real),)}, found {real_clusters.shape}")
    if synthetic_clusters is None:
        own = np.unique(real_clusters, return_inverse=True)[1]
        numbers = np.append(own, len(real) + np.arange(len(synthetic)))
    else:
        both = np.concatenate([real_clusters, np.asarray(synthetic_clusters)])
        if len(both) != len(real) + len(synthetic):
            raise ValueError(
                f"synthetic_clusters: expected {len(synthetic)}, found {len(synthetic_clusters)}"
            )
        numbers = np.unique(both, return_inverse=True)[1]
    # A Frechet distance has the features' unit, which says nothing: that of the real ones instead.
    scale = float(np.sqrt(np.mean(np.square(real, dtype=np.float64)))) or 1.0
    return (
        FeatureSet(np.asarray(real, np.float64) / scale, numbers[: len(real)]),
        FeatureSet(np.asarray(synthetic, np.float64) / scale, numbers[len(real) :]),
    )


def equal_groups(
    pool: FeatureSet, fakes: FeatureSet, limit: int, rng: np.random.Generator
) -> tuple[FeatureSet, FeatureSet, FeatureSet]:
    """Half of the real patches, the other half, synthetic ones: equally many of each.

    No patient is in both halves; a group has `limit` patches at most.
    """
    patients = rng.permutation(np.unique(pool.patient))
    sizes = np.bincount(pool.patient)
    in_first = np.zeros(len(sizes), bool)
    surplus = 0  # of the first half
    for patient in patients:
        in_first[patient] = surplus <= 0
        surplus += sizes[patient] if surplus <= 0 else -sizes[patient]
    first = in_first[pool.patient]
    halves = [np.flatnonzero(first), np.flatnonzero(~first)]
    size = min(limit, *map(len, halves), len(fakes))
    half, others = (pool.take(rng.permutation(chosen)[:size]) for chosen in halves)
    return half, others, fakes.take(rng.permutation(len(fakes))[:size])


def _too_few(result: dict[str, Any]) -> str:
    return (
        "undefined: {real} real patches of {patients} women and {synthetic} synthetic ones leave "
        "groups of {group_size}, in which some patches have fewer than {k} neighbours of other "
        "women"
    ).format(**result)


def _measure(
    real: FeatureSet, other: FeatureSet, k: int, permutations: int, rng: np.random.Generator
) -> dict[str, float]:
    distance, p_value = kid(_directions(real), _directions(other), rng, permutations)
    return {
        "mixing": mixing(real, other, k),
        "kid": distance,
        "kid_p": p_value,
        "fid": fid(real, other),
        "classifier_auc": classifier_auc(real, other, int(rng.integers(2**31))),
        **precision_recall(real, other, k),
    }


def _directions(each: FeatureSet) -> FeatureSet:
    """Features of length sqrt(d), for the kernel of the KID; a patch without features keeps none.

    Of Inception features the lengths hardly differ. Here a patch with one bright lesion can be
    many times as long as others, and the kernel's cube would let it outweigh all of them.
    """
    width = each.features.shape[1]
    lengths = np.linalg.norm(each.features, axis=1, keepdims=True) / np.sqrt(width)
    return FeatureSet(each.features / np.where(lengths > 0, lengths, 1), each.patient)


def _summary(found: list[tuple[dict[str, float], ...]]) -> dict[str, Any]:
    measures: dict[str, dict[str, float | None]] = {name: {} for name in MEASURES}
    p_values: dict[str, float | None] = {}
    for side, label in enumerate(("synthetic", "ceiling")):
        for name in MEASURES:
            values = [pair[side][name] for pair in found]
            measures[name][label] = _defined(float(np.mean(values))) if found else None
            several = len(found) > 1
            measures[name][f"{label}_spread"] = (
                _defined(float(np.std(values, ddof=1))) if several else None
            )
        median = float(np.median([pair[side]["kid_p"] for pair in found])) if found else math.nan
        p_values[label] = _defined(float(np.minimum(1.0, 2 * median)))
    return {"measures": measures, "kid_p": p_values}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
