"""Statistics of two sets of feature vectors: how far they overlap.

Patches of one patient resemble one another, so neighbours always belong to different patients, and
folds and permutations keep a patient's patches together. With one patch per patient, the statistics
are those of the literature. Distances and kernels are computed in blocks of rows to bound memory.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cgan_tf.statistics.auc import exact_auc

_BLOCK_VALUES = 4_000_000  # distances or kernel values at a time: 32 MB
_FOLDS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSet:
    """Patches in a feature space.

    Attributes:
      features: float64 [n, d]. patient: int [n], numbered consistently across sets.
    """

    features: np.ndarray
    patient: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def take(self, chosen: np.ndarray) -> "FeatureSet":
        """The patches at positions int [m]."""
        return FeatureSet(self.features[chosen], self.patient[chosen])


def feature_sets(
    real: np.ndarray,
    synthetic: np.ndarray,
    real_patients: np.ndarray,
    synthetic_patients: np.ndarray | None,
) -> tuple[FeatureSet, FeatureSet]:
    """Both sets on one scale, with patients numbered consistently.

    Args:
      real: [n, d]. synthetic: [m, d]. real_patients: [n]. synthetic_patients: [m], or None where
        all are of different patients, none of them in `real`.

    Returns:
      (real, synthetic), both divided by the root mean square of the real features.

    Raises ValueError for patients of another number than patches.
    """
    real_patients = np.asarray(real_patients)
    if real_patients.shape != (len(real),):
        raise ValueError(f"real_patients: expected {(len(real),)}, found {real_patients.shape}")
    if synthetic_patients is None:
        own = np.unique(real_patients, return_inverse=True)[1]
        numbers = np.append(own, len(real) + np.arange(len(synthetic)))
    else:
        both = np.concatenate([real_patients, np.asarray(synthetic_patients)])
        if len(both) != len(real) + len(synthetic):
            raise ValueError(
                f"synthetic_patients: expected {len(synthetic)}, found {len(synthetic_patients)}"
            )
        numbers = np.unique(both, return_inverse=True)[1]
    # A Frechet distance has the features' arbitrary unit; dividing by the real scale removes it.
    scale = float(np.sqrt(np.mean(np.square(real, dtype=np.float64)))) or 1.0
    return (
        FeatureSet(np.asarray(real, np.float64) / scale, numbers[: len(real)]),
        FeatureSet(np.asarray(synthetic, np.float64) / scale, numbers[len(real) :]),
    )


def equal_groups(
    pool: FeatureSet, synthetic: FeatureSet, limit: int, rng: np.random.Generator
) -> tuple[FeatureSet, FeatureSet, FeatureSet]:
    """Half of the real patches, the other half, and synthetic ones, in groups of equal size.

    No patient is in both halves. A group has at most `limit` patches.
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
    size = min(limit, *map(len, halves), len(synthetic))
    half, others = (pool.take(rng.permutation(chosen)[:size]) for chosen in halves)
    return half, others, synthetic.take(rng.permutation(len(synthetic))[:size])


def mixing(first: FeatureSet, second: FeatureSet, k: int = 5) -> float:
    """Mean share of a patch's k nearest neighbours that are of the other set: 0 to 1, 0.5 mixed.

    Schilling (1986): nearest neighbours in the pooled sets. Neighbours tied at the k-th distance
    share the places that nearer ones leave.
    """
    pool, is_second = _pooled(first, second)
    total = 0.0
    for rows, distances in _distances(pool, pool):
        kth = np.partition(distances, k - 1, axis=1)[:, k - 1, None]
        other = is_second[rows, None] != is_second
        nearer, level = distances < kth, distances == kth
        places = k - nearer.sum(axis=1)
        share = (level & other).sum(axis=1) / level.sum(axis=1)
        total += float(((nearer & other).sum(axis=1) + places * share).sum()) / k
    return total / len(pool)


def kid(
    first: FeatureSet, second: FeatureSet, rng: np.random.Generator, permutations: int = 999
) -> tuple[float, float]:
    """(kernel inception distance, p) of Binkowski et al. (2018), on any features.

    The unbiased squared maximum mean discrepancy under (x.y/d + 1)^3, over pairs of different
    patients: 0 on average for equal distributions. p is the share of permutations, the observed one
    included, with a value at least as large. A permutation assigns whole patients to the first side
    in random order until it has its number of patches.
    """
    pool, is_second = _pooled(first, second)
    # A patient with patches in both sets is two units, each of which has one side.
    units, unit = np.unique(2 * pool.patient + is_second, return_inverse=True)
    sizes = np.bincount(unit)
    strangers = units[:, None] // 2 != units // 2  # units of two patients
    sums = np.where(strangers, _kernel_sums(pool.features, unit), 0)
    orders = rng.permuted(np.tile(np.arange(len(units)), (permutations, 1)), axis=1)
    filled = np.cumsum(sizes[orders], axis=1) - sizes[orders] / 2 < len(first)
    filled[:, 0], filled[:, -1] = True, False
    sides = np.empty((permutations + 1, len(units)))
    sides[0] = units % 2 == 0
    np.put_along_axis(sides[1:], orders, filled.astype(float), axis=1)
    values = _discrepancies(sides, sums, sizes, units // 2)
    at_least = values >= values[0] - 1e-9 * abs(values[0])
    return float(values[0]), float(at_least.mean())


def fid(first: FeatureSet, second: FeatureSet) -> float:
    """Frechet inception distance of Heusel et al. (2017), on any features: 0 for equal sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of means and covariances. It grows when sets
    are small compared with the number of features, so only values for sets of one size can be
    compared, and only in the features of one network.
    """
    means = [each.features.mean(axis=0) for each in (first, second)]
    roots = [
        _covariance_root(each.features - mean)
        for each, mean in zip((first, second), means, strict=True)
    ]
    # (C1 C2)^(1/2) has the singular values of R1 R2' for its eigenvalues, where R'R is a C.
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    spread = sum(np.square(root).sum() for root in roots)
    return float(np.square(means[0] - means[1]).sum() + spread - 2 * shared)


def classifier_auc(first: FeatureSet, second: FeatureSet, seed: int) -> float:
    """AUC of a classifier that tells the sets apart: 0.5 if it cannot; NaN without a usable fold.

    Two-sample test of Lopez-Paz & Oquab (2017) with a linear classifier, ridge regression on
    standardised features; the mean over folds, whose patients it was not trained on.
    """
    pool, is_second = _pooled(first, second)
    count = min(_FOLDS, len(first), len(second), len(np.unique(pool.patient)))
    if count < 2:
        return float("nan")
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    aucs = []
    for learn, judge in folds.split(pool.features, is_second, pool.patient):
        if len(set(is_second[learn])) < 2 or len(set(is_second[judge])) < 2:
            continue
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=pool.features.shape[1]))
        model.fit(pool.features[learn], is_second[learn])
        logits = model.decision_function(pool.features[judge])
        aucs.append(exact_auc(is_second[judge], logits))
    return float(np.mean(aucs)) if aucs else float("nan")


def precision_recall(real: FeatureSet, other: FeatureSet, k: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The ball of a patch reaches to its k-th neighbour in its own set. precision: share of `other`
    in a ball of `real`; recall: share of `real` in a ball of `other`; density: balls of `real`
    around a patch of `other`, over k; coverage: share of balls of `real` with a patch of `other`.
    """
    real_radius, other_radius = (_kth_distances(each, k) for each in (real, other))
    around_other = np.zeros(len(other), int)
    recalled, covered = [], []
    for rows, distances in _distances(real, other):
        in_ball = distances <= real_radius[rows, None]
        around_other += in_ball.sum(axis=0)
        covered.append(in_ball.any(axis=1))
        recalled.append((distances <= other_radius).any(axis=1))
    return {
        "precision": float((around_other > 0).mean()),
        "recall": float(np.concatenate(recalled).mean()),
        "density": float(around_other.mean() / k),
        "coverage": float(np.concatenate(covered).mean()),
    }


def enough_neighbours(sets: tuple[FeatureSet, ...], k: int) -> bool:
    """Whether every patch has k others of other patients in its own set."""
    return all(len(each) and len(each) - np.bincount(each.patient).max() >= k for each in sets)


def _pooled(first: FeatureSet, second: FeatureSet) -> tuple[FeatureSet, np.ndarray]:
    """Both sets in one, and whether a patch is of the second, bool [n]."""
    features = np.concatenate([first.features, second.features])
    patient = np.concatenate([first.patient, second.patient])
    return FeatureSet(features, patient), np.arange(len(features)) >= len(first)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(1, _BLOCK_VALUES // columns)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _distances(a: FeatureSet, b: FeatureSet) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows of a, distances [rows, len(b)]), infinite between patches of one patient."""
    centre = b.features.mean(axis=0)  # distances are made from dot products, exact near the origin
    columns = b.features - centre
    for rows in _blocks(len(a), len(b)):
        distances = euclidean_distances(a.features[rows] - centre, columns)
        distances[a.patient[rows, None] == b.patient] = np.inf
        yield rows, distances


def _kth_distances(each: FeatureSet, k: int) -> np.ndarray:
    """Distance to the k-th neighbour of another patient in the same set, float64 [n]."""
    return np.concatenate(
        [np.partition(block, k - 1, axis=1)[:, k - 1] for _, block in _distances(each, each)]
    )


def _covariance_root(centred: np.ndarray) -> np.ndarray:
    """R [r, d] with R'R the covariance of centred features [n, d]; r is the lesser of n and d."""
    root = np.linalg.qr(centred, mode="r") if len(centred) > centred.shape[1] else centred
    return root / np.sqrt(max(1, len(centred) - 1))


def _kernel_sums(features: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Sums of the kernel over the patches of two units, [units, units]."""
    count, width = features.shape
    member = csr_array((np.ones(count), (np.arange(count), unit)))
    sums = np.zeros((member.shape[1], member.shape[1]))
    for rows in _blocks(count, count):
        kernel = (features[rows] @ features.T / width + 1) ** 3
        sums += member[rows].T @ (kernel @ member)
    return sums


def _discrepancies(
    sides: np.ndarray, sums: np.ndarray, sizes: np.ndarray, patient: np.ndarray
) -> np.ndarray:
    """Squared discrepancies [p] of `sides` [p, units], 1 or 0.

    Args:
      sums: of the kernel over two units, [units, units], 0 for units of one patient.
      sizes: patches in each unit. patient: of each unit, sorted.
    """
    first, second, between = _sums_of_sides(sides, sums)
    m, n, both = _pairs_of_sides(sides, sizes, patient)
    # A side of one unit has no pair, and nothing in its sum.
    return first / np.maximum(m, 1) + second / np.maximum(n, 1) - 2 * between / both


def _sums_of_sides(
    sides: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of a symmetric matrix within side 1, within side 0 and from one to the other, [p]."""
    to_first = sides @ matrix
    within_first = (to_first * sides).sum(axis=1)
    between = to_first.sum(axis=1) - within_first
    return within_first, matrix.sum() - within_first - 2 * between, between


def _pairs_of_sides(
    sides: np.ndarray, sizes: np.ndarray, patient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of patches of two patients within side 1, within side 0 and from one to the other."""
    starts = np.unique(patient, return_index=True)[1]
    first = np.add.reduceat(sides * sizes, starts, axis=1)  # patches of each patient on side 1
    second = np.add.reduceat((1 - sides) * sizes, starts, axis=1)
    one, other = first.sum(axis=1), second.sum(axis=1)
    return (
        one * one - np.square(first).sum(axis=1),  # without those of one patient
        other * other - np.square(second).sum(axis=1),
        one * other - (first * second).sum(axis=1),
    )
