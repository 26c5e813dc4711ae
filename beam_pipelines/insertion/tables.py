"""What insert_lesions made: images and lesions, as JSON, as COCO's format and as CSV."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from beam_pipelines.storage.files import csv_parts
from cgan_tf.labels import TASKS
from cgan_tf.runs.directory import Json

# The same number in every set, so that sets can be merged.
CATEGORIES = {task: number for number, task in enumerate(TASKS, 1)}
COLUMNS = (
    "file", "mask", "label", "category", "x0", "y0", "x1", "y1", "area_px", "client_id",
    "study_uid", "sop_uid", "source_sop_uid", "laterality", "view", "width", "height",
    "spacing_mm", "place", "patch_left", "patch_top", "draw", "object_px", "removed_class",
    "source_file",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PlacedLesion:
    """A lesion in a made image, or one that was removed from it.

    Attributes:
      label: its value in the mask, from 1 on.
      box: (x0, y0, x1, y1) in pixels of the image, x1 and y1 exclusive.
      area_px: pixels of the image that its mask covers, which reaches further than the box.
      runs: of its pixels in the box, see `mask_runs`.
      place: names the place in its image. patch: (left, top) of the generator's patch.
      draw: number of the draw that gave it, from 0 on.
      object_px: area of the object in the generator's patch.
      removed_class: of the lesion that was removed; or empty.
    """

    label: int
    box: tuple[int, int, int, int]
    area_px: int
    runs: tuple[int, ...]
    place: str
    patch: tuple[int, int]
    draw: int
    object_px: int
    removed_class: str = ""


@dataclasses.dataclass(frozen=True)
class KeptMark:
    """A mark of the source that still holds: its class and its box, in pixels of the image."""

    patch_class: str
    box: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Strip:
    """The row of patches of Figure 3, before and after.

    Attributes:
      before, after: files of the pictures. patches: how many.
      boxes: (x0, y0, x1, y1) of the lesions in pixels of the pictures.
    """

    before: str
    after: str
    patches: int
    boxes: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class Detail:
    """A lesion and what is around it, a pixel of the image for a pixel of the pictures.

    Attributes:
      before, after: files of the pictures. width, height: of both.
      boxes: (x0, y0, x1, y1) of the lesions in their pixels.
    """

    before: str
    after: str
    width: int
    height: int
    boxes: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class Preview:
    """An image before and after, to look at: an entry of `previews.json`.

    Attributes:
      before, after: files of the pictures. width, height: of the pictures.
      boxes: (x0, y0, x1, y1) of the lesions in pixels of the pictures.
      source_file: see `MadeImage`. details: every lesion is in one.
    """

    name: str
    before: str
    after: str
    width: int
    height: int
    category: str
    laterality: str
    view: str
    boxes: tuple[tuple[float, ...], ...]
    figure3: Strip | None = None
    source_file: str = ""
    details: tuple[Detail, ...] = ()

    @property
    def files(self) -> list[str]:
        """Every picture."""
        strip = [self.figure3.before, self.figure3.after] if self.figure3 else []
        details = (name for each in self.details for name in (each.before, each.after))
        return [self.before, self.after, *strip, *details]

    def as_json(self) -> Json:
        """The entry, without `figure3` where there is none."""
        entry = dataclasses.asdict(self)
        if self.figure3 is None:
            del entry["figure3"]
        return entry


@dataclasses.dataclass(frozen=True)
class MadeImage:
    """A derived image with its lesions.

    Attributes:
      name: its SOP instance uid. file, mask: of the image and of its mask, in the output directory.
      width, height: in pixels. spacing_mm: of a pixel.
      study_date: as the source has it. lesions: in the order of their labels.
      kept_marks: of the source. preview: or None. dicom_files: the image, and its side-car if any.
      source_file: name of the file that it was made from, as the user gave it.
    """

    name: str
    file: str
    mask: str
    width: int
    height: int
    source_sop_uid: str
    client_id: str
    study_uid: str
    series_uid: str
    study_date: str
    laterality: str
    view: str
    spacing_mm: float
    lesions: tuple[PlacedLesion, ...]
    kept_marks: tuple[KeptMark, ...] = ()
    preview: Preview | None = None
    dicom_files: tuple[str, ...] = ()
    source_file: str = ""

    @property
    def files(self) -> list[str]:
        """Every file of the image."""
        return [*self.dicom_files, self.mask, *(self.preview.files if self.preview else [])]


def made_image_from(values: Json) -> MadeImage:
    """The inverse of `dataclasses.asdict` after JSON."""
    lesions = tuple(_lesion_from(lesion) for lesion in values["lesions"])
    kept = tuple(KeptMark(mark["patch_class"], tuple(mark["box"])) for mark in values["kept_marks"])
    preview = _preview_from(values["preview"]) if values["preview"] else None
    rest = {"lesions": lesions, "kept_marks": kept, "preview": preview}
    return MadeImage(**{**values, **rest, "dicom_files": tuple(values["dicom_files"])})


def _lesion_from(values: Json) -> PlacedLesion:
    return PlacedLesion(
        **{**values, **{name: tuple(values[name]) for name in ("box", "runs", "patch")}}
    )


def _preview_from(values: Json) -> Preview:
    strip = values["figure3"]
    if strip:
        strip = Strip(**_with_boxes(strip))
    details = tuple(Detail(**_with_boxes(detail)) for detail in values["details"])
    return Preview(**{**_with_boxes(values), "figure3": strip, "details": details})


def _with_boxes(values: Json) -> Json:
    return {**values, "boxes": tuple(map(tuple, values["boxes"]))}


def mask_runs(support: np.ndarray, left: int, top: int, height: int) -> tuple[int, ...]:
    """Run lengths of a mask in an image of `height` rows, column by column.

    Runs of zeros and of ones take turns, zeros first; the last run of zeros is left out, and
    `whole_runs` puts it back.

    Args:
      support: bool [h, w], the part of the mask at (left, top).
    """
    columns, rows = np.nonzero(support.T)
    places = (left + columns) * height + (top + rows)
    if not len(places):
        return ()
    starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(places))
    begins = places[starts]
    gaps = begins - np.concatenate([[0], (begins + lengths)[:-1]])
    return tuple(int(n) for n in np.stack([gaps, lengths], axis=1).ravel())


def whole_runs(runs: Sequence[int], height: int, width: int) -> list[int]:
    """The run lengths of the whole image."""
    return [*runs, height * width - sum(runs)]


def coco(images: Sequence[MadeImage], task: str, about: Json) -> Json:
    """The object-detection format of cocodataset.org; x, y, width, height in stored pixels.

    Segmentations are uncompressed run lengths of the objects that the boxes enclose, and areas are
    theirs, as that format has it; the smooth masks reach further, and are files of their own. A box
    of task removal is where a lesion was: the image has none there.
    """
    lesions = [
        (number, image, lesion)
        for number, image in enumerate(images, 1)
        for lesion in image.lesions
    ]
    return {
        "info": {"description": "Synthetic lesions in mammograms, for research only", **about},
        "licenses": [],
        "categories": [
            {"id": number, "name": name, "supercategory": "lesion"}
            for name, number in CATEGORIES.items()
        ],
        "images": [_coco_image(number, image) for number, image in enumerate(images, 1)],
        "annotations": [
            _coco_annotation(number, *lesion, task) for number, lesion in enumerate(lesions, 1)
        ],
    }


def boxes_csv(images: Sequence[MadeImage], task: str) -> Iterator[bytes]:
    """A row for each lesion, in parts; x1 and y1 are exclusive."""
    rows = (_csv_row(image, lesion, task) for image in images for lesion in image.lesions)
    return csv_parts(COLUMNS, rows)


def _coco_image(number: int, image: MadeImage) -> Json:
    return {
        "id": number,
        "file_name": image.file,
        "width": image.width,
        "height": image.height,
        "client_id": image.client_id,
        "laterality": image.laterality,
        "view": image.view,
        "source_sop_uid": image.source_sop_uid,
        "synthetic": True,
    }


def _coco_annotation(
    number: int, image_number: int, image: MadeImage, lesion: PlacedLesion, task: str
) -> Json:
    x0, y0, x1, y1 = lesion.box
    return {
        "id": number,
        "image_id": image_number,
        "category_id": CATEGORIES[task],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": sum(lesion.runs[1::2]),
        "iscrowd": 0,
        "segmentation": {
            "size": [image.height, image.width],
            "counts": whole_runs(lesion.runs, image.height, image.width),
        },
    }


def _csv_row(image: MadeImage, lesion: PlacedLesion, task: str) -> dict[str, object]:
    named = {
        "sop_uid": image.name,
        "category": task,
        **dict(zip(("x0", "y0", "x1", "y1"), lesion.box, strict=True)),
        **dict(zip(("patch_left", "patch_top"), lesion.patch, strict=True)),
    }
    return {**vars(image), **vars(lesion), **named}
