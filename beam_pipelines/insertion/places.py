"""Where in an image lesions go: a decoded image, and the patches of it that the generator sees.

The paper takes "a random location ... that contains at least 90% breast tissue", and for its
Figure 3 "five 256x256px patches in a row". A lesion that is to be removed lies in the middle of its
patch. Other places are those of `targets`.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.insertion.breast_frame import breast_frame
from beam_pipelines.insertion.draws import Limits, Request, Wanted
from beam_pipelines.insertion.generator import LIKE_REAL, ROW, Setup
from beam_pipelines.insertion.real_lesions import weights_on
from beam_pipelines.insertion.targets import (
    ListedPlace,
    Point,
    Region,
    Target,
    listed_pairs,
    needs_nipple,
    paired_targets,
    random_targets,
)
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
from beam_pipelines.sources.base import Box, Image, Mark, reject_image
from beam_pipelines.sources.outlines import lesions_inside
from cgan_tf.data.keyed import digest
from cgan_tf.labels import MALIGNANT_CLASSES


@dataclasses.dataclass(frozen=True)
class Place:
    """One patch.

    Attributes:
      key: names the place in its image. left, top: of the patch.
      mark: the lesion to be removed. box: of it, in pixels of the patch.
      point: (x, y) in pixels of the patch that a lesion must cover, or None.
    """

    key: str
    left: int
    top: int
    mark: Mark | None = None
    box: Box | None = None
    point: Point | None = None

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


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """An image as the generator sees it.

    Attributes:
      breast: uint8 [h, w], its mask. mask: what of it may hold a lesion. Both are all ones, 1x1,
        where a lesion is removed.
    """

    image: Image
    stored: reading.Stored
    shown: reading.Mammogram
    breast: np.ndarray
    mask: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image as the generator sees it."""
        height, width = self.shown.grey.shape
        return height, width

    def in_shown(self, listed: ListedPlace) -> Point:
        """A listed place in pixels of the image as the generator sees it."""
        (scale_x, scale_y), (left, top) = self.shown.scale, self.shown.origin
        return listed.x * scale_x - left, listed.y * scale_y - top


def see(image: Image, setup: Setup) -> Seen:
    """Reads an image; `Rejected` when it is of no use."""
    config = setup.config
    stored = decode(image, read_file(image), config.allow_synthetic, config.admit_special)
    shown = reading.reduce(stored.mammogram(), setup.reduction, setup.spacing_mm)
    shown = reading.crop(shown, film_bounds(shown.grey).place)
    if min(shown.grey.shape) < setup.size:
        raise Rejected(Reason.IMAGE_TOO_SMALL, "{}x{}".format(*shown.grey.shape))
    if setup.removal:  # a lesion is taken away wherever its mark is
        return Seen(image, stored, shown, *2 * [np.ones((1, 1), np.uint8)])
    breast = mask = breast_mask(shown.grey)
    if config.exclude_pectoral and image.view == MLO:
        mask = breast - pectoral_mask(shown.grey, breast)
    return Seen(image, stored, shown, breast, mask)


def prepare(
    image: Image,
    setup: Setup,
    rejections: list[Rejection],
    listed: Sequence[ListedPlace] = (),
) -> tuple[Prepared, Request]:
    """Reads an image and chooses the places; `Rejected` when it is of no use. Marks that are of
    none are added to `rejections`.

    The places depend on the seed and the image alone, the scalars of a place on that place too.

    Args:
      listed: the places of a file, where it names them.
    """
    seen = see(image, setup)
    if setup.removal:
        places = _lesions(image, seen.shown, setup, rejections)
    else:
        places = _healthy(seen, setup, listed)
    return _prepared(seen, places), request_of([(seen, places)], setup, image.sop_uid)


def prepare_both(
    images: tuple[Image, Image],
    setup: Setup,
    rejections: list[Rejection],
    listed: tuple[Sequence[ListedPlace], Sequence[ListedPlace]] = ((), ()),
) -> tuple[tuple[Prepared, Prepared], Request]:
    """The same for both views of a breast, each lesion on both of them.

    Where one view is of no use, or its nipple or its spacing is unknown, its rejection is added to
    `rejections`, and the other's is raised.
    """
    breast = f"{images[0].study_uid}/{images[0].laterality}"
    stream = draw_stream(digest(setup.config.seed, "insertion places of a breast", breast))
    views = []
    for image, own in zip(images, listed, strict=True):
        try:
            seen = see(image, setup)
            rows = [(place.lesion, seen.in_shown(place)) for place in own]
            region = region_of(seen, setup)
            if not setup.listed or needs_nipple(listed):
                _check_nipple(region)
        except Rejected as fault:
            rejections += reject_image(image, fault.reason, fault.detail)
            raise Rejected(Reason.NO_OTHER_VIEW, fault.reason.value) from fault
        views.append((seen, region, rows))
    (first, region, rows), (second, other_region, other_rows) = views
    regions = region, other_region
    if setup.listed:
        pairs = listed_pairs(stream, regions, rows, other_rows)
    else:
        pairs = paired_targets(stream, regions, setup.config.lesions_per_image)
    if not pairs:
        raise Rejected(Reason.NO_VALID_WINDOW, f"{setup.size} px on both views")
    placed = [
        (seen, _places_at(targets))
        for seen, targets in zip((first, second), zip(*pairs, strict=True), strict=True)
    ]
    request = request_of(placed, setup, breast)
    return (_prepared(*placed[0]), _prepared(*placed[1])), request


def _check_nipple(region: Region) -> None:
    if not region.spacing_mm:
        raise Rejected(Reason.UNKNOWN_SPACING, "distances from the nipple need it")
    if not region.frame.tip:
        raise Rejected(Reason.UNKNOWN_NIPPLE, "the outline of the breast has no tip in the image")


def _prepared(seen: Seen, places: Sequence[Place]) -> Prepared:
    moved = (place.moved(*seen.shown.origin) for place in places)
    return Prepared(seen.image, seen.stored, tuple(moved), seen.shown.scale)


def request_of(views: Sequence[tuple[Seen, list[Place]]], setup: Setup, name: str) -> Request:
    """What the generator is asked for an image, or for both views of a breast.

    Args:
      views: each image and its places. name: of the image or the breast, for its streams.
    """
    every = [(seen, place) for seen, places in views for place in places]
    return Request(
        np.concatenate([patches_of(seen.shown.grey, own, setup.size) for seen, own in views]),
        np.stack([scalars(setup, name, place.key) for _, place in every]),
        np.stack([tissue_in(s.mask, s.shape, p.left, p.top, setup.size) for s, p in every]),
        tuple(place.box for _, place in every),
        tuple(wanted_at(place, seen, setup, name) for seen, place in every),
        tuple(int(place.key) for _, place in every) if len(views) > 1 else (),
    )


def wanted_at(place: Place, seen: Seen, setup: Setup, name: str) -> Wanted:
    """What the lesion of a place has to be; sizes and contrasts are drawn for it.

    `Rejected` where sizes of real lesions are known in mm and the image has no spacing.
    """
    spacing = seen.shown.spacing_mm
    size = contrast = None
    if setup.real and setup.size_quantiles:
        if setup.real.unit == "mm" and not spacing:
            raise Rejected(Reason.UNKNOWN_SPACING, "real lesions' sizes are known in mm")
        pixel = spacing if setup.real.unit == "mm" else 1.0
        size = _limits("size", setup.real.sizes() / pixel, setup.size_quantiles, setup, name, place)
    if setup.real and setup.contrast_quantiles:
        values = setup.real.contrasts()
        contrast = _limits("contrast", values, setup.contrast_quantiles, setup, name, place)
    return Wanted(place.point, size, contrast, spacing or 1.0)


def _limits(
    what: str,
    values: np.ndarray,
    quantiles: tuple[float, float],
    setup: Setup,
    name: str,
    place: Place,
) -> Limits:
    """The quantiles of real lesions, and a random one between them as the target."""
    low, high = quantiles
    key = digest(setup.config.seed, f"insertion {what}", name, place.key)
    target = low + (high - low) * draw_stream(key).random()
    first, wanted, last = np.quantile(values, [low, target, high])
    spread = float(np.subtract(*np.quantile(values, [0.75, 0.25])))
    return Limits(float(first), float(last), float(wanted), max(spread, 1e-6))


def scalars(setup: Setup, sop_uid: str, place: str) -> np.ndarray:
    """float32 [draws, z_width]: "drawn uniformly from [-1,1]", each draw a stream of its own."""
    config, width = setup.config, setup.card.z_width
    streams = [
        draw_stream(digest(config.seed, "insertion scalars", setup.task, sop_uid, place, draw))
        for draw in range(config.draws)
    ]
    return np.stack([2 * stream.random(width) - 1 for stream in streams]).astype(np.float32)


def _healthy(seen: Seen, setup: Setup, listed: Sequence[ListedPlace]) -> list[Place]:
    config = setup.config
    stream = draw_stream(digest(config.seed, "insertion places", seen.image.sop_uid))
    if setup.listed or config.places == LIKE_REAL:
        region = region_of(seen, setup)
        if setup.listed:
            found = [region.target_at(seen.in_shown(place)) for place in listed]
            places = _places_at([target for target in found if target])
        else:
            places = _places_at(random_targets(stream, region, config.lesions_per_image))
    else:
        integral = integral_of(seen.mask, seen.shape)
        choose = row_places if config.places == ROW else random_places
        places = choose(stream, integral, setup.size, config.min_tissue, config.lesions_per_image)
    if not places:
        row = f"row of {config.lesions_per_image}, " if config.places == ROW else ""
        raise Rejected(Reason.NO_VALID_WINDOW, f"{row}{setup.size} px")
    return places


def region_of(seen: Seen, setup: Setup) -> Region:
    """Where lesions may be: as dense as real ones with --places=like_real, else anywhere."""
    frame = breast_frame(seen.breast)
    if setup.config.places == LIKE_REAL:
        assert setup.real is not None
        weights = weights_on(setup.real.density(seen.image.view), frame, seen.mask)
    else:
        weights = seen.mask.astype(float)
    integral = integral_of(seen.mask, seen.shape)
    spacing = seen.shown.spacing_mm
    return Region(weights, integral, frame, setup.size, setup.config.min_tissue, spacing)


def _places_at(targets: Sequence[Target]) -> list[Place]:
    return [
        Place(str(number), target.left, target.top, point=target.point)
        for number, target in enumerate(targets)
    ]


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
