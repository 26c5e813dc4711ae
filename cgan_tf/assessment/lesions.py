"""The lesion in a patch that has no lesion channel: an estimate, a description and its measures.

Real patches have no lesion channel, so real and synthetic lesions are estimated the same way, by
`data.lesion_layer`. In the phantom, where the true layer is known, the correlation of the two has a
median near 0.9 (tests/assessment/test_lesions.py).
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from cgan_tf.data.lesion_layer import Box, lesion_layer

SIDE = 64  # larger patches are reduced first: descriptions are coarser still
_GRID = 32


def estimate_lesion(patch: np.ndarray, box: Box) -> np.ndarray | None:
    """The patch minus the background continued from around the box; 0 outside the box.

    Args:
      patch: float [size, size] in [-1, 1]. box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.

    Returns:
      float32 [SIDE, SIDE], or None when the box leaves nothing around it.
    """
    reduced = cv2.resize(patch.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return lesion_layer(reduced, tuple(np.multiply(box, SIDE / len(patch))))


def describe_lesion(lesion: np.ndarray) -> np.ndarray:
    """A unit vector float32 [1024]: the lesion on a 32 x 32 grid with its `centre` in the middle.

    The dot product of two compares shape and size, regardless of place and strength. A lesion
    without anything bright gives zeros.

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
    """(x, y) of the centre of the bright part of a lesion [size, size], in pixels; NaN if none.

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


@dataclasses.dataclass(frozen=True)
class LesionShape:
    """Where a lesion is, how large and how bright.

    Attributes:
      x, y: its centre, 0 to 1 of the patch's side. area: its share of the patch, 0 to 1.
      contrast: mean grey level above its background, in [-1, 1] grey levels: 0 to 2.
    """

    x: float
    y: float
    area: float
    contrast: float


def lesion_shape(difference: np.ndarray | None, threshold: float) -> LesionShape | None:
    """The shape of all pixels beyond `threshold` taken together: a cluster is many objects.

    Args:
      difference: float [size, size], a lesion above its background in grey levels, as
        `estimate_lesion` gives it; or None. threshold: in grey levels.

    Returns:
      None without a pixel beyond the threshold.
    """
    if difference is None or not (difference > threshold).any():
        return None
    rows, columns = np.nonzero(difference > threshold)
    return LesionShape(
        x=(columns.mean() + 0.5) / difference.shape[1],
        y=(rows.mean() + 0.5) / difference.shape[0],
        area=len(rows) / difference.size,
        contrast=float(difference[rows, columns].mean()),
    )


def lesion_values(difference: np.ndarray | None, threshold: float) -> dict[str, float]:
    """Contrast, area and number of components of the pixels beyond `threshold`.

    Args:
      difference: float [size, size], as for `lesion_shape`. threshold: in grey levels.

    Returns:
      `contrast`: mean grey level, missing without such a pixel; `area`: share of the patch;
      `components`: number of 8-connected objects. Empty without an estimate.
    """
    if difference is None:
        return {}
    binary = difference > threshold
    objects = cv2.connectedComponents(binary.astype(np.uint8), connectivity=8)[0] - 1
    values = {"area": float(binary.mean()), "components": float(objects)}
    return values | ({"contrast": float(difference[binary].mean())} if objects else {})


@dataclasses.dataclass(frozen=True)
class Spread:
    """How much lesions differ.

    Attributes:
      measured, without: patches with and without a lesion to measure.
      position: root mean square distance of the centres from their mean, of the patch's side.
      area, contrast: means. area_spread, contrast_spread: standard deviations.
      All but the first two are None with fewer than two lesions.
    """

    measured: int
    without: int
    position: float | None = None
    area: float | None = None
    area_spread: float | None = None
    contrast: float | None = None
    contrast_spread: float | None = None


def lesion_spread(lesions: Sequence[LesionShape | None]) -> Spread:
    """How much lesions differ; None stands for a patch without one."""
    shapes = [dataclasses.astuple(lesion) for lesion in lesions if lesion is not None]
    measured, without = len(shapes), len(lesions) - len(shapes)
    if measured < 2:
        return Spread(measured, without)
    table = np.array(shapes)  # x, y, area, contrast
    mean, variance = table.mean(axis=0), table.var(axis=0, ddof=1)
    return Spread(
        measured,
        without,
        position=math.hypot(*np.sqrt(variance[:2])),
        area=float(mean[2]),
        area_spread=float(variance[2] ** 0.5),
        contrast=float(mean[3]),
        contrast_spread=float(variance[3] ** 0.5),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Lesions:
    """Described lesions of a set of patches.

    Attributes:
      vectors: float32 [n, d], unit vectors of `describe_lesion`.
      patch_ids, patients: text [n]; of a synthetic patch, the patient of its source.
    """

    vectors: np.ndarray
    patch_ids: np.ndarray
    patients: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)


def describe_lesions(lesions: Iterable[tuple[str, str, np.ndarray | None]]) -> Lesions:
    """Describes (patch id, patient, lesion above its background [size, size]).

    Lesions without an estimate or without anything bright are left out.
    """
    kept = [each for each in lesions if each[2] is not None and (each[2] > 0).any()]
    return Lesions(
        np.array([describe_lesion(lesion) for *_, lesion in kept if lesion is not None]),
        np.array([patch_id for patch_id, *_ in kept], dtype=str),
        np.array([patient for _, patient, _ in kept], dtype=str),
    )
