"""Where in an image lesions go: a decoded image, and the patches of it that the generator sees.

The paper takes "a random location ... that contains at least 90% breast tissue", and for its
Figure 3 "five 256x256px patches in a row". A lesion that is to be removed lies in the middle of its
patch.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.insertion.generator import Request, Setup
from beam_pipelines.patches.breast_mask import MLO, breast_mask, film_bounds, pectoral_mask
from beam_pipelines.patches.cutting import decode, read_file
from beam_pipelines.patches.windows import (
    Integral,
    draw_stream,
    integral_of,
    tissue_in,
    valid_windows,
)
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.base import Box, Image, Mark
from beam_pipelines.sources.outlines import lesions_inside
from cgan_tf.data.keyed import digest
from cgan_tf.labels import MALIGNANT_CLASSES


@dataclasses.dataclass(frozen=True)
class Place:
    """One patch.

    Attributes:
      key: names the place in its image. left, top: of the patch.
      mark: the lesion to be removed. box: of it, in pixels of the patch.
    """

    key: str
    left: int
    top: int
    mark: Mark | None = None
    box: Box | None = None

    def moved(self, x: int, y: int) -> "Place":
        """The same patch of an image with so many columns and rows more before it."""
        return dataclasses.replace(self, left=self.left + x, top=self.top + y)


def random_places(
    generator: np.random.Generator, integral: Integral, side: int, min_tissue: float, count: int
) -> list[Place]:
    """Up to `count` patches with enough tissue, none overlapping: each uniform among the rest."""
    valid = valid_windows(integral, side, min_tissue)
    places: list[Place] = []
    while len(places) < count and valid.any():
        left, top = _uniform(generator, valid)
        places.append(Place(str(len(places)), left, top))
        valid[max(0, top - side + 1) : top + side, max(0, left - side + 1) : left + side] = False
    return places


def row_places(
    generator: np.random.Generator, integral: Integral, side: int, min_tissue: float, count: int
) -> list[Place]:
    """`count` patches side by side, each with enough tissue; none where no row has it."""
    valid = valid_windows(integral, side, min_tissue)
    width = valid.shape[1] - (count - 1) * side
    if width < 1:
        return []
    rows = np.logical_and.reduce([valid[:, n * side : n * side + width] for n in range(count)])
    if not rows.any():
        return []
    left, top = _uniform(generator, rows)
    return [Place(str(n), left + n * side, top) for n in range(count)]


def lesion_place(mark: Mark, shape: tuple[int, int], side: int) -> Place:
    """The patch around a mark (in pixels of an image of `shape`), moved inside the image."""
    x0, y0, x1, y1 = mark.box
    left = min(max(round((x0 + x1 - side) / 2), 0), shape[1] - side)
    top = min(max(round((y0 + y1 - side) / 2), 0), shape[0] - side)
    return Place(mark.mark_id, left, top, mark, (x0 - left, y0 - top, x1 - left, y1 - top))


def patches_of(grey: np.ndarray | GreyLevels, places: Sequence[Place], side: int) -> np.ndarray:
    """float32 [n, side, side]: what the generator is shown."""
    windows = [grey[p.top : p.top + side, p.left : p.left + side] for p in places]
    return np.stack(windows).astype(np.float32)


def _uniform(generator: np.random.Generator, valid: np.ndarray) -> tuple[int, int]:
    """(x, y) of a true element, each as likely; without a list of all of them."""
    in_rows = np.count_nonzero(valid, axis=1).cumsum()
    number = int(generator.random() * in_rows[-1])
    row = int(np.searchsorted(in_rows, number, side="right"))
    before = int(in_rows[row - 1]) if row else 0
    return int(np.flatnonzero(valid[row])[number - before]), row


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A decoded image.

    Attributes:
      places: where lesions are wanted, in pixels of the whole image as the generator sees it.
      scale: (x, y) pixels that the generator sees for a stored pixel.
    """

    image: Image
    stored: reading.Stored
    places: tuple[Place, ...]
    scale: tuple[float, float]


def prepare(image: Image, setup: Setup, rejections: list[Rejection]) -> tuple[Prepared, Request]:
    """Reads an image and chooses the places; `Rejected` when it is of no use. Marks that are of
    none are added to `rejections`.

    The places depend on the seed and the image alone, the scalars of a place on that place too.
    """
    config = setup.config
    stored = decode(image, read_file(image), config.allow_synthetic, config.admit_special)
    shown = reading.reduce(stored.mammogram(), setup.reduction, setup.spacing_mm)
    shown = reading.crop(shown, film_bounds(shown.grey).place)
    if min(shown.grey.shape) < setup.size:
        raise Rejected(Reason.IMAGE_TOO_SMALL, "{}x{}".format(*shown.grey.shape))
    if setup.removal:
        mask = np.ones((1, 1), np.uint8)  # a lesion is taken away wherever its mark is
        places = _lesions(image, shown, setup, rejections)
    else:
        mask = breast_mask(shown.grey)
        if setup.config.exclude_pectoral and image.view == MLO:
            mask -= pectoral_mask(shown.grey, mask)
        places = _healthy(image, shown.grey.shape, mask, setup)
    request = Request(
        patches_of(shown.grey, places, setup.size),
        np.stack([scalars(setup, image.sop_uid, place.key) for place in places]),
        np.stack([tissue_in(mask, shown.grey.shape, p.left, p.top, setup.size) for p in places]),
        tuple(place.box for place in places),
    )
    places = [place.moved(*shown.origin) for place in places]
    return Prepared(image, stored, tuple(places), shown.scale), request


def scalars(setup: Setup, sop_uid: str, place: str) -> np.ndarray:
    """float32 [draws, z_width]: "drawn uniformly from [-1,1]", each draw a stream of its own."""
    config, width = setup.config, setup.card.z_width
    streams = [
        draw_stream(digest(config.seed, "insertion scalars", setup.task, sop_uid, place, draw))
        for draw in range(config.draws)
    ]
    return np.stack([2 * stream.random(width) - 1 for stream in streams]).astype(np.float32)


def _healthy(image: Image, shape: tuple[int, int], mask: np.ndarray, setup: Setup) -> list[Place]:
    config = setup.config
    stream = draw_stream(digest(config.seed, "insertion places", image.sop_uid))
    integral = integral_of(mask, shape)
    choose = row_places if config.places == "row" else random_places
    places = choose(stream, integral, setup.size, config.min_tissue, config.lesions_per_image)
    if not places:
        row = f"row of {config.lesions_per_image}, " if config.places == "row" else ""
        raise Rejected(Reason.NO_VALID_WINDOW, f"{row}{setup.size} px")
    return places


def _lesions(
    image: Image, shown: reading.Mammogram, setup: Setup, rejections: list[Rejection]
) -> list[Place]:
    """A place for each malignant mark that fits into what the generator can change."""
    places = []
    for mark in (lesion.mark for lesion in lesions_inside(image, shown, rejections)):
        if mark.patch_class not in MALIGNANT_CLASSES:
            continue
        x0, y0, x1, y1 = mark.box
        if max(x1 - x0, y1 - y0) > setup.size - 2 * setup.border:
            detail = f"{x1 - x0:.0f}x{y1 - y0:.0f} px of {setup.size}"
            name = mark.name_on(image)
            rejections.append(Rejection(MARKS, name, Reason.LESION_TOO_LARGE, detail))
        else:
            places.append(lesion_place(mark, shown.grey.shape, setup.size))
    if not places:
        raise Rejected(Reason.NO_USABLE_MARK)
    return places
