"""Any folder of mammogram DICOM files without annotations: films, exports, other archives."""

import dataclasses
import os
import re

from beam_pipelines import dicom, files
from beam_pipelines.dicom_header import Header, selection_fault
from beam_pipelines.rejections import FILES, IMAGES, Reason, Rejected, Rejection
from beam_pipelines.sources import HEALTHY, SIDES, Image, UnitIndex, reject_image
from cgan_tf.errors import UserError

_NO_PATIENT = {"", "anonymous", "anon", "anonymized", "anonymised", "unknown", "none", "0"}
# CBIS-DDSM writes the side and the view into PatientID: Mass-Test_P_00173_LEFT_CC.
_SIDE_AND_VIEW = re.compile(r"[_\- ]*(LEFT|RIGHT|L|R)[_\- ]*(CC|MLO)(?:[_\- ]\d+)?$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder, searched in all its depth; its units are the files."""

    root: str
    paths: tuple[str, ...]

    def units(self) -> list[str]:
        """The files."""
        return list(self.paths)

    def read_unit(self, unit: str) -> UnitIndex:
        """One file: an image, or the reason why not."""
        try:
            header = dicom.read_header(unit)
        except Rejected as fault:
            kind = Rejection(FILES, unit, Reason.NOT_DICOM, fault.detail)
            return UnitIndex((), (kind,), {FILES: 1})
        image = _image(unit, header)
        fault = selection_fault(header, strict=False)
        if fault:
            return UnitIndex((), tuple(reject_image(image, *fault)), {IMAGES: 1})
        return UnitIndex((image,), (), {IMAGES: 1})


def open_folder(root: str) -> Folder:
    """The folder; `UserError` when it is missing or holds no file."""
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory of DICOM files, found none")
    paths = tuple(files.walk(root))
    if not paths:
        raise UserError(f"{root}: expected DICOM files, found no file")
    return Folder(root, paths)


def _image(path: str, header: Header) -> Image:
    match = _SIDE_AND_VIEW.search(header.patient_id)
    side, view = (match[1][0].upper(), match[2].upper()) if match else ("", "")
    return Image(
        path=path,
        client_id=_client(path, header.patient_id, match),
        study_uid=header.study_uid,
        sop_uid=header.sop_uid or os.path.basename(path),
        laterality=header.laterality if header.laterality in SIDES else side,
        view=header.view or view,
        use=HEALTHY,
        strict=False,
    )


def _client(path: str, patient_id: str, match: re.Match[str] | None) -> str:
    """The patient's part of PatientID; the folder's name where there is none."""
    patient = patient_id[: match.start()] if match else patient_id
    if patient.strip().lower() in _NO_PATIENT:
        return os.path.basename(os.path.dirname(path))
    return patient.strip()
