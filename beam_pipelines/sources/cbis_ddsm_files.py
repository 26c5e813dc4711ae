"""The files of CBIS-DDSM: the case files, and where films and masks lie in a copy.

The case files (CSV) of The Cancer Imaging Archive (TCIA) describe the abnormalities, one a row:
masses and calcifications, training and test. The first folder of a row's paths is a case:
`Mass-Training_P_00001_LEFT_CC` holds a film, `Mass-Training_P_00001_LEFT_CC_1` the mask of its
abnormality 1 and a cropped image of it. What lies below a case depends on the program and the year
of the download:

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
from collections.abc import Iterator

from beam_pipelines.dicom import reading
from beam_pipelines.rejections import MARKS, Origin, Reason, Rejected, Rejection
from beam_pipelines.storage import files
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
