"""What the pipelines need of a DICOM header, and which images are screening mammograms.

A header comes from the file or from its JSON side-car. Attributes are read by tag (PS3.6), so that
a file (pydicom) and a side-car (PS3.18, annex F) go through the same code. Values of an unexpected
type count as absent.
"""

import dataclasses
import re
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from pydicom.uid import UID_dictionary

from beam_pipelines.rejections import Reason
from cgan_tf.data.acquisition import age_band, exposure_mas, thickness_mm
from cgan_tf.runs.directory import Json

PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# PS3.16 CID 4014 and 4015, as SNOMED-RT (what OMI-DB holds) and as SNOMED-CT (what is written now).
_VIEW_CODES = {
    "R-10242": "CC", "399162004": "CC", "R-10226": "MLO", "399368009": "MLO",
    "R-10224": "ML", "399260004": "ML", "R-10228": "LM", "399352003": "LM",
    "R-10230": "LMO", "399099002": "LMO", "R-10244": "FB", "399196006": "FB",
    "R-102D0": "SIO", "399188001": "SIO", "R-40AAA": "ISO", "441555000": "ISO",
    "R-1024A": "XCCL", "399192008": "XCCL", "R-1024B": "XCCM", "399101009": "XCCM",
}  # fmt: skip
_MODIFIERS = {
    "R-102D6": Reason.MAGNIFICATION_VIEW,
    "399163009": Reason.MAGNIFICATION_VIEW,
    "R-102D7": Reason.SPOT_VIEW,
    "399055006": Reason.SPOT_VIEW,
    "R-102D5": Reason.IMPLANT,
    "399209000": Reason.IMPLANT,
}
# What is made in a mammography unit and shows no breast as screening does: words of Image Type
# (PS3.3 C.8.11.7.1.4) from its third value on, and how they may begin. Vendors write them in any
# place. A low-energy image of contrast mammography is a mammogram.
_IMAGE_TYPES: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (Reason.STEREOTACTIC, ("STEREO", "PREFIRE", "POSTFIRE", "POSTBIOPSY", "SCOUT", "TOMO_SCOUT")),
    (Reason.TOMOSYNTHESIS_PROJECTION, ("TOMO_PROJ",)),
    (Reason.SYNTHESISED_2D, ("GENERATED_2D",)),
    (Reason.SUBTRACTION, ("SUBTRACTION", "ADDITION")),
    (Reason.HIGH_ENERGY, ("HIGH_ENERGY",)),
    (Reason.QUALITY_CONTROL, ()),  # an attribute of its own says so
)
SPECIAL_IMAGES = tuple(reason.value for reason, _ in _IMAGE_TYPES)
_LARGEST_MAGNIFICATION = 1.2  # contact views have 1.0 to 1.1
_SPACINGS_MM = (0.001, 10.0)  # digital detectors have 0.05 to 0.1; outside, it is no spacing
# The ledger names what was found only where that is one of these: any other text may name a person.
_NAMED = frozenset(
    {
        *_VIEW_CODES.values(), *_MODIFIERS, "", "XCC", "AT", "CV", "B", "U",
        # PS3.3 C.7.3.1.1.1, images only
        "CR", "CT", "DX", "ES", "IO", "MG", "MR", "NM", "OT", "PT", "PX", "RF", "RG", "SC", "US",
        "XA", "XC", "BI", "DG", "GM", "SM", "TG", "RTIMAGE", "PR", "KO", "SR", "SEG", "REG",
    }
)  # fmt: skip
_UNNAMED, _MISSING = "not a known term", "missing"
_SIDES = {"LEFT": "L", "RIGHT": "R"}
_UID = re.compile(r"[0-9]+(?:\.[0-9]+)+")
# Manufacturer is free text, and it is recorded: only where it has the letters and the signs of a
# firm's name, and no word of what identifies a person in the same header.
_FIRM = re.compile(r"[^\W\d_](?:[^\W\d_]|[ .,&()/'+-]){0,63}")
_PERSONAL = (
    "00100010", "00100020", "00101000", "00101001", "00101005", "00101060", "00080050", "00080090",
    "00081048", "00081050", "00081060", "00081070", "00321032",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Header:
    """The attributes of one image; empty or 0 where the header has none.

    Attributes:
      view: CC, MLO, or another view as written. laterality: as written.
      sop_class, sop_uid: of the data set, else of the file meta information.
      spacing_mm: (row, column): the first that makes sense of ImagerPixelSpacing, PixelSpacing and
        NominalScannedPixelSpacing. aspect_ratio: (vertical, horizontal) of a pixel.
      quality_control: whether the image or its subject is for quality control.
      modifiers: codes of ViewModifierCodeSequence.
      manufacturer: empty where the text may name a person.
      synthetic: whether (0008,001C) Synthetic Data says anything but NO.
      age_band: one of `acquisition.AGE_BANDS`, of PatientAge. No date of birth is read.
      thickness_mm: of BodyPartThickness. exposure_mas: of ExposureInuAs, otherwise Exposure.
    """

    sop_class: str = ""
    sop_uid: str = ""
    study_uid: str = ""
    patient_id: str = ""
    modality: str = ""
    manufacturer: str = ""
    image_type: tuple[str, ...] = ()
    intent: str = ""
    laterality: str = ""
    view: str = ""
    modifiers: tuple[str, ...] = ()
    magnification: float = 0.0
    implant: str = ""
    frames: int = 1
    rows: int = 0
    columns: int = 0
    spacing_mm: tuple[float, ...] = ()
    aspect_ratio: tuple[float, ...] = ()
    quality_control: bool = False
    synthetic: bool = False
    age_band: str = ""
    thickness_mm: float = 0.0
    exposure_mas: float = 0.0


class _Attributes(Protocol):
    def values(self, tag: str) -> list[Any]: ...

    def items(self, tag: str) -> "Sequence[_Attributes]": ...


class _SideCar:
    """A JSON object of PS3.18 annex F."""

    def __init__(self, content: Json):
        self.content = content

    def values(self, tag: str) -> list[Any]:
        element = self.content.get(tag)
        found = element.get("Value") if isinstance(element, dict) else None
        return found if isinstance(found, list) else []

    def items(self, tag: str) -> list["_SideCar"]:
        return [_SideCar(item) for item in self.values(tag) if isinstance(item, dict)]


class _File:
    """A pydicom data set."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def values(self, tag: str) -> list[Any]:
        try:
            dataset = self.dataset.file_meta if tag.startswith("0002") else self.dataset
            found = dataset[int(tag, 16)].value
        except Exception:  # absent, or a value that pydicom cannot convert
            return []
        if found is None or isinstance(found, bytes):
            return []
        if isinstance(found, str) or not hasattr(found, "__iter__"):
            return [found]
        return list(found)

    def items(self, tag: str) -> list["_File"]:
        return [_File(item) for item in self.values(tag) if hasattr(item, "get_item")]


def header_of_dataset(dataset: Any) -> Header:
    """The header of a pydicom data set."""
    return _header(_File(dataset))


def header_of_side_car(content: Json) -> Header:
    """The header of a JSON side-car."""
    return _header(_SideCar(content))


def is_uid(text: str) -> bool:
    """Whether a text is a UID, so that it can be recorded: any other may name a person."""
    return bool(_UID.fullmatch(text))


def is_firm(name: str) -> bool:
    """Whether a text has the letters and the signs of a firm's name."""
    return bool(_FIRM.fullmatch(name))


def selection_fault(
    header: Header,
    strict: bool = True,
    allow_synthetic: bool = False,
    admitted: Collection[str] = (),
) -> tuple[Reason, str] | None:
    """Why an image is not a screening mammogram, with what was found; None when it is one.

    `strict` is the filter for OMI-DB: full-field digital, for presentation, CC or MLO of one
    side. Otherwise (loose films) Secondary Capture passes too, and view and side may be unknown.
    `admitted` names the `SPECIAL_IMAGES` that pass all the same. What was found is a term of DICOM
    or a number, never a text that could name a person.
    """
    if header.synthetic and not allow_synthetic:
        return Reason.SYNTHETIC_IMAGE, ""
    fault = _class_fault(header, strict) or _type_fault(header, admitted)
    if fault:
        return fault
    if strict and header.laterality not in ("L", "R"):
        return Reason.WRONG_LATERALITY, _named(header.laterality)
    if header.view not in ("CC", "MLO") and (strict or header.view):
        return Reason.WRONG_VIEW, _named(header.view)
    for code in header.modifiers:
        if code in _MODIFIERS:
            return _MODIFIERS[code], code
    if header.magnification > _LARGEST_MAGNIFICATION:
        plausible = header.magnification < 10
        return Reason.MAGNIFICATION_VIEW, f"factor {header.magnification:g}" if plausible else ""
    if header.implant == "YES":
        return Reason.IMPLANT, "BreastImplantPresent"
    return None


def _class_fault(header: Header, strict: bool) -> tuple[Reason, str] | None:
    if header.modality not in ("MG", ""):
        return Reason.NOT_MAMMOGRAPHY, _named(header.modality)
    if header.sop_class == TOMOSYNTHESIS:
        return Reason.TOMOSYNTHESIS, ""
    if header.sop_class == PROCESSING or header.intent == "FOR PROCESSING":
        return Reason.FOR_PROCESSING, ""
    accepted = (PRESENTATION,) if strict else (PRESENTATION, SECONDARY_CAPTURE)
    if header.sop_class not in accepted:
        return Reason.WRONG_SOP_CLASS, _named(header.sop_class)
    if not header.modality and header.sop_class == SECONDARY_CAPTURE:  # of anything
        return Reason.NOT_MAMMOGRAPHY, _MISSING
    if header.frames > 1:
        return Reason.MULTI_FRAME, f"{header.frames} frames" if header.frames < 10_000 else ""
    return None


def _type_fault(header: Header, admitted: Collection[str]) -> tuple[Reason, str] | None:
    """The first of `SPECIAL_IMAGES` that the image is and that is not admitted."""
    for reason, words in _IMAGE_TYPES:
        found = [word for value in header.image_type for word in words if _begins(value, word)]
        if reason == Reason.QUALITY_CONTROL and header.quality_control:
            found = [""]
        if found and reason.value not in admitted:
            return reason, found[0] if len(words) > 1 else ""
    return None


def _begins(value: str, word: str) -> bool:
    """Whether a value of Image Type is that word, alone or with others: STEREO_MINUS, say."""
    return re.match(rf"{word}(?![A-Z])", value) is not None


def _named(value: str) -> str:
    """A value for the ledger where it is a term or a UID of the standard."""
    if not value:
        return _MISSING
    return value if value in _NAMED or value in UID_dictionary else _UNNAMED


def _header(source: _Attributes) -> Header:
    views = source.items("00540220")
    modifiers = [item for view in views for item in view.items("00540222")]
    view, side_of_view = _view(
        _text(source, "00185101"), [_text(view, "00080100") for view in views]
    )
    side = (_text(source, "00200062") or _text(source, "00200060")).upper()
    return Header(
        sop_class=_text(source, "00080016") or _text(source, "00020002"),
        sop_uid=_text(source, "00080018") or _text(source, "00020003"),
        study_uid=_text(source, "0020000D"),
        patient_id=_text(source, "00100020"),
        modality=_text(source, "00080060"),
        manufacturer=_manufacturer(source),
        image_type=tuple(str(value).strip().upper() for value in source.values("00080008")),
        intent=_text(source, "00080068").upper(),
        laterality=_SIDES.get(side, side) or side_of_view,
        view=view,
        modifiers=tuple(_text(item, "00080100") for item in modifiers),
        magnification=_number(source, "00181114"),
        implant=_text(source, "00281300").upper(),
        frames=int(_number(source, "00280008")) or 1,
        rows=int(_number(source, "00280010")),
        columns=int(_number(source, "00280011")),
        spacing_mm=_spacing(source),
        aspect_ratio=_aspect_ratio(source),
        quality_control="YES" in (_text(source, "00280300"), _text(source, "00100200")),
        synthetic=_text(source, "0008001C").upper() not in ("", "NO"),
        age_band=age_band(_text(source, "00101010")),
        thickness_mm=thickness_mm(_number(source, "001811A0")),
        exposure_mas=exposure_mas(_number(source, "00181153") / 1000, _number(source, "00181152")),
    )


def _spacing(source: _Attributes) -> tuple[float, ...]:
    """The first spacing that is one; digitised film has it in NominalScannedPixelSpacing."""
    low, high = _SPACINGS_MM
    for tag in ("00181164", "00280030", "00182010"):
        spacing = _numbers(source, tag)[:2]
        if sum(low < number < high for number in spacing) == 2:
            return spacing
    return ()


def _aspect_ratio(source: _Attributes) -> tuple[float, ...]:
    """PixelAspectRatio, which stands where no spacing does."""
    ratio = _numbers(source, "00280034")
    return ratio if len(ratio) == 2 and min(ratio) > 0 else ()


def _view(position: str, codes: list[str]) -> tuple[str, str]:
    """(view, side where the view names it): CC or MLO where the view is one of them, written LCC,
    RMLO, "L MLO" and so on."""
    name = position.upper().replace(" ", "").replace("-", "").replace("_", "")
    if name in ("LCC", "RCC", "LMLO", "RMLO"):
        return name[1:], name[0]
    if name:
        return name, ""
    known = [_VIEW_CODES.get(code, code) for code in codes if code]
    return (known[0] if known else ""), ""


def _manufacturer(source: _Attributes) -> str:
    name = _text(source, "00080070")
    personal = " ".join(str(value) for tag in _PERSONAL for value in source.values(tag))
    return name if _FIRM.fullmatch(name) and not _words(name) & _words(personal) else ""


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]{2,}", text.lower()))


def _text(source: _Attributes, tag: str) -> str:
    values = source.values(tag)
    return str(values[0]).strip() if values and not isinstance(values[0], dict) else ""


def _number(source: _Attributes, tag: str) -> float:
    numbers = _numbers(source, tag)
    return numbers[0] if numbers else 0.0


def _numbers(source: _Attributes, tag: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in source.values(tag))
    except (TypeError, ValueError, OverflowError):
        return ()
    return numbers if all(abs(number) < 1e9 for number in numbers) else ()
