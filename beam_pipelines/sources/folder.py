"""A folder of mammogram DICOM files without annotations, alone or as the normals of a data set."""

import dataclasses
import os
import re

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

_NO_PATIENT = {"", "anonymous", "anon", "anonymized", "anonymised", "unknown", "none", "0"}
# CBIS-DDSM writes the side and the view into PatientID: Mass-Test_P_00173_LEFT_CC.
_SIDE_AND_VIEW = re.compile(r"[_\- ]*(LEFT|RIGHT|L|R)[_\- ]*(CC|MLO)(?:[_\- ]\d+)?$", re.IGNORECASE)

# The same patient may be in several of its parts.
_PUBLIC_PATIENT = re.compile(r"(?:(?:Mass|Calc)-(?:Training|Test)_)?(P_\d{5})")


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder, searched in all its depth; its units are the files.

    `allow_synthetic`: whether images that are marked as synthetic data are used.
    """

    root: str
    paths: tuple[str, ...]
    allow_synthetic: bool = False
    labelled = False

    def units(self) -> list[str]:
        """The files."""
        return list(self.paths)

    def read_unit(self, unit: str) -> UnitIndex:
        """One file: an image, or the reason why not."""
        try:
            header = reading.read_header(unit)
        except Rejected as fault:
            kind = Rejection(FILES, unit, Reason.NOT_DICOM, fault.detail)
            return UnitIndex((), (kind,), {FILES: 1})
        image = _image(unit, header)
        unfit = selection_fault(header, strict=False, allow_synthetic=self.allow_synthetic)
        if unfit:
            return UnitIndex((), tuple(reject_image(image, *unfit)), {IMAGES: 1})
        return UnitIndex((image,), (), {IMAGES: 1})


def open_source(config: PatchesConfig) -> Folder:
    """The folder `--input_dir`."""
    return open_folder(config.input_dir, config.allow_synthetic)


def open_folder(root: str, allow_synthetic: bool = False) -> Folder:
    """The folder; `UserError` when it is missing or holds no file."""
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory of DICOM files, found none")
    paths = tuple(files.walk(root))
    if not paths:
        raise UserError(f"{root}: expected DICOM files, found no file")
    return Folder(root, paths, allow_synthetic)


def _image(path: str, header: Header) -> Image:
    match = _SIDE_AND_VIEW.search(header.patient_id)
    side, view = (match[1][0].upper(), match[2].upper()) if match else ("", "")
    return Image(
        path=path,
        client_id=_client(path, header.patient_id, match),
        study_uid=header.study_uid if is_uid(header.study_uid) else "",
        sop_uid=header.sop_uid if is_uid(header.sop_uid) else os.path.basename(path),
        laterality=header.laterality if header.laterality in SIDES else side,
        view=header.view or view,
        use=UNKNOWN,
        strict=False,
        synthetic=header.synthetic,
    )


def _client(path: str, patient_id: str, match: re.Match[str] | None) -> str:
    """A pseudonym of PatientID; the folder's name where PatientID is empty.

    CBIS-DDSM's own ids are public: P_00173 of Mass-Test_P_00173_LEFT_CC.
    """
    patient = (patient_id[: match.start()] if match else patient_id).strip()
    if patient.lower() in _NO_PATIENT:
        return os.path.basename(os.path.dirname(path))
    public = _PUBLIC_PATIENT.fullmatch(patient)
    if public:
        return public[1]
    return f"patient-{digest(patient).hex()[:16]}"


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
    return WithNormals(source, open_folder(config.normals_dir, config.allow_synthetic))
