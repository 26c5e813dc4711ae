"""One mammogram becomes an image record: read, decoded, reduced, its padding cut off, kept.

What is kept of an image are two files: the encoded record, and beside it what became of the image,
which is written last. A run that goes on finds what was done.
"""

import dataclasses
import json
import os

import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.jobs import work
from beam_pipelines.patches.breast_mask import film_bounds
from beam_pipelines.patches.cutting import mammogram_of, read_file, reject_whole
from beam_pipelines.patches.shards import Row
from beam_pipelines.rejections import Reason, Rejected, Rejection, rejection_from
from beam_pipelines.sources.base import Image
from beam_pipelines.sources.index import image_from
from beam_pipelines.sources.outlines import lesions_inside
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.images import ImageRecord, encode_image
from cgan_tf.data.keyed import digest
from cgan_tf.runs.directory import Json


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of an image.

    Attributes:
      row: of its record, whose class is a kind of image; None where it was rejected.
      shape: (height, width) of the reduced image. marks: on it.
    """

    row: Row | None
    shape: tuple[int, int]
    marks: int
    rejections: tuple[Rejection, ...]


def result_from(values: Json) -> Result:
    """The inverse of `dataclasses.asdict` after JSON."""
    return Result(
        Row(**values["row"]) if values["row"] else None,
        (values["shape"][0], values["shape"][1]),
        values["marks"],
        tuple(map(rejection_from, values["rejections"])),
    )


def reduced_image(image: Image, config: PatchesConfig, rejections: list[Rejection]) -> ImageRecord:
    """The record of an image at the resolution that the config asks for.

    Raises `Rejected` for what is wrong with the file, and where one of its marks cannot be placed:
    a detector would learn that a lesion is none. `rejections` then names the mark.
    """
    data = read_file(image)
    whole = mammogram_of(image, data, config.allow_synthetic, config.admit_special)
    small = reading.reduce(whole, config.reduction, config.resample_spacing_mm)
    small = reading.crop(small, film_bounds(small.grey).place)
    lesions = tuple(lesions_inside(image, whole, rejections))
    if len(lesions) < len(image.marks):
        raise Rejected(Reason.UNUSABLE_MARK)
    rows, columns = whole.grey.shape
    return ImageRecord(
        sop_uid=image.sop_uid,
        client_id=image.client_id,
        study_uid=image.study_uid,
        laterality=image.laterality,
        view=image.view,
        source_file=os.path.basename(image.path),
        pixels=small.grey[:],
        rows=rows,
        columns=columns,
        spacing_mm=whole.spacing_mm,
        scale=small.scale,
        origin=small.origin,
        boxes=np.array([lesion.box for lesion in lesions], float).reshape(-1, 4),
        mark_ids=tuple(lesion.mark.mark_id for lesion in lesions),
        box_classes=tuple(lesion.mark.patch_class for lesion in lesions),
        synthetic=int(image.synthetic or whole.header.synthetic),
    )


def work_item(image: Image, split: str) -> Json:
    """What `ReduceAndKeep` is given, ready for JSON."""
    return {"image": dataclasses.asdict(image), "split": split}


def kept_name(image: Image) -> str:
    """The name of what becomes of an image, among what is kept."""
    return f"{digest('image', image.sop_uid).hex()}.json"


@dataclasses.dataclass(frozen=True)
class ReduceAndKeep:
    """Makes the record of an image and keeps it in a directory."""

    config: PatchesConfig
    directory: str

    def __call__(self, item: Json) -> Json:
        """Returns the `Result` as JSON."""
        image = image_from(item["image"])
        path = os.path.join(self.directory, kept_name(image))
        if files.exists(path):
            return json.loads(files.read_bytes(path))
        content = dataclasses.asdict(self._made(image, item["split"]))
        files.write_atomically(path, json.dumps(content).encode())
        work.count("images_reduced")
        return content

    def _made(self, image: Image, split: str) -> Result:
        rejections: list[Rejection] = []
        try:
            record = reduced_image(image, self.config, rejections)
        except Rejected as fault:
            return Result(None, (0, 0), 0, reject_whole(image, fault, rejections))
        payload, key = encode_image(record), digest(self.config.seed, "image", image.sop_uid)
        name = f"{key.hex()}.record"
        files.write_atomically(os.path.join(self.directory, name), payload)
        row = Row(
            place=0.0,
            key=key.hex(),
            group=f"{split}/{record.kind}",
            split=split,
            patch_class=record.kind,
            sop_uid=image.sop_uid,
            client_id=image.client_id,
            mark_id="",
            name=name,
            offset=0,
            length=len(payload),
        )
        height, width = record.pixels.shape
        return Result(row, (height, width), len(record.boxes), tuple(rejections))
