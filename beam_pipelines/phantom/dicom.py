"""One picture of the phantom as a DICOM file and as its JSON side-car.

A reader must decode: stored value -> VOI LUT or window -> inverted if MONOCHROME1 -> [-1, 1] over
the VOI's output range (DICOM PS3.3 C.11.2 and C.8.11.7). Each mapping is given as its table over
all stored values; encoding looks for the stored value whose table entry is nearest. So whatever the
mapping, decoding gives the same picture to within the table's step.

Four manufacturers have habits of their own: bits, windows, photometry, transfer syntax. Their names
and models are those of UK screening; which habit belongs to whom is the phantom's choice.
"""

import dataclasses
import io
import json

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID

LINEAR = "LINEAR"
LINEAR_EXACT = "LINEAR_EXACT"
SIGMOID = "SIGMOID"
LUT = "LUT"
LUT_BITS = 12  # of the entries of a VOI LUT


@dataclasses.dataclass(frozen=True)
class GreyMapping:
    """How stored values become display values.

    Attributes:
      bits: BitsStored. photometric: MONOCHROME1 or MONOCHROME2.
      voi: LINEAR, LINEAR_EXACT, SIGMOID or LUT. centre, width: of the window, in stored values;
        unused with LUT.
    """

    bits: int
    photometric: str
    voi: str
    centre: float = 0.0
    width: float = 0.0


def voi_lut(bits: int) -> np.ndarray:
    """The table of the VOI LUT sequence: uint16 [2^bits], a film-like S curve.

    The S is mild, so that its steps stay near those of a straight line.
    """
    u = np.linspace(0.0, 1.0, 1 << bits)
    curve = 0.6 * u + 0.4 * u * u * (3 - 2 * u)
    return np.rint(curve * ((1 << LUT_BITS) - 1)).astype(np.uint16)


def display_table(mapping: GreyMapping) -> np.ndarray:
    """Display value in [-1, 1] of every stored value: float64 [2^bits]."""
    stored = np.arange(1 << mapping.bits, dtype=np.float64)
    centre, width = mapping.centre, mapping.width
    if mapping.voi == LINEAR:
        output = (stored - (centre - 0.5)) / (width - 1) + 0.5
    elif mapping.voi == LINEAR_EXACT:
        output = (stored - centre) / width + 0.5
    elif mapping.voi == SIGMOID:
        output = 1 / (1 + np.exp(-4 * (stored - centre) / width))
    elif mapping.voi == LUT:
        output = voi_lut(mapping.bits) / ((1 << LUT_BITS) - 1)
    else:
        raise ValueError(f"voi: expected LINEAR, LINEAR_EXACT, SIGMOID or LUT, found {mapping.voi}")
    output = np.clip(output, 0, 1)
    if mapping.photometric == "MONOCHROME1":
        output = 1 - output
    return output * 2 - 1


def encode_display(display: np.ndarray, mapping: GreyMapping) -> np.ndarray:
    """Stored values, uint16 [H, W], whose display value is nearest to `display` in [-1, 1]."""
    table = display_table(mapping)
    order = slice(None, None, -1) if mapping.photometric == "MONOCHROME1" else slice(None)
    rising = table[order]
    middles = (rising[1:] + rising[:-1]) / 2
    # One table over finely quantised display values is much faster than a search for each pixel.
    fine = np.linspace(-1, 1, 1 << 16)
    nearest = np.searchsorted(middles, fine, side="left")
    if mapping.photometric == "MONOCHROME1":
        nearest = table.size - 1 - nearest
    levels = np.rint((np.asarray(display, np.float32) + 1) * np.float32(32767.5))
    return nearest.astype(np.uint16)[levels.astype(np.uint16)]


def raw_values(display: np.ndarray, bits: int) -> np.ndarray:
    """The FOR PROCESSING twin of `display` [H, W] in [-1, 1]: uint16 [H, W].

    It is a detector signal, linear in exposure, so dark where the breast is dense. Exposure falls
    exponentially with the attenuation that the display value stands for; air is near the detector's
    full scale.
    """
    full = (1 << bits) - 1
    return np.rint(0.94 * full * np.exp(-1.9 * (display.astype(np.float32) + 1))).astype(np.uint16)


EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


@dataclasses.dataclass(frozen=True)
class Manufacturer:
    """Habits of a manufacturer's images for presentation, and of its raw twin.

    Attributes:
      voi: weights of the grey-level mappings it uses. view_prefix: ViewPosition has the side in
        front (LCC). view_code: ViewCodeSequence is present. several_windows: there are several
        windows, of which the first counts.
    """

    name: str
    model: str
    bits: int
    photometric: str
    voi: dict[str, float]
    syntax: str
    raw_bits: int
    raw_photometric: str
    pixel_spacing: bool
    view_prefix: bool
    view_code: bool
    several_windows: bool


MANUFACTURERS = (
    Manufacturer(
        name="HOLOGIC, Inc.",
        model="Selenia Dimensions",
        bits=12,
        photometric="MONOCHROME2",
        voi={LINEAR: 0.6, SIGMOID: 0.4},
        syntax=JPEG_LOSSLESS,
        raw_bits=14,
        raw_photometric="MONOCHROME1",
        pixel_spacing=False,
        view_prefix=False,
        view_code=True,
        several_windows=True,
    ),
    Manufacturer(
        name="GE MEDICAL SYSTEMS",
        model="Senographe Essential VERSION ADS_54.10",
        bits=14,
        photometric="MONOCHROME2",
        voi={LUT: 0.5, SIGMOID: 0.5},
        syntax=EXPLICIT,
        raw_bits=14,
        raw_photometric="MONOCHROME1",
        pixel_spacing=False,
        view_prefix=False,
        view_code=True,
        several_windows=False,
    ),
    Manufacturer(
        name="SIEMENS",
        model="MAMMOMAT Inspiration",
        bits=12,
        photometric="MONOCHROME2",
        voi={LINEAR: 1.0},
        syntax=JPEG_2000,
        raw_bits=14,
        raw_photometric="MONOCHROME2",
        pixel_spacing=True,
        view_prefix=False,
        view_code=True,
        several_windows=False,
    ),
    Manufacturer(
        name="FUJIFILM Corporation",
        model="AMULET Innovality",
        bits=10,
        photometric="MONOCHROME1",
        voi={LINEAR_EXACT: 0.6, LINEAR: 0.4},
        syntax=IMPLICIT,
        raw_bits=12,
        raw_photometric="MONOCHROME1",
        pixel_spacing=True,
        view_prefix=True,
        view_code=False,
        several_windows=False,
    ),
)


def draw_mapping(rng: np.random.Generator, manufacturer: Manufacturer) -> GreyMapping:
    """The grey-level mapping of one image: windows differ a little from image to image."""
    voi = list(manufacturer.voi)[
        int(rng.choice(len(manufacturer.voi), p=list(manufacturer.voi.values())))
    ]
    levels = 1 << manufacturer.bits
    if voi == LUT:
        return GreyMapping(manufacturer.bits, manufacturer.photometric, voi)
    if voi == SIGMOID:
        # 2.2 half ranges: the background decodes to within 0.025 of black and white.
        centre = round(levels * rng.uniform(0.48, 0.52))
        return GreyMapping(manufacturer.bits, manufacturer.photometric, voi, centre, levels * 0.42)
    width = round(levels * rng.uniform(0.75, 0.95))
    centre = round(width / 2 + (levels - width) * rng.uniform(0.2, 0.8))
    return GreyMapping(manufacturer.bits, manufacturer.photometric, voi, centre, width)


PRESENTATION_CLASS = "1.2.840.10008.5.1.4.1.1.1.2"
PROCESSING_CLASS = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS_CLASS = "1.2.840.10008.5.1.4.1.1.13.1.3"
TOMOSYNTHESIS_FRAMES = 2  # enough to be refused
IMPLEMENTATION_UID = UID("1.2.826.0.1.3680043.9.3218.1.2")
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
    exposure_mas: float
    labelled: bool


def dicom_dataset(
    header: Header, manufacturer: Manufacturer, mapping: GreyMapping, display: np.ndarray
) -> Dataset:
    """The data set with encoded pixels; `display` is float32 [H, W] in [-1, 1]."""
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
    dataset.Exposure = round(header.exposure_mas)
    dataset.ExposureInuAs = round(header.exposure_mas * 1000)
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
    _set_frames(dataset, [bytes(frame)] * frames)


def set_unknown_syntax(dataset: Dataset) -> None:
    """Makes the pixels an MPEG2 stream, which no reader of mammograms decodes."""
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.100")
    _set_frames(dataset, [bytes(512)])


def _set_frames(dataset: Dataset, frames: list[bytes]) -> None:
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
