"""Heat maps: the logits of a patch classifier over the windows of a mammogram.

A window has the size of the patches that the classifier was trained on, at their resolution, and
becomes what the patch cutter makes of it, neither flipped nor turned nor resized. So a heat map
says nothing that patches would not say: its values are theirs.

Where a lesion is, is less certain than that there is one. A classifier has learnt to call a patch
malignant wherever in it the lesion lies, so a lesion warms all windows that hold it. A candidate is
put in the middle of the warm windows around a peak; see `candidates_of`.
"""

import dataclasses
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from scipy.special import expit

from cgan_tf.data.keyed import digest
from cgan_tf.detection.predictions import Candidate, ScoredImage
from cgan_tf.runs.errors import UserError, reading

HEAT_MAPS = "heat_maps"
PLACE = 32  # pixels of an image for a place of ResNet-50's maps
_ARRAYS = ("logits", "x", "y", "window")


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """Square windows in rows and columns on an image.

    Attributes:
      lefts: int [C], of the windows of each column. tops: int [R], of each row.
      size: of a window in pixels.
    """

    lefts: np.ndarray
    tops: np.ndarray
    size: int

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C)."""
        return len(self.tops), len(self.lefts)

    def corners(self, chosen: np.ndarray) -> np.ndarray:
        """int [n, 2], (left, top) of the windows where `chosen` [R, C] is true, row by row."""
        rows, columns = np.nonzero(chosen)
        return np.stack([self.lefts[columns], self.tops[rows]], axis=1)


def grid_of(shape: tuple[int, int], size: int, stride: int) -> Grid:
    """Windows that reach every edge of an image [H, W], at most `stride` pixels from one another.

    The steps are even, to a pixel. Raises `ValueError` for an image that holds no window.
    """
    if min(shape) < size:
        raise ValueError(f"shape: expected {size} px or more, found {shape[0]}x{shape[1]}")
    height, width = shape
    return Grid(_edges(width - size, stride), _edges(height - size, stride), size)


def _edges(last: int, stride: int) -> np.ndarray:
    """Whole numbers from 0 to `last`, as few as have steps of `stride` at most."""
    steps = -(-last // stride)
    return np.array([number * last // max(steps, 1) for number in range(steps + 1)], np.int64)


def dense_grid(shape: tuple[int, int], size: int, stride: int) -> Grid:
    """Windows on places of ResNet-50's maps; the last pixels right and below may be in none.

    `size` and `stride` are multiples of `PLACE`. Raises `ValueError` otherwise, and for an image
    that holds no window.
    """
    if size % PLACE or stride % PLACE or min(shape) < size:
        raise ValueError(f"expected multiples of {PLACE} in {shape}, found {size} and {stride}")
    tops, lefts = (np.arange(0, length - size + 1, stride) for length in shape)
    return Grid(lefts, tops, size)


def window_batches(
    grey: np.ndarray, corners: np.ndarray, size: int, batch_size: int
) -> Iterator[np.ndarray]:
    """float32 [B, size, size, 1] of `batch_size` windows each, the last one of what is left.

    Args:
      grey: float32 [H, W] in [-1, 1]. corners: int [n, 2], (left, top) of each window.
    """
    windows = sliding_window_view(grey, (size, size))
    for start in range(0, len(corners), batch_size):
        lefts, tops = corners[start : start + batch_size].T
        yield np.ascontiguousarray(windows[tops, lefts][..., None], np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class HeatMap:
    """Logits of windows, and where these lie on the stored image.

    Attributes:
      logits: float32 [R, C]; NaN where no window was scored.
      x, y: float64 [C] and [R], the centres of the windows in stored pixels, ascending.
      window: (width, height) of a window in stored pixels.
    """

    logits: np.ndarray
    x: np.ndarray
    y: np.ndarray
    window: tuple[float, float]

    @property
    def probabilities(self) -> np.ndarray:
        """float64 [R, C], 0 to 1; NaN where no window was scored."""
        return expit(self.logits.astype(np.float64))

    @property
    def score(self) -> float:
        """The highest probability, 0 to 1; 0 where no window was scored."""
        known = self.logits[np.isfinite(self.logits)]
        return float(expit(np.float64(known.max()))) if known.size else 0.0


def heat_map_of(
    logits: np.ndarray,
    chosen: np.ndarray,
    grid: Grid,
    origin: tuple[int, int] = (0, 0),
    scale: tuple[float, float] = (1.0, 1.0),
) -> HeatMap:
    """The map of logits [n] of the windows where `chosen` [R, C] is true.

    Args:
      origin: (x, y) of the image that the grid is on, in a larger one of the same resolution.
      scale: (x, y) pixels of that resolution for a stored pixel.
    """
    values = np.full(grid.shape, np.nan, np.float32)
    values[chosen] = logits
    x, y = (
        (edges + start + grid.size / 2) / factor
        for edges, start, factor in zip((grid.lefts, grid.tops), origin, scale, strict=True)
    )
    return HeatMap(values, x, y, (grid.size / scale[0], grid.size / scale[1]))


@dataclasses.dataclass(frozen=True)
class Peak:
    """A place that may hold a malignant lesion: (x, y) in stored pixels, and its probability."""

    x: float
    y: float
    score: float


def peaks_of(heat: HeatMap, separation: float, most: int) -> list[Peak]:
    """The peaks of a map, from the highest score down, at most so many.

    A peak is a window with the highest logit of all windows whose centres are within `separation`,
    a share of the window's side, in both directions. Its place is the mean of the
    centres of those that reach half of its probability, weighted by their probabilities: a lesion
    is in the middle of the windows that see it.
    """
    logits = np.where(np.isfinite(heat.logits), heat.logits, -np.inf)
    highest = ndimage.maximum_filter(
        logits, tuple(2 * reach + 1 for reach in _reach(heat, separation)), mode="constant",
        cval=-np.inf,
    )  # fmt: skip
    rows, columns = np.nonzero((logits == highest) & np.isfinite(logits))
    order = np.argsort(-logits[rows, columns], kind="stable")
    peaks: list[Peak] = []
    taken: list[tuple[int, int]] = []
    reach = _reach(heat, separation)
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        # Only equal logits can be this near to one another.
        if any(abs(row - r) <= reach[0] and abs(column - c) <= reach[1] for r, c in taken):
            continue
        if len(peaks) == most:
            break
        taken.append((row, column))
        peaks.append(_peak(heat, row, column, reach))
    return peaks


def _reach(heat: HeatMap, separation: float) -> tuple[int, int]:
    """(rows, columns): how many windows on a side are within `separation`."""
    reach = []
    for centres, side in ((heat.y, heat.window[1]), (heat.x, heat.window[0])):
        step = (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
        reach.append(int(separation * side / step + 1e-6) if step else 0)
    return reach[0], reach[1]


def _peak(heat: HeatMap, row: int, column: int, reach: tuple[int, int]) -> Peak:
    rows = slice(max(0, row - reach[0]), row + reach[0] + 1)
    columns = slice(max(0, column - reach[1]), column + reach[1] + 1)
    score = float(expit(np.float64(heat.logits[row, column])))
    weights = np.nan_to_num(expit(heat.logits[rows, columns].astype(np.float64)))
    weights[weights < score / 2] = 0
    labels, _ = ndimage.label(weights > 0, np.ones((3, 3)))
    weights[labels != labels[row - rows.start, column - columns.start]] = 0
    if not weights.any():  # a probability that is 0 in float64
        return Peak(float(heat.x[column]), float(heat.y[row]), score)
    x = np.average(heat.x[columns], weights=weights.sum(axis=0))
    y = np.average(heat.y[rows], weights=weights.sum(axis=1))
    return Peak(float(x), float(y), score)


def candidates_of(
    heat: HeatMap, image: ScoredImage, separation: float, side: float, most: int
) -> tuple[Candidate, ...]:
    """The peaks of a map as boxes on its image, from the highest score down.

    Args:
      separation: see `peaks_of`. most: candidates.
      side: of a box, a share of the window's side; a box ends with its image.
    """
    width, height = (side * length for length in heat.window)
    return tuple(
        Candidate(
            image.sop_uid,
            image.client_id,
            image.laterality,
            image.view,
            round(max(0.0, peak.x - width / 2), 2),
            round(max(0.0, peak.y - height / 2), 2),
            round(min(image.width, peak.x + width / 2), 2),
            round(min(image.height, peak.y + height / 2), 2),
            peak.score,
        )
        for peak in peaks_of(heat, separation, most)
    )


def file_stem(sop_uid: str) -> str:
    """The name of an image's files: its uid, or a digest of one that is no name of a file."""
    if re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", sop_uid):
        return sop_uid
    return f"image-{digest('file', sop_uid).hex()[:16]}"


def heat_map_bytes(heat: HeatMap) -> bytes:
    """The map as a .npz file with the arrays `logits`, `x`, `y` and `window`."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, logits=heat.logits, x=heat.x, y=heat.y, window=np.array(heat.window)
    )
    return buffer.getvalue()


def read_heat_map(directory: str | Path, sop_uid: str) -> HeatMap:
    """The map of an image of a directory of predictions.

    Raises `UserError` when the file is missing or is none of `heat_map_bytes`.
    """
    path = Path(directory) / HEAT_MAPS / f"{file_stem(sop_uid)}.npz"
    with reading(path):
        data = path.read_bytes()
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            logits, x, y, window = (arrays[name] for name in _ARRAYS)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected a heat map of predict_images") from error
    if logits.shape != (len(y), len(x)) or window.shape != (2,):
        raise UserError(f"{path}: expected logits [{len(y)}, {len(x)}], found {logits.shape}")
    return HeatMap(logits, x, y, (float(window[0]), float(window[1])))
