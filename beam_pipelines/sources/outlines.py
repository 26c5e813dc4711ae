"""The lesions of a decoded image: its marks where they lie on it, from boxes or from masks.

A mask is a DICOM file with one value on the lesion and a lower one elsewhere, as many pixels as its
image. A mask of another size is stretched over the image when both have the same proportions (a
copy at another resolution); with other proportions nobody knows where it lies, and it is rejected.
"""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.base import Box, Image, Mark
from beam_pipelines.storage import files

# CBIS-DDSM's copies at another resolution keep the proportions to 0.05%; those that are of another
# cut of the film are 0.3% off and more (github.com/fjeg/ddsm_tools, issue 5).
_SAME_PROPORTIONS = 0.001


@dataclasses.dataclass(frozen=True, eq=False)
class LesionMask:
    """The pixels of one lesion.

    Attributes:
      pixels: int32 [N, 2], (x, y) of each, N > 0.
      shape: (H, W) of the mask.
    """

    pixels: np.ndarray
    shape: tuple[int, int]

    def box_on(self, shape: tuple[int, int]) -> Box:
        """The tight box on an image of that shape."""
        height, width = shape[0] / self.shape[0], shape[1] / self.shape[1]
        x, y, columns, rows = cv2.boundingRect(self.pixels)
        return x * width, y * height, (x + columns) * width, (y + rows) * height

    def places_on(self, shape: tuple[int, int]) -> np.ndarray:
        """int32 [N, 2]: where the pixels' centres lie on an image of that shape."""
        if shape == self.shape:
            return self.pixels
        scale = np.array(shape[::-1]) / np.array(self.shape[::-1])
        return ((self.pixels + 0.5) * scale).astype(np.int32)


def fits(mask: tuple[int, int], image: tuple[int, int]) -> bool:
    """Whether a mask of that shape (H, W) can be laid over an image of that shape."""
    if 0 in mask or 0 in image:
        return False
    width = mask[1] * image[0] / mask[0]
    return abs(width - image[1]) <= max(1.0, _SAME_PROPORTIONS * image[1])


def read_mask(path: str, image: tuple[int, int]) -> LesionMask:
    """The mask in a file, for an image of shape (H, W).

    Raises `Rejected` for a file that is damaged, has more than two values or only one, or does
    not fit the image.
    """
    try:
        data = files.read_bytes(path)
    except OSError as error:
        raise Rejected(Reason.UNREADABLE_FILE, error.strerror or str(error)) from error
    stored = reading.read_stored_values(data)
    if not fits(stored.shape, image):
        raise Rejected(Reason.MASK_SIZE_MISMATCH, sizes(stored.shape, image))
    low, high = stored.min(), stored.max()
    if low == high:
        raise Rejected(Reason.EMPTY_MASK)
    inside = stored == high
    if not (inside | (stored == low)).all():
        raise Rejected(Reason.MASK_NOT_BINARY)
    pixels = cv2.findNonZero(inside.astype(np.uint8)).reshape(-1, 2)
    return LesionMask(pixels, (stored.shape[0], stored.shape[1]))


def sizes(mask: tuple[int, ...], image: tuple[int, ...]) -> str:
    """The detail of `mask_size_mismatch`, rows x columns."""
    return f"{mask[0]}x{mask[1]} for {image[0]}x{image[1]}"


@dataclasses.dataclass(frozen=True, eq=False)
class Lesion:
    """A mark with its box in pixels of the decoded image (`grey`, of a film that was cropped too),
    and its pixels there: int32 [N, 2]; None where they are all those of the box."""

    mark: Mark
    pixels: np.ndarray | None

    @property
    def box(self) -> Box:
        """The mark's box, which is inside the image."""
        x0, y0, x1, y1 = self.mark.box
        return x0, y0, x1, y1


def lesions_inside(
    image: Image, mammogram: reading.Mammogram, rejections: list[Rejection]
) -> Iterator[Lesion]:
    """The marks that lie on the image; the others are rejected."""
    for mark in sorted(image.marks, key=lambda mark: mark.mark_id):
        try:
            yield _lesion_inside(mark, mammogram)
        except Rejected as fault:
            rejections.append(Rejection(MARKS, mark.name_on(image), fault.reason, fault.detail))


def _lesion_inside(mark: Mark, mammogram: reading.Mammogram) -> Lesion:
    """A mark with its box clipped, and its pixels, on the reduced image."""
    (height, width), (scale_x, scale_y) = mammogram.grey.shape, mammogram.scale
    left, top = mammogram.origin
    box, pixels = mark.box, None
    if mark.mask:
        stored = mammogram.header.rows, mammogram.header.columns
        mask = read_mask(mark.mask, stored)
        box = mask.box_on(stored)
        places = (mask.places_on(stored) + 0.5) * (scale_x, scale_y)
        pixels = np.clip(places.astype(np.int32) - (left, top), 0, (width - 1, height - 1))
    x0, y0, x1, y1 = box
    box = (
        min(max(x0 * scale_x - left, 0.0), width),
        min(max(y0 * scale_y - top, 0.0), height),
        min(max(x1 * scale_x - left, 0.0), width),
        min(max(y1 * scale_y - top, 0.0), height),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Rejected(Reason.BOX_OUTSIDE_IMAGE)
    return Lesion(dataclasses.replace(mark, box=box), pixels)
