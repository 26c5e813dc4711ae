"""One picture of the phantom as a DICOM file and as its JSON side-car."""

import dataclasses
import io
import json

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

from beam_pipelines.phantom_encoding import (
    LUT,
    LUT_BITS,
    GreyMapping,
    encode_display,
    raw_values,
    voi_lut,
)
from beam_pipelines.phantom_manufacturers import (
    JPEG_2000,
    JPEG_LOSSLESS,
    Manufacturer,
)

PRESENTATION_CLASS = "1.2.840.10008.5.1.4.1.1.1.2"
PROCESSING_CLASS = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS_CLASS = "1.2.840.10008.5.1.4.1.1.13.1.3"
TOMOSYNTHESIS_FRAMES = 2  # enough to be refused
IMPLEMENTATION_UID = "1.2.826.0.1.3680043.9.3218.1.2"
VIEW_CODES = {
    "ML": ("R-10224", "medio-lateral"),
    "CC": ("R-10242", "cranio-caudal"),
    "MLO": ("R-10226", "medio-lateral oblique"),
}
SHOT_CODES = {
    "magnification": ("R-102D6", "Magnification"),
    "spot": ("R-102D7", "Spot Compression"),
    "implant": ("R-102D5", "Implant Displaced"),
}


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says beside its pixels."""

    client_id: str
    study_uid: str
    series_uid: str
    sop_uid: str
    study_date: str
    age: int
    side: str
    view: str
    purpose: str
    shot: str
    instance: int
    spacing_mm: float
    thickness_mm: float
    labelled: bool


def dicom_dataset(
    header: Header, manufacturer: Manufacturer, mapping: GreyMapping, display: np.ndarray
) -> Dataset:
    """The data set with encoded pixels; `display` is float32 in [-1, 1]."""
    raw = header.purpose == "processing"
    bits = manufacturer.raw_bits if raw else mapping.bits
    stored = raw_values(display, bits) if raw else encode_display(display, mapping)
    dataset = Dataset()
    _add_identity(dataset, header, manufacturer)
    _add_geometry(dataset, header, manufacturer)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = manufacturer.raw_photometric if raw else mapping.photometric
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "YES" if header.labelled else "NO"
    if not raw:
        _add_voi(dataset, manufacturer, mapping)
    frames = 1
    if header.shot == "tomosynthesis":
        dataset.NumberOfFrames = frames = TOMOSYNTHESIS_FRAMES
    _add_pixels(dataset, stored, bits, manufacturer.syntax, frames)
    return dataset


def file_bytes(dataset: Dataset) -> bytes:
    """The DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def sidecar_bytes(dataset: Dataset) -> bytes:
    """The header as DICOM JSON (PS3.18 F.2), without the pixels."""
    header = Dataset({tag: item for tag, item in dataset.items() if tag != 0x7FE00010})
    return json.dumps(header.to_json_dict()).encode()


def _add_identity(dataset: Dataset, header: Header, manufacturer: Manufacturer) -> None:
    raw = header.purpose == "processing"
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"] if raw else ["DERIVED", "PRIMARY"]
    dataset.SOPClassUID = PROCESSING_CLASS if raw else PRESENTATION_CLASS
    if header.shot == "generated_2d":
        dataset.ImageType = ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]
    if header.shot == "tomosynthesis":
        dataset.SOPClassUID = TOMOSYNTHESIS_CLASS
    dataset.SOPInstanceUID = header.sop_uid
    dataset.StudyInstanceUID = header.study_uid
    dataset.SeriesInstanceUID = header.series_uid
    dataset.StudyDate = dataset.AcquisitionDate = dataset.ContentDate = header.study_date
    dataset.StudyTime = dataset.AcquisitionTime = dataset.ContentTime = "101500"
    dataset.AccessionNumber = ""
    dataset.Modality = "MG"
    dataset.PresentationIntentType = f"FOR {header.purpose.upper()}"
    dataset.Manufacturer = manufacturer.name
    dataset.ManufacturerModelName = manufacturer.model
    dataset.SeriesDescription = f"{header.side} {header.view}"
    dataset.PatientName = ""
    dataset.PatientID = header.client_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "F"
    dataset.PatientAge = f"{header.age:03d}Y"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "synthetic phantom; no person"
    dataset.StudyID = ""
    dataset.SeriesNumber = dataset.InstanceNumber = header.instance
    dataset.PatientOrientation = ["A", "R"] if header.side == "L" else ["P", "L"]


def _add_geometry(dataset: Dataset, header: Header, manufacturer: Manufacturer) -> None:
    dataset.BodyPartExamined = "BREAST"
    dataset.KVP = "29"
    dataset.BodyPartThickness = f"{header.thickness_mm:.0f}"
    dataset.ImagerPixelSpacing = [header.spacing_mm, header.spacing_mm]
    if manufacturer.pixel_spacing:
        dataset.PixelSpacing = [header.spacing_mm, header.spacing_mm]
    dataset.EstimatedRadiographicMagnificationFactor = (
        "1.8" if header.shot == "magnification" else "1.05"
    )
    dataset.ImageLaterality = "B" if header.shot == "both_sides" else header.side
    dataset.OrganExposed = "BREAST"
    dataset.BreastImplantPresent = "YES" if header.shot == "implant" else "NO"
    dataset.PartialView = "NO"
    name = "ML" if header.shot == "other_view" else header.view
    dataset.ViewPosition = f"{header.side}{name}" if manufacturer.view_prefix else name
    if manufacturer.view_code or header.shot in SHOT_CODES:
        view = _code(*VIEW_CODES[name])
        view.ViewModifierCodeSequence = Sequence(
            [_code(*SHOT_CODES[header.shot])] if header.shot in SHOT_CODES else []
        )
        dataset.ViewCodeSequence = Sequence([view])


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SNM3", meaning
    return item


def _add_voi(dataset: Dataset, manufacturer: Manufacturer, mapping: GreyMapping) -> None:
    if mapping.voi == LUT:
        item = Dataset()
        # PS3.3 C.11.2.1.1: 2^16 entries are written as 0; here there are fewer.
        item.LUTDescriptor = [1 << mapping.bits, 0, LUT_BITS]
        item.LUTExplanation = "NORMAL"
        item.LUTData = voi_lut(mapping.bits).astype("<u2").tobytes()
        item["LUTData"].VR = "OW"
        dataset.VOILUTSequence = Sequence([item])
        return
    centre, width = f"{mapping.centre:g}", f"{mapping.width:.10g}"
    if manufacturer.several_windows:
        narrow = f"{mapping.width * 0.8:.6g}"
        dataset.WindowCenter, dataset.WindowWidth = [centre, centre], [width, narrow]
        dataset.WindowCenterWidthExplanation = ["NORMAL", "HARDER"]
    else:
        dataset.WindowCenter, dataset.WindowWidth = centre, width
    dataset.VOILUTFunction = mapping.voi


def _add_pixels(dataset: Dataset, stored: np.ndarray, bits: int, syntax: str, frames: int) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = "CGAN_PHANTOM_1"
    dataset.file_meta = meta
    if syntax == JPEG_LOSSLESS:
        frame = imagecodecs.jpeg8_encode(stored, lossless=True, predictor=1, bitspersample=bits)
    elif syntax == JPEG_2000:
        frame = imagecodecs.jpeg2k_encode(
            stored, level=0, codecformat="j2k", bitspersample=bits, reversible=True, numthreads=1
        )
    else:
        dataset.PixelData = stored.astype("<u2").tobytes() * frames
        dataset["PixelData"].VR = "OW"
        return
    _set_frames(dataset, [frame] * frames)


def set_unknown_syntax(dataset: Dataset) -> None:
    """Makes the pixels an MPEG2 stream, which no reader of mammograms decodes."""
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
    _set_frames(dataset, [bytes(512)])


def _set_frames(dataset: Dataset, frames: list[bytes]) -> None:
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
