"""Does the generator repeat training lesions, and does it make one lesion of every input?

The context of a synthetic patch is a real patch by construction, so only its lesion can be a copy.
Lesions are estimated and described by `lesion_estimate`, the same way for real and synthetic ones.
All lesions are alike, bright in the middle: the mean of the training lesions is taken off first.
What likeness is left to chance, real lesions that were held out show.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from cgan_tf.lesion_estimate import centre, describe_lesion, estimate_lesion
from cgan_tf.records import PatchRecord
from cgan_tf.statistics import auc_interval

_BLOCK_VALUES = 4_000_000  # similarities at a time: 16 MB
_LIKELY_COPY = 0.95  # quantile of the held-out lesions
_SHOWN = 8


def describe_records(records: Iterable[PatchRecord]) -> tuple[np.ndarray, np.ndarray]:
    """(descriptions float32 [n, d], positions int [n] of the records that have one).

    Records without a box, with a box that fills the patch, or with nothing bright are left out.
    """
    found: dict[int, np.ndarray] = {}
    for number, record in enumerate(records):
        lesion = estimate_lesion(record.patch, record.box) if record.box else None
        if lesion is not None and (description := describe_lesion(lesion)).any():
            found[number] = description
    width = len(describe_lesion(np.zeros((1, 1))))
    return np.array(list(found.values())).reshape(-1, width), np.array(list(found), int)


def compare(
    synthetic: np.ndarray,
    held_out: np.ndarray,
    training: np.ndarray,
    synthetic_clusters: np.ndarray,
    held_out_clusters: np.ndarray,
) -> dict[str, Any]:
    """Likeness of synthetic and of held-out real lesions to their nearest training lesion.

    Args:
      synthetic, held_out, training: descriptions [n, d], unit vectors of `describe_records`;
        training: of all lesions that the generator learned from.
      synthetic_clusters: patient of the patch each was made from. held_out_clusters: patient.

    Returns:
      Ready for JSON. `counts` of the three; `quartiles` of `synthetic` and `held_out`: of the
      similarity (1: the same up to place and strength) to the nearest training lesion; `auc`: how
      often a synthetic lesion is nearer than a held-out one, 0.5 if it is no nearer, with `low` and
      `high` by patient; `copies`: share of synthetic lesions nearer than 95% of the held-out ones,
      0.05 if they are no nearer; `nearest`: [synthetic, training, similarity] of the most alike;
      `note`: empty, or "undefined: ..." in words. What is undefined is None.
    """
    counts = {"synthetic": len(synthetic), "held_out": len(held_out), "training": len(training)}
    missing = [name.replace("_", "-") for name, count in counts.items() if not count]
    if missing:
        note = f"undefined: no {' and no '.join(missing)} lesions with a box"
        nothing = dict.fromkeys(("auc", "low", "high", "copies"))
        return {"counts": counts, "quartiles": {}, **nothing, "nearest": [], "note": note}
    mean = training.mean(axis=0)
    known = _without(training, mean)
    ours, index = nearest(_without(synthetic, mean), known)
    theirs, _ = nearest(_without(held_out, mean), known)
    clusters = np.concatenate(
        [np.asarray(synthetic_clusters).astype(str), np.asarray(held_out_clusters).astype(str)]
    )
    labels = np.repeat([1, 0], [len(ours), len(theirs)])
    estimate = auc_interval(labels, np.concatenate([ours, theirs]), clusters)
    most_alike = np.argsort(-ours, kind="stable")[:_SHOWN]
    return {
        "counts": counts,
        "quartiles": {"synthetic": _quartiles(ours), "held_out": _quartiles(theirs)},
        "auc": estimate.auc,
        "low": None if estimate.note else estimate.low,
        "high": None if estimate.note else estimate.high,
        "copies": float((ours > np.quantile(theirs, _LIKELY_COPY)).mean()),
        "nearest": [[int(i), int(index[i]), float(ours[i])] for i in most_alike],
        "note": estimate.note,
    }


def nearest(queries: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(similarity, position) of the training vector most alike to each query, both [n].

    Args:
      queries: [n, d], training: [m, d], unit vectors.
    """
    similarity, position = np.empty(len(queries)), np.empty(len(queries), int)
    step = max(1, _BLOCK_VALUES // len(training))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = queries[rows] @ training.T
        position[rows] = block.argmax(axis=1)
        similarity[rows] = block.max(axis=1)
    return similarity, position


def _without(descriptions: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Descriptions [n, d] without what all lesions share, as unit vectors; zeros stay zeros."""
    own = descriptions - mean
    length = np.linalg.norm(own, axis=1, keepdims=True)
    return own / np.where(length > 0, length, 1)


def diversity(lesions: np.ndarray, sources: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """How far lesions of one input differ, beside lesions of different inputs.

    Args:
      lesions: float32 [n, size, size], lesion channels. sources: [n], the input patch of each.
      seed: of the pairs of different inputs, as many as there are pairs of one input.

    Returns:
      Ready for JSON. `inputs`: those with two lesions or more; `pairs` of one lesion and the next
      of its input; for `shape` (1 minus the similarity of `describe_lesion`), `place` (distance of
      the centres over the patch's side) and `strength` (difference of the log of the summed
      brightness) the mean over pairs `within` one input and `between` inputs; `note`: empty, or
      "undefined: ..." in words.
    """
    bright = np.array([(lesion > 0).any() for lesion in lesions], bool)
    lesions, number = lesions[bright], np.unique(sources, return_inverse=True)[1][bright]
    within = _pairs_within(number)
    between = _pairs_between(number, len(within), np.random.default_rng(seed))
    inputs = len(np.unique(number[within[:, 0]]))
    result: dict[str, Any] = {"inputs": inputs, "pairs": len(within), "note": ""}
    if not len(within) or not len(between):
        total = len(np.unique(number))
        note = f"undefined: {inputs} of {total} inputs have two lesions, or all lesions one input"
        return result | {"note": note} | dict.fromkeys(("shape", "place", "strength"))
    own, others = _distances(lesions, within), _distances(lesions, between)
    return result | {name: {"within": own[name], "between": others[name]} for name in own}


def _pairs_within(number: np.ndarray) -> np.ndarray:
    """Positions int [pairs, 2] of each lesion and the next one of the same input."""
    order = np.argsort(number, kind="stable")
    same = number[order[1:]] == number[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def _pairs_between(number: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """At most `count` random pairs of lesions of two inputs, int [pairs, 2]."""
    drawn = rng.integers(0, max(1, len(number)), (20 * count, 2))
    return drawn[number[drawn[:, 0]] != number[drawn[:, 1]]][:count]


def _distances(lesions: np.ndarray, pairs: np.ndarray) -> dict[str, float]:
    """Mean distance of the pairs in shape, place and strength."""
    used = {int(i): lesions[i] for i in np.unique(pairs)}
    shapes = {i: describe_lesion(lesion) for i, lesion in used.items()}
    centres = {i: np.array(centre(lesion)) / len(lesion) for i, lesion in used.items()}
    logs = {i: float(np.log(np.maximum(lesion, 0).sum())) for i, lesion in used.items()}
    return {
        "shape": float(np.mean([1 - shapes[i] @ shapes[j] for i, j in pairs])),
        "place": float(np.mean([np.linalg.norm(centres[i] - centres[j]) for i, j in pairs])),
        "strength": float(np.mean([abs(logs[i] - logs[j]) for i, j in pairs])),
    }


def _quartiles(similarity: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(similarity, (0.25, 0.5, 0.75))]
