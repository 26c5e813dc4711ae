"""An image decoded, and the places in it that the generator is shown."""

import dataclasses

import numpy as np

from beam_pipelines import dicom
from beam_pipelines.image_reading import decode, read_file
from beam_pipelines.insertion_setup import Setup
from beam_pipelines.lesion_draws import Request
from beam_pipelines.lesion_places import (
    Place,
    lesion_place,
    patches_of,
    random_places,
    row_places,
)
from beam_pipelines.lesions import lesions_inside
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.sampling import draw_stream
from beam_pipelines.sources import Image, digest
from beam_pipelines.tissue import breast_mask, integral_of, tissue_in
from cgan_tf.config import MALIGNANT_CLASSES


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A decoded image.

    Attributes:
      places: where lesions are wanted. scale: (x, y) pixels that the generator sees for a stored
        pixel.
    """

    image: Image
    stored: dicom.Stored
    places: tuple[Place, ...]
    scale: tuple[float, float]


def prepare(image: Image, setup: Setup, rejections: list[Rejection]) -> tuple[Prepared, Request]:
    """Reads an image and chooses the places; `Rejected` when it is of no use. Marks that are of
    none are added to `rejections`.

    The places depend on the seed and the image alone, the scalars of a place on that place too.
    """
    stored = decode(image, read_file(image), setup.config.allow_synthetic)
    shown = dicom.reduce(stored.mammogram(), setup.reduction, setup.spacing_mm)
    if min(shown.grey.shape) < setup.size:
        raise Rejected(Reason.IMAGE_TOO_SMALL, "{}x{}".format(*shown.grey.shape))
    if setup.removal:
        mask = np.ones((1, 1), np.uint8)  # a lesion is taken away wherever its mark is
        places = _lesions(image, shown, setup, rejections)
    else:
        mask = breast_mask(shown.grey)
        places = _healthy(image, shown.grey.shape, mask, setup)
    request = Request(
        patches_of(shown.grey, places, setup.size),
        np.stack([scalars(setup, image.sop_uid, place.key) for place in places]),
        np.stack([tissue_in(mask, shown.grey.shape, p.left, p.top, setup.size) for p in places]),
        tuple(place.box for place in places),
    )
    return Prepared(image, stored, tuple(places), shown.scale), request


def scalars(setup: Setup, sop_uid: str, place: str) -> np.ndarray:
    """float32 [draws, z_width]: "drawn uniformly from [-1,1]", each draw a stream of its own."""
    config, width = setup.config, setup.card["z_width"]
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
    image: Image, shown: dicom.Mammogram, setup: Setup, rejections: list[Rejection]
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
