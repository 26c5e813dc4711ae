"""Inserted lesions as DICOM Structured Reports, one file a study, for viewers and archives.

A document is a Measurement Report (PS3.16 TID 1500) with a Planar ROI group (TID 1410) for each
lesion: the box as a closed polyline, its area, and the algorithm that made what is in it. Viewers
built on dcmjs and Cornerstone read a group by its tracking identifier, and the polyline where the
area was INFERRED FROM it; others read the group's own region. Both are there. OHIF shows the images
of the Image Library (TID 1600).

The bytes depend on the images alone: dates are those of the study.
"""

import collections
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom import config, dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.valuerep import validate_value

from beam_pipelines.dicom.writing import PROGRAM, derived_uid
from beam_pipelines.insertion.generator import Setup
from beam_pipelines.insertion.tables import MadeImage, PlacedLesion
from beam_pipelines.storage import files
from cgan_tf import __version__
from cgan_tf.runs.errors import UserError

FOLDER = "structured_reports"
# By which a viewer knows the tool that draws a region: a rectangle that can be edited.
TRACKING_IDENTIFIER = "Cornerstone3DTools@^0.1.0:RectangleROI"
SERIES_NUMBER = 9000  # beyond those of a mammography unit
_UNKNOWN_DATE, _UNKNOWN_TIME = "19000101", "000000"
# Of CID 6016.
_FINDINGS = {
    "mass": Code("129788004", "SCT", "Mammographic breast mass"),
    "calcification": Code("129769006", "SCT", "Calcification Cluster"),
}
_SIDES = {"L": Code("7771000", "SCT", "Left"), "R": Code("24028007", "SCT", "Right")}
_BREAST = Code("76752008", "SCT", "Breast")
_AREA = Code("42798000", "SCT", "Area")
_SQUARE_MM = Code("mm2", "UCUM", "square millimeter")
_PIXELS = Code("{pixels}", "UCUM", "pixels")
_MAMMOGRAPHY = Code("71651007", "SCT", "Mammography")
_STUDY = (  # with what stands for a value that is missing or not as DICOM has it
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
_IMAGE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_LIBRARY = ("PatientOrientation", "ImagerPixelSpacing")  # what TID 1603 asks of a mammogram


def check_possible(setup: Setup) -> None:
    """`UserError` without highdicom, and for removal, which leaves nothing to report."""
    if setup.removal:
        raise UserError(
            "--structured_reports: expected a generator that inserts lesions, found one of "
            "removal, which leaves none to report"
        )
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise UserError(
            "--structured_reports: highdicom is not installed; expected the extra: pip install "
            "'.[sr]'"
        ) from error


def write_structured_reports(directory: str, images: Sequence[MadeImage], setup: Setup) -> int:
    """Writes the document of every study, `FOLDER`/STUDY.dcm; returns how many."""
    studies: dict[str, list[MadeImage]] = collections.defaultdict(list)
    for image in images:
        studies[image.study_uid].append(image)
    for study, members in studies.items():
        headers = [
            dcmread(os.path.join(directory, image.file), stop_before_pixels=True)
            for image in members
        ]
        content = io.BytesIO()
        document = structured_report(members, [_evidence(header) for header in headers], setup)
        dcmwrite(content, document, enforce_file_format=True)
        files.write_atomically(os.path.join(directory, FOLDER, f"{study}.dcm"), content.getvalue())
    return len(studies)


def structured_report(
    images: Sequence[MadeImage], evidence: Sequence[Dataset], setup: Setup
) -> Dataset:
    """The document of the images of one study.

    Args:
      evidence: what `_evidence` takes of each image's header.
    """
    from highdicom import sr

    groups = [
        _group(image, header, lesion, setup)
        for image, header in zip(images, evidence, strict=True)
        for lesion in image.lesions
    ]
    first = evidence[0]
    observer = sr.ObserverContext(
        observer_type=sr.CodedConcept("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("observer", PROGRAM), name="insert_lesions", manufacturer_name=PROGRAM
        ),
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_MAMMOGRAPHY,
        imaging_measurements=groups,
        title=Code("126000", "DCM", "Imaging Measurement Report"),
        referenced_images=[item for item in evidence if all(n in item for n in _LIBRARY)] or None,
    )
    document = sr.ComprehensiveSR(
        evidence=evidence,
        content=report,
        series_instance_uid=derived_uid("report series", first.StudyInstanceUID),
        series_number=SERIES_NUMBER,
        sop_instance_uid=derived_uid("report", *(item.SOPInstanceUID for item in evidence)),
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name="insert_lesions",
        software_versions=__version__,
        series_description=f"Synthetic {setup.task}: boxes",
        content_qualification="RESEARCH",
        content_date=first.StudyDate or _UNKNOWN_DATE,
        content_time=first.StudyTime or _UNKNOWN_TIME,
        specific_character_set="ISO_IR 192",
        is_complete=True,
    )
    document.SyntheticData = "YES"
    del document.InstanceCreationDate, document.InstanceCreationTime  # the hour of the run
    for equipment in document.ContributingEquipmentSequence:
        del equipment.ContributionDateTime
    return document


def _group(image: MadeImage, header: Dataset, lesion: PlacedLesion, setup: Setup) -> Any:
    """The Planar ROI group of one lesion."""
    from highdicom import sr

    x0, y0, x1, y1 = lesion.box
    # From the top left clockwise; places between pixels, (0, 0) being the image's corner.
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], np.float64)
    source = sr.SourceImageForRegion(header.SOPClassUID, header.SOPInstanceUID)
    outline: dict[str, Any] = {
        "graphic_type": "POLYLINE",
        "graphic_data": corners,
        "source_image": source,
    }
    pixels = (x1 - x0) * (y1 - y0)
    known = image.spacing_mm > 0
    area = sr.Measurement(
        name=_AREA,
        value=round(pixels * image.spacing_mm**2, 3) if known else pixels,
        unit=_SQUARE_MM if known else _PIXELS,
        referenced_coordinates=[sr.CoordinatesForMeasurement(**outline)],
    )
    side = _SIDES.get(image.laterality)
    group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derived_uid("lesion", image.name, lesion.label), identifier=TRACKING_IDENTIFIER
        ),
        referenced_region=sr.ImageRegion(**outline),
        finding_type=_FINDINGS[setup.task],
        finding_sites=[sr.FindingSite(_BREAST, laterality=side)] if side else None,
        algorithm_id=sr.AlgorithmIdentification(
            name=f"{PROGRAM} insert_lesions (synthetic lesion)",
            version=__version__,
            parameters=[
                f"generator={setup.card.checksum[:16]}",
                f"seed={setup.config.seed}",
                f"label={lesion.label}",
            ],
        ),
    )
    # The template is extensible, and viewers look for the region here; highdicom, which keeps to
    # the letter of TID 1410, takes no number with a region of its own.
    group[0].ContentSequence.extend(area)
    return group


def _evidence(header: Any) -> Dataset:
    """What a document says of an image: its names, patient, study, size, orientation, spacing.

    A value that DICOM does not allow, which loose files have, is left empty.
    """
    known = Dataset()
    for keyword in (*_IMAGE, "Rows", "Columns"):
        setattr(known, keyword, header[keyword].value)
    known.Modality = "MG"
    for keyword in _STUDY:
        setattr(known, keyword, _allowed(header, keyword))
    if known.PatientSex not in ("M", "F", "O", ""):
        known.PatientSex = ""
    for keyword in _LIBRARY:
        if len(header.get(keyword) or ()) == 2:
            setattr(known, keyword, header[keyword].value)
    return known


def _allowed(header: Any, keyword: str) -> str:
    value = str(header.get(keyword) or "")
    try:
        validate_value(header[keyword].VR if keyword in header else "LO", value, config.RAISE)
    except ValueError:
        return ""
    return value
