"""Do synthetic lesions copy training lesions, or repeat one another?

The context of a synthetic patch is a real patch by construction, so only its lesion can be a copy.
Lesions are compared by their descriptions, and held-out real lesions show how alike lesions are by
chance. What all training lesions share, being bright in the middle, is subtracted first.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cgan_tf.assessment.lesions import Lesions
from cgan_tf.assessment.two_samples import FeatureSet, feature_sets
from cgan_tf.statistics.auc import auc_interval

_BLOCK_VALUES = 4_000_000  # similarities at a time: 16 MB
_LIKELY_COPY = 0.95  # quantile of the held-out lesions
_NEAREST = 8  # pairs that are kept
_SHUFFLES = 999
_LIKELY_TWIN = 0.95  # quantile of the real lesions
_LEAST = 10  # lesions of a group


@dataclasses.dataclass(frozen=True)
class FromTraining:
    """Whether synthetic lesions resemble training patients rather than others.

    Attributes:
      share: of synthetic lesions whose nearest real lesion is a training one and not a held-out
        one. expected: by chance, the training share of the lesions.
      p_value: how often training patients are resembled as much when patients are shuffled between
        training and held-out; one-sided.
    """

    share: float
    expected: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class Memorisation:
    """Similarity of synthetic and of held-out real lesions to their nearest training lesion.

    Attributes:
      counts: lesions `synthetic`, `held_out` and `training`.
      quartiles: of `synthetic` and `held_out`, of the similarity to the nearest training lesion;
        1 is the same lesion up to place and strength.
      auc: how often a synthetic lesion is nearer than a held-out one, 0.5 if it is no nearer, with
        its interval `low` to `high` by patient.
      copies: share of synthetic lesions nearer than 95% of the held-out ones, 0.05 by chance.
      from_training, from_training_expected, from_training_p: see `FromTraining`. Plain lesions are
        near to training lesions and as near to others: they are no copies.
      nearest: (synthetic patch, training patch, similarity) of the most alike.
      note: empty, or "undefined: ..." in words. What is undefined is None.
    """

    counts: dict[str, int]
    quartiles: dict[str, list[float]]
    auc: float | None
    low: float | None
    high: float | None
    copies: float | None
    from_training: float | None
    from_training_expected: float | None
    from_training_p: float | None
    nearest: list[tuple[str, str, float]]
    note: str


def measure_memorisation(synthetic: Lesions, held_out: Lesions, training: Lesions) -> Memorisation:
    """How near synthetic lesions are to training lesions, beside held-out ones.

    Args:
      training: all lesions that the generator learned from. held_out: of other splits.
    """
    counts = {"synthetic": len(synthetic), "held_out": len(held_out), "training": len(training)}
    missing = [name.replace("_", "-") for name, count in counts.items() if not count]
    if missing:
        note = f"undefined: no {' and no '.join(missing)} lesions with a box"
        return Memorisation(counts, {}, None, None, None, None, None, None, None, [], note)
    mean = training.vectors.mean(axis=0)
    made, known, unknown = (
        without_shared(each.vectors, mean) for each in (synthetic, training, held_out)
    )
    ours, index = nearest(made, known)
    theirs, _ = nearest(unknown, known)
    to_held_out, other = nearest(made, unknown)
    sources = np.where(ours > to_held_out, training.patients[index], held_out.patients[other])
    labels = np.repeat([1, 0], [len(ours), len(theirs)])
    patients = np.concatenate([synthetic.patients, held_out.patients])
    estimate = auc_interval(labels, np.concatenate([ours, theirs]), patients)
    learned = from_training(sources, training.patients, held_out.patients)
    most_alike = np.argsort(-ours, kind="stable")[:_NEAREST]
    return Memorisation(
        counts=counts,
        quartiles={"synthetic": _quartiles(ours), "held_out": _quartiles(theirs)},
        auc=estimate.auc,
        low=None if estimate.note else estimate.low,
        high=None if estimate.note else estimate.high,
        copies=float((ours > np.quantile(theirs, _LIKELY_COPY)).mean()),
        from_training=learned.share,
        from_training_expected=learned.expected,
        from_training_p=learned.p_value,
        nearest=[
            (str(synthetic.patch_ids[i]), str(training.patch_ids[index[i]]), float(ours[i]))
            for i in most_alike
        ],
        note=estimate.note,
    )


def from_training(
    nearest_patients: np.ndarray, training: np.ndarray, held_out: np.ndarray, seed: int = 0
) -> FromTraining:
    """Do synthetic lesions resemble training patients rather than others?

    Each patient counts by her number of lesions.

    Args:
      nearest_patients: text [n], patient of the real lesion most alike to each synthetic one.
      training, held_out: patients of these lesions, text, one entry a lesion.
    """
    patients, lesions = np.unique(np.concatenate([training, held_out]), return_counts=True)
    learned = np.isin(patients, training)
    resembled = (nearest_patients[:, None] == patients).sum(axis=0) / lesions
    shuffled = np.random.default_rng(seed).permuted(np.tile(learned, (_SHUFFLES, 1)), axis=1)
    at_least = int((shuffled @ resembled >= (resembled @ learned) * (1 - 1e-9)).sum())
    return FromTraining(
        share=float(np.isin(nearest_patients, training).mean()),
        expected=len(training) / (len(training) + len(held_out)),
        p_value=(1 + at_least) / (1 + _SHUFFLES),
    )


def nearest(queries: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(similarity float64, position int) of the training vector most alike to each query, [n].

    Args:
      queries: float [n, d]. training: float [m, d]. Unit vectors.
    """
    similarity, position = np.empty(len(queries)), np.empty(len(queries), int)
    step = max(1, _BLOCK_VALUES // len(training))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = queries[rows] @ training.T
        position[rows] = block.argmax(axis=1)
        similarity[rows] = block.max(axis=1)
    return similarity, position


def without_shared(descriptions: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Descriptions [n, d] without what all lesions share, as unit vectors; zeros stay zeros."""
    own = descriptions - mean
    length = np.linalg.norm(own, axis=1, keepdims=True)
    return own / np.where(length > 0, length, 1)


def _quartiles(similarity: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(similarity, (0.25, 0.5, 0.75))]


@dataclasses.dataclass(frozen=True)
class Repetition:
    """Similarity of lesions within a set; 1 is the same lesion up to place and strength.

    Attributes:
      group_size: lesions in each group compared.
      alike, real_alike: mean similarity of two lesions of different patients, without what real
        lesions share: about 0 if they differ.
      twin, real_twin: median over the lesions of the similarity to the most alike one of another
        patient.
      repeats: share of synthetic lesions with a twin more alike than 95% of the real ones have.
      repeats_null: the same share of as many training lesions, each of another patient, through the
        same post-processing; None with fewer than ten. A real lesion finds its twin among few
        patients, a synthetic one among many, and post-processing makes lesions alike, so that 5%
        would not be what lesions reach that differ.
      note: empty, or the reason why the rest is None.
    """

    group_size: int
    alike: float | None = None
    real_alike: float | None = None
    twin: float | None = None
    real_twin: float | None = None
    repeats: float | None = None
    repeats_null: float | None = None
    note: str = ""


def measure_repetition(
    synthetic: Lesions,
    real: Lesions,
    seed: int,
    splits: int = 5,
    limit: int = 2000,
    null: Sequence[Lesions] = (),
) -> Repetition:
    """Similarity within a set, as means over `splits` random groups of equal size, at most `limit`.

    One lesion pasted everywhere raises the mean similarity of two lesions; a few lesions in turn
    raise the similarity of each to its twin.

    Args:
      null: draws of lesions that differ, made and described as the synthetic ones are; groups are
        no larger than the smallest of them, and there is one for each.
    """
    size = min(limit, len(synthetic), len(real))
    if size < _LEAST:
        return Repetition(size, note=f"undefined: {size} lesions with a box")
    smallest = min(map(len, null), default=0)
    draws = null if smallest >= _LEAST else ()
    if draws:
        size, splits = min(size, smallest), len(draws)
    mean = real.vectors.mean(axis=0)
    pool, sample = feature_sets(
        real.vectors - mean, synthetic.vectors - mean, real.patients, synthetic.patients
    )
    rng, values, by_chance = np.random.default_rng(seed), [], []
    for split in range(splits):
        groups = [each.take(rng.permutation(len(each))[:size]) for each in (sample, pool)]
        if any(len(set(group.patient.tolist())) < 2 for group in groups):
            return Repetition(size, note="undefined: lesions of one patient alone")
        (alike, twins), (real_alike, real_twins) = map(similarity_within, groups)
        limit_of_real = np.quantile(real_twins, _LIKELY_TWIN)
        repeats = (twins > limit_of_real).mean()
        values.append((alike, real_alike, np.median(twins), np.median(real_twins), repeats))
        if draws:
            differing = _centred(draws[split], mean).take(rng.permutation(len(draws[split]))[:size])
            by_chance.append((similarity_within(differing)[1] > limit_of_real).mean())
    alike, real_alike, twin, real_twin, repeats = np.mean(values, axis=0).tolist()
    repeats_null = float(np.mean(by_chance)) if by_chance else None
    return Repetition(size, alike, real_alike, twin, real_twin, repeats, repeats_null)


def _centred(lesions: Lesions, mean: np.ndarray) -> FeatureSet:
    """The descriptions without what all real lesions share, with numbered patients."""
    numbers = np.unique(lesions.patients, return_inverse=True)[1]
    return FeatureSet(np.asarray(lesions.vectors - mean, np.float64), numbers)


def similarity_within(each: FeatureSet) -> tuple[float, np.ndarray]:
    """(mean cosine of two of different patients, greatest cosine of each, float64 [n])."""
    length = np.linalg.norm(each.features, axis=1, keepdims=True)
    unit = each.features / np.where(length > 0, length, 1)
    similarity = unit @ unit.T
    strangers = each.patient[:, None] != each.patient
    return float(similarity[strangers].mean()), np.where(strangers, similarity, -1).max(axis=1)
