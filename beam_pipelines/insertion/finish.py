"""The lesions of one image become files: DICOM, mask, and what the tables say of it."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from beam_pipelines.dicom.grey_levels import PixelLayout, StoredValues, pixel_layout
from beam_pipelines.dicom.reading import quietly_rejecting
from beam_pipelines.dicom.writing import (
    Derivation,
    Names,
    derived_dataset,
    derived_names,
    file_bytes,
)
from beam_pipelines.insertion.draws import Answer
from beam_pipelines.insertion.generator import ROW, Setup
from beam_pipelines.insertion.omidb_tree import image_path, side_car_bytes, side_car_path
from beam_pipelines.insertion.pictures import png_bytes, write_figure3, write_preview
from beam_pipelines.insertion.places import Place, Prepared
from beam_pipelines.insertion.tables import (
    KeptMark,
    MadeImage,
    PlacedLesion,
    mask_runs,
)
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.storage import files
from cgan_tf import __version__
from cgan_tf.synthesis.postprocess import Lesion

INSERTED_IMAGES, MASKS = "images", "masks"
_NOUNS = {"mass": "Mass", "calcification": "Calcification", "removal": "Lesion"}


@dataclasses.dataclass(frozen=True, eq=False)
class NativeLesion:
    """A lesion in pixels of the stored image.

    Attributes:
      left, top: of its rectangle.
      layer: float32 [h, w], grey levels to be added; 0 where `support` is false.
      support: bool [h, w], the support of the smoothed mask.
      objects: bool [h, w], every pixel that the expanded object touches; in the support.
      box: (x0, y0, x1, y1) of the expanded object in the image, x1 and y1 exclusive.
    """

    left: int
    top: int
    layer: np.ndarray
    support: np.ndarray
    objects: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def place(self) -> tuple[slice, slice]:
        """The rectangle in the image."""
        height, width = self.layer.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def to_native(
    lesion: Lesion,
    corner: tuple[int, int],
    scale: tuple[float, float],
    shape: tuple[int, int],
) -> NativeLesion:
    """An accepted lesion of the patch at `corner` (left, top) as it is in the stored image.

    Args:
      scale: (x, y) pixels of the patch for a stored pixel; (1, 1) copies.
      shape: (H, W) of the stored image.

    Returns:
      The lesion resampled by cubic splines, its mask linearly: both smooth, and the mask nowhere
      below 0.
    """
    assert lesion.lesion is not None
    assert lesion.mask is not None
    assert lesion.box is not None
    assert lesion.objects is not None
    size = len(lesion.mask)
    spans = [
        _span(corner[axis], corner[axis] + size, scale[axis], shape[1 - axis]) for axis in (0, 1)
    ]
    (left, right), (top, bottom) = spans
    layer, mask = lesion.lesion, lesion.mask
    if scale != (1.0, 1.0):
        grid = (
            np.diag([scale[1], scale[0]]),
            [_offset(top, corner[1], scale[1]), _offset(left, corner[0], scale[0])],
            (bottom - top, right - left),
        )
        layer = ndimage.affine_transform(layer, *grid, order=3, mode="grid-constant")
        mask = ndimage.affine_transform(mask, *grid, order=1, mode="grid-constant")
    support = mask > 0
    rows_of, columns_of = (
        _touching(size, corner[axis], scale[axis], shape[1 - axis]) for axis in (1, 0)
    )
    x0, y0, x1, y1 = lesion.box
    columns = _span(corner[0] + x0, corner[0] + x1, scale[0], shape[1])
    rows = _span(corner[1] + y0, corner[1] + y1, scale[1], shape[0])
    return NativeLesion(
        left,
        top,
        np.where(support, layer, 0).astype(np.float32).clip(-1.0, 1.0),
        support,
        (rows_of @ lesion.objects.astype(np.float32) @ columns_of.T) > 0,
        (columns[0], rows[0], columns[1], rows[1]),
    )


def _touching(count: int, corner: int, scale: float, length: int) -> np.ndarray:
    """float32 [n, count]: which of the n stored pixels from the patch's first one on touch each
    of its `count` pixels."""
    spans = [_span(corner + place, corner + place + 1, scale, length) for place in range(count)]
    first = spans[0][0]
    touching = np.zeros((spans[-1][1] - first, count), np.float32)
    for place, (start, end) in enumerate(spans):
        touching[start - first : end - first, place] = 1
    return touching


def _span(low: float, high: float, scale: float, length: int) -> tuple[int, int]:
    """The stored pixels that patch pixels `low` to `high` touch; at least one, in the image."""
    first = min(max(math.floor(low / scale + 1e-6), 0), length - 1)
    return first, min(max(math.ceil(high / scale - 1e-6), first + 1), length)


def _offset(first: int, corner: int, scale: float) -> float:
    """Where the centre of stored pixel `first` is among the centres of the patch's pixels."""
    return (first + 0.5) * scale - 0.5 - corner


@dataclasses.dataclass(frozen=True, eq=False)
class Accepted:
    """An accepted lesion: its place, what it is in the image, and the draw that gave it."""

    place: Place
    native: NativeLesion
    draw: int
    area_px: int


@dataclasses.dataclass(frozen=True, eq=False)
class Composed:
    """An image with its lesions in it, of which nothing is written yet.

    Attributes:
      made: what the tables say of it. contents: of its files but the mask, by name.
      mask: uint8 [H, W], see `label_mask`. before, after: stored values [H, W].
    """

    made: MadeImage
    contents: Mapping[str, bytes]
    mask: np.ndarray
    before: np.ndarray
    after: np.ndarray
    layout: PixelLayout
    inverse: StoredValues

    def grey_levels(self) -> tuple[np.ndarray, np.ndarray]:
        """The image before and after, float32 [H, W] in [-1, 1]."""
        before, after = (
            self.inverse.table[self.layout.patterns(values)] for values in (self.before, self.after)
        )
        return before, after


def compose(
    prepared: Prepared, answer: Answer, setup: Setup, rejections: list[Rejection]
) -> Composed:
    """Puts the lesions of an image into it.

    Marks whose lesion could not be removed are added to `rejections`. Raises `Rejected` where no
    place got a lesion.
    """
    accepted = _accepted(prepared, answer, setup, rejections)
    natives = [item.native for item in accepted]
    stored = prepared.stored
    with quietly_rejecting():
        layout = pixel_layout(stored.values, stored.dataset)
        inverse = StoredValues(stored.dataset, layout.bits)
        values = changed_values(stored.values, layout, inverse, natives)
        names = derived_names(stored.dataset, setup.fingerprint, setup.config.keep_patient)
        made = _made_image(prepared, accepted, names, setup)
        contents = _dicom_files(prepared, values, names, made, setup)
    made = dataclasses.replace(made, dicom_files=tuple(contents))
    mask = label_mask(stored.values.shape, natives)
    return Composed(made, contents, mask, stored.values, values, layout, inverse)


def write_image(composed: Composed, prepared: Prepared, setup: Setup, preview: bool) -> MadeImage:
    """Writes the files of a composed image and returns what the tables say of it."""
    made = composed.made
    for name, content in composed.contents.items():  # what a disk refuses is no fault of the image
        _write(setup, name, content)
    _write(setup, made.mask, png_bytes(composed.mask))
    if not preview:
        return made
    before, after = composed.grey_levels()
    strip = None
    if setup.config.places == ROW and not setup.removal:
        strip = write_figure3(setup, made, prepared, before, after)
    return dataclasses.replace(made, preview=write_preview(setup, made, before, after, strip))


def changed_values(
    values: np.ndarray,
    layout: PixelLayout,
    inverse: StoredValues,
    lesions: Sequence[NativeLesion],
) -> np.ndarray:
    """The stored values [H, W] with the lesions in them; where no lesion is, they are the same.

    Where lesions overlap, the stronger one counts: two removals of one lesion are not added.
    """
    layer = np.zeros(values.shape, np.float32)
    for lesion in lesions:
        part = layer[lesion.place]
        np.copyto(part, lesion.layer, where=np.abs(lesion.layer) > np.abs(part))
    changed = layer != 0
    patterns = layout.patterns(values[changed])
    grey = np.clip(inverse.table[patterns] + layer[changed], -1.0, 1.0)
    result = values.copy()
    result[changed] = layout.replaced(values[changed], inverse.nearest(patterns, grey))
    return result


def label_mask(shape: tuple[int, ...], lesions: Sequence[NativeLesion]) -> np.ndarray:
    """uint8 [H, W]: 0, or 1 + the place of the lesion in the list; the last of several."""
    mask = np.zeros(shape, np.uint8)
    for number, lesion in enumerate(lesions):
        mask[lesion.place][lesion.support] = min(number + 1, 255)
    return mask


def _accepted(
    prepared: Prepared, answer: Answer, setup: Setup, rejections: list[Rejection]
) -> list[Accepted]:
    accepted = []
    detail = _draws_detail(answer)
    for place, lesion, draw in zip(prepared.places, answer.lesions, answer.chosen, strict=True):
        if lesion is not None:
            shape = prepared.stored.values.shape
            native = to_native(lesion, (place.left, place.top), prepared.scale, shape)
            accepted.append(Accepted(place, native, draw, lesion.area_px))
        elif place.mark is not None:
            name = place.mark.name_on(prepared.image)
            rejections.append(Rejection(MARKS, name, Reason.NO_LESION_ACCEPTED, detail))
    if not accepted:
        raise Rejected(Reason.NO_LESION_ACCEPTED, detail)
    return accepted


def _draws_detail(answer: Answer) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in answer.rejected.items())
    return f"{sum(answer.draws)} draws: {counts}"


def _made_image(
    prepared: Prepared, accepted: list[Accepted], names: Names, setup: Setup
) -> MadeImage:
    image, dataset = prepared.image, prepared.stored.dataset
    height, width = prepared.stored.values.shape
    removed = {item.place.key for item in accepted} if setup.removal else set()
    kept = [mark for mark in image.marks if mark.mark_id not in removed]
    return MadeImage(
        name=names.sop,
        file=f"{INSERTED_IMAGES}/{image_path(setup.config.source, image.client_id, names)}",
        mask=f"{MASKS}/{names.sop}.png",
        width=width,
        height=height,
        source_sop_uid=image.sop_uid,
        client_id=image.client_id,
        study_uid=names.study,
        series_uid=names.series,
        study_date=str(dataset.get("StudyDate") or ""),
        laterality=image.laterality,
        view=image.view,
        spacing_mm=prepared.stored.spacing_mm,
        lesions=tuple(_lesion(item, number, height) for number, item in enumerate(accepted, 1)),
        kept_marks=tuple(KeptMark(mark.patch_class, tuple(mark.box)) for mark in kept),
        source_file=os.path.basename(image.path),
    )


def _lesion(item: Accepted, number: int, height: int) -> PlacedLesion:
    place, native = item.place, item.native
    return PlacedLesion(
        label=number,
        box=native.box,
        area_px=int(native.support.sum()),
        runs=mask_runs(native.objects, native.left, native.top, height),
        place=place.key,
        patch=(place.left, place.top),
        draw=item.draw,
        object_px=item.area_px,
        removed_class=place.mark.patch_class if place.mark else "",
    )


def _dicom_files(
    prepared: Prepared, values: np.ndarray, names: Names, made: MadeImage, setup: Setup
) -> Mapping[str, bytes]:
    """The content of the DICOM file, and of its side-car in OMI-DB's layout, by name."""
    dataset = derived_dataset(prepared.stored.dataset, names, _derivation(made, setup))
    contents = {}
    if setup.config.source == "optimam":
        side_car = f"{INSERTED_IMAGES}/{side_car_path(made.client_id, names)}"
        contents[side_car] = side_car_bytes(dataset)
    contents[made.file] = file_bytes(dataset, values)
    return contents


def _derivation(made: MadeImage, setup: Setup) -> Derivation:
    count = len(made.lesions)
    change = "removed from" if setup.removal else "inserted into"
    generator = setup.card.checksum[:16]
    return Derivation(
        description=(
            f"Synthetic: {_NOUNS[setup.task]} {change} the image by a contextual GAN at {count} "
            f"place{'s' if count > 1 else ''} "
            f"(contextual-gan-mammography {__version__}, generator {generator}, "
            f"seed {setup.config.seed}). For research only, not for diagnosis."
        ),
        series=f"Synthetic {setup.task}:",
        client_id=made.client_id,
        keep_patient=setup.config.keep_patient,
    )


def _write(setup: Setup, name: str, content: bytes) -> None:
    files.write_atomically(os.path.join(setup.config.output_dir, name), content)
