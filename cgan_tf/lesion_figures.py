"""Where a lesion is, how large and how bright, and how far many of them differ: pure functions."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


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

    `difference` is a lesion above its background, [size, size] (see lesion_estimate); None, or
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
