"""What every data set is turned into before a pixel is read: images, marks, rejections.

A source lists its units (clients, or files), and reads one unit at a time into a `UnitIndex`, so
that units can be read in any order and by any worker.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Protocol

from beam_pipelines.rejections import IMAGES, MARKS, Origin, Reason, Rejection
from cgan_tf.config import PatchesConfig
from cgan_tf.progress import progress_bar

LESION, HEALTHY = "lesion", "healthy"
SIDES, VIEWS = ("L", "R"), ("CC", "MLO")


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A usable annotation.

    Attributes:
      mark_id: unique within its image.
      box: (x0, y0, x1, y1) in pixels of the stored image, x0 < x1, y0 < y1.
      patch_class: one of `config.LESION_CLASSES`.
      evidence: what the label rests on, e.g. "SURGERY H5 of lesion 1".
      repairs: what was mended of the box, separated by spaces.
    """

    mark_id: str
    box: tuple[float, float, float, float]
    patch_class: str
    has_mass: int
    has_calcification: int
    evidence: str
    conspicuity: str = ""
    repairs: str = ""

    def name_on(self, image: "Image") -> str:
        """The mark's name in the ledger."""
        return f"{image.path}#{self.mark_id}"


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image that may give patches.

    Attributes:
      path: the DICOM file.
      use: `LESION` (has usable marks) or `HEALTHY`.
      laterality, view: as the label was decided for; empty when unknown.
      strict: whether the DICOM header must pass the filter of OMI-DB or that of loose films.
      evidence: what "healthy" rests on.
      synthetic: whether its side-car or its file is marked as synthetic data.
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
    synthetic: bool = False

    def origin(self, mark_id: str = "") -> Origin:
        """Where the image, or a mark on it, belongs."""
        view = self.view if self.view in VIEWS else ""
        return Origin(self.client_id, self.study_uid, self.sop_uid, self.laterality, view, mark_id)


@dataclasses.dataclass(frozen=True, slots=True)
class UnitIndex:
    """What one unit holds.

    Attributes:
      images: those that may give patches.
      rejections: everything else. read: how many files, images and marks were met.
    """

    images: tuple[Image, ...]
    rejections: tuple[Rejection, ...]
    read: dict[str, int]

    @property
    def repairs(self) -> dict[str, int]:
        """How many usable marks were mended, by what was wrong with them."""
        marks = (mark for image in self.images for mark in image.marks)
        return dict(collections.Counter(word for mark in marks for word in mark.repairs.split()))


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
        return folder.open_folder(config.input_dir, config.allow_synthetic)
    tree = omidb_tree.find_tree(config.input_dir)
    return optimam.Optimam(
        tree, config.normals_from_cases, config.normal_follow_up, config.allow_synthetic
    )


def read_index(source: Source) -> UnitIndex:
    """Every unit of a source as one index."""
    units = source.units()
    with progress_bar(len(units), "Reading the index", "units") as bar:

        def read(unit: str) -> UnitIndex:
            bar.update()
            return source.read_unit(unit)

        return merge(map(read, units))


def merge(indexes: Iterable[UnitIndex]) -> UnitIndex:
    """All units as one index, images in order of their SOP instance uid; duplicates rejected."""
    images: dict[str, Image] = {}
    rejections: list[Rejection] = []
    read: collections.Counter[str] = collections.Counter()
    for index in indexes:
        read.update(index.read)
        rejections += index.rejections
        for image in index.images:
            rival = images.setdefault(image.sop_uid, image)
            if rival is not image:
                first, other = sorted((rival, image), key=lambda item: item.path)
                images[image.sop_uid] = first
                rejections += reject_image(other, Reason.DUPLICATE_IMAGE, first.path)
    ordered = tuple(images[uid] for uid in sorted(images))
    rejections.sort(key=lambda item: (item.kind, item.name, item.reason, item.detail))
    return UnitIndex(ordered, tuple(rejections), dict(read))


def reject_image(image: Image, reason: Reason, detail: str = "") -> list[Rejection]:
    """The rejections of an image and of the marks on it."""
    return [Rejection(IMAGES, image.path, reason, detail, image.origin())] + [
        Rejection(
            MARKS,
            mark.name_on(image),
            Reason.IMAGE_REJECTED,
            reason.value,
            image.origin(mark.mark_id),
        )
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
