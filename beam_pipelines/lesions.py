"""The lesions of a decoded image: its marks where they lie on it, from boxes or from masks."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from beam_pipelines import dicom
from beam_pipelines.lesion_masks import read_mask
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources import Image, Mark


@dataclasses.dataclass(frozen=True, eq=False)
class Lesion:
    """A mark with its box in pixels of the decoded image, and its pixels there: int32 [N, 2]; None
    where they are all those of the box."""

    mark: Mark
    pixels: np.ndarray | None


def lesions_inside(
    image: Image, mammogram: dicom.Mammogram, rejections: list[Rejection]
) -> Iterator[Lesion]:
    """The marks that lie on the image; the others are rejected."""
    for mark in sorted(image.marks, key=lambda mark: mark.mark_id):
        try:
            yield _lesion_inside(mark, mammogram)
        except Rejected as fault:
            rejections.append(Rejection(MARKS, mark.name_on(image), fault.reason, fault.detail))


def _lesion_inside(mark: Mark, mammogram: dicom.Mammogram) -> Lesion:
    """A mark with its box clipped, and its pixels, on the reduced image."""
    (height, width), (scale_x, scale_y) = mammogram.grey.shape, mammogram.scale
    box, pixels = mark.box, None
    if mark.mask:
        stored = mammogram.header.rows, mammogram.header.columns
        mask = read_mask(mark.mask, stored)
        box = mask.box_on(stored)
        places = (mask.places_on(stored) + 0.5) * (scale_x, scale_y)
        pixels = np.minimum(places.astype(np.int32), (width - 1, height - 1))
    x0, y0, x1, y1 = box
    box = (
        min(max(x0 * scale_x, 0.0), width),
        min(max(y0 * scale_y, 0.0), height),
        min(max(x1 * scale_x, 0.0), width),
        min(max(y1 * scale_y, 0.0), height),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        raise Rejected(Reason.BOX_OUTSIDE_IMAGE)
    return Lesion(dataclasses.replace(mark, box=box), pixels)
