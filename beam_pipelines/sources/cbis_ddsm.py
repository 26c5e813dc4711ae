"""CBIS-DDSM, the public film mammograms: films with lesions, or the reason for leaving them out.

Every film has lesions with masks; there are no normal mammograms.
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import Header, is_uid, selection_fault
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Reason, Rejected, Rejection
from beam_pipelines.sources.base import LESION, Image, Mark, UnitIndex, reject_image
from beam_pipelines.sources.cbis_ddsm_files import CASE_FILES, Abnormality, Copy, find_copy
from beam_pipelines.sources.outlines import fits, sizes
from cgan_tf.config import PatchesConfig

_LEFT_OVER = "files of no patient"  # a unit
_PATHOLOGIES = {
    "MALIGNANT": "malignant",
    "BENIGN": "benign",
    "BENIGN_WITHOUT_CALLBACK": "benign",
}
# "Masses" that are none, where no other shape is named.
_NO_MASS = {"ARCHITECTURAL_DISTORTION", "FOCAL_ASYMMETRIC_DENSITY", "ASYMMETRIC_BREAST_TISSUE"}
# Some patients are in a training file of one kind and in a test file of the other.
_TEST, _DEVELOPMENT = ("test",), ("train", "validation")

Sized = tuple[str, Header]


@dataclasses.dataclass(frozen=True)
class CbisDdsm:
    """A copy of CBIS-DDSM; its units are the patients, and one for what belongs to none of them.

    Attributes:
      allow_synthetic: whether images that are marked as synthetic data are used.
      normals_beside: whether normals are cut far from the lesions, where all of them are known.
      admitted: those of `header.SPECIAL_IMAGES` that are used.
    """

    copy: Copy
    allow_synthetic: bool = False
    normals_beside: bool = True
    admitted: tuple[str, ...] = ()
    labelled = True

    def units(self) -> list[str]:
        """The patients, and the rest."""
        return [*sorted(self.copy.rows), _LEFT_OVER]

    def read_unit(self, unit: str) -> UnitIndex:
        """One patient; whoever is in a training and in a test file is in the test split."""
        ledger = _UnitLedger(self.copy)
        if unit == _LEFT_OVER:
            ledger.read_left_over()
            return ledger.index(())
        rows = self.copy.rows[unit]
        splits = {row.split for row in rows}
        films = _grouped(rows)
        if len(splits) == 2:
            moved = sum(film[0].split == "train" for film in films)
            ledger.counts.update(clients_in_train_and_test_files=1, images_moved_to_test=moved)
        allowed = _TEST if "test" in splits else _DEVELOPMENT
        poses = collections.Counter((film[0].side, film[0].view) for film in films)
        images = []
        for film in films:
            alone = poses[film[0].side, film[0].view] == 1
            ledger.counts["images_in_mass_and_calc_files"] += not alone
            image = self._film(film, allowed, alone, ledger)
            images += [image] if image else []
        return ledger.index(images)

    def _film(
        self,
        rows: Sequence[Abnormality],
        splits: tuple[str, ...],
        alone: bool,
        ledger: "_UnitLedger",
    ) -> Image | None:
        """A film with its usable marks; None where it has none, or is unfit.

        It gives normals when all of its lesions are known: each of its rows is usable, and it is
        `alone`, not in the files of the other kind with other lesions.
        """
        first = rows[0]
        ledger.read.update({IMAGES: 1, MARKS: len(rows)})
        masks = {region: ledger.mask(region) for region in dict.fromkeys(r.region for r in rows)}
        image = Image(
            path=self.copy.cases.get(first.film, (first.film,))[0],
            client_id=first.patient,
            study_uid="",
            sop_uid=first.film,
            laterality=first.side,
            view=first.view,
            use=LESION,
            strict=False,
            breast_density=first.density if first.density in ("1", "2", "3", "4") else "",
            splits=splits,
        )
        try:
            image, header = self._with_file(image, ledger.film(first.film))
        except Rejected as fault:
            marks = tuple(_mark(row, "") for row in rows)
            ledger.rejections += reject_image(
                dataclasses.replace(image, marks=marks), fault.reason, fault.detail
            )
            return None
        marks = tuple(ledger.usable(rows, image, (header.rows, header.columns), masks))
        if not marks:
            ledger.rejections += reject_image(image, Reason.NO_USABLE_MARK)
            return None
        beside = self.normals_beside and alone and len(marks) == len(rows)
        return dataclasses.replace(image, marks=marks, normals_beside=beside)

    def _with_file(self, image: Image, paths: Sequence[str]) -> tuple[Image, Header]:
        if not paths:
            raise Rejected(Reason.NO_IMAGE_FILE)
        header = reading.read_header(paths[0])
        fault = selection_fault(header, False, self.allow_synthetic, self.admitted)
        if fault:
            raise Rejected(*fault)
        opened = dataclasses.replace(
            image,
            path=paths[0],
            study_uid=header.study_uid if is_uid(header.study_uid) else "",
            sop_uid=header.sop_uid if is_uid(header.sop_uid) else image.sop_uid,
            synthetic=header.synthetic,
        )
        return opened, header


@dataclasses.dataclass
class _UnitLedger:
    """What is read and rejected of one unit."""

    copy: Copy
    read: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    rejections: list[Rejection] = dataclasses.field(default_factory=list)

    def index(self, images: Iterable[Image]) -> UnitIndex:
        """The unit's index."""
        counts = {name: count for name, count in self.counts.items() if count}
        return UnitIndex(tuple(images), tuple(self.rejections), dict(self.read), counts)

    def film(self, case: str) -> list[str]:
        """The file of a film, or none; what else is in its case is rejected."""
        paths = self.copy.dicoms(case)
        self._reject_files(paths[1:], Reason.UNEXPECTED_FILE)
        return paths[:1]

    def mask(self, case: str) -> Sized | None:
        """The mask of an abnormality with its header, the larger image in its case.

        Mask and crop lie in one folder or in two, and the columns that name them are often
        swapped, which TensorFlow Datasets' reader of the set mends by size, too.
        """
        readable: list[Sized] = []
        for path in self.copy.dicoms(case):
            try:
                readable.append((path, reading.read_header(path)))
            except Rejected as fault:
                self._reject_files([path], fault.reason)
        readable.sort(key=lambda item: -item[1].rows * item[1].columns)
        self.read[FILES] += len(readable[:1])
        self._reject_files([path for path, _ in readable[1:]], Reason.CROPPED_IMAGE)
        return readable[0] if readable else None

    def usable(
        self,
        rows: Sequence[Abnormality],
        image: Image,
        size: tuple[int, int],
        masks: dict[str, Sized | None],
    ) -> Iterator[Mark]:
        """The usable marks of a film of that size (H, W); the others are rejected."""
        seen: set[str] = set()
        for row in rows:
            name = row.mark_id
            try:
                if name in seen:
                    name = f"{name} again"
                    raise Rejected(Reason.DUPLICATE_MARK)
                seen.add(name)
                yield _usable_mark(row, size, masks[row.region])
            except Rejected as fault:
                path, origin = f"{image.path}#{name}", image.origin(name)
                self.rejections.append(Rejection(MARKS, path, fault.reason, fault.detail, origin))

    def read_left_over(self) -> None:
        """The case files, their broken rows, and the files of cases that no row names."""
        self.read.update({FILES: len(CASE_FILES), MARKS: len(self.copy.broken)})
        self.rejections += self.copy.broken
        rows = [row for patient in self.copy.rows.values() for row in patient]
        named = {row.film for row in rows} | {row.region for row in rows}
        for case in sorted(self.copy.cases.keys() - named):
            self._reject_files(self.copy.dicoms(case), Reason.UNEXPECTED_FILE)

    def _reject_files(self, paths: Sequence[str], reason: Reason) -> None:
        self.read[FILES] += len(paths)
        self.rejections += [Rejection(FILES, path, reason) for path in paths]


def open_source(config: PatchesConfig) -> CbisDdsm:
    """The copy of CBIS-DDSM in `--input_dir`."""
    beside = config.normals_from_lesion_images is not False
    copy = find_copy(config.input_dir)
    return CbisDdsm(copy, config.allow_synthetic, beside, config.admit_special)


def _grouped(rows: Sequence[Abnormality]) -> list[list[Abnormality]]:
    """The rows of each film."""
    films: dict[str, list[Abnormality]] = collections.defaultdict(list)
    for row in rows:
        films[row.film].append(row)
    return list(films.values())


def _usable_mark(row: Abnormality, size: tuple[int, int], mask: Sized | None) -> Mark:
    """The mark of a row on a film of that size (H, W); `Rejected` when it has none."""
    if row.kind == "mass" and row.shapes <= _NO_MASS:
        raise Rejected(Reason.NEITHER_MASS_NOR_CALCIFICATION)
    if row.pathology not in _PATHOLOGIES:
        raise Rejected(Reason.NO_PATHOLOGY)
    if not mask:
        raise Rejected(Reason.NO_MASK_FILE)
    path, header = mask
    mask_size = header.rows, header.columns
    if not fits(mask_size, size):
        raise Rejected(Reason.MASK_SIZE_MISMATCH, sizes(mask_size, size))
    repairs = "" if mask_size == size else "mask_of_other_size"
    return dataclasses.replace(_mark(row, path), repairs=repairs)


def _mark(row: Abnormality, mask: str) -> Mark:
    label = _PATHOLOGIES.get(row.pathology, "")
    assessment = f", assessment {row.assessment}" if re.fullmatch("[0-6]", row.assessment) else ""
    return Mark(
        mark_id=row.mark_id,
        box=(),
        patch_class=f"{label}_{'mass' if row.kind == 'mass' else 'calcification'}",
        has_mass=int(row.kind == "mass"),
        has_calcification=int(row.kind == "calc"),
        evidence=row.pathology + assessment,
        conspicuity=f"subtlety {row.subtlety}" if row.subtlety in ("1", "2", "3", "4", "5") else "",
        mask=mask,
    )
