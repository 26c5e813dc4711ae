"""What every data set is turned into before a pixel is read: images, marks, rejections.

A source lists its units (clients, or files), and reads one unit at a time into a `UnitIndex`, so
that units can be read in any order and by any worker.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Protocol

from beam_pipelines.rejections import IMAGES, MARKS, Reason, Rejection
from cgan_tf.config import PatchesConfig

LESION, HEALTHY = "lesion", "healthy"


@dataclasses.dataclass(frozen=True)
class Mark:
    """A usable annotation.

    Attributes:
      mark_id: unique within its image.
      box: (x0, y0, x1, y1) in pixels of the stored image, x0 < x1, y0 < y1.
      patch_class: one of `config.LESION_CLASSES`.
      evidence: what the label rests on, e.g. "SURGERY H5 of lesion 1".
    """

    mark_id: str
    box: tuple[float, float, float, float]
    patch_class: str
    has_mass: int
    has_calcification: int
    evidence: str
    conspicuity: str = ""

    def name_on(self, image: "Image") -> str:
        """The mark's name in the ledger."""
        return f"{image.path}#{self.mark_id}"


@dataclasses.dataclass(frozen=True)
class Image:
    """An image that may give patches.

    Attributes:
      path: the DICOM file.
      use: `LESION` (has usable marks) or `HEALTHY`.
      laterality, view: as the label was decided for; empty when unknown.
      strict: whether the DICOM header must pass the filter of OMI-DB or that of loose films.
      evidence: what "healthy" rests on.
    """

    path: str
    client_id: str
    study_uid: str
    sop_uid: str
    laterality: str
    view: str
    use: str
    marks: tuple[Mark, ...] = ()
    strict: bool = True
    evidence: str = ""


@dataclasses.dataclass(frozen=True)
class UnitIndex:
    """What one unit holds.

    Attributes:
      images: those that may give patches.
      rejections: everything else. read: how many files, images and marks were met.
      repairs: how many marks were mended, by what was wrong with them.
    """

    images: tuple[Image, ...]
    rejections: tuple[Rejection, ...]
    read: dict[str, int]
    repairs: dict[str, int] = dataclasses.field(default_factory=dict)


class Source(Protocol):
    """A data set on disk."""

    def units(self) -> list[str]:
        """Names of the units; `UserError` when the input is missing or empty."""

    def read_unit(self, unit: str) -> UnitIndex:
        """One unit; damage inside it is a rejection, never an exception."""


def open_source(config: PatchesConfig) -> Source:
    """The source that `--source` names."""
    from beam_pipelines import folder, omidb_tree, optimam

    if config.source == "folder":
        return folder.open_folder(config.input_dir)
    tree = omidb_tree.find_tree(config.input_dir)
    return optimam.Optimam(tree, config.normals_from_cases, config.normal_follow_up)


def merge(indexes: Iterable[UnitIndex]) -> UnitIndex:
    """All units as one index, images in order of their SOP instance uid; duplicates rejected."""
    images: dict[str, Image] = {}
    rejections: list[Rejection] = []
    read: collections.Counter[str] = collections.Counter()
    repairs: collections.Counter[str] = collections.Counter()
    for index in indexes:
        read.update(index.read)
        repairs.update(index.repairs)
        rejections += index.rejections
        for image in index.images:
            first, *others = sorted(
                {image, images.get(image.sop_uid, image)}, key=lambda item: item.path
            )
            images[image.sop_uid] = first
            for other in others:
                rejections += reject_image(other, Reason.DUPLICATE_IMAGE, first.path)
    ordered = tuple(images[uid] for uid in sorted(images))
    return UnitIndex(ordered, tuple(sorted(rejections)), dict(read), dict(repairs))


def reject_image(image: Image, reason: Reason, detail: str = "") -> list[Rejection]:
    """The rejections of an image and of the marks on it."""
    return [Rejection(IMAGES, image.path, reason, detail)] + [
        Rejection(MARKS, mark.name_on(image), Reason.IMAGE_REJECTED, reason.value)
        for mark in image.marks
    ]


def split_of(client_id: str, config: PatchesConfig) -> str:
    """The split of a client: a function of the seed and the client alone."""
    if config.all_in_split:
        return config.all_in_split
    place = unit_hash(config.seed, "split", client_id)
    if place < config.train_fraction:
        return "train"
    if place < config.train_fraction + config.validation_fraction:
        return "validation"
    return "test"


def digest(*parts: object) -> bytes:
    """16 bytes that depend on the parts alone: the key of a draw, or a place in an order."""
    return hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=16).digest()


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(digest(*parts)[:6], "big") / 2**48
