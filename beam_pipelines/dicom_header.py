"""What the pipeline needs of a DICOM header, from the file or from its JSON side-car, and the
filter that decides which images are screening mammograms.

Attributes are read by tag (PS3.6), so that a file (pydicom) and a side-car (PS3.18, annex F) go
through the same code. Values of another type than expected count as absent.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from beam_pipelines.rejections import Reason

PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
PROCESSING = "1.2.840.10008.5.1.4.1.1.1.2.1"
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# PS3.16 CID 4014 and 4015, as SNOMED-RT (what OMI-DB holds) and as SNOMED-CT (what is written now).
_VIEW_CODES = {"R-10242": "CC", "399162004": "CC", "R-10226": "MLO", "399368009": "MLO"}
_MODIFIERS = {
    "R-102D6": Reason.MAGNIFICATION_VIEW,
    "399163009": Reason.MAGNIFICATION_VIEW,
    "R-102D7": Reason.SPOT_VIEW,
    "399055006": Reason.SPOT_VIEW,
    "R-102D5": Reason.IMPLANT,
    "399209000": Reason.IMPLANT,
}
_CODE = re.compile(r"[A-Z0-9]{1,8}|[0-9.]{1,64}")
_LARGEST_MAGNIFICATION = 1.2  # contact views have 1.0 to 1.1


@dataclasses.dataclass(frozen=True)
class Header:
    """The attributes of one image; empty or 0 where the header has none.

    Attributes:
      view: CC, MLO, or another view as written. laterality: as written.
      spacing_mm: (row, column), ImagerPixelSpacing before PixelSpacing.
      modifiers: codes of ViewModifierCodeSequence.
      synthetic: whether (0008,001C) Synthetic Data is YES.
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
    synthetic: bool = False


class _Attributes(Protocol):
    def values(self, tag: str) -> list[Any]: ...

    def items(self, tag: str) -> "Sequence[_Attributes]": ...


class _SideCar:
    """A JSON object of PS3.18 annex F."""

    def __init__(self, content: Mapping[str, Any]):
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
            found = self.dataset[int(tag, 16)].value
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


def header_of_side_car(content: Mapping[str, Any]) -> Header:
    """The header of a JSON side-car."""
    return _header(_SideCar(content))


def selection_fault(header: Header, strict: bool = True) -> tuple[Reason, str] | None:
    """Why an image is not a screening mammogram, with what was found; None when it is one.

    `strict` is the filter for OMI-DB: full-field digital, for presentation, CC or MLO of one
    side. Otherwise (loose films) Secondary Capture passes too, and view and side may be unknown.
    """
    fault = _class_fault(header, strict)
    if fault:
        return fault
    if strict and header.laterality not in ("L", "R"):
        return Reason.WRONG_LATERALITY, _code(header.laterality)
    if header.view not in ("CC", "MLO") and (strict or header.view):
        return Reason.WRONG_VIEW, _code(header.view)
    for code in header.modifiers:
        if code in _MODIFIERS:
            return _MODIFIERS[code], code
    if header.magnification > _LARGEST_MAGNIFICATION:
        return Reason.MAGNIFICATION_VIEW, f"factor {header.magnification:g}"
    if header.implant == "YES":
        return Reason.IMPLANT, "BreastImplantPresent"
    return None


def _class_fault(header: Header, strict: bool) -> tuple[Reason, str] | None:
    if header.sop_class == TOMOSYNTHESIS:
        return Reason.TOMOSYNTHESIS, ""
    if header.sop_class == PROCESSING or header.intent == "FOR PROCESSING":
        return Reason.FOR_PROCESSING, ""
    if header.modality not in ("MG", "") or (not strict and not header.modality):
        return Reason.NOT_MAMMOGRAPHY, _code(header.modality)
    accepted = (PRESENTATION,) if strict else (PRESENTATION, SECONDARY_CAPTURE)
    if header.sop_class not in accepted:
        return Reason.WRONG_SOP_CLASS, _code(header.sop_class)
    if any("GENERATED_2D" in value for value in header.image_type):
        return Reason.SYNTHESISED_2D, ""
    if header.frames > 1:
        return Reason.MULTI_FRAME, f"{header.frames} frames"
    return None


def _code(value: str) -> str:
    """A value for the ledger: a code or a UID as it is, anything else unseen."""
    return value if not value or _CODE.fullmatch(value) else "not a code"


def _header(source: _Attributes) -> Header:
    views = source.items("00540220")
    modifiers = [item for view in views for item in view.items("00540222")]
    spacing = _numbers(source, "00181164") or _numbers(source, "00280030")
    return Header(
        sop_class=_text(source, "00080016"),
        sop_uid=_text(source, "00080018"),
        study_uid=_text(source, "0020000D"),
        patient_id=_text(source, "00100020"),
        modality=_text(source, "00080060"),
        manufacturer=_text(source, "00080070"),
        image_type=tuple(str(value).strip().upper() for value in source.values("00080008")),
        intent=_text(source, "00080068").upper(),
        laterality=(_text(source, "00200062") or _text(source, "00200060")).upper(),
        view=_view(_text(source, "00185101"), [_text(view, "00080100") for view in views]),
        modifiers=tuple(_text(item, "00080100") for item in modifiers),
        magnification=_number(source, "00181114"),
        implant=_text(source, "00281300").upper(),
        frames=int(_number(source, "00280008")) or 1,
        rows=int(_number(source, "00280010")),
        columns=int(_number(source, "00280011")),
        spacing_mm=spacing[:2] if len(spacing) >= 2 and min(spacing[:2]) > 0 else (),
        synthetic=_text(source, "0008001C").upper() == "YES",
    )


def _view(position: str, codes: list[str]) -> str:
    """CC or MLO where the view is one of them, written LCC, RMLO, "L MLO" and so on."""
    name = position.upper().replace(" ", "").replace("-", "").replace("_", "")
    if name in ("LCC", "RCC", "LMLO", "RMLO"):
        name = name[1:]
    if name:
        return name
    known = [_VIEW_CODES.get(code, code) for code in codes if code]
    return known[0] if known else ""


def _text(source: _Attributes, tag: str) -> str:
    values = source.values(tag)
    return str(values[0]).strip() if values and not isinstance(values[0], dict) else ""


def _number(source: _Attributes, tag: str) -> float:
    numbers = _numbers(source, tag)
    return numbers[0] if numbers else 0.0


def _numbers(source: _Attributes, tag: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in source.values(tag))
    except (TypeError, ValueError):
        return ()
    return numbers if all(abs(number) < 1e9 for number in numbers) else ()
