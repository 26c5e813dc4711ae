"""Blanking what names the patient and the people around her in a data set.

This is no de-identification (PS3.15 annex E): dates, places and descriptions stay.
"""

from pydicom.dataset import Dataset

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
