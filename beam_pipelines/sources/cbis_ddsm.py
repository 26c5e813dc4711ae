"""CBIS-DDSM, the public film mammograms, as The Cancer Imaging Archive (TCIA) gives them out.

Every film has lesions with masks; there are no normal mammograms.

The case files (CSV) describe the abnormalities, one a row: masses and calcifications, training and
test. The first folder of a row's paths is a case: `Mass-Training_P_00001_LEFT_CC` holds a film,
`Mass-Training_P_00001_LEFT_CC_1` the mask of its abnormality 1 and a cropped image of it. What lies
below a case depends on the program and the year of the download:

    <case>/<study uid>/<series uid>/000000.dcm               as the case files have it
    <case>/07-20-2016-DDSM-74994/1-full mammogram images-24515/000000.dcm
    <case>/07-20-2016-DDSM-NA-74994/1.000000-full mammogram images-24515/1-1.dcm

Only the names of the cases are the same everywhere, so nothing else of the paths is used. Where no
folder is named by a case (copies with folders for the series uids, or with none), PatientID of each
file is the case. The layouts are those that public code for the set reads.

The columns are those of TCIA's files: cells with paths may be quoted and end in a newline, and the
density is called breast_density for masses and breast density for calcifications.
"""

import collections
import contextlib
import csv
import dataclasses
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import Header, is_uid, selection_fault
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Origin, Reason, Rejected, Rejection
from beam_pipelines.sources.base import LESION, Image, Mark, UnitIndex, reject_image
from beam_pipelines.sources.outlines import fits, sizes
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.runs.errors import UserError

CASE_FILES = {
    f"{kind}_case_description_{split}_set.csv": (kind, split)
    for kind in ("mass", "calc")
    for split in ("train", "test")
}
_FILM = r"(?:Mass|Calc)-(?:Training|Test)_P_\d+_(?:LEFT|RIGHT)_(?:CC|MLO)"
_CASE = re.compile(rf"{_FILM}(?:_\d+)?")
_DEPTH = 4  # folders from --input_dir down to the cases, at most
# The columns that are used. Each of these texts must be the whole of its cell.
_COLUMNS = {
    "patient id": re.compile(r"P_\d+"),
    "left or right breast": re.compile("LEFT|RIGHT"),
    "image view": re.compile("CC|MLO"),
    "abnormality id": re.compile(r"\d+"),
    "pathology": re.compile(".*"),
    "assessment": re.compile(".*"),
    "subtlety": re.compile(".*"),
    "breast density": re.compile(".*"),
    "image file path": re.compile(rf"(?:.*/)?{_FILM}/.*"),
    "roi mask file path": re.compile(rf"(?:.*/)?{_FILM}_\d+/.*"),
}


@dataclasses.dataclass(frozen=True)
class Abnormality:
    """One row of a case file.

    Attributes:
      kind, split: of the file: mass or calc, train or test.
      side: L or R. view: CC or MLO. number: unique on the film, masses and calcifications together.
      shapes: words for a mass. pathology, assessment, subtlety, density: as in the file.
      film, region: the case of the film, and that of mask and crop.
    """

    kind: str
    split: str
    patient: str
    side: str
    view: str
    number: str
    shapes: frozenset[str]
    pathology: str
    assessment: str
    subtlety: str
    density: str
    film: str
    region: str

    @property
    def mark_id(self) -> str:
        """Its name on the film."""
        return f"{self.kind}_{self.number}"


@dataclasses.dataclass(frozen=True)
class Copy:
    """A copy of the data set.

    Attributes:
      cases: the folders of each case, or its files where no folder has its name.
      rows: of each patient. broken: rejections of rows that do not name a patient, film and mask.
    """

    cases: dict[str, tuple[str, ...]]
    rows: dict[str, tuple[Abnormality, ...]]
    broken: tuple[Rejection, ...] = ()

    def dicoms(self, case: str) -> list[str]:
        """The DICOM files of a case; none when it is not there."""
        found: list[str] = []
        for path in self.cases.get(case, ()):
            found += [path] if _is_dicom(path) else filter(_is_dicom, files.walk(path))
        return found


def find_copy(root: str) -> Copy:
    """The copy under `root`; `UserError` for a missing or unreadable case file, and without cases.

    All four are needed: without one of them, lesions of other films' patients would be unknown.
    """
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory with a copy of CBIS-DDSM, found none")
    tables: dict[str, str] = {}
    cases: dict[str, list[str]] = collections.defaultdict(list)
    for folder in _folders(root, _DEPTH):
        name = os.path.basename(folder)
        if _CASE.fullmatch(name):
            cases[name].append(folder)
            continue
        for file in files.file_names(folder):
            if file in CASE_FILES:
                tables.setdefault(file, os.path.join(folder, file))
    missing = sorted(CASE_FILES.keys() - tables.keys())
    if missing:
        raise UserError(
            f"{root}: expected the case files {', '.join(CASE_FILES)}, missing {', '.join(missing)}"
        )
    if not cases:
        cases = _cases_by_header(root)
    if not cases:
        raise UserError(
            f"{root}: expected folders such as Mass-Training_P_00001_LEFT_CC, or DICOM files with "
            "such names as their PatientID, found none; --source=table reads copies as PNG or JPEG"
        )
    rows: dict[str, list[Abnormality]] = collections.defaultdict(list)
    broken: list[Rejection] = []
    for file in CASE_FILES:
        for row in _rows(tables[file]):
            if isinstance(row, Rejection):
                broken.append(row)
            else:
                rows[row.patient].append(row)
    return Copy(
        {name: tuple(folders) for name, folders in cases.items()},
        {patient: tuple(found) for patient, found in rows.items()},
        tuple(broken),
    )


def _is_dicom(path: str) -> bool:
    return path.lower().endswith(".dcm")


def _cases_by_header(root: str) -> dict[str, list[str]]:
    """The files of each case, by PatientID; a file that cannot be read is of none."""
    cases: dict[str, list[str]] = collections.defaultdict(list)
    for path in filter(_is_dicom, files.walk(root)):
        with contextlib.suppress(Rejected):
            patient = reading.read_header(path).patient_id
            if _CASE.fullmatch(patient):
                cases[patient].append(path)
    return cases


def _folders(root: str, depth: int) -> Iterator[str]:
    """A directory and those below it; cases are not entered."""
    yield root
    if depth and not _CASE.fullmatch(os.path.basename(root)):
        for name in files.directories(root):
            if not name.startswith("."):
                yield from _folders(os.path.join(root, name), depth - 1)


def _rows(path: str) -> Iterator[Abnormality | Rejection]:
    """The rows of a case file in their order; `UserError` when it is not such a file."""
    try:
        text = files.read_bytes(path).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        columns = {_column(name) for name in reader.fieldnames or ()}
        if missing := _COLUMNS.keys() - columns:
            raise UserError(
                f"{path}: expected the columns {', '.join(_COLUMNS)}; "
                f"missing {', '.join(sorted(missing))}"
            )
        for cells in reader:
            values = {_column(name): (cell or "").strip() for name, cell in cells.items() if name}
            yield _row(path, reader.line_num, values)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: expected a case file of CBIS-DDSM: {error}") from error


def _column(name: str) -> str:
    return name.strip().lower().replace("_", " ")


def _row(path: str, line: int, values: dict[str, str]) -> Abnormality | Rejection:
    """A row, or why it is of no use."""
    for name, pattern in _COLUMNS.items():
        if not pattern.fullmatch(values[name]):
            origin = Origin("", mark_id=f"line {line}", splits=())
            return Rejection(MARKS, f"{path}#line {line}", Reason.BROKEN_MARK, name, origin)
    kind, split = CASE_FILES[os.path.basename(path)]
    return Abnormality(
        kind=kind,
        split=split,
        patient=values["patient id"],
        side=values["left or right breast"][0],
        view=values["image view"],
        number=values["abnormality id"],
        shapes=frozenset(values.get("mass shape", "").split("-")),
        pathology=values["pathology"],
        assessment=values["assessment"],
        subtlety=values["subtlety"],
        density=values["breast density"],
        film=_case_in(values["image file path"]),
        region=_case_in(values["roi mask file path"]),
    )


def _case_in(path: str) -> str:
    match = _CASE.search(path)
    assert match
    return match[0]


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
        account = _Account(self.copy)
        if unit == _LEFT_OVER:
            account.read_left_over()
            return account.index(())
        rows = self.copy.rows[unit]
        splits = {row.split for row in rows}
        films = _grouped(rows)
        if len(splits) == 2:
            moved = sum(film[0].split == "train" for film in films)
            account.counts.update(clients_in_train_and_test_files=1, images_moved_to_test=moved)
        allowed = _TEST if "test" in splits else _DEVELOPMENT
        poses = collections.Counter((film[0].side, film[0].view) for film in films)
        images = []
        for film in films:
            alone = poses[film[0].side, film[0].view] == 1
            account.counts["images_in_mass_and_calc_files"] += not alone
            image = self._film(film, allowed, alone, account)
            images += [image] if image else []
        return account.index(images)

    def _film(
        self,
        rows: Sequence[Abnormality],
        splits: tuple[str, ...],
        alone: bool,
        account: "_Account",
    ) -> Image | None:
        """A film with its usable marks; None where it has none, or is unfit.

        It gives normals when all of its lesions are known: each of its rows is usable, and it is
        `alone`, not in the files of the other kind with other lesions.
        """
        first = rows[0]
        account.read.update({IMAGES: 1, MARKS: len(rows)})
        masks = {region: account.mask(region) for region in dict.fromkeys(r.region for r in rows)}
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
            image, header = self._with_file(image, account.film(first.film))
        except Rejected as fault:
            marks = tuple(_mark(row, "") for row in rows)
            account.rejections += reject_image(
                dataclasses.replace(image, marks=marks), fault.reason, fault.detail
            )
            return None
        marks = tuple(account.usable(rows, image, (header.rows, header.columns), masks))
        if not marks:
            account.rejections += reject_image(image, Reason.NO_USABLE_MARK)
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
class _Account:
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
