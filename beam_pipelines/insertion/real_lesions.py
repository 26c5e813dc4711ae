"""What the real lesions of a data set are like: where in the breast, how large, how bright.

A lesion is inserted at a place, of a size and with a contrast of theirs. All are measured on the
image as the generator is shown it, in the frame of `breast_frame`, the same way for real lesions
and for inserted ones.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from scipy import ndimage

from beam_pipelines.dicom import reading
from beam_pipelines.insertion.breast_frame import BreastFrame, breast_frame
from beam_pipelines.patches.breast_mask import breast_mask, film_bounds
from beam_pipelines.patches.cutting import mammogram_of, read_file
from beam_pipelines.rejections import Reason, Rejected, Rejection
from beam_pipelines.sources.base import LESION, VIEWS, Image
from beam_pipelines.sources.index import image_from
from beam_pipelines.sources.outlines import lesions_inside
from beam_pipelines.storage.files import csv_parts
from cgan_tf.data.keyed import digest, unit_hash
from cgan_tf.data.lesion_layer import Box
from cgan_tf.runs.directory import Json

MOST_IMAGES = 1000  # with real lesions that are looked at, drawn at random
LEAST_LESIONS = 5  # in a view, for a density; and in all, for quantiles
OUTSIDE_BREAST = "outside_breast"
COLUMNS = ("view", "depth", "height", "size", "unit", "contrast")
_BINS = (50, 100)  # of depth 0 to 1 and height -1 to 1
_NARROWEST = 0.03  # standard deviation of the kernel, of depth and half of height
_RING = 0.25  # of a box's sides: how far around it the tissue is that a lesion is compared with


@dataclasses.dataclass(frozen=True)
class RealLesion:
    """One real lesion.

    Attributes:
      depth, height: of its centre, see `breast_frame`.
      size: longest side of its box, in mm, or in the generator's pixels without a spacing.
      contrast: see `contrast`; NaN where there is no tissue around it.
    """

    view: str
    depth: float
    height: float
    size: float
    unit: str
    contrast: float


@dataclasses.dataclass(frozen=True)
class RealLesions:
    """The real lesions of a data set, in the order of their images' names.

    Attributes:
      left_out: how many marks were of no use, by reason.
    """

    lesions: tuple[RealLesion, ...]
    left_out: Mapping[str, int]

    @property
    def unit(self) -> str:
        """Of sizes: mm where any lesion's is known in it."""
        return "mm" if any(lesion.unit == "mm" for lesion in self.lesions) else "px"

    def sizes(self) -> np.ndarray:
        """Float [n], in `unit`; those that are known in it."""
        return np.array([item.size for item in self.lesions if item.unit == self.unit])

    def contrasts(self) -> np.ndarray:
        """Float [n], those that are known."""
        values = np.array([item.contrast for item in self.lesions])
        return values[np.isfinite(values)]

    def counts(self) -> dict[str, int]:
        """How many there are, by view."""
        found = collections.Counter(lesion.view for lesion in self.lesions)
        return {view: found[view] for view in VIEWS}

    def density(self, view: str) -> np.ndarray:
        """Float `_BINS`: how dense lesions are by depth and height; their sum is 1.

        A Gaussian kernel density on a grid, by Scott's rule in each direction. Raises `Rejected`
        where the view is unknown, or too few of the real lesions are in it.
        """
        places = [(item.depth, item.height) for item in self.lesions if item.view == view]
        if view not in VIEWS:
            raise Rejected(Reason.UNKNOWN_VIEW, "where lesions are depends on it")
        if len(places) < LEAST_LESIONS:
            detail = f"{len(places)} in {view}, {LEAST_LESIONS} needed for a density"
            raise Rejected(Reason.TOO_FEW_REAL_LESIONS, detail)
        return smooth_density(np.array(places))

    def digest(self) -> str:
        """Stands for all of them."""
        return digest(*(dataclasses.astuple(lesion) for lesion in self.lesions)).hex()

    def csv(self) -> Iterator[bytes]:
        """A row for each lesion, in parts."""
        return csv_parts(COLUMNS, (dataclasses.asdict(lesion) for lesion in self.lesions))


def smooth_density(places: np.ndarray) -> np.ndarray:
    """The density of places, float [n, 2], (depth, height) of each: `_BINS`, see `density`."""
    spans = ((0.0, 1.0), (-1.0, 1.0))
    inside = np.clip(places, *np.transpose(spans))
    counts, _ = np.histogramdd(inside, bins=_BINS, range=spans)
    scott = len(places) ** (-1 / 6) * places.std(axis=0, ddof=1)
    sigma = [
        max(width, _NARROWEST * (high - low)) * bins / (high - low)
        for width, bins, (low, high) in zip(scott, _BINS, spans, strict=True)
    ]
    smooth = ndimage.gaussian_filter(counts, sigma, mode="reflect")
    return smooth / smooth.sum()


def weights_on(density: np.ndarray, frame: BreastFrame, mask: np.ndarray) -> np.ndarray:
    """Float [h, w]: how likely a lesion's centre is in each pixel of a mask; 0 outside of it.

    A breast's narrow rows hold as much of the density as its wide ones, and a short half of it as
    much as the longer one: each pixel counts by the share of depth and height that it has.
    """
    y, x = (places + 0.5 for places in np.nonzero(mask))
    depth, height = frame.depth_and_height(x, y)
    depth_bins, height_bins = density.shape
    by_depth = np.clip(depth * depth_bins, 0, depth_bins - 1).astype(int)
    by_height = np.clip((height + 1) / 2 * height_bins, 0, height_bins - 1).astype(int)
    weights = np.zeros(mask.shape)
    share = 1 / (frame.reach[y.astype(int)] * frame.half_height(y))
    weights[mask > 0] = density[by_depth, by_height] * share
    return weights


def contrast(grey: np.ndarray, box: Box) -> float:
    """How much brighter a lesion is than what is around it: the mean of the ellipse in its box less
    that of the ring around the box. NaN where the box fills the image.

    Args:
      grey: float [H, W] in [-1, 1]. box: (x0, y0, x1, y1) in pixels.
    """
    x0, y0, x1, y1 = box
    wide, high = (max(2.0, _RING * length) for length in (x1 - x0, y1 - y0))
    top, left = max(0, int(y0 - high)), max(0, int(x0 - wide))
    part = grey[top : int(np.ceil(y1 + high)), left : int(np.ceil(x1 + wide))]
    y, x = np.ogrid[: part.shape[0], : part.shape[1]]
    x, y = x + left + 0.5, y + top + 0.5
    ellipse = ((2 * x - x0 - x1) / (x1 - x0)) ** 2 + ((2 * y - y0 - y1) / (y1 - y0)) ** 2 <= 1
    ring = (x < x0) | (x > x1) | (y < y0) | (y > y1)
    if not ring.any() or not ellipse.any():
        return float("nan")
    return float(part[ellipse].mean() - part[ring].mean())


def with_real_lesions(images: Iterable[Image], task: str, seed: int) -> list[Image]:
    """The images whose malignant lesions of a task's type are looked at: up to `MOST_IMAGES`."""
    wanted = f"malignant_{task}"
    found = [
        image
        for image in images
        if image.use == LESION and any(mark.patch_class == wanted for mark in image.marks)
    ]
    found.sort(key=lambda image: unit_hash(seed, "real lesions", image.sop_uid))
    return found[:MOST_IMAGES]


@dataclasses.dataclass(frozen=True)
class MeasureLesions:
    """Measures the lesions of an image; a function for Beam's workers, JSON to JSON."""

    task: str
    reduction: int
    spacing_mm: float
    allow_synthetic: bool
    admit_special: tuple[str, ...]

    def __call__(self, item: Json) -> Json:
        """`item`: an image. Returns its name, its lesions, and why others were left out."""
        image = image_from(item)
        left_out: list[str] = []
        try:
            lesions = list(self._lesions(image, left_out))
        except Rejected as fault:
            lesions, left_out = [], [fault.reason.value]
        return {
            "name": image.sop_uid,
            "lesions": [dataclasses.asdict(lesion) for lesion in lesions],
            "left_out": left_out,
        }

    def _lesions(self, image: Image, left_out: list[str]) -> Iterator[RealLesion]:
        data = read_file(image)
        mammogram = mammogram_of(image, data, self.allow_synthetic, self.admit_special)
        shown = reading.reduce(mammogram, self.reduction, self.spacing_mm)
        shown = reading.crop(shown, film_bounds(shown.grey).place)
        mask = breast_mask(shown.grey)
        frame, grey = breast_frame(mask), shown.grey[:]
        scale = np.array(mask.shape[::-1]) / grey.shape[::-1]
        rejections: list[Rejection] = []
        for lesion in lesions_inside(image, shown, rejections):
            if lesion.mark.patch_class != f"malignant_{self.task}":
                continue
            x0, y0, x1, y1 = lesion.box
            x, y = np.array([x0 + x1, y0 + y1]) / 2 * scale
            depth, height = (float(v) for v in frame.depth_and_height(x, y))
            if not (0 <= depth <= 1 and -1 <= height <= 1):  # or NaN
                left_out.append(OUTSIDE_BREAST)
                continue
            known = shown.spacing_mm > 0
            size = max(x1 - x0, y1 - y0) * (shown.spacing_mm if known else 1)
            yield RealLesion(
                image.view, depth, height, size, "mm" if known else "px", contrast(grey, lesion.box)
            )
        left_out += [item.reason.value for item in rejections]


def real_lesions_from(results: Sequence[Json]) -> RealLesions:
    """What `MeasureLesions` found in all images."""
    ordered = sorted(results, key=lambda result: result["name"])
    lesions = [RealLesion(**lesion) for result in ordered for lesion in result["lesions"]]
    reasons = collections.Counter(reason for result in ordered for reason in result["left_out"])
    return RealLesions(tuple(lesions), dict(sorted(reasons.items())))
