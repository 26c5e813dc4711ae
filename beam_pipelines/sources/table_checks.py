"""What some of a table's pixels tell: the bits in use, and whether marks lie on lesions."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import binomtest

from beam_pipelines.dicom import reading
from beam_pipelines.rejections import Rejected
from beam_pipelines.sources.base import Box, Image, Mark
from beam_pipelines.sources.outlines import pixels_inside
from beam_pipelines.sources.plain_images import decode_plain, is_plain, plain_mammogram
from beam_pipelines.storage import files

FILES_TRIED, IMAGES_TRIED = 16, 40
_DEPTHS = (10, 12, 14, 16)
_FEWEST_MARKS = 8  # from which a share says something
_CHANCE = 0.05


def spread(items: Sequence[str], count: int) -> list[str]:
    """`count` of the items, evenly spread; all of them where there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]


def bits_found(paths: Iterable[str]) -> int:
    """The bits that hold the values of plain files with 16 bits a pixel; 0 without such files."""
    largest = 0
    for path in paths:
        try:
            data = files.read_bytes(path)
            if not is_plain(data):
                continue
            header, values = decode_plain(data)
        except (OSError, Rejected):  # told where the file's image is read
            continue
        if header.bytes == 2 and header.bits == 16 and not header.scaled:
            largest = max(largest, int(values.max()))
    return next(bits for bits in _DEPTHS if not largest >> bits) if largest else 0


@dataclasses.dataclass(frozen=True)
class Brightness:
    """How many marks were compared with what surrounds them.

    Attributes:
      dim: no brighter than that. mirrored_dim: the same with y counted from the other end.
      only_dim, only_mirrored_dim: those that are dim in one of the two ways alone.
    """

    marks: int
    dim: int
    mirrored_dim: int
    only_dim: int
    only_mirrored_dim: int

    def warning(self) -> str:
        """A line where most of the marks are dim, or the other end suits them better; else nothing.

        Most marks that are mirrored lie in the breast again, which is brighter than its rim: of
        real films a third is dim then.
        """
        differ = self.only_dim + self.only_mirrored_dim
        other_end = differ > 0 and (
            binomtest(self.only_dim, differ, alternative="greater").pvalue < _CHANCE
        )
        if self.marks < _FEWEST_MARKS or not (2 * self.dim > self.marks or other_end):
            return ""
        return (
            f"{self.dim} of {self.marks} marks tried are no brighter than what surrounds them, "
            f"with y from the other end {self.mirrored_dim} of {self.marks}: look at the contact "
            "sheets, and at y_from in the mapping"
        )


def brightness_of(images: Iterable[Image]) -> Brightness:
    """Compares the marks of images, as far as these can be read."""
    found: list[tuple[bool, bool]] = []
    for image in images:
        try:
            grey = _grey_of(image)
        except (OSError, Rejected):
            continue
        for mark in image.marks:
            if mark.box:
                found.append((_is_dim(grey, mark), _is_dim(grey[::-1], mark)))
    return Brightness(
        marks=len(found),
        dim=sum(dim for dim, _ in found),
        mirrored_dim=sum(mirrored for _, mirrored in found),
        only_dim=sum(dim and not mirrored for dim, mirrored in found),
        only_mirrored_dim=sum(mirrored and not dim for dim, mirrored in found),
    )


def _grey_of(image: Image) -> np.ndarray:
    data = files.read_bytes(image.path)
    if image.facts.plain:
        return plain_mammogram(data, image.facts).grey[:]
    return reading.read_mammogram(data, image.strict, allow_synthetic=True).grey[:]


def _is_dim(grey: np.ndarray, mark: Mark) -> bool:
    """Whether the median of a mark is no brighter than that of the ring around its box."""
    height, width = grey.shape
    x0, y0, x1, y1 = mark.box
    box: Box = (min(x0, width), min(y0, height), min(x1, width), min(y1, height))
    corners = (box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3])
    pixels = pixels_inside(mark.outline or corners, box)
    reach_x, reach_y = (x1 - x0) / 2, (y1 - y0) / 2
    rows = slice(max(0, int(y0 - reach_y)), int(y1 + reach_y) + 1)
    columns = slice(max(0, int(x0 - reach_x)), int(x1 + reach_x) + 1)
    around = np.ones(grey.shape, bool)
    around[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = False
    ring = grey[rows, columns][around[rows, columns]]
    if not ring.size:
        return False
    return bool(np.median(grey[pixels[:, 1], pixels[:, 0]]) <= np.median(ring))
