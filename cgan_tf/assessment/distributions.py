"""How the values of many patches are distributed, and how far two distributions differ."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ks_2samp

from cgan_tf.assessment.two_samples import equal_groups, feature_sets

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Quantiles = tuple[float, float, float, float, float]
_LEAST = 10  # patches of a group; fewer have no distribution


@dataclasses.dataclass(frozen=True, eq=False)
class ValueTable:
    """Values of many patches.

    Attributes:
      columns: float64 [n] by name, NaN where undefined. patients: text [n].
    """

    columns: dict[str, np.ndarray]
    patients: np.ndarray


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A value in synthetic patches beside real ones.

    Attributes:
      synthetic, real: `QUANTILES`, None without a value.
      distance: Kolmogorov-Smirnov distance, 0 (same distribution) to 1 (no overlap), between half
        of the real patches, split by patient, and as many synthetic ones. ceiling: the distance
        between that half and the other. Both are means over random halves; None with too few
        patches.
    """

    synthetic: Quantiles | None
    real: Quantiles | None
    distance: float | None = None
    ceiling: float | None = None

    @property
    def medians(self) -> tuple[float | None, float | None]:
        """Synthetic and real."""
        ours, real = (side[2] if side else None for side in (self.synthetic, self.real))
        return ours, real


def value_table(
    rows: Sequence[Mapping[str, float]], patients: Sequence[str], names: Sequence[str]
) -> ValueTable:
    """The named columns of the rows, one row a patch."""
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    return ValueTable(columns, np.array(patients, dtype=str))


def compare_tables(
    synthetic: ValueTable, real: ValueTable, seed: int, splits: int = 5
) -> dict[str, Distribution]:
    """The distribution of every column.

    Args:
      seed: of the random halves. splits: number of random halves.
    """
    return {
        name: _compare(
            (synthetic.columns[name], synthetic.patients), (column, real.patients), seed, splits
        )
        for name, column in real.columns.items()
    }


def _compare(
    synthetic: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray],
    seed: int,
    splits: int,
) -> Distribution:
    """Both are (values [n], patients [n])."""
    (ours, our_patients), (theirs, their_patients) = map(_finite, (synthetic, real))
    both = quantiles(ours), quantiles(theirs)
    if not len(ours) or not len(theirs):
        return Distribution(*both)
    pool, sample = feature_sets(theirs[:, None], ours[:, None], their_patients, our_patients)
    rng, distances = np.random.default_rng(seed), []
    for _ in range(splits):
        half, others, drawn = (
            group.features[:, 0] for group in equal_groups(pool, sample, len(real[0]), rng)
        )
        if len(half) < _LEAST:
            return Distribution(*both)
        distances.append(
            [ks_2samp(half, other, method="asymp").statistic for other in (drawn, others)]
        )
    distance, ceiling = np.mean(distances, axis=0).tolist()
    return Distribution(*both, distance, ceiling)


def _finite(column: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    values, patients = column
    return values[np.isfinite(values)], patients[np.isfinite(values)]


def quantiles(values: np.ndarray) -> Quantiles | None:
    """`QUANTILES` of finite values [n]; None without any."""
    return tuple(np.quantile(values, QUANTILES).tolist()) if len(values) else None
