"""The lesions of one image to its files: DICOM, mask, preview, and what the tables say of it.

A lesion from the generator's pixels to those of the stored image.
"""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

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
from beam_pipelines.insertion.generator import Answer, Setup
from beam_pipelines.insertion.places import Place, Prepared
from beam_pipelines.insertion.tables import mask_runs, png_bytes, write_figure3, write_preview
from beam_pipelines.rejections import MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.omidb_files import image_path, side_car_bytes, side_car_path
from beam_pipelines.storage import files
from cgan_tf import __version__
from cgan_tf.synthesis.postprocess import Lesion


@dataclasses.dataclass(frozen=True, eq=False)
class NativeLesion:
    """A lesion in pixels of the stored image.

    Attributes:
      left, top: of its rectangle.
      layer: float32 [h, w], grey levels to be added; 0 where `support` is false.
      support: bool [h, w], the support of the smoothed mask.
      box: (x0, y0, x1, y1) of the expanded object in the image, x1 and y1 exclusive.
    """

    left: int
    top: int
    layer: np.ndarray
    support: np.ndarray
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
    x0, y0, x1, y1 = lesion.box
    columns = _span(corner[0] + x0, corner[0] + x1, scale[0], shape[1])
    rows = _span(corner[1] + y0, corner[1] + y1, scale[1], shape[0])
    return NativeLesion(
        left,
        top,
        np.where(support, layer, 0).astype(np.float32).clip(-1.0, 1.0),
        support,
        (columns[0], rows[0], columns[1], rows[1]),
    )


def _span(low: float, high: float, scale: float, length: int) -> tuple[int, int]:
    """The stored pixels that patch pixels `low` to `high` touch; at least one, in the image."""
    first = min(max(math.floor(low / scale + 1e-6), 0), length - 1)
    return first, min(max(math.ceil(high / scale - 1e-6), first + 1), length)


def _offset(first: int, corner: int, scale: float) -> float:
    """Where the centre of stored pixel `first` is among the centres of the patch's pixels."""
    return (first + 0.5) * scale - 0.5 - corner


INSERTED_IMAGES, MASKS = "images", "masks"
_SAID = {"mass": "Mass", "calcification": "Calcification", "removal": "Lesion"}


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """An accepted lesion: its place, what it is in the image, and the draw that gave it."""

    place: Place
    native: NativeLesion
    draw: int
    area_px: int


def finish(
    prepared: Prepared, answer: Answer, setup: Setup, preview: bool, rejections: list[Rejection]
) -> dict[str, Any]:
    """Writes the files of an image and returns its row for the tables, ready for JSON.

    Marks whose lesion could not be removed are added to `rejections`. Raises `Rejected` where no
    place got a lesion.
    """
    placed = _placed(prepared, answer, setup, rejections)
    stored = prepared.stored
    with quietly_rejecting():
        layout = pixel_layout(stored.values, stored.dataset)
        inverse = StoredValues(stored.dataset, layout.bits)
        values = changed_values(stored.values, layout, inverse, [item.native for item in placed])
        names = derived_names(stored.dataset, setup.fingerprint, setup.config.keep_patient)
        row = _row(prepared, placed, names, setup)
        made = _dicom_files(prepared, values, names, row, setup)
    for name, content in made.items():  # what a disk refuses is no fault of the image
        _write(setup, name, content)
    mask = label_mask(stored.values.shape, [item.native for item in placed])
    _write(setup, row["mask"], png_bytes(mask))
    before, after = (inverse.table[layout.patterns(v)] for v in (stored.values, values))
    row["preview"] = None
    if preview:
        row["preview"] = write_preview(setup, row, before, after)
        if setup.config.places == "row" and not setup.removal:
            figure = write_figure3(setup, row, prepared, before, after)
            row["preview"]["figure3"] = figure
    shown = row["preview"] or {}
    pairs = [pair for pair in (shown, shown.get("figure3")) if pair]
    row["pictures"] = [pair[moment] for pair in pairs for moment in ("before", "after")]
    row["files"] = [*made, row["mask"], *row["pictures"]]
    return row


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


def _placed(
    prepared: Prepared, answer: Answer, setup: Setup, rejections: list[Rejection]
) -> list[Placed]:
    placed = []
    for place, lesion, draw in zip(prepared.places, answer.lesions, answer.draws, strict=True):
        if lesion is not None:
            shape = prepared.stored.values.shape
            native = to_native(lesion, (place.left, place.top), prepared.scale, shape)
            placed.append(Placed(place, native, draw - 1, lesion.area_px))
        elif place.mark is not None:
            name = place.mark.name_on(prepared.image)
            rejections.append(Rejection(MARKS, name, Reason.NO_LESION_ACCEPTED, _told(answer)))
    if not placed:
        raise Rejected(Reason.NO_LESION_ACCEPTED, _told(answer))
    return placed


def _told(answer: Answer) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in answer.rejected.items())
    return f"{sum(answer.draws)} draws: {counts}"


def _row(prepared: Prepared, placed: list[Placed], names: Names, setup: Setup) -> dict[str, Any]:
    """What the tables say of an image."""
    image, dataset = prepared.image, prepared.stored.dataset
    height, width = prepared.stored.values.shape
    removed = {item.place.key for item in placed} if setup.removal else set()
    kept = [mark for mark in image.marks if mark.mark_id not in removed]
    return {
        "name": names.sop,
        "file": f"{INSERTED_IMAGES}/{image_path(setup.config.source, image.client_id, names)}",
        "mask": f"{MASKS}/{names.sop}.png",
        "width": width,
        "height": height,
        "source_sop_uid": image.sop_uid,
        "client_id": image.client_id,
        "study_uid": names.study,
        "series_uid": names.series,
        "study_date": str(dataset.get("StudyDate") or ""),
        "laterality": image.laterality,
        "view": image.view,
        "spacing_mm": prepared.stored.spacing_mm,
        "lesions": [_lesion_row(item, number, height) for number, item in enumerate(placed, 1)],
        "kept_marks": [[mark.patch_class, list(mark.box)] for mark in kept],
        "places": len(prepared.places),
    }


def _lesion_row(item: Placed, number: int, height: int) -> dict[str, Any]:
    place, native = item.place, item.native
    return {
        "label": number,
        "box": list(native.box),
        "area_px": int(native.support.sum()),
        "runs": mask_runs(native.support, native.left, native.top, height),
        "place": place.key,
        "patch": [place.left, place.top],
        "draw": item.draw,
        "object_px": item.area_px,
        "removed_class": place.mark.patch_class if place.mark else "",
    }


def _dicom_files(
    prepared: Prepared,
    values: np.ndarray,
    names: Names,
    row: dict[str, Any],
    setup: Setup,
) -> dict[str, bytes]:
    """The content of the DICOM file, and of its side-car in OMI-DB's layout, by name."""
    dataset = derived_dataset(prepared.stored.dataset, names, _derivation(row, setup))
    found = {}
    if setup.config.source == "optimam":
        found[f"{INSERTED_IMAGES}/{side_car_path(row['client_id'], names)}"] = side_car_bytes(
            dataset
        )
    found[row["file"]] = file_bytes(dataset, values)
    return found


def _derivation(row: dict[str, Any], setup: Setup) -> Derivation:
    count = len(row["lesions"])
    what = f"{_SAID[setup.task]} {'removed from' if setup.removal else 'inserted into'} the image"
    generator = setup.card["checksum"][:16]
    return Derivation(
        description=(
            f"Synthetic: {what} by a contextual GAN at {count} place{'s' if count > 1 else ''} "
            f"(contextual-gan-mammography {__version__}, generator {generator}, "
            f"seed {setup.config.seed}). For research only, not for diagnosis."
        ),
        series=f"Synthetic {setup.task}:",
        client_id=row["client_id"],
        keep_patient=setup.config.keep_patient,
    )


def _write(setup: Setup, name: str, content: bytes) -> None:
    files.write_atomically(os.path.join(setup.config.output_dir, name), content)
