"""Measures of what lesions, and the places where they were put or removed, look like."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cgan_tf.assessment.base import Check, Measure, Row, Values, number
from cgan_tf.assessment.distributions import Distribution, Quantiles, compare_tables
from cgan_tf.assessment.lesions import Box, lesion_values
from cgan_tf.assessment.noise import BANDS, excess_noise
from cgan_tf.assessment.reading import PatchView, Readings
from cgan_tf.data.records import LEVELS
from cgan_tf.pages.html import Table

DISTANCE_ABOVE_CEILING = 0.2  # of Kolmogorov and Smirnov


@dataclasses.dataclass(frozen=True)
class Column:
    """A value of every patch, of which distributions are compared.

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

    def median_text(self, quantiles: Quantiles | None) -> str:
        """The median, and 5% to 95%."""
        if quantiles is None:
            return "undefined"
        low, _, middle, _, high = (format(value, self.form) for value in quantiles)
        return f"{middle} ({low} to {high})"

    def check(self, values: Distribution, where: str) -> Check:
        """Is the distribution another one than that of real patches?"""
        title = f"another {self.title} {where} than real"
        if values.distance is None:
            return Check(title, None, "too few lesions to measure")
        ours, real = (format(value, self.form) for value in values.medians if value is not None)
        return Check(title, _too_far(values), _distance_text(values, ours, real))


@dataclasses.dataclass(frozen=True)
class LesionDistributions:
    """Of the lesions of a set, or of what removal leaves of them; see `lesions.lesion_values`."""

    contrast: Distribution
    area: Distribution
    components: Distribution


@dataclasses.dataclass(frozen=True)
class AppearanceDistributions:
    """Of the places that were changed: `saturated_share`, and `noise.excess_noise` by band."""

    saturation: Distribution
    noise_0: Distribution
    noise_1: Distribution
    noise_2: Distribution
    noise_3: Distribution


class ColumnMeasure(Measure[Values]):
    """A dataclass of distributions of values of every patch, of which each has a table row.

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
        headings = (what, "Synthetic, 5% to 95%", "Real, 5% to 95%", "Distance", "Ceiling")
        return [Table("lesions", headings, rows)]


class LesionMeasure(ColumnMeasure[LesionDistributions]):
    """What lesions are like, or what removal leaves of them."""

    name = "lesions"
    columns = (
        Column("contrast", "contrast", ".2f", "contrast, grey levels"),
        Column("area", "area", ".1%", "area, % of the patch", 100),
        Column("components", "number of parts", ".0f", "parts"),
    )

    def patch_values(self, view: PatchView) -> Mapping[str, float]:
        return lesion_values(view.lesion, view.threshold)

    def compute(self, readings: Readings) -> LesionDistributions:
        return LesionDistributions(**_compare(readings, LesionDistributions))

    def verdict(self, values: LesionDistributions, task: str) -> Sequence[Check]:
        where = "left of the lesion" if task == "removal" else "of the lesion"
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
        checks = [column.check(column.of(values), "in its place") for column in self.columns]
        return [*checks, self._noise_check(self.noise(values))]

    def noise(self, values: AppearanceDistributions) -> list[Distribution]:
        """The excess noise in each of `noise.BANDS`, as log2 of the power inside over beside."""
        return [getattr(values, name) for name in self.bands]

    def _noise_check(self, bands: Sequence[Distribution]) -> Check:
        title = "other noise inside than beside, beyond real"
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
        text = f"most at {most} cycles per pixel: {_distance_text(worst, ours, real)}"
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
