"""A folder of mammogram DICOM files without annotations, alone or as the normals of a data set.

Whose an image is, PatientID says, else StudyInstanceUID; images with neither are taken for those of
one patient. The names of files and folders say nothing: exports have folders for a series or a
view, and the same file name in each of them. So two patients may be taken for one and share a
split, but no study is ever in two.
"""

import collections
import dataclasses
import os
import re

from pydicom.errors import InvalidDicomError

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import Header, is_uid, selection_fault
from beam_pipelines.rejections import FILES, IMAGES, Reason, Rejected, Rejection
from beam_pipelines.sources.base import (
    HEALTHY,
    SIDES,
    UNKNOWN,
    Image,
    Source,
    UnitIndex,
    reject_image,
)
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import digest
from cgan_tf.runs.errors import UserError

# What anonymisers and consoles write into PatientID when there is nobody.
_NO_PATIENT = re.compile(
    r"|anon(?:ymous|ymi[sz]ed)?|de-?identified|unknown|none|null|n/?a|no[ _-]?id|removed|deleted"
    r"|[0.x*_ -]+",
    re.IGNORECASE,
)
_NOBODY = "unknown"
# What the counts of an index say of the patients.
_BY_PATIENT = "images_with_a_patient_id"
_BY_STUDY = "images_known_by_their_study_alone"
_BY_NOTHING = "images_of_nobody_known_taken_for_one_patient"
# Pictures that `--source=table` reads.
_PICTURES = ("png", "jpg", "jpeg", "tif", "tiff", "pgm", "bmp")
_TABLES = ("csv", "tsv", "parquet", "txt", "xlsx", "json")
# CBIS-DDSM writes the side and the view into PatientID: Mass-Test_P_00173_LEFT_CC.
_SIDE_AND_VIEW = re.compile(r"[_\- ]*(LEFT|RIGHT|L|R)[_\- ]*(CC|MLO)(?:[_\- ]\d+)?$", re.IGNORECASE)

# The same patient may be in several of its parts.
_PUBLIC_PATIENT = re.compile(r"(?:(?:Mass|Calc)-(?:Training|Test)_)?(P_\d{5})")


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder, searched in all its depth; its units are the files.

    `allow_synthetic`: whether images that are marked as synthetic data are used; `admitted`: those
    of `header.SPECIAL_IMAGES` that are.
    """

    root: str
    paths: tuple[str, ...]
    allow_synthetic: bool = False
    admitted: tuple[str, ...] = ()
    labelled = False

    def units(self) -> list[str]:
        """The files."""
        return list(self.paths)

    def read_unit(self, unit: str) -> UnitIndex:
        """One file: an image, or the reason why not."""
        try:
            header = reading.read_header(unit)
        except Rejected as fault:
            no_dicom = isinstance(fault.__cause__, InvalidDicomError)
            found = (Reason.NOT_DICOM, _ending(unit)) if no_dicom else (fault.reason, fault.detail)
            kind = Rejection(FILES, unit, *found)
            return UnitIndex((), (kind,), {FILES: 1})
        image, known_by = self._image(unit, header)
        unfit = selection_fault(header, False, self.allow_synthetic, self.admitted)
        if unfit:
            return UnitIndex((), tuple(reject_image(image, *unfit)), {IMAGES: 1})
        return UnitIndex((image,), (), {IMAGES: 1}, {known_by: 1})

    def _image(self, path: str, header: Header) -> tuple[Image, str]:
        """(the image, the count of what its patient is known by)."""
        match = _SIDE_AND_VIEW.search(header.patient_id)
        side, view = (match[1][0].upper(), match[2].upper()) if match else ("", "")
        patient, study = _patient(header.patient_id, match), _name("study", header.study_uid)
        where = files.relative(path, self.root)
        image = Image(
            path=path,
            client_id=patient or study or _NOBODY,
            study_uid=study,
            sop_uid=_name("instance", header.sop_uid) or f"file-{digest(where).hex()[:16]}",
            laterality=header.laterality if header.laterality in SIDES else side,
            view=header.view or view,
            use=UNKNOWN,
            strict=False,
            synthetic=header.synthetic,
            known_by_study=bool(study and not patient),
        )
        known_by = _BY_PATIENT if patient else _BY_STUDY if study else _BY_NOTHING
        return image, known_by


def open_source(config: PatchesConfig) -> Folder:
    """The folder `--input_dir`."""
    return open_folder(config.input_dir, config.allow_synthetic, config.admit_special)


def open_folder(root: str, allow_synthetic: bool = False, admitted: tuple[str, ...] = ()) -> Folder:
    """The folder; `UserError` when it is missing, holds no file, or pictures but no DICOM file."""
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory of DICOM files, found none")
    paths = tuple(files.walk(root))
    if not paths:
        raise UserError(f"{root}: expected DICOM files, found no file")
    kinds = collections.Counter(map(_ending, paths))
    if kinds.keys() <= {*_PICTURES, *_TABLES} and kinds.keys() & set(_PICTURES):
        counts = ", ".join(f"{count} {kind.upper()}" for kind, count in kinds.most_common())
        raise UserError(
            f"{root}: expected DICOM files, found {counts}; --source=table reads pictures with a "
            "table of what they show, see docs/data.md"
        )
    return Folder(root, paths, allow_synthetic, admitted)


def _ending(path: str) -> str:
    """How a file's name ends, where that is a kind of file and no text of its own."""
    ending = os.path.splitext(path)[1][1:].lower()
    return ending if ending in (*_PICTURES, *_TABLES, "zip", "gz", "tar") else ""


def _name(kind: str, uid: str) -> str:
    """A UID, or a pseudonym of what stands in its place, which could name a person; empty for
    nothing."""
    return uid if is_uid(uid) or not uid else f"{kind}-{digest(uid).hex()[:16]}"


def _patient(patient_id: str, match: re.Match[str] | None) -> str:
    """The patient, without what PatientID says of her side and view; empty where it names none.

    CBIS-DDSM's own ids are public: P_00173 of Mass-Test_P_00173_LEFT_CC.
    """
    patient = (patient_id[: match.start()] if match else patient_id).strip()
    if _NO_PATIENT.fullmatch(patient):
        return ""
    public = _PUBLIC_PATIENT.fullmatch(patient)
    return public[1] if public else f"patient-{digest(patient).hex()[:16]}"


_EVIDENCE = "said to be healthy by --normals_dir"
_FIRST, _BESIDE = "data set:", "normals:"  # what the names of units begin with


@dataclasses.dataclass(frozen=True)
class WithNormals:
    """`source`, and the images of `folder` as healthy ones."""

    source: Source
    folder: Folder
    labelled = True

    def units(self) -> list[str]:
        """The units of both."""
        return [_FIRST + unit for unit in self.source.units()] + [
            _BESIDE + unit for unit in self.folder.units()
        ]

    def read_unit(self, unit: str) -> UnitIndex:
        """One unit of either."""
        if unit.startswith(_FIRST):
            return self.source.read_unit(unit.removeprefix(_FIRST))
        index = self.folder.read_unit(unit.removeprefix(_BESIDE))
        healthy = (
            dataclasses.replace(image, use=HEALTHY, evidence=_EVIDENCE) for image in index.images
        )
        return dataclasses.replace(index, images=tuple(healthy))


def with_normals(source: Source, config: PatchesConfig) -> WithNormals:
    """A source with the folder `--normals_dir`; `UserError` where the source has no labels."""
    if not source.labelled:
        raise UserError(f"--normals_dir: expected with lesions, found --source={config.source}")
    folder = open_folder(config.normals_dir, config.allow_synthetic, config.admit_special)
    return WithNormals(source, folder)
