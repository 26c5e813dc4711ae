"""What every data set becomes before a pixel is read: images, marks and rejections.

A source lists its units (patients, or files) and reads one unit at a time into a `UnitIndex`, so
that units can be read in any order and by any worker. docs/data.md shows how to write one.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Protocol

from beam_pipelines.rejections import IMAGES, MARKS, Origin, Reason, Rejection
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import unit_hash
from cgan_tf.labels import SPLITS
from cgan_tf.runs.errors import UserError

LESION, HEALTHY, UNKNOWN = "lesion", "healthy", "unknown"
SIDES, VIEWS = ("L", "R"), ("CC", "MLO")

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels; x1 and y1 are exclusive


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """A usable annotation.

    Attributes:
      mark_id: unique within its image.
      box: (x0, y0, x1, y1) in pixels of the stored image, x0 < x1, y0 < y1; empty where only
        `mask` says where the lesion is.
      patch_class: one of `labels.LESION_CLASSES`.
      evidence: what the label rests on, e.g. "SURGERY H5 of lesion 1".
      repairs: what was mended of the box or the mask, separated by spaces.
      mask: a DICOM file with one value on the lesion and a lower one elsewhere, read when patches
        are cut, see `sources.outlines`; or empty. A plain image where the marked one is.
      outline: the lesion inside the box, where it does not fill it: (x, y, radius) of a circle, or
        (x, y) of each corner of a polygon, in the box's pixels; or empty.
    """

    mark_id: str
    box: tuple[float, ...]
    patch_class: str
    has_mass: int
    has_calcification: int
    evidence: str
    conspicuity: str = ""
    repairs: str = ""
    mask: str = ""
    outline: tuple[float, ...] = ()

    def name_on(self, image: "Image") -> str:
        """The mark's name in the ledger."""
        return f"{image.path}#{self.mark_id}"


@dataclasses.dataclass(frozen=True, slots=True)
class FileFacts:
    """What a data set says of an image and its file, as far as the file does not.

    Attributes:
      plain: whether the file is no DICOM but a plain image, see `sources.plain_images`.
      bits: of a plain file with 16 bits a pixel, those in use; 0: as the file says.
      inverted: whether the breast is dark in a plain image.
      spacing_mm: 0 when unknown. manufacturer: of the detector or scanner.
      age_band, thickness_mm, exposure_mas, site: as `data.acquisition` reads them; empty or 0 when
        unknown.
    """

    plain: bool = False
    bits: int = 0
    inverted: bool = False
    spacing_mm: float = 0.0
    manufacturer: str = ""
    age_band: str = ""
    thickness_mm: float = 0.0
    exposure_mas: float = 0.0
    site: str = ""


# The facts that a header may hold, too.
HEADER_FACTS = ("manufacturer", "age_band", "thickness_mm", "exposure_mas")


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """An image that may give patches.

    Attributes:
      path: the DICOM file, or a plain image.
      use: `LESION` (has usable marks), `HEALTHY`, or `UNKNOWN` (what it shows is unknown).
      laterality, view: as the label was decided for; empty when unknown.
      strict: whether the DICOM header must pass the filter of OMI-DB or that of loose films.
      evidence: what "healthy" rests on.
      synthetic: whether its side-car or its file is marked as synthetic data.
      breast_density: as the data set has it, or empty.
      splits: those that the data set lets the patient be in; see `split_of`.
      known_by_study: whether `client_id` stands for the study, as nothing else says whose it is.
      normals_beside: whether normal windows may be cut far from its marks: all of its lesions are
        among them.
      facts: what the data set says of the image and its file.
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
    breast_density: str = ""
    splits: tuple[str, ...] = SPLITS
    normals_beside: bool = False
    known_by_study: bool = False
    facts: FileFacts = FileFacts()

    def origin(self, mark_id: str = "") -> Origin:
        """Where the image, or a mark on it, belongs."""
        view = self.view if self.view in VIEWS else ""
        return Origin(
            self.client_id,
            self.study_uid,
            self.sop_uid,
            self.laterality,
            view,
            mark_id,
            self.splits,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class UnitIndex:
    """What one unit holds.

    Attributes:
      images: those that may give patches.
      rejections: everything else. read: how many files, images and marks were met.
      counts: what else the manifest should tell, such as patients that were moved.
      warnings: what a person should look at before using the patches, a line each.
    """

    images: tuple[Image, ...]
    rejections: tuple[Rejection, ...]
    read: dict[str, int]
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def repairs(self) -> dict[str, int]:
        """How many usable marks were mended, by what was wrong with them."""
        marks = (mark for image in self.images for mark in image.marks)
        return dict(collections.Counter(word for mark in marks for word in mark.repairs.split()))


class Source(Protocol):
    """A data set on disk.

    Attributes:
      labelled: whether it is known what its images show. Patches of a labelled source are counted
        by split and class, others all together (`--folder_patches`).
    """

    labelled: bool

    def units(self) -> list[str]:
        """Names of the units; `UserError` when the input is missing or empty."""

    def read_unit(self, unit: str) -> UnitIndex:
        """One unit; damage inside it becomes a rejection, never an exception."""


def merge(indexes: Iterable[UnitIndex]) -> UnitIndex:
    """All units as one index, images in order of their SOP instance uid; duplicates rejected.

    A patient is in one split: where her images allow different ones, in one that all of them allow.
    An image that is known by its study alone is the patient's to whom other images of it belong.
    """
    images: dict[str, Image] = {}
    rejections: list[Rejection] = []
    read: collections.Counter[str] = collections.Counter()
    counts: collections.Counter[str] = collections.Counter()
    warnings: dict[str, None] = {}
    for index in indexes:
        read.update(index.read)
        counts.update(index.counts)
        warnings.update(dict.fromkeys(index.warnings))
        rejections += index.rejections
        for image in index.images:
            rival = images.setdefault(image.sop_uid, image)
            if rival is not image:
                first, other = sorted((rival, image), key=lambda item: item.path)
                images[image.sop_uid] = first
                rejections += reject_image(other, Reason.DUPLICATE_IMAGE, first.path)
    ordered = tuple(_in_one_split(_with_patients([images[uid] for uid in sorted(images)])))
    rejections.sort(key=lambda item: (item.kind, item.name, item.reason, item.detail))
    counted = dict(sorted(counts.items()))
    return UnitIndex(ordered, tuple(rejections), dict(read), counted, tuple(sorted(warnings)))


def _with_patients(images: list[Image]) -> list[Image]:
    """The images, none of a patient's study under another name."""
    patients: dict[str, str] = {}
    for image in images:
        if image.study_uid and not image.known_by_study:
            known = patients.setdefault(image.study_uid, image.client_id)
            patients[image.study_uid] = min(known, image.client_id)
    return [
        dataclasses.replace(image, client_id=patients[image.study_uid])
        if image.known_by_study and image.study_uid in patients
        else image
        for image in images
    ]


def _in_one_split(images: list[Image]) -> Iterator[Image]:
    """The images, those of a patient with the same splits; `UserError` when they have none."""
    limits: dict[str, tuple[str, ...]] = {}
    for image in images:
        if image.splits != SPLITS:
            known = limits.get(image.client_id, SPLITS)
            limits[image.client_id] = tuple(name for name in known if name in image.splits)
    for image in images:
        splits = limits.get(image.client_id, SPLITS)
        if not splits:
            raise UserError(f"{image.client_id}: no split is allowed for all of her images")
        yield image if image.splits == splits else dataclasses.replace(image, splits=splits)


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


def split_of(client_id: str, config: PatchesConfig, allowed: tuple[str, ...] = SPLITS) -> str:
    """The split of a patient: a function of the seed and the client id, among those allowed.

    The fractions of the allowed splits keep their proportions: with 0.6 and 0.2, a patient who may
    be in train or validation is in validation with probability 1/4. Empty when none is allowed.
    """
    if config.all_in_split or not allowed:
        return config.all_in_split if allowed else ""
    train, validation = config.train_fraction, config.validation_fraction
    shares = dict(zip(SPLITS, (train, validation, 1.0 - train - validation), strict=True))
    place = unit_hash(config.seed, "split", client_id) * sum(shares[name] for name in allowed)
    edge = 0.0
    for name in allowed[:-1]:
        edge += shares[name]
        if place < edge:
            return name
    return allowed[-1]
