"""The lesion in a patch that has no lesion channel, and a description of it to compare.

Real patches come without a lesion layer, so real and synthetic ones go through the same operator:
the box of the lesion is filled with the harmonic function that continues the pixels around it, as
a drum skin would, and what the patch has beyond that is the estimate. In the phantom, where the
true layer is known, the correlation of the two has a median near 0.9 (tests/test_lesion_estimate).

Where a lesion is, how large and how bright, and how far many of them differ: pure functions.

What many lesions are like, a column a figure, and how far two tables of them differ.

Synthetic and real lesions are measured in the same way: neither's lesion layer is used, only the
patch and the box (see `estimate_lesion`).
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from scipy.stats import ks_2samp

from cgan_tf.assessment.noise import BANDS, excess_noise
from cgan_tf.assessment.overlap import equal_groups, feature_sets
from cgan_tf.data.records import LEVELS

SIDE = 64  # larger patches are reduced first: descriptions are coarser still
_GRID = 32


def estimate_lesion(patch: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
    """The patch minus the background continued from around the box; 0 outside the box.

    Args:
      patch: float [size, size] in [-1, 1]. box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.

    Returns:
      float32 [SIDE, SIDE], or None when the box leaves nothing around it.
    """
    scale = SIDE / len(patch)
    reduced = cv2.resize(patch.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    edges = [*np.floor(np.multiply(box[:2], scale)), *np.ceil(np.multiply(box[2:], scale))]
    x0, y0, x1, y1 = (int(edge) for edge in np.clip(edges, 0, SIDE))
    rows, columns = slice(y0, y1), slice(x0, x1)
    lesion = np.zeros((SIDE, SIDE), np.float32)
    inside = lesion[rows, columns]
    if inside.size in (0, lesion.size):
        return None
    inside[:] = reduced[rows, columns] - _continued(reduced, rows, columns)
    return lesion


def describe_lesion(lesion: np.ndarray) -> np.ndarray:
    """A unit vector float32 [1024]: the lesion on a 32 x 32 grid with its `centre` in the middle.

    Dot products of two compare shape and size, whatever place and strength. A lesion without
    anything bright gives zeros.

    Args:
      lesion: float32 [size, size], of `estimate_lesion` or a lesion channel.
    """
    if not (lesion > 0).any():
        return np.zeros(_GRID**2, np.float32)
    size = len(lesion)
    x, y = centre(lesion)
    middle = (size - 1) / 2
    move = np.array([[1, 0, middle - x], [0, 1, middle - y]], np.float32)
    centred = cv2.warpAffine(lesion.astype(np.float32), move, (size, size))
    coarse = cv2.resize(centred, (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel()
    return (coarse / np.linalg.norm(coarse)).astype(np.float32)


def centre(lesion: np.ndarray) -> tuple[float, float]:
    """(x, y) of the centre of the bright part in pixels; NaN without anything bright.

    Pixels under half of the peak are left out: boxes are drawn more or less tightly, and what lies
    between lesion and box must not move the centre.
    """
    if not (lesion > 0).any():
        return np.nan, np.nan
    peak = np.quantile(lesion[lesion > 0], 0.99)
    bright = np.where(lesion > peak / 2, lesion, 0).astype(np.float64)
    along = np.arange(len(lesion))
    x, y = bright.sum(axis=0) @ along, bright.sum(axis=1) @ along
    return float(x / bright.sum()), float(y / bright.sum())


def _continued(image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The harmonic continuation of `image` into a box from around it, float64 [rows, columns].

    The box's Laplacian is a sum of one along the rows and one along the columns, so it is inverted
    on their eigenvectors (Lynch, Rice and Thomas 1964, "fast diagonalisation").
    """
    known = image.astype(np.float64)
    known[rows, columns] = 0
    around = np.pad(known, 1)  # at the border of the patch the slope is 0: nothing comes from there
    height, width = rows.stop - rows.start, columns.stop - columns.start
    top, left = rows.start, columns.start  # one less in the padded image
    inflow = np.zeros((height, width))
    inflow[0] += around[top, left + 1 : left + 1 + width]
    inflow[-1] += around[rows.stop + 1, left + 1 : left + 1 + width]
    inflow[:, 0] += around[top + 1 : top + 1 + height, left]
    inflow[:, -1] += around[top + 1 : top + 1 + height, columns.stop + 1]
    along_y, y = _eigenvectors(height, rows.start == 0, rows.stop == SIDE)
    along_x, x = _eigenvectors(width, columns.start == 0, columns.stop == SIDE)
    return y @ ((y.T @ inflow @ x) / (along_y[:, None] + along_x)) @ x.T


@functools.cache
def _eigenvectors(length: int, starts: bool, ends: bool) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of the negative second difference over `length` pixels.

    `starts` and `ends`: whether the first and the last pixel are at the border of the patch.
    """
    matrix = 2 * np.eye(length) - np.eye(length, k=1) - np.eye(length, k=-1)
    matrix[0, 0] -= starts
    matrix[-1, -1] -= ends
    return np.linalg.eigh(matrix)


@dataclasses.dataclass(frozen=True)
class LesionFigures:
    """What one lesion is like.

    Attributes:
      x, y: its centre, 0 to 1 of the patch's side. area: its share of the patch, 0 to 1.
      contrast: mean grey level above its background, in [-1, 1] grey levels: 0 to 2.
    """

    x: float
    y: float
    area: float
    contrast: float


def figures_of(difference: np.ndarray | None, threshold: float) -> LesionFigures | None:
    """Figures of the pixels beyond `threshold`, together: a cluster is many objects.

    `difference` is a lesion above its background, [size, size] (see `estimate_lesion`); None, or
    nothing beyond the threshold: None.
    """
    if difference is None or not (difference > threshold).any():
        return None
    rows, columns = np.nonzero(difference > threshold)
    return LesionFigures(
        x=(columns.mean() + 0.5) / difference.shape[1],
        y=(rows.mean() + 0.5) / difference.shape[0],
        area=len(rows) / difference.size,
        contrast=float(difference[rows, columns].mean()),
    )


def spread_of(lesions: Sequence[LesionFigures | None]) -> dict[str, Any]:
    """How far lesions differ, ready for JSON.

    Returns:
      `measured` and `without`: patches with and without a lesion to measure; `position`: root mean
      square distance of the centres from their mean, as a share of the patch's side; `area` and
      `contrast`: means, with standard deviations `area_spread` and `contrast_spread`. None where
      two lesions at least are wanted and missing.
    """
    found = [lesion for lesion in lesions if lesion is not None]
    values: dict[str, Any] = {"measured": len(found), "without": len(lesions) - len(found)}
    names = ("position", "area", "area_spread", "contrast", "contrast_spread")
    if len(found) < 2:
        return values | dict.fromkeys(names)
    table = np.array([dataclasses.astuple(lesion) for lesion in found])  # x, y, area, contrast
    mean, variance = table.mean(axis=0), table.var(axis=0, ddof=1)
    spread = (math.hypot(*np.sqrt(variance[:2])), mean[2], variance[2] ** 0.5, mean[3])
    return values | dict(zip(names, map(float, (*spread, variance[3] ** 0.5)), strict=True))


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
    """`LESION_COLUMNS` of a lesion above its background [size, size] (see `estimate_lesion`).

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

    Saturation: the share of the box's pixels at the ends of the grey scale. Noise: see
    assessment.noise.
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
