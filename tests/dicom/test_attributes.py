"""Attributes that stand elsewhere, or nowhere; images that no screening makes; odd VOI LUTs."""

import dataclasses

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from beam_pipelines.dicom.grey_levels import grey_table
from beam_pipelines.dicom.header import (
    PRESENTATION,
    SECONDARY_CAPTURE,
    SPECIAL_IMAGES,
    header_of_dataset,
    header_of_side_car,
    selection_fault,
)
from beam_pipelines.rejections import Reason, Rejected
from tests.toys.omidb_tree import dataset, side_car


def _fault(strict=False, **attributes):
    return selection_fault(header_of_dataset(dataset(**attributes)), strict)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("missing", [("SOPClassUID",), ("Modality",), ("SOPClassUID", "Modality")])
def test_the_class_may_stand_in_the_file_meta_information(strict, missing):
    header = dataset(**dict.fromkeys(missing), SOPInstanceUID=None)
    uid = generate_uid()
    header.file_meta.MediaStorageSOPClassUID = PRESENTATION
    header.file_meta.MediaStorageSOPInstanceUID = uid
    found = header_of_dataset(header)
    assert selection_fault(found, strict) is None
    assert (found.sop_class, found.sop_uid) == (PRESENTATION, uid)


def test_what_is_missing_is_named():
    assert _fault(SOPClassUID=None) == (Reason.WRONG_SOP_CLASS, "missing")
    capture = {"SOPClassUID": SECONDARY_CAPTURE, "Modality": None}
    assert _fault(**capture) == (Reason.NOT_MAMMOGRAPHY, "missing")
    assert _fault(strict=True, ImageLaterality=None) == (Reason.WRONG_LATERALITY, "missing")
    assert _fault(strict=True, ViewPosition=None) == (Reason.WRONG_VIEW, "missing")


def test_what_is_no_mammogram_is_not_first_called_for_processing():
    attributes = {"Modality": "CR", "PresentationIntentType": "FOR PROCESSING"}
    assert _fault(**attributes) == (Reason.NOT_MAMMOGRAPHY, "CR")


@pytest.mark.parametrize(
    ("attributes", "side"),
    [
        ({"ImageLaterality": None, "Laterality": "R"}, "R"),
        ({"ImageLaterality": "LEFT"}, "L"),
        ({"ImageLaterality": None, "ViewPosition": "RMLO"}, "R"),
        ({"ImageLaterality": "L", "ViewPosition": "RMLO"}, "L"),
        ({"ImageLaterality": None}, ""),
    ],
)
def test_the_side(attributes, side):
    assert header_of_dataset(dataset(**attributes)).laterality == side


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.2]}, (0.1, 0.1)),
        ({"ImagerPixelSpacing": None, "PixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"ImagerPixelSpacing": [0, 0], "PixelSpacing": [0.2, 0.2]}, (0.2, 0.2)),
        ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.05, 0.05]}, (0.05, 0.05)),
        ({"ImagerPixelSpacing": None, "PixelAspectRatio": [1, 1]}, ()),
    ],
)
def test_the_spacing(attributes, spacing):
    assert header_of_dataset(dataset(**attributes)).spacing_mm == spacing


_SPECIAL = {
    ("DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"): Reason.SYNTHESISED_2D,
    ("ORIGINAL", "PRIMARY", "STEREO_SCOUT"): Reason.STEREOTACTIC,
    ("ORIGINAL", "PRIMARY", "STEREO_PLUS"): Reason.STEREOTACTIC,
    ("ORIGINAL", "PRIMARY", "PREFIRE_MINUS"): Reason.STEREOTACTIC,
    ("ORIGINAL", "PRIMARY", "POSTFIRE_PLUS"): Reason.STEREOTACTIC,
    ("ORIGINAL", "PRIMARY", "POSTBIOPSY"): Reason.STEREOTACTIC,
    ("ORIGINAL", "PRIMARY", "TOMO_SCOUT"): Reason.STEREOTACTIC,
    ("ORIGINAL", "PRIMARY", "TOMO_PROJ", "LEFT"): Reason.TOMOSYNTHESIS_PROJECTION,
    ("DERIVED", "PRIMARY", "POST_CONTRAST", "SUBTRACTION"): Reason.SUBTRACTION,
    ("DERIVED", "PRIMARY", "", "ADDITION"): Reason.SUBTRACTION,
    ("ORIGINAL", "PRIMARY", "POST_CONTRAST", "", "HIGH_ENERGY"): Reason.HIGH_ENERGY,
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("image_type", _SPECIAL)
def test_images_that_no_screening_makes_are_left_out_by_kind_and_admitted_by_name(
    image_type, strict
):
    header = header_of_dataset(dataset(ImageType=list(image_type)))
    reason = _SPECIAL[image_type]
    assert selection_fault(header, strict)[0] == reason
    assert selection_fault(header, strict, admitted=(reason.value,)) is None
    others = set(SPECIAL_IMAGES) - {reason.value}
    assert selection_fault(header, strict, admitted=others)[0] == reason


@pytest.mark.parametrize("keyword", ["QualityControlImage", "QualityControlSubject"])
def test_quality_control(keyword):
    header = header_of_dataset(dataset(**{keyword: "YES"}))
    assert selection_fault(header) == (Reason.QUALITY_CONTROL, "")
    assert selection_fault(dataclasses.replace(header, quality_control=False)) is None


@pytest.mark.parametrize(
    "rest", [(), ("",), ("", "LOW_ENERGY"), ("PRE_CONTRAST", "", "LOW_ENERGY"), ("ADDITIONAL",)]
)
def test_mammograms_are_taken(rest):
    assert _fault(strict=True, ImageType=["ORIGINAL", "PRIMARY", *rest]) is None


def _table(descriptor, data, vr="OW"):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", vr, data)
    return item


def test_a_voi_lut_without_data_leaves_the_window():
    empty = Dataset()
    empty.LUTExplanation = "NORMAL"
    window = {"WindowCenter": 2048, "WindowWidth": 2048}
    expected = grey_table(dataset(**window), 12)
    found = grey_table(dataset(VOILUTSequence=[empty], **window), 12)
    np.testing.assert_array_equal(found, expected)
    ramp = _table([4096, 0, 12], np.arange(4096, dtype="<u2").tobytes())
    found = grey_table(dataset(VOILUTSequence=[empty, ramp]), 12)
    np.testing.assert_allclose(found, np.linspace(-1, 1, 4096), atol=1e-6)
    with pytest.raises(Rejected, match="no window"):
        grey_table(dataset(VOILUTSequence=[empty]), 12)


def test_a_table_of_12_bits_that_declares_16_is_not_dark():
    ramp = np.arange(4096, dtype="<u2").tobytes()
    found = grey_table(dataset(VOILUTSequence=[_table([4096, 0, 16], ramp)]), 12)
    np.testing.assert_allclose(found, np.linspace(-1, 1, 4096), atol=1e-6)


@pytest.mark.parametrize(
    ("data", "vr"),
    [
        (bytes([0, 51, 102, 153, 255]) + b"\0", "OW"),  # two entries to a word
        ([0 | 51 << 8, 102 | 153 << 8, 255], "US"),
        (np.array([0, 51, 102, 153, 255], "<u2").tobytes(), "OW"),  # one
        ([0, 51, 102, 153, 255], "US"),
    ],
)
def test_entries_of_8_bits_in_every_encoding(data, vr):
    found = grey_table(dataset(VOILUTSequence=[_table([5, 0, 8], data, vr)]), 12)
    np.testing.assert_allclose(found[:5], [-1, -0.6, -0.2, 0.2, 1], atol=1e-6)
    assert (found[5:] == 1).all()


_ACQUIRED = {
    "PatientAge": "061Y",
    "BodyPartThickness": "57.4",
    "ExposureInuAs": 84560,
    "Exposure": 85,
}
_UNKNOWN = ("", 0.0, 0.0)


def _acquired(header) -> tuple:
    return header.age_band, header.thickness_mm, header.exposure_mas


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (_ACQUIRED, ("60 to 69 years", 57.0, 84.6)),
        ({**_ACQUIRED, "ExposureInuAs": None}, ("60 to 69 years", 57.0, 85.0)),
        ({}, _UNKNOWN),
        ({"PatientBirthDate": "19371224", "StudyDate": "20120301"}, _UNKNOWN),
        ({"PatientAge": "732M", "BodyPartThickness": "0", "Exposure": 0}, _UNKNOWN),
        ({"BodyPartThickness": "5.7", "ExposureInuAs": 84_560_000}, _UNKNOWN),
        ({"BodyPartThickness": ["57", "58"]}, ("", 57.0, 0.0)),
        ({"Exposure": 85, "ExposureInuAs": 850_000}, _UNKNOWN),
    ],
)
def test_how_an_image_was_acquired(attributes, expected):
    """From the file, and from its side-car, whose values may be texts."""
    header = dataset(**attributes)
    assert _acquired(header_of_dataset(header)) == expected
    content = side_car(header)
    assert _acquired(header_of_side_car(content)) == expected
    for element in content.values():
        element["Value"] = [str(value) for value in element.get("Value", [])]
    assert _acquired(header_of_side_car(content)) == expected
