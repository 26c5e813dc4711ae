"""From the generator's lesion channel to the lesion that is kept (paper, "Synthetic dataset").

1 threshold 0.1 (removal: below -0.1), 2 largest connected object, 3 discard if under 10% of the
patch area, 4 expand by 5 px, 5 smooth with a 10 px Gaussian, 6 multiply, 7 add. Left open there
and decided here: 8-connectivity, a disk of radius 5, a Gaussian with sigma 10 on the mask with
zeros outside the patch, the area measured before the expansion. A cluster of calcifications is many
objects, so step 2 may also keep all that are near one another, or all in the annotated box.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from cgan_tf.config import InsertionConfig, LesionsConfig, SynthesisConfig
from cgan_tf.labels import PAPER_SIZE, scaled_length
from cgan_tf.runs.errors import UserError

LARGEST, NEAR, IN_BOX = "largest", "near", "in_box"  # which objects are kept
EMPTY = "empty"
TOO_SMALL, TOO_LARGE = "too_small", "too_large"


@dataclasses.dataclass(frozen=True, eq=False)
class Lesion:
    """What post-processing made of one lesion channel.

    Attributes:
      area_px: pixels of the objects that are kept, before the expansion.
      rejected: empty, or the reason: `EMPTY` (nothing beyond the threshold), `TOO_SMALL` or
        `TOO_LARGE`.
      mask: float32 [size, size] in [0, 1]. lesion: float32 [size, size], mask times channel.
      box: (x0, y0, x1, y1) of the expanded objects, x1 and y1 exclusive.
      objects: bool [size, size], the expanded objects; the mask is smoother and reaches further.
    """

    area_px: int
    rejected: str
    mask: np.ndarray | None = None
    lesion: np.ndarray | None = None
    box: tuple[int, int, int, int] | None = None
    objects: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Extraction:
    """The settings of post-processing.

    Attributes:
      removal: whether lesions are dark in the channel. threshold: of their grey levels.
      min_area_fraction, max_area_fraction: of a patch, for the objects that are kept.
      dilation_px, sigma_px: of the expansion and of the Gaussian, in pixels of the patch.
      objects: `LARGEST`, `NEAR` or `IN_BOX`. near_px: see `nearest_objects`.
    """

    removal: bool
    threshold: float
    min_area_fraction: float
    dilation_px: int
    sigma_px: float
    objects: str = LARGEST
    near_px: int = 0
    max_area_fraction: float = 1.0

    def misfit(self, area_px: int, patch_px: int) -> str:
        """Why objects of this area are rejected, or nothing."""
        if area_px == 0:
            return EMPTY
        if area_px < self.min_area_fraction * patch_px:
            return TOO_SMALL
        return TOO_LARGE if area_px > self.max_area_fraction * patch_px else ""


def extraction_of(
    config: LesionsConfig,
    size: int,
    *,
    removal: bool,
    min_area_fraction: float,
    max_area_fraction: float = 1.0,
) -> Extraction:
    """What the flags give for patches of `size` pixels a side.

    Raises `UserError` for --objects=in_box where a lesion is added: it has no annotated box.
    """
    if config.objects == IN_BOX and not removal:
        raise UserError("--objects=in_box: is for removal; a lesion that is added has no box yet")
    return Extraction(
        removal=removal,
        threshold=config.threshold,
        min_area_fraction=min_area_fraction,
        dilation_px=scaled_length(config.dilation, size),
        sigma_px=config.smoothing * size / PAPER_SIZE,
        objects=config.objects,
        near_px=scaled_length(config.near, size),
        max_area_fraction=max_area_fraction,
    )


def limited_extraction(
    config: SynthesisConfig | InsertionConfig, size: int, *, removal: bool
) -> Extraction:
    """`extraction_of` with the limits of the area that the flags ask for."""
    return extraction_of(
        config,
        size,
        removal=removal,
        min_area_fraction=config.min_area_fraction,
        max_area_fraction=config.max_area_fraction,
    )


def extract_lesion(channel: np.ndarray, how: Extraction, box: Sequence[float] = ()) -> Lesion:
    """The paper's steps 1 to 6 on one lesion channel, float32 [size, size] in [-1, 1].

    Args:
      box: the annotated one of a lesion to be removed, (x0, y0, x1, y1) in pixels of the patch.
    """
    binary = darkened(channel, how.threshold) if how.removal else channel > how.threshold
    kept, area = chosen_objects(binary, how, box)
    if reason := how.misfit(area, channel.size):
        return Lesion(area, reason)
    expanded = expand(kept, how.dilation_px)
    mask = smooth(expanded, how.sigma_px)
    lesion = mask * channel.astype(np.float32)
    return Lesion(area, "", mask, lesion, box_around(expanded), expanded)


def darkened(channel: np.ndarray, threshold: float) -> np.ndarray:
    """Where removal darkens by more than the threshold: "a < -0.1", bool [size, size]."""
    return channel < -threshold


def box_around(binary: np.ndarray) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) of the true pixels of bool [h, w], x1 and y1 exclusive; there is one."""
    rows, columns = np.flatnonzero(binary.any(axis=1)), np.flatnonzero(binary.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def chosen_objects(
    binary: np.ndarray, how: Extraction, box: Sequence[float] = ()
) -> tuple[np.ndarray, int]:
    """The objects of bool [h, w] that --objects keeps, and their area in pixels."""
    if how.objects == IN_BOX:
        return objects_in_box(binary, box)
    if how.objects == NEAR:
        return nearest_objects(binary, how.near_px)
    return largest_object(binary)


def objects_in_box(binary: np.ndarray, box: Sequence[float]) -> tuple[np.ndarray, int]:
    """What of bool [h, h] lies in the pixels that a box touches, and its area; () holds nothing."""
    kept = binary & box_pixels(box, len(binary))
    return kept, int(kept.sum())


def box_pixels(box: Sequence[float], size: int) -> np.ndarray:
    """The pixels of a patch that a box (x0, y0, x1, y1) touches, bool [size, size]."""
    inside = np.zeros((size, size), bool)
    if len(box):
        x0, y0 = (max(0, int(np.floor(edge))) for edge in box[:2])
        x1, y1 = (int(np.ceil(edge)) for edge in box[2:])
        inside[y0:y1, x0:x1] = True
    return inside


def nearest_objects(binary: np.ndarray, near_px: int) -> tuple[np.ndarray, int]:
    """The largest group of objects of bool [h, w], and its area in pixels.

    Objects belong together when an expansion by `near_px` makes one of them. Of several groups
    that are equally large, the first in reading order.
    """
    _, labels = cv2.connectedComponents(
        expand(binary, near_px).astype(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    labels[~binary] = 0
    return _largest_label(labels)


def largest_object(binary: np.ndarray) -> tuple[np.ndarray, int]:
    """The largest 8-connected object of bool [h, w], as such, and its area in pixels.

    Of several that are equally large, the first in reading order.
    """
    _, labels = cv2.connectedComponents(binary.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    return _largest_label(labels)


def _largest_label(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Where int [h, w] has its most frequent label but 0, bool [h, w], and how often."""
    areas = np.bincount(labels.ravel())  # OpenCV's own statistics take four times as long
    areas[0] = 0  # the background
    area = int(areas.max())
    if not area:
        return np.zeros_like(labels, bool), 0
    equals = np.flatnonzero(areas == area)
    if len(equals) == 1:
        return labels == equals[0], area
    first = np.argmax((areas == area)[labels])
    return labels == labels.ravel()[first], area


def expand(binary: np.ndarray, radius_px: int) -> np.ndarray:
    """Dilation of bool [h, w] with a disk: every pixel at most `radius_px` from the object."""
    reach = np.arange(-radius_px, radius_px + 1)
    disk = (reach[:, None] ** 2 + reach[None, :] ** 2 <= radius_px**2).astype(np.uint8)
    return cv2.dilate(binary.astype(np.uint8), disk).astype(bool)


def smooth(binary: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian filter of bool [h, w], cut at 4 sigma, zeros outside: float32 in [0, 1]."""
    reach = int(4 * sigma_px + 0.5)
    if reach == 0:  # less than a pixel
        return binary.astype(np.float32)
    distance = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (distance / sigma_px) ** 2)
    kernel /= kernel.sum()
    filtered = cv2.sepFilter2D(
        binary.astype(np.float32), cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_CONSTANT
    )
    return filtered.clip(0.0, 1.0, out=filtered)
