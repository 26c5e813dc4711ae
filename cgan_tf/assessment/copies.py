"""Does the generator repeat training lesions?

The context of a synthetic patch is a real patch by construction, so only its lesion can be a copy.
Lesions are estimated and described by `lesion_estimate`, the same way for real and synthetic ones.
All lesions are alike, bright in the middle: the mean of the training lesions is taken off first.
What likeness is left to chance, real lesions that were held out show.

Are the lesions of a set all alike, whatever their place and strength?

The mean likeness of two lesions of the set, which one lesion pasted everywhere raises, and for
each lesion the likeness to the most alike other one, which a few lesions in turn raise; beside the
same among as many real ones. Lesions are described as for memorisation.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cgan_tf.assessment.lesions import describe_lesion, estimate_lesion
from cgan_tf.assessment.overlap import FeatureSet, feature_sets
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import PatchRecord
from cgan_tf.statistics.auc import auc_interval

_BLOCK_VALUES = 4_000_000  # similarities at a time: 16 MB
_LIKELY_COPY = 0.95  # quantile of the held-out lesions
_SHOWN = 8
_SHUFFLES = 999
_FROM_TRAINING = ("from_training", "from_training_expected", "from_training_p")


@dataclasses.dataclass(frozen=True, eq=False)
class Lesions:
    """Lesions of a set of patches.

    Attributes:
      vectors: float32 [n, d], unit vectors of `describe_lesion`.
      patch_ids, clients: text [n]; of a synthetic patch, the patient of its source.
    """

    vectors: np.ndarray
    patch_ids: np.ndarray
    clients: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)


def read_lesions(
    patches: PatchSet, splits: Sequence[str], patch_class: str, limit: int | None = None
) -> Lesions:
    """The lesions of a class in a patch set, at most `limit`, spread evenly."""
    found = [split for split in splits if patches.count(split, patch_class)]
    indices = [patches.index(split, patch_class) for split in found]
    places = [(index, number) for index in indices for number in range(len(index))]
    step = max(1.0, len(places) / limit) if limit else 1.0
    chosen = np.arange(0, len(places), step).astype(int)
    return describe_records(index.record(number) for index, number in (places[i] for i in chosen))


def describe_records(records: Iterable[PatchRecord]) -> Lesions:
    """The lesions of records, as `describe` does; a record without a box has none."""
    return describe(
        (r.patch_id, r.client_id, estimate_lesion(r.patch, r.box) if r.box else None)
        for r in records
    )


def describe(lesions: Iterable[tuple[str, str, np.ndarray | None]]) -> Lesions:
    """Lesions of (patch, patient, lesion above its background); those with nothing bright in them,
    or with no estimate, are left out."""
    vectors, patch_ids, clients = [], [], []
    for patch_id, client, lesion in lesions:
        if lesion is not None and (lesion > 0).any():
            vectors.append(describe_lesion(lesion))
            patch_ids.append(patch_id)
            clients.append(client)
    return Lesions(np.array(vectors), np.array(patch_ids, dtype=str), np.array(clients, dtype=str))


def compare(synthetic: Lesions, held_out: Lesions, training: Lesions) -> dict[str, Any]:
    """Likeness of synthetic and of held-out real lesions to their nearest training lesion.

    Args:
      training: all lesions that the generator learned from. held_out: of other splits.

    Returns:
      Ready for JSON. `counts` of the three; `quartiles` of `synthetic` and `held_out`: of the
      similarity (1: the same up to place and strength) to the nearest training lesion; `auc`: how
      often a synthetic lesion is nearer than a held-out one, 0.5 if it is no nearer, with `low` and
      `high` by patient; `copies`: share of synthetic lesions nearer than 95% of the held-out ones,
      0.05 if they are no nearer; `from_training`: share of them whose nearest real lesion is a
      training one and not a held-out one, with `from_training_expected` and `from_training_p` for
      patients who were put among either at random (plain lesions are near to training ones, and as
      near to others: they are no copies); `nearest`: [synthetic patch, training patch, similarity]
      of the most alike; `note`: empty, or "undefined: ..." in words.
      What is undefined is None.
    """
    counts = {"synthetic": len(synthetic), "held_out": len(held_out), "training": len(training)}
    missing = [name.replace("_", "-") for name, count in counts.items() if not count]
    if missing:
        note = f"undefined: no {' and no '.join(missing)} lesions with a box"
        nothing = dict.fromkeys(("auc", "low", "high", "copies", *_FROM_TRAINING))
        return {"counts": counts, "quartiles": {}, **nothing, "nearest": [], "note": note}
    mean = training.vectors.mean(axis=0)
    known = _without(training.vectors, mean)
    ours, index = nearest(_without(synthetic.vectors, mean), known)
    unknown = _without(held_out.vectors, mean)
    theirs, _ = nearest(unknown, known)
    to_held_out, other = nearest(_without(synthetic.vectors, mean), unknown)
    sources = np.where(ours > to_held_out, training.clients[index], held_out.clients[other])
    labels = np.repeat([1, 0], [len(ours), len(theirs)])
    clients = np.concatenate([synthetic.clients, held_out.clients])
    estimate = auc_interval(labels, np.concatenate([ours, theirs]), clients)
    most_alike = np.argsort(-ours, kind="stable")[:_SHOWN]
    return {
        "counts": counts,
        "quartiles": {"synthetic": _quartiles(ours), "held_out": _quartiles(theirs)},
        "auc": estimate.auc,
        "low": None if estimate.note else estimate.low,
        "high": None if estimate.note else estimate.high,
        "copies": float((ours > np.quantile(theirs, _LIKELY_COPY)).mean()),
        **from_training(sources, training.clients, held_out.clients),
        "nearest": [
            [str(synthetic.patch_ids[i]), str(training.patch_ids[index[i]]), float(ours[i])]
            for i in most_alike
        ],
        "note": estimate.note,
    }


def from_training(
    nearest_patients: np.ndarray, training: np.ndarray, held_out: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Do synthetic lesions take after training patients rather than after others?

    Args:
      nearest_patients: text [n], patient of the real lesion most alike to each synthetic one.
      training, held_out: the patients that these may be of, one entry a lesion.

    Returns:
      `from_training`: share of the n that are training patients; `from_training_expected`: by
      chance, the training share of the lesions; `from_training_p`: how often training patients are
      taken after as much, each by her number of lesions, when patients are shuffled between
      training and held-out; one-sided.
    """
    patients, lesions = np.unique(np.concatenate([training, held_out]), return_counts=True)
    learned = np.isin(patients, training)
    taken_after = (nearest_patients[:, None] == patients).sum(axis=0) / lesions
    shuffled = np.random.default_rng(seed).permuted(np.tile(learned, (_SHUFFLES, 1)), axis=1)
    at_least = int((shuffled @ taken_after >= (taken_after @ learned) * (1 - 1e-9)).sum())
    share = float(np.isin(nearest_patients, training).mean())
    values = (share, len(training) / (len(training) + len(held_out)))
    p_value = (1 + at_least) / (1 + _SHUFFLES)
    return dict(zip(_FROM_TRAINING, (*values, p_value), strict=True))


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


def _quartiles(similarity: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(similarity, (0.25, 0.5, 0.75))]


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
