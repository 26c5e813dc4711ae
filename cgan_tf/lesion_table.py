"""What many lesions are like, a column a figure, and how far two tables of them differ.

Synthetic and real lesions are measured in the same way: neither's lesion layer is used, only the
patch and the box (see lesion_estimate).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from scipy.stats import ks_2samp

from cgan_tf.noise_power import BANDS, excess_noise
from cgan_tf.overlap import equal_groups, feature_sets
from cgan_tf.records import LEVELS

NOISE = tuple(f"noise_{number}" for number in range(len(BANDS)))
# Of the lesion above its background, and of the patch in the lesion's box.
LESION_COLUMNS = ("contrast", "area", "components")
PATCH_COLUMNS = ("saturation", *NOISE)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LEAST = 10  # patches of a group; fewer have no distribution


@dataclasses.dataclass(frozen=True, eq=False)
class LesionTable:
    """Figures of many lesions: float64 [n] by name, NaN where undefined; patients, text [n]."""

    columns: dict[str, np.ndarray]
    clients: np.ndarray


def lesion_values(difference: np.ndarray | None, threshold: float) -> dict[str, float]:
    """`LESION_COLUMNS` of a lesion above its background [size, size] (see lesion_estimate).

    Of the pixels beyond `threshold`: mean grey level, share of the patch, number of 8-connected
    objects. No contrast without such a pixel; nothing at all without an estimate.
    """
    if difference is None:
        return {}
    binary = difference > threshold
    objects = cv2.connectedComponents(binary.astype(np.uint8), connectivity=8)[0] - 1
    values = {"area": float(binary.mean()), "components": float(objects)}
    return values | ({"contrast": float(difference[binary].mean())} if objects else {})


def patch_values(patch: np.ndarray, box: tuple[float, ...]) -> dict[str, float]:
    """`PATCH_COLUMNS` of a patch [size, size] in and beside a box; nothing without a box.

    Saturation: the share of the box's pixels at the ends of the grey scale. Noise: see noise_power.
    """
    if not box:
        return {}
    x0, y0 = (max(0, int(edge)) for edge in box[:2])
    inside = patch[y0 : int(np.ceil(box[3])), x0 : int(np.ceil(box[2]))]
    values = {"saturation": float((np.abs(inside) >= 1 - 1 / LEVELS).mean())}
    noise = excess_noise(patch, box)
    return values | ({} if noise is None else dict(zip(NOISE, noise.tolist(), strict=True)))


def table_of(
    rows: Sequence[Mapping[str, float]], clients: Sequence[str], names: Sequence[str]
) -> LesionTable:
    """Some columns of the rows."""
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    return LesionTable(columns, np.array(clients, dtype=str))


def compare_tables(
    synthetic: LesionTable, real: LesionTable, seed: int, splits: int = 5
) -> dict[str, Any]:
    """By column, ready for JSON: `QUANTILES` of `synthetic` and `real`, `distance` and `ceiling`.

    distance: of Kolmogorov and Smirnov, 0 (the same distribution) to 1 (nothing shared), between
    half of the real lesions, by patient, and as many synthetic ones; ceiling: between that half and
    the other half; both are means over random halves (`splits`). None where lesions are too few.
    """
    return {
        name: _compare(
            synthetic.columns[name],
            real.columns[name],
            synthetic.clients,
            real.clients,
            seed,
            splits,
        )
        for name in real.columns
    }


def _compare(
    synthetic: np.ndarray,
    real: np.ndarray,
    synthetic_clients: np.ndarray,
    real_clients: np.ndarray,
    seed: int,
    splits: int,
) -> dict[str, Any]:
    ours, theirs = np.isfinite(synthetic), np.isfinite(real)
    result: dict[str, Any] = {
        "synthetic": _quantiles(synthetic[ours]),
        "real": _quantiles(real[theirs]),
        "distance": None,
        "ceiling": None,
    }
    if not ours.any() or not theirs.any():
        return result
    pool, sample = feature_sets(
        real[theirs, None], synthetic[ours, None], real_clients[theirs], synthetic_clients[ours]
    )
    rng, found = np.random.default_rng(seed), []
    for _ in range(splits):
        groups = [group.features[:, 0] for group in equal_groups(pool, sample, len(real), rng)]
        half, others, fakes = groups
        if len(half) < _LEAST:
            return result
        found.append([ks_2samp(half, other, method="asymp").statistic for other in (fakes, others)])
    distance, ceiling = np.mean(found, axis=0)
    return result | {"distance": float(distance), "ceiling": float(ceiling)}


def _quantiles(values: np.ndarray) -> list[float] | None:
    return np.quantile(values, QUANTILES).tolist() if len(values) else None
