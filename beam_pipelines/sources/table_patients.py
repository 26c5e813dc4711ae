"""The images of one patient of a table: what their rows and files say, and what is rejected.

A patient with a lesion anywhere has no healthy image, as in OMI-DB: one that is not marked may have
been recalled for what a marked one shows. Whatever a row says wrongly is rejected under the row's
number, which the ledger counts.
"""

import collections
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import is_firm, is_uid, selection_fault
from beam_pipelines.rejections import IMAGES, MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.base import (
    HEALTHY,
    LESION,
    SIDES,
    UNKNOWN,
    VIEWS,
    FileFacts,
    Image,
    Mark,
    UnitIndex,
    reject_image,
)
from beam_pipelines.sources.plain_images import is_plain, read_plain_header
from beam_pipelines.sources.table_mapping import TableMapping
from beam_pipelines.sources.table_marks import class_of, evidence_of, is_healthy, marks_of
from beam_pipelines.sources.table_rows import Row, holds, is_wild, paths_of, text_of
from beam_pipelines.storage import files
from cgan_tf.data.acquisition import age_band, exposure_mas, site_code, thickness_mm
from cgan_tf.data.keyed import digest
from cgan_tf.labels import NORMAL

_DENSITIES = ("1", "2", "3", "4")


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """How the rows and files of a data set are read.

    Attributes:
      root: of the data set.
      bits: of plain files with 16 bits a pixel; 0: as the file says. inverted: of plain files.
      normals_from_cases: whether a healthy breast of a patient with a lesion in the other is used.
      normals_beside: whether normals are cut far from the lesions, where all of them are known.
      allow_synthetic: whether images that are marked as synthetic data are used.
      admit_special: those of `header.SPECIAL_IMAGES` that are used.
    """

    root: str
    mapping: TableMapping
    bits: int = 0
    inverted: bool = False
    normals_from_cases: bool = False
    normals_beside: bool = False
    allow_synthetic: bool = False
    admit_special: tuple[str, ...] = ()


def read_patient(
    options: TableOptions, name: str, splits: tuple[str, ...], rows: Mapping[str, list[Row]]
) -> UnitIndex:
    """The images of a patient, of whom `rows` has those of each path from the root on."""
    return _Patient(options, name, splits).index(rows)


@dataclasses.dataclass
class _File:
    """What an image's file says of itself."""

    size: tuple[int, int]
    plain: bool
    laterality: str = ""
    view: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    synthetic: bool = False


@dataclasses.dataclass
class _Patient:
    """What is read and rejected of one patient."""

    options: TableOptions
    name: str
    splits: tuple[str, ...]
    read: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)
    # The side of every breast with something that is not healthy, and the image that says so.
    cases: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def index(self, rows: Mapping[str, list[Row]]) -> UnitIndex:
        """The unit's index, of the rows of each path."""
        found = [self._image(path, rows[path]) for path in sorted(rows)]
        images = [self._judged(image) for image in found if image]
        kept = tuple(image for image in images if image)
        return UnitIndex(kept, tuple(self.rejections), dict(self.read))

    def _image(self, path: str, rows: list[Row]) -> Image | None:
        """An image with its marks; None where it is rejected."""
        self.read[IMAGES] += 1
        image = self._blank(path)
        try:
            file = self._file(image.path)
            image, rows = self._described(image, rows, file)
        except Rejected as fault:
            self._reject(image, rows, fault)
            return None
        lesions = [row for row in rows if not self._healthy(row)]
        if not rows:
            self.rejections += reject_image(image, Reason.NOT_NORMAL, "no row is of this side")
            return None
        if not lesions:
            evidence = evidence_of(self.options.mapping, rows[0])
            return dataclasses.replace(image, use=HEALTHY, evidence=evidence)
        self.cases.append((image.laterality, image.path))
        marks = tuple(self._marks(image, path, lesions, file.size))
        if not marks:
            self._reject_markless(image, lesions)
            return None
        beside = self.options.normals_beside and not self._rejected_on(image)
        return dataclasses.replace(image, use=LESION, marks=marks, normals_beside=beside)

    def _blank(self, path: str) -> Image:
        pseudonyms = self.options.mapping.pseudonyms
        return Image(
            path=os.path.join(self.options.root, path),
            client_id=self.name,
            study_uid="",
            sop_uid=f"image-{digest(path).hex()[:16]}" if pseudonyms else path,
            laterality="",
            view="",
            use=UNKNOWN,
            strict=False,
            splits=self.splits,
        )

    def _file(self, path: str) -> _File:
        """The header of a file; `Rejected` where it is missing, damaged or no mammogram."""
        if not files.exists(path):
            raise Rejected(Reason.NO_IMAGE_FILE)
        try:
            beginning = files.read_range(path, 0, 8)
        except OSError as error:
            raise Rejected(Reason.UNREADABLE_FILE, error.strerror or "") from error
        if is_plain(beginning):
            plain = read_plain_header(path)
            return _File((plain.rows, plain.columns), plain=True)
        header = reading.read_header(path)
        options = self.options
        fault = selection_fault(header, False, options.allow_synthetic, options.admit_special)
        if fault:
            raise Rejected(*fault)
        return _File(
            size=(header.rows, header.columns),
            plain=False,
            laterality=header.laterality if header.laterality in SIDES else "",
            view=header.view,
            sop_uid=header.sop_uid if is_uid(header.sop_uid) else "",
            study_uid=header.study_uid if is_uid(header.study_uid) else "",
            synthetic=header.synthetic,
        )

    def _described(self, image: Image, rows: list[Row], file: _File) -> tuple[Image, list[Row]]:
        """The image with what its rows and its file say, and the rows that are of its side."""
        mapping, first = self.options.mapping, rows[0]
        if not holds(mapping.only, first):
            raise Rejected(Reason.LEFT_OUT_BY_MAPPING, first.name)
        path = files.relative(image.path, self.options.root)
        wild = any(map(is_wild, paths_of(mapping, first)))
        if wild and file.laterality and mapping.laterality:
            rows = [
                r for r in rows if text_of(mapping.laterality, r, path) in ("", file.laterality)
            ]
        side = text_of(mapping.laterality, rows[0], path) if rows else ""
        view = text_of(mapping.view, first, path).upper() or file.view
        image = dataclasses.replace(
            image,
            study_uid=self._study(first, path) or file.study_uid,
            sop_uid=file.sop_uid or image.sop_uid,
            laterality=side or file.laterality,
            view=view,
            synthetic=file.synthetic,
            breast_density=self._density(first, path),
            facts=self._facts(first, path, file),
        )
        if view and view not in VIEWS:
            raise Rejected(Reason.WRONG_VIEW, first.name)
        return image, rows

    def _study(self, row: Row, path: str) -> str:
        study = text_of(self.options.mapping.study, row, path)
        hidden = study and self.options.mapping.pseudonyms
        return f"study-{digest(study).hex()[:16]}" if hidden else study

    def _density(self, row: Row, path: str) -> str:
        density = text_of(self.options.mapping.breast_density, row, path)
        return density if density in _DENSITIES else ""

    def _facts(self, row: Row, path: str, file: _File) -> FileFacts:
        mapping = self.options.mapping
        spacing, firm = (
            text_of(value, row, path) for value in (mapping.spacing_mm, mapping.manufacturer)
        )
        try:
            spacing_mm = float(spacing or 0.0)
        except ValueError:
            spacing_mm = -1.0
        if not 0.0 <= spacing_mm < 10.0:
            raise Rejected(Reason.UNKNOWN_SPACING, row.name)
        plain = FileFacts(True, self.options.bits, self.options.inverted)
        return dataclasses.replace(
            plain if file.plain else FileFacts(),
            spacing_mm=spacing_mm,
            manufacturer=firm if is_firm(firm) else "",
            age_band=age_band(text_of(mapping.age, row, path)),
            thickness_mm=thickness_mm(text_of(mapping.thickness_mm, row, path)),
            exposure_mas=exposure_mas(text_of(mapping.exposure_mas, row, path)),
            site=site_code(text_of(mapping.site, row, path)),
        )

    def _healthy(self, row: Row) -> bool:
        try:
            return is_healthy(self.options.mapping, row)
        except Rejected:  # told as a mark's
            return False

    def _marks(
        self, image: Image, path: str, lesions: list[Row], size: tuple[int, int]
    ) -> Iterator[Mark]:
        """The usable marks of an image of that size (H, W); the others are rejected.

        The same place twice with one class is one lesion, and with two classes nobody knows.
        """
        places: dict[tuple[object, ...], list[Mark]] = {}
        for row in lesions:
            for name, mark in marks_of(self.options.mapping, row, self.options.root, path, size):
                self.read[MARKS] += 1
                if isinstance(mark, Rejected):
                    self._reject_mark(image, name, mark)
                else:
                    places.setdefault((mark.box, mark.outline, mark.mask), []).append(mark)
        for first, *rest in places.values():
            agree = len({mark.patch_class for mark in (first, *rest)}) == 1
            reason = Reason.DUPLICATE_MARK if agree else Reason.CONTRADICTING_ROWS
            for mark in rest if agree else (first, *rest):
                self._reject_mark(image, mark.mark_id, Rejected(reason, first.mark_id))
            if agree:
                yield first

    def _judged(self, image: Image) -> Image | None:
        """The image where it may be used, as a healthy one only if the patient has no lesion."""
        others = [side for side, path in self.cases if path != image.path]
        if image.use != HEALTHY or not others:
            return image
        same = image.laterality in SIDES and image.laterality in others
        if self.options.normals_from_cases and not same:
            return image
        known = image.laterality in SIDES and all(side in SIDES for side in others)
        contralateral = known and not same
        reason = Reason.CONTRALATERAL_OF_CASE if contralateral else Reason.CASE_IN_OTHER_IMAGE
        self.rejections += reject_image(image, reason)
        return None

    def _reject(self, image: Image, rows: Sequence[Row], fault: Rejected) -> None:
        """Rejects an image, and what its rows tell of lesions on it."""
        lesions = [row for row in rows if not self._healthy(row)]
        if lesions:
            self.cases.append((image.laterality, image.path))
        detail = fault.detail or rows[0].name
        self.rejections += reject_image(image, fault.reason, detail)
        for row in lesions:
            self.read[MARKS] += 1
            self._reject_mark(image, row.name, Rejected(Reason.IMAGE_REJECTED, fault.reason.value))

    def _reject_markless(self, image: Image, lesions: Sequence[Row]) -> None:
        """Rejects an image with lesions and no usable mark, with its label as far as known."""
        reasons = {item.reason for item in self.rejections if self._is_on(item, image)}
        labels = {class_of(self.options.mapping, row) for row in lesions} - {"", NORMAL}
        reason = Reason.NO_USABLE_MARK
        if reasons == {Reason.NO_PLACE}:
            reason = Reason.CASE_WITHOUT_BOX if labels else Reason.NOT_NORMAL
        self.rejections += reject_image(image, reason, " ".join(sorted(labels)))

    def _rejected_on(self, image: Image) -> bool:
        return any(
            self._is_on(item, image) and item.reason != Reason.DUPLICATE_MARK
            for item in self.rejections
        )

    def _is_on(self, item: Rejection, image: Image) -> bool:
        return item.kind == MARKS and item.name.startswith(f"{image.path}#")

    def _reject_mark(self, image: Image, name: str, fault: Rejected) -> None:
        origin, path = image.origin(name), f"{image.path}#{name}"
        self.rejections.append(Rejection(MARKS, path, fault.reason, fault.detail, origin))
