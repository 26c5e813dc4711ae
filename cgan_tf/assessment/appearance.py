"""Measures of what lesions look like, and the places where lesions were put or removed.

A generator that smooths what it paints over, or leaves the pattern of its up-sampling, changes the
noise of the tissue. Mammograms differ in their noise, so noise inside a lesion is compared with
noise beside it in the same patch: in small tiles, after subtracting a plane from each (the
brightness of the tissue and its slope).
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cgan_tf.assessment.base import Check, Measure, Row, Values, number
from cgan_tf.assessment.distributions import Distribution, Quantiles, compare_tables
from cgan_tf.assessment.lesions import Box, lesion_values
from cgan_tf.assessment.reading import PatchView, Readings
from cgan_tf.data.records import LEVELS
from cgan_tf.pages.html import Table
from cgan_tf.pages.style import minus

DISTANCE_ABOVE_CEILING = 0.2  # between Kolmogorov-Smirnov distances
TILE_PX = 16
BANDS = ("0–0.125", "0.125–0.25", "0.25–0.375", "0.375–0.5")  # cycles per pixel
_STRIPE = TILE_PX // (2 * len(BANDS))  # frequencies of a tile in a band
_LEAST_POWER = 1e-12  # under the noise of 16-bit storage, (2 / 65535)^2 / 12


def excess_noise(patch: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
    """log2 of the noise power inside the box over that beside it, by band: float64 [bands].

    0: as the tissue beside it; 1: twice the power; -1: half. A single tile inside is one draw of
    its power, whose logarithm is lower on average, by 0.2 in the lowest band to 0.03 in the last.

    Args:
      patch: float [size, size], grey levels in [-1, 1].
      box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.

    Returns:
      None where the patch has no room for a tile beside the box.
    """
    inside, beside = tiles_of(len(patch), box)
    if not len(beside):
        return None
    power = [band_power(_cut(patch, corners)) for corners in (inside, beside)]
    return np.log2(power[0] / power[1])


def tiles_of(size: int, box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y), int [n, 2], of the tiles inside a box and of those beside it.

    Inside: as many whole tiles as the box holds, in its middle; at least one. Beside: one row of
    tiles all around the box, as far as the patch has room.
    """
    low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    xs, ys = (np.clip(_row(*edges), 0, size - TILE_PX) for edges in zip(low, high, strict=True))
    left_right = [
        (x, y)
        for x in (low[0] - TILE_PX, high[0])
        for y in _row(low[1] - TILE_PX, high[1] + TILE_PX)
    ]
    above_below = [(x, y) for x in xs for y in (low[1] - TILE_PX, high[1])]
    beside = np.array(left_right + above_below)
    room = ((beside >= 0) & (beside <= size - TILE_PX)).all(axis=1)
    return np.array([(x, y) for x in xs for y in ys]), beside[room]


def _row(low: int, high: int) -> np.ndarray:
    """Starts of the whole tiles that fit between low and high, in the middle; at least one."""
    count = max(1, (high - low) // TILE_PX)
    return (low + high - count * TILE_PX) // 2 + TILE_PX * np.arange(count)


def band_power(tiles: np.ndarray) -> np.ndarray:
    """Mean power of tiles float [n, TILE_PX, TILE_PX] in each band: float64 [bands].

    A frequency belongs to the band of the larger of its two parts, so the last band also
    holds the corners of the spectrum, where a chequerboard is.
    """
    flat = tiles.reshape(len(tiles), -1).astype(np.float64)
    basis = _plane()
    rest = flat - (flat @ basis) @ basis.T
    windowed = rest.reshape(tiles.shape) * _window()
    power = np.square(np.abs(np.fft.fft2(windowed))).mean(axis=0) / np.square(_window()).sum()
    frequency = np.abs(np.fft.fftfreq(TILE_PX, 1 / TILE_PX)).astype(int)
    larger = np.maximum(frequency[:, None], frequency)
    band = (larger - 1) // _STRIPE  # that of the mean, 0, is -1
    means = [power[band == number].mean() for number in range(len(BANDS))]
    return np.maximum(means, _LEAST_POWER)


def _cut(patch: np.ndarray, corners: np.ndarray) -> np.ndarray:
    return np.stack([patch[y : y + TILE_PX, x : x + TILE_PX] for x, y in corners])


@functools.cache
def _plane() -> np.ndarray:
    """Orthonormal columns for 1, x and y over a tile, [TILE_PX^2, 3]."""
    y, x = np.mgrid[:TILE_PX, :TILE_PX].reshape(2, -1)
    return np.linalg.qr(np.stack([np.ones(TILE_PX**2), x, y], axis=1))[0]


@functools.cache
def _window() -> np.ndarray:
    """Hann window float64 [TILE_PX, TILE_PX]; it keeps the edges of a tile out of its spectrum."""
    half = np.sin(np.pi * (np.arange(TILE_PX) + 0.5) / TILE_PX) ** 2
    return np.outer(half, half)


@dataclasses.dataclass(frozen=True)
class Column:
    """A value of every patch whose distributions are compared.

    Attributes:
      name: in quality.json. title: in verdicts and tables. form: of its numbers.
      axis, factor: label of its axis in plots, and what its values are multiplied by there.
    """

    name: str
    title: str
    form: str
    axis: str
    factor: float = 1

    def of(self, values: object) -> Distribution:
        """Its distribution among those of a measure."""
        distribution: Distribution = getattr(values, self.name)
        return distribution

    def text(self, value: float) -> str:
        """A value as text; halves stay halves: the median of 4 and 5 parts is 4.5."""
        shown = minus(format(value, self.form))
        return shown.removesuffix(".0")

    def median_text(self, quantiles: Quantiles | None) -> str:
        """The median, and 5% to 95%."""
        if quantiles is None:
            return "undefined"
        low, _, middle, _, high = map(self.text, quantiles)
        return f"{middle} ({low} to {high})"

    def check(self, values: Distribution, where: str) -> Check:
        """Whether the distribution differs from that of real patches."""
        title = f"{self.title} {where} differs from real"
        if values.distance is None:
            return Check(title, None, "too few lesions to measure")
        ours, real = (self.text(value) for value in values.medians if value is not None)
        return Check(title, _too_far(values), _distance_text(values, ours, real))


@dataclasses.dataclass(frozen=True)
class LesionDistributions:
    """Values of the lesions of a set, or of what removal leaves; see `lesions.lesion_values`."""

    contrast: Distribution
    area: Distribution
    components: Distribution


@dataclasses.dataclass(frozen=True)
class AppearanceDistributions:
    """Values of the places that were changed: `saturated_share`, and `excess_noise` by band."""

    saturation: Distribution
    noise_0: Distribution
    noise_1: Distribution
    noise_2: Distribution
    noise_3: Distribution


class ColumnMeasure(Measure[Values]):
    """A dataclass of distributions, each with a row in the tables.

    Attributes:
      columns: those with a verdict and a row of their own.
    """

    columns: tuple[Column, ...]

    def rows(self, values: Values) -> Iterator[Row]:
        for name, each in vars(values).items():
            yield Row(self.name, f"{name}_median", *each.medians)
            yield Row(self.name, f"{name}_distance", each.distance, each.ceiling)

    def tables(self, values: Values, task: str) -> Sequence[Table]:
        rows = [
            (
                column.title.capitalize(),
                *(column.median_text(side) for side in (each.synthetic, each.real)),
                *(number(side) for side in (each.distance, each.ceiling)),
            )
            for column in self.columns
            for each in [column.of(values)]
        ]
        what = "Left of the lesion" if task == "removal" else "Lesion"
        headings = (what, "Synthetic, 5% to 95%", "Real, 5% to 95%", "Distance", "Reference")
        return [Table("lesions", headings, rows)]


class LesionMeasure(ColumnMeasure[LesionDistributions]):
    """What lesions are like, or what removal leaves of them."""

    name = "lesions"
    columns = (
        Column("contrast", "contrast", ".2f", "contrast, grey levels"),
        Column("area", "area", ".1%", "area, % of the patch", 100),
        Column("components", "number of parts", ".1f", "parts"),
    )

    def patch_values(self, view: PatchView) -> Mapping[str, float]:
        return lesion_values(view.lesion, view.threshold)

    def compute(self, readings: Readings) -> LesionDistributions:
        return LesionDistributions(**_compare(readings, LesionDistributions))

    def verdict(self, values: LesionDistributions, task: str) -> Sequence[Check]:
        where = "of what is left" if task == "removal" else "of the lesion"
        return [column.check(column.of(values), where) for column in self.columns]


class AppearanceMeasure(ColumnMeasure[AppearanceDistributions]):
    """What patches look like where they were changed: saturation, and noise beside that around.

    Saturation is the share of the pixels at the ends of the grey scale.
    """

    name = "appearance"
    columns = (Column("saturation", "saturation", ".1%", "saturated, % of the box", 100),)
    bands = tuple(f"noise_{number}" for number in range(len(BANDS)))

    def patch_values(self, view: PatchView) -> Mapping[str, float]:
        if not view.changed_box:
            return {}
        values = {"saturation": saturated_share(view.patch, view.changed_box)}
        noise = excess_noise(view.patch, view.changed_box)
        return values if noise is None else values | dict(zip(self.bands, noise, strict=True))

    def compute(self, readings: Readings) -> AppearanceDistributions:
        return AppearanceDistributions(**_compare(readings, AppearanceDistributions))

    def verdict(self, values: AppearanceDistributions, task: str) -> Sequence[Check]:
        checks = [
            column.check(column.of(values), "in the lesion's place") for column in self.columns
        ]
        return [*checks, self._noise_check(self.noise(values))]

    def noise(self, values: AppearanceDistributions) -> list[Distribution]:
        """The excess noise in each of `BANDS`, as log2 of the power inside over beside."""
        return [getattr(values, name) for name in self.bands]

    def _noise_check(self, bands: Sequence[Distribution]) -> Check:
        title = "texture in the lesion differs from real"
        excess = {
            band: each.distance - each.ceiling
            for band, each in zip(BANDS, bands, strict=True)
            if each.distance is not None and each.ceiling is not None
        }
        if not excess:
            return Check(title, None, "too few patches with tissue beside the lesion")
        most = max(excess, key=lambda band: excess[band])
        worst = bands[BANDS.index(most)]
        ours, real = (f"{2.0**value:.2f} times" for value in worst.medians if value is not None)
        where = f"noise inside over beside, at {most} cycles per pixel"
        text = f"{where}: {_distance_text(worst, ours, real)}"
        return Check(title, any(map(_too_far, bands)), text)


def _compare(readings: Readings, kind: type) -> dict[str, Distribution]:
    """Of the values that the fields of `kind` name."""
    names = [field.name for field in dataclasses.fields(kind)]
    ours, real = (each.values(*names) for each in (readings.synthetic, readings.real))
    return compare_tables(ours, real, readings.seed, readings.splits)


def _too_far(values: Distribution) -> bool:
    if values.distance is None or values.ceiling is None:
        return False
    return values.distance > values.ceiling + DISTANCE_ABOVE_CEILING


def _distance_text(values: Distribution, synthetic: str, real: str) -> str:
    return (
        f"median {synthetic}, real {real}; distance {values.distance:.2f} (real against real: "
        f"{values.ceiling:.2f})"
    )


def saturated_share(patch: np.ndarray, box: Box) -> float:
    """Share of the pixels of a box that are at the ends of the grey scale, 0 to 1.

    Args:
      patch: float [size, size], grey levels in [-1, 1].
    """
    x0, y0 = (max(0, int(edge)) for edge in box[:2])
    inside = patch[y0 : int(np.ceil(box[3])), x0 : int(np.ceil(box[2]))]
    return float((np.abs(inside) >= 1 - 1 / LEVELS).mean())
