"""Writes derived, synthetic DICOM images: their header from that of the source, and their pixels.

What describes the source's pixels and no longer fits is left out: icons, overlays, curves,
histograms, extreme values, digital signatures (PS3.3 C.7.6.1, C.12.1). Blanking the patient is no
de-identification (PS3.15 annex E): dates, places and descriptions stay.
"""

import contextlib
import copy
import dataclasses
import io
import uuid
from typing import Any

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from cgan_tf import __version__
from cgan_tf.data.keyed import digest

_KEPT = ("PatientSex", "PatientAge")  # of group 0010
_EMPTIED = (  # type 2: present, and may be empty
    "PatientName", "PatientBirthDate", "AccessionNumber", "ReferringPhysicianName", "StudyID",
)  # fmt: skip
_REMOVED = (
    "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName",
    "ConsultingPhysicianIdentificationSequence", "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence", "PerformingPhysicianName",
    "PerformingPhysicianIdentificationSequence", "NameOfPhysiciansReadingStudy",
    "PhysiciansReadingStudyIdentificationSequence", "OperatorsName",
    "OperatorIdentificationSequence", "RequestingPhysician", "RequestAttributesSequence",
    "ReferencedPatientSequence", "ReferencedStudySequence", "OriginalAttributesSequence",
    "IssuerOfAccessionNumberSequence", "AdmissionID", "PerformedProcedureStepID",
    "ReferencedPerformedProcedureStepSequence",
)  # fmt: skip


def blank_patient(dataset: Dataset, patient_id: str) -> None:
    """Leaves `patient_id`, sex and age of the patient, and no private element, in the data set."""
    dataset.remove_private_tags()
    for keyword in _REMOVED:
        if keyword in dataset:
            del dataset[keyword]
    kept = {keyword: dataset[keyword] for keyword in _KEPT if keyword in dataset}
    for tag in [tag for tag in dataset.keys() if tag.group == 0x0010]:  # noqa: SIM118
        del dataset[tag]
    for element in kept.values():
        dataset.add(element)
    for keyword in _EMPTIED:
        setattr(dataset, keyword, "")
    dataset.PatientID = patient_id
    if "PatientSex" not in dataset:
        dataset.PatientSex = ""


_STALE = (
    "IconImageSequence", "SmallestImagePixelValue", "LargestImagePixelValue", "HistogramSequence",
    "MACParametersSequence", "EncryptedAttributesSequence", "DigitalSignaturesSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "InstanceCreationDate",
    "InstanceCreationTime", "InstanceCreatorUID",
)  # fmt: skip
_STALE_GROUPS = (0x5000, 0x6000)  # curves and overlays; each has 128 groups, the even ones
_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_LONGEST_DESCRIPTION = 64  # of the value representation LO
PROGRAM = "contextual-gan-mammography"


@dataclasses.dataclass(frozen=True)
class Names:
    """UIDs of a derived image, functions of its source's and of what is done to it."""

    sop: str
    series: str
    study: str


def derived_names(dataset: Any, fingerprint: str, keep_study: bool) -> Names:
    """The UIDs: `fingerprint` stands for all that decides the pixels."""
    study = str(dataset.get("StudyInstanceUID") or "")
    return Names(
        sop=derived_uid("instance", fingerprint, dataset.get("SOPInstanceUID")),
        series=derived_uid("series", fingerprint, study, dataset.get("SeriesInstanceUID")),
        study=study if keep_study and study else derived_uid("study", fingerprint, study),
    )


def derived_uid(*parts: object) -> str:
    """A UID under 2.25 (PS3.5 B.2) that depends on the parts alone."""
    return f"2.25.{uuid.UUID(bytes=digest(*parts), version=4).int}"


@dataclasses.dataclass(frozen=True)
class Derivation:
    """What the header says of how an image was made.

    Attributes:
      description: a sentence. series: the start of the series' description.
      client_id: PatientID where the patient is blanked.
    """

    description: str
    series: str
    client_id: str
    keep_patient: bool


def derived_dataset(source: Any, names: Names, derivation: Derivation) -> Dataset:
    """The header of the derived image, without file meta information and pixels."""
    dataset = _readable(source)
    _mark_source(dataset)
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = names.sop, names.series
    dataset.StudyInstanceUID = names.study
    kinds = [str(value) for value in dataset.get("ImageType") or ()][1:] or ["SECONDARY"]
    dataset.ImageType = ["DERIVED", *kinds]
    dataset.DerivationDescription = derivation.description
    dataset.DerivationCodeSequence = Sequence([_code("113042", "Pixel by pixel addition")])
    dataset.SyntheticData = "YES"
    dataset.ContentQualification = "RESEARCH"
    described = f"{derivation.series} {dataset.get('SeriesDescription') or ''}".strip()
    dataset.SeriesDescription = described[:_LONGEST_DESCRIPTION]
    _add_equipment(dataset, derivation.description)
    if str(source.file_meta.get("TransferSyntaxUID", "")) in _LOSSY:
        dataset.LossyImageCompression = "01"  # once lossy, always lossy
    if not derivation.keep_patient:
        blank_patient(dataset, derivation.client_id)
    return dataset


def _readable(source: Any) -> Dataset:
    """A copy with every element that can be read and still holds for other pixels."""
    dataset = Dataset()
    for tag in source.keys():  # noqa: SIM118 (iterating a data set would convert its elements)
        if tag.group % 2 == 0 and tag.group & 0xFF00 in _STALE_GROUPS:
            continue
        with contextlib.suppress(Exception):  # longer than `dicom.reading` reads, or damaged
            dataset[tag] = copy.deepcopy(source.get_item(tag))
    for keyword in _STALE:
        if keyword in dataset:
            del dataset[keyword]
    return dataset


def _mark_source(dataset: Dataset) -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = dataset.SOPClassUID
    item.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    purpose = _code("121322", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = Sequence([purpose])
    item.SpatialLocationsPreserved = "YES"
    dataset.SourceImageSequence = Sequence([item])


def _add_equipment(dataset: Dataset, description: str) -> None:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = Sequence([_code("109103", "Modifying Equipment")])
    item.Manufacturer = PROGRAM
    item.ManufacturerModelName = "insert_lesions"
    item.SoftwareVersions = __version__
    item.ContributionDescription = description
    before = list(dataset.get("ContributingEquipmentSequence") or ())
    dataset.ContributingEquipmentSequence = Sequence([*before, item])


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


_IMPLEMENTATION = derived_uid("implementation of contextual-gan-mammography")


def file_bytes(dataset: Dataset, values: np.ndarray) -> bytes:
    """The DICOM file of `values` [H, W], uncompressed: every bit as it is, and every software reads
    it, pydicom without another package too."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "CGAN_MAMMO_1"
    dataset.file_meta = meta
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
