"""The lesions of a decoded image: its marks where they lie on it, from boxes, outlines or masks.

A circle stays a circle and a polygon a polygon: a box around a circle has 27% more area.

A mask is a DICOM file or a plain image with one value on the lesion and a lower one elsewhere, as
many pixels as its image. A mask of another size is stretched over the image when both have the same
proportions (a copy at another resolution); with other proportions nobody knows where it lies, and
it is rejected.
"""

import dataclasses
import math
from collections.abc import Iterator

import cv2
import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.base import Box, Image, Mark
from beam_pipelines.sources.plain_images import decode_plain, is_plain
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
    stored = decode_plain(data)[1] if is_plain(data) else reading.read_stored_values(data)
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
    if mark.outline:
        pixels = pixels_inside(mark.outline, box, mammogram.scale, mammogram.origin)
    return Lesion(dataclasses.replace(mark, box=box), pixels)


def pixels_inside(
    outline: tuple[float, ...],
    box: Box,
    scale: tuple[float, float] = (1.0, 1.0),
    origin: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """int32 [N, 2], N > 0: (x, y) of the pixels whose centres are inside an outline.

    Args:
      outline: as in `Mark`. scale: (x, y) pixels of the image per pixel of the outline.
      origin: of the image, as in `Mammogram`.
      box: in pixels of the image, inside it; what the outline has outside is left out. Where no
        centre is inside both, it is the pixel in the middle of the box.
    """
    left, top, right, bottom = (
        round_(edge) for round_, edge in zip((math.floor,) * 2 + (math.ceil,) * 2, box, strict=True)
    )
    x, y = np.meshgrid(
        (np.arange(left, right) + origin[0] + 0.5) / scale[0],
        (np.arange(top, bottom) + origin[1] + 0.5) / scale[1],
    )
    inside = _in_circle(outline, x, y) if len(outline) == 3 else _in_polygon(outline, x, y)
    pixels = cv2.findNonZero(inside.astype(np.uint8))
    if pixels is None:
        middle = (int(box[0] + box[2]) // 2, int(box[1] + box[3]) // 2)
        return np.array([middle], np.int32)
    return pixels.reshape(-1, 2) + np.array([left, top], np.int32)


def _in_circle(outline: tuple[float, ...], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centre_x, centre_y, radius = outline
    return (x - centre_x) ** 2 + (y - centre_y) ** 2 <= radius**2


def _in_polygon(outline: tuple[float, ...], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether a ray from each place crosses the sides an odd number of times."""
    corners = np.reshape(outline, (-1, 2))
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 <= y) != (y1 <= y)
            inside ^= crosses & (x < x0 + (y - y0) * ((x1 - x0) / (y1 - y0)))
    return inside
