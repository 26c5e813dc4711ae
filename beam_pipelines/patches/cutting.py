"""Cuts all patches of one image: reads, decodes, masks and cuts it, without Beam."""

import dataclasses
import os
import time
from collections.abc import Collection, Sequence

import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.patches.breast_mask import MLO, breast_mask, film_bounds, pectoral_mask
from beam_pipelines.patches.plan import Draw
from beam_pipelines.patches.windows import (
    Augmentation,
    Integral,
    box_in_patch,
    cut_patch,
    draw_augmentation,
    draw_stream,
    integral_of,
    lesion_window,
    tissue_fraction,
    tissue_window,
)
from beam_pipelines.rejections import Reason, Rejected, Rejection
from beam_pipelines.sources.base import HEADER_FACTS, LESION, Image, reject_image
from beam_pipelines.sources.outlines import Lesion, lesions_inside
from beam_pipelines.sources.plain_images import plain_mammogram
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.records import PatchRecord
from cgan_tf.labels import LESION_CLASSES, scaled_length
from cgan_tf.runs.errors import UserError


def read_file(image: Image) -> bytes:
    """The file; `Rejected` when it cannot be read.

    Raises `UserError` when it is no longer there: the run would give other patches than a run that
    finds it. It can be resumed when the file is back.
    """
    try:
        return files.read_bytes(image.path)
    except OSError as error:
        if not files.is_remote(image.path) and not os.path.lexists(image.path):
            raise UserError(f"{image.path}: was in the index and is gone") from error
        raise Rejected(Reason.UNREADABLE_FILE, error.strerror or str(error)) from error


def decode(
    image: Image, data: bytes, allow_synthetic: bool, admitted: Collection[str]
) -> reading.Stored:
    """The image of its DICOM file; `Rejected` for whatever is wrong with it, or with the index."""
    if image.facts.plain:
        raise Rejected(Reason.NOT_DICOM)
    stored = reading.read_stored(data, image.strict, allow_synthetic, admitted)
    header = stored.header
    if image.strict and (header.laterality, header.view) != (image.laterality, image.view):
        raise Rejected(Reason.SIDE_CAR_DISAGREES, f"{header.laterality} {header.view}")
    return stored


def mammogram_of(
    image: Image, data: bytes, allow_synthetic: bool, admitted: Collection[str]
) -> reading.Mammogram:
    """The image of its file in grey levels, with what the data set adds. Raises as `decode`."""
    if image.facts.plain:
        return plain_mammogram(data, image.facts, image.laterality, image.view)
    mammogram = decode(image, data, allow_synthetic, admitted).mammogram()
    facts, header = image.facts, mammogram.header
    known = {name: getattr(header, name) or getattr(facts, name) for name in HEADER_FACTS}
    return dataclasses.replace(
        mammogram,
        spacing_mm=mammogram.spacing_mm or facts.spacing_mm,
        header=dataclasses.replace(header, **known),
    )


def reject_whole(
    image: Image, fault: Rejected, rejections: list[Rejection]
) -> tuple[Rejection, ...]:
    """`rejections` of some of an image's marks, with those of the image and its other marks."""
    known = {item.name for item in rejections}
    whole = reject_image(image, fault.reason, fault.detail)
    return (*rejections, *(item for item in whole if item.name not in known))


_ATTEMPTS = 32  # windows tried for a lesion patch when --min_tissue_lesion asks for tissue
_FAR_FROM_LESIONS = "far from every lesion of the image"


@dataclasses.dataclass(frozen=True)
class Cut:
    """One patch: the draw it answers and its record."""

    draw: Draw
    record: PatchRecord


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
      cuts: in the order of the draws; a draw that found no window is left out.
      rejections: of the image, or of some of its marks.
      decode_seconds: from bytes to grey levels; 0 when that failed.
    """

    cuts: tuple[Cut, ...]
    rejections: tuple[Rejection, ...] = ()
    decode_seconds: float = dataclasses.field(default=0.0, compare=False)


@dataclasses.dataclass(frozen=True, eq=False)
class _Prepared:
    """A decoded image, its padding left out, with its breast mask and its lesions.

    Attributes:
      integral: of the breast. normals: of where normal patches may be.
    """

    image: Image
    mammogram: reading.Mammogram
    integral: Integral
    normals: Integral
    lesions: tuple[Lesion, ...]
    decode_seconds: float


def cut_image(image: Image, draws: Sequence[Draw], config: PatchesConfig) -> Outcome:
    """Reads, decodes, masks and cuts; any fault of the image becomes a rejection."""
    rejections: list[Rejection] = []
    try:
        prepared = _prepare(image, config, rejections)
    except Rejected as fault:
        return Outcome((), reject_whole(image, fault, rejections))
    cuts = (_cut(prepared, draw, config) for draw in draws)
    made = tuple(cut for cut in cuts if cut is not None)
    return Outcome(made, tuple(rejections), prepared.decode_seconds)


def _prepare(image: Image, config: PatchesConfig, rejections: list[Rejection]) -> _Prepared:
    mammogram, decode_seconds = _read(image, config)
    lesions = tuple(lesions_inside(image, mammogram, rejections))
    if image.use == LESION and not lesions:
        raise Rejected(Reason.NO_USABLE_MARK)
    smallest = round(config.size / config.scale_max)
    if min(mammogram.grey.shape) < smallest:
        raise Rejected(Reason.IMAGE_TOO_SMALL, "{}x{}".format(*mammogram.grey.shape))
    breast = breast_mask(mammogram.grey)
    integral = normals = integral_of(breast, mammogram.grey.shape)
    if config.exclude_pectoral and image.view == MLO:
        muscle = pectoral_mask(mammogram.grey, breast)
        normals = integral_of(breast - muscle, mammogram.grey.shape)
    if image.use != LESION:
        probe = draw_stream(bytes(16))  # the same for every image
        if tissue_window(probe, normals, smallest, config.min_tissue) is None:
            raise Rejected(Reason.NO_VALID_WINDOW, f"{smallest} px")
    return _Prepared(image, mammogram, integral, normals, lesions, decode_seconds)


def _read(image: Image, config: PatchesConfig) -> tuple[reading.Mammogram, float]:
    """The image without its padding, and the seconds from bytes to grey levels."""
    data = read_file(image)
    start = time.perf_counter()
    mammogram = mammogram_of(image, data, config.allow_synthetic, config.admit_special)
    seconds = time.perf_counter() - start
    mammogram = reading.reduce(mammogram, config.reduction, config.resample_spacing_mm)
    return reading.crop(mammogram, film_bounds(mammogram.grey).place), seconds


def _cut(prepared: _Prepared, draw: Draw, config: PatchesConfig) -> Cut | None:
    generator = draw_stream(bytes.fromhex(draw.key))
    augmentation = draw_augmentation(generator, config, draw.split)
    side = augmentation.side
    lesions = [item for item in prepared.lesions if item.mark.patch_class == draw.patch_class]
    lesion = lesions[draw.index % len(lesions)] if lesions else None
    if min(prepared.mammogram.grey.shape) < side:
        return None
    if lesion:
        place = _lesion_place(generator, prepared, lesion, augmentation, config)
    elif draw.patch_class in LESION_CLASSES or not _all_lesions_known(prepared):
        return None  # every mark of this class, or one of those to keep away from, was unusable
    else:
        # "At least 256 px" of the patch: as many pixels of the image as the window has.
        boxes = [item.box for item in prepared.lesions]
        place = tissue_window(generator, prepared.normals, side, config.min_tissue, boxes, side)
    if place is None:
        return None
    return Cut(draw, _record(prepared, draw, lesion, augmentation, place, config))


def _all_lesions_known(prepared: _Prepared) -> bool:
    """Whether every lesion's place is known, so that a normal window can keep away from all."""
    return len(prepared.lesions) == len(prepared.image.marks)


def _lesion_place(
    generator: np.random.Generator,
    prepared: _Prepared,
    lesion: Lesion,
    augmentation: Augmentation,
    config: PatchesConfig,
) -> tuple[int, int] | None:
    shape, side = prepared.mammogram.grey.shape, augmentation.side
    offset = scaled_length(config.max_offset, config.size)
    for _ in range(_ATTEMPTS):
        left, top = lesion_window(
            generator, lesion.box, shape, side, config.size, offset, lesion.pixels
        )
        tissue = tissue_fraction(prepared.integral, left, top, side)
        if tissue >= config.min_tissue_lesion - 1e-9:
            return left, top
    return None


def _record(
    prepared: _Prepared,
    draw: Draw,
    lesion: Lesion | None,
    augmentation: Augmentation,
    place: tuple[int, int],
    config: PatchesConfig,
) -> PatchRecord:
    image, mammogram = prepared.image, prepared.mammogram
    left, top = place
    record = PatchRecord(
        patch_id=f"{image.sop_uid}/{draw.patch_class}/{draw.index}",
        patch=cut_patch(mammogram.grey, left, top, augmentation, config.size),
        patch_class=draw.patch_class,
        client_id=image.client_id,
        study_uid=image.study_uid,
        sop_uid=image.sop_uid,
        laterality=image.laterality,
        view=image.view,
        manufacturer=mammogram.header.manufacturer,
        pixel_spacing_mm=mammogram.spacing_mm,
        tissue_fraction=float(tissue_fraction(prepared.integral, left, top, augmentation.side)),
        window=(left + mammogram.origin[0], top + mammogram.origin[1], augmentation.side),
        flip=int(augmentation.flip),
        rotation=augmentation.rotation,
        scale=config.size / augmentation.side,
        label_evidence=_FAR_FROM_LESIONS if image.marks else image.evidence,
        breast_density=image.breast_density,
        age_band=mammogram.header.age_band,
        breast_thickness_mm=mammogram.header.thickness_mm,
        exposure_mas=mammogram.header.exposure_mas,
        site=image.facts.site,
        synthetic=int(image.synthetic or mammogram.header.synthetic),
    )
    if lesion is None:
        return record
    return _with_lesion(record, lesion, place, augmentation, config.size)


def _with_lesion(
    record: PatchRecord,
    lesion: Lesion,
    place: tuple[int, int],
    augmentation: Augmentation,
    size: int,
) -> PatchRecord:
    mark, (x0, y0, x1, y1) = lesion.mark, lesion.box
    box = box_in_patch(lesion.box, *place, augmentation, size)
    assert box[0] < box[2], (mark.box, record.window)
    assert box[1] < box[3], (mark.box, record.window)
    return dataclasses.replace(
        record,
        has_mass=mark.has_mass,
        has_calcification=mark.has_calcification,
        box=box,
        mark_id=mark.mark_id,
        label_evidence=mark.evidence,
        conspicuity=mark.conspicuity,
        lesion_size_mm=max(x1 - x0, y1 - y0) * record.pixel_spacing_mm,
    )
