"""Chosen places for lesions: listed in a CSV file, like those of real lesions, or on both views.

A target is the point of an image that a lesion must cover. Its patch is the one around it that has
enough tissue, with the target as near to the middle as possible.
"""

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from beam_pipelines.insertion.breast_frame import BreastFrame
from beam_pipelines.patches.windows import Integral, tissue_fraction
from cgan_tf.runs.errors import UserError, reading

Point = tuple[float, float]  # x, y in pixels

_ASIDE, _STEPS = 0.25, 8  # of a patch's side that its middle may be from the target; grid of those
_TRIES = 60  # points drawn for each lesion wanted, at most
# The distance of a lesion from the nipple differs by some millimetres between CC and MLO.
SPREAD_MM, FURTHEST_MM = 5.0, 10.0


@dataclasses.dataclass(frozen=True)
class ListedPlace:
    """A row of the CSV file: where a lesion is wanted.

    Attributes:
      x, y: in pixels of the stored image. lesion: names it on both views; or empty.
    """

    x: float
    y: float
    lesion: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """A patch and the point that its lesion must cover.

    Attributes:
      left, top: of the patch. x, y: of the point, both in pixels of the image.
    """

    left: int
    top: int
    x: float
    y: float

    @property
    def point(self) -> Point:
        """The point in pixels of the patch."""
        return self.x - self.left, self.y - self.top


def read_places(path: str) -> dict[str, list[ListedPlace]]:
    """The rows of a CSV file with columns image, x, y and, if wanted, lesion, by image.

    Raises `UserError` for a file that is no such table, naming the line.
    """
    with reading(path), open(path, encoding="utf-8-sig", newline="") as file:
        try:
            table = csv.DictReader(file)
            columns = table.fieldnames or ()
            rows = list(table)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"--places={path}: expected a CSV file in UTF-8 ({error})") from error
    missing = {"image", "x", "y"} - set(columns)
    if missing:
        raise UserError(
            f"--places={path}: expected the columns image, x and y, found "
            f"{', '.join(columns) or 'none'}"
        )
    if not rows:
        raise UserError(f"--places={path}: expected a row for each lesion, found none")
    places: dict[str, list[ListedPlace]] = {}
    for line, row in enumerate(rows, 2):
        x, y = (_number(row, name, f"--places={path}, line {line}") for name in ("x", "y"))
        image = (row["image"] or "").strip()
        if not image:
            raise UserError(f"--places={path}, line {line}: expected an image, found none")
        listed = ListedPlace(x, y, (row.get("lesion") or "").strip())
        places.setdefault(image, []).append(listed)
    return places


def _number(row: Mapping[str, str | None], name: str, where: str) -> float:
    text = (row[name] or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: expected a number of pixels for {name}, found {text!r}")
    return value


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """Where in an image lesions may be.

    Attributes:
      weights: float [h, w], how likely each pixel of the mask is.
      integral: of the mask, for patches of the image. frame: of the whole breast.
      side, min_tissue: of patches, and their least share of tissue.
      spacing_mm: of the image's pixels; 0 when unknown.
    """

    weights: np.ndarray
    integral: Integral
    frame: BreastFrame
    side: int
    min_tissue: float
    spacing_mm: float

    @property
    def step(self) -> tuple[float, float]:
        """(width, height) of a pixel of the mask in pixels of the image."""
        (h, w), (height, width) = self.weights.shape, self.integral.shape
        return (width - 1) / w, (height - 1) / h

    def target_at(self, point: Point) -> Target | None:
        """The patch with enough tissue in whose middle half the point is, as central as can be."""
        height, width = (length - 1 for length in self.integral.shape)
        if not (0 <= point[0] < width and 0 <= point[1] < height):
            return None
        offsets = np.linspace(-_ASIDE, _ASIDE, 2 * (_STEPS // 2) + 1) * self.side
        across, down = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
        nearest = np.argsort(np.hypot(across, down), kind="stable")
        left = np.rint(point[0] - self.side / 2 + across[nearest]).astype(int)
        top = np.rint(point[1] - self.side / 2 + down[nearest]).astype(int)
        inside = (left >= 0) & (top >= 0)
        inside &= (left <= width - self.side) & (top <= height - self.side)
        left, top = left[inside], top[inside]
        if not len(left):
            return None
        fit = tissue_fraction(self.integral, left, top, self.side) >= self.min_tissue - 1e-9
        if not fit.any():
            return None
        best = int(np.argmax(fit))
        return Target(int(left[best]), int(top[best]), *point)

    def draw(self, stream: np.random.Generator, weights: np.ndarray | None = None) -> Point | None:
        """A random point of the image by the weights, or by others; None where all are 0."""
        totals = (self.weights if weights is None else weights).cumsum()
        if not totals[-1] > 0:
            return None
        place, across, down = stream.random(3)
        pixel = int(np.searchsorted(totals, place * totals[-1], side="right"))
        row, column = divmod(pixel, self.weights.shape[1])
        return (column + across) * self.step[0], (row + down) * self.step[1]

    def from_nipple(self, point: Point) -> float:
        """Distance of a point of the image from the nipple in mm."""
        x, y = np.divide(point, self.step)
        return float(self.frame.from_nipple(x, y, self._pixel_mm))

    def at_distance(self, distance_mm: float) -> np.ndarray:
        """The weights, with those that are about as far from the nipple left."""
        y, x = np.mgrid[: self.weights.shape[0], : self.weights.shape[1]] + 0.5
        away = self.frame.from_nipple(x, y, self._pixel_mm) - distance_mm
        near = np.exp(-0.5 * (away / SPREAD_MM) ** 2) * (np.abs(away) <= FURTHEST_MM)
        return self.weights * near

    @property
    def _pixel_mm(self) -> tuple[float, float]:
        return self.step[0] * self.spacing_mm, self.step[1] * self.spacing_mm


def random_targets(stream: np.random.Generator, region: Region, count: int) -> list[Target]:
    """Up to `count` targets at random by the region's weights, no patches overlapping."""
    targets: list[Target] = []
    for _ in range(_TRIES * count):
        if len(targets) == count:
            break
        point = region.draw(stream)
        target = region.target_at(point) if point else None
        if target and _free(target, targets, region.side):
            targets.append(target)
    return targets


def paired_targets(
    stream: np.random.Generator, regions: tuple[Region, Region], count: int
) -> list[tuple[Target, Target]]:
    """Up to `count` targets on both views of a breast, each pair as far from the nipple."""
    pairs: list[tuple[Target, Target]] = []
    for _ in range(_TRIES * count):
        if len(pairs) == count:
            break
        point = regions[0].draw(stream)
        first = regions[0].target_at(point) if point else None
        if first is None or not _free(first, [pair[0] for pair in pairs], regions[0].side):
            continue
        second = partner_of(stream, regions, first, [pair[1] for pair in pairs])
        if second:
            pairs.append((first, second))
    return pairs


def partner_of(
    stream: np.random.Generator,
    regions: tuple[Region, Region],
    target: Target,
    taken: Sequence[Target],
) -> Target | None:
    """A target on the second of two views for one on the first, about as far from the nipple."""
    weights = regions[1].at_distance(regions[0].from_nipple((target.x, target.y)))
    for _ in range(_TRIES):
        point = regions[1].draw(stream, weights)
        found = regions[1].target_at(point) if point else None
        if found and _free(found, taken, regions[1].side):
            return found
    return None


Row = tuple[str, Point]  # name of a lesion, and its point


def needs_nipple(listed: Sequence[Sequence[ListedPlace]]) -> bool:
    """Whether a listed lesion is named on one view only, so that its place on the other is to be
    found."""
    names = [sorted(place.lesion for place in rows) for rows in listed]
    return names[0] != names[1] or "" in names[0]


def listed_pairs(
    stream: np.random.Generator,
    regions: tuple[Region, Region],
    first: Sequence[Row],
    second: Sequence[Row],
) -> list[tuple[Target, Target]]:
    """The listed lesions on both views: where both are named, and else as far from the nipple."""
    known = {name: regions[1].target_at(point) for name, point in second if name}
    pairs: list[tuple[Target, Target]] = []
    for name, point in first:
        one = regions[0].target_at(point)
        if one and name in known:
            other = known.pop(name)
        else:
            other = one and partner_of(stream, regions, one, [pair[1] for pair in pairs])
        if one and other:
            pairs.append((one, other))
    named = {name for name, _ in first if name}
    for name, point in second:
        if name in named:
            continue
        other = regions[1].target_at(point)
        one = other and partner_of(stream, regions[::-1], other, [pair[0] for pair in pairs])
        if one and other:
            pairs.append((one, other))
    return pairs


def _free(target: Target, taken: Sequence[Target], side: int) -> bool:
    """Whether a patch overlaps none of others."""
    return all(
        abs(target.left - other.left) >= side or abs(target.top - other.top) >= side
        for other in taken
    )
