"""Decoding, grey levels and the selection filter, against pydicom where it has an answer."""

import io

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_voi_lut, apply_windowing

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.grey_levels import grey_levels
from beam_pipelines.dicom.header import (
    SECONDARY_CAPTURE,
    header_of_dataset,
    header_of_side_car,
    selection_fault,
)
from beam_pipelines.dicom.pixels import decode_pixels
from beam_pipelines.rejections import Reason, Rejected
from tests.toys.omidb_tree import breast, compressed, dataset, side_car, write

_SYNTAXES = {
    "1.2.840.10008.1.2.4.70": lambda p: imagecodecs.jpeg8_encode(
        p, lossless=True, bitspersample=12
    ),
    "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode,
    "1.2.840.10008.1.2.4.90": lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=0),
}


def _bytes(header: Dataset) -> bytes:
    file = io.BytesIO()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    pydicom.dcmwrite(file, header, enforce_file_format=True)
    return file.getvalue()


def _reason(call) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as fault:
        call()
    return fault.value.reason, fault.value.detail


# Grey levels


def _lut(entries: int, first: int, depth: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [entries, first, depth]
    item.LUTData = list(np.sort(np.random.default_rng(3).integers(0, 1 << depth, entries)))
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def _short_lut() -> Dataset:
    item = _lut(100, 0, 12)
    item.LUTDescriptor = [4096, 0, 12]
    return item


_WINDOWS = {
    "linear": {"WindowCenter": 1800, "WindowWidth": 1500},
    "linear of several": {"WindowCenter": [1500, 1], "WindowWidth": [2200, 2]},
    "named function": {"WindowCenter": 1800, "WindowWidth": 1500, "VOILUTFunction": "LINEAR"},
    "width of one": {"WindowCenter": 1800, "WindowWidth": 1},
    "linear exact": {
        "WindowCenter": 1800,
        "WindowWidth": 1500,
        "VOILUTFunction": "LINEAR_EXACT",
    },
    "sigmoid": {"WindowCenter": 1800.5, "WindowWidth": 700, "VOILUTFunction": "SIGMOID"},
    "lut": {"VOILUTSequence": [_lut(4096, 0, 12)]},
    "lut of a part": {"VOILUTSequence": [_lut(800, 1700, 10)]},
    "lut before window": {
        "VOILUTSequence": [_lut(4096, 0, 16)],
        "WindowCenter": 1,
        "WindowWidth": 2,
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("name", sorted(_WINDOWS))
def test_voi_agrees_with_pydicom(name, photometric):
    header = dataset(PhotometricInterpretation=photometric, **_WINDOWS[name])
    pixels = breast()
    reference = apply_voi_lut(pixels, header).astype(np.float64)
    depth = header.VOILUTSequence[0].LUTDescriptor[2] if "VOILUTSequence" in header else 12
    reference = 2 * reference / ((1 << depth) - 1) - 1
    if photometric == "MONOCHROME1":
        reference = -reference
    found = grey_levels(pixels, header)
    assert found[:].dtype == np.float32
    np.testing.assert_allclose(found, reference, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("bits", [8, 10, 13, 14, 16])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_of_every_depth_agree_with_pydicom(function, bits, sign):
    lowest = -sign << (bits - 1)
    kind = ("u" if sign == 0 else "i") + ("1" if bits == 8 else "2")
    stored = (lowest + np.linspace(0, (1 << bits) - 1, 3000)).astype(kind).reshape(50, 60)
    header = dataset(
        stored,
        BitsStored=bits,
        PixelRepresentation=sign,
        WindowCenter=lowest + 0.4 * (1 << bits),
        WindowWidth=0.3 * (1 << bits),
        VOILUTFunction=function,
    )
    reference = (apply_windowing(stored, header) - lowest) / ((1 << bits) - 1)
    found = grey_levels(stored.view(stored.dtype.str.replace("i", "u")), header)
    np.testing.assert_allclose(found, 2 * reference - 1, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("bits", "first", "sign"), [(10, 0, 0), (14, 100, 0), (12, -2048, 1)])
@pytest.mark.parametrize("coding", ["numbers", "bytes"])
def test_luts_of_every_depth_agree_with_pydicom(coding, bits, first, sign):
    """Written to a file and read again: LUTData as US is numbers, as OW bytes."""
    lowest = -sign << (bits - 1)
    stored = (lowest + np.linspace(0, (1 << bits) - 1, 3000)).astype("i2" if sign else "u2")
    stored = stored.reshape(50, 60)
    item = _lut((1 << bits) - 200, first, 14)
    if sign:
        item["LUTDescriptor"].VR = "SS"
    if coding == "bytes":
        item.add_new("LUTData", "OW", np.asarray(item.LUTData, "<u2").tobytes())
    header = dataset(stored, BitsStored=bits, PixelRepresentation=sign, VOILUTSequence=[item])
    reread = pydicom.dcmread(io.BytesIO(_bytes(header)))
    reference = apply_voi_lut(stored, reread) / ((1 << 14) - 1)
    found = grey_levels(stored.view("u2"), reread)
    np.testing.assert_allclose(found, 2 * reference - 1, atol=1e-4)


def test_an_empty_function_is_linear():
    window = {"WindowCenter": 1800, "WindowWidth": 1500}
    empty = grey_levels(breast(), dataset(**window, VOILUTFunction=""))
    np.testing.assert_array_equal(empty, grey_levels(breast(), dataset(**window)))


def test_signed_values_agree_with_pydicom():
    stored = np.linspace(-2048, 2047, 200 * 160).astype(np.int16).reshape(200, 160)
    header = dataset(stored, PixelRepresentation=1, WindowCenter=100, WindowWidth=900)
    reference = apply_voi_lut(stored, header)  # in [-2048, 2047]
    found = grey_levels(decode_pixels(header, header.PixelData), header)
    np.testing.assert_allclose(found, 2 * (reference + 2048) / 4095 - 1, atol=1e-4)


def test_without_a_voi_the_range_is_that_of_the_stored_bits():
    pixels = np.array([[0, 4095], [2048, 1024]], np.uint16)
    found = grey_levels(pixels, dataset(pixels))
    np.testing.assert_allclose(found, 2 * pixels / 4095.0 - 1, atol=1e-6)


def test_bits_above_bits_stored_are_an_overlay():
    pixels = breast()
    np.testing.assert_array_equal(
        grey_levels(pixels | 0xF000, dataset(pixels)), grey_levels(pixels, dataset(pixels))
    )


def test_a_rescale_comes_before_the_window():
    header = dataset(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=3500, WindowWidth=3000)
    found = grey_levels(breast(), header)
    expected = np.clip((breast() * 2.0 - 100 - 3499.5) / 2999 + 0.5, 0, 1) * 2 - 1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_padding_is_background_in_both_polarities():
    pixels = breast()
    pixels[:5] = 4095
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        header = dataset(
            pixels,
            PhotometricInterpretation=photometric,
            PixelPaddingValue=4095,
            PixelPaddingRangeLimit=4000,
        )
        header["PixelPaddingValue"].VR = header["PixelPaddingRangeLimit"].VR = "US"
        assert (grey_levels(pixels, header)[:5] == -1).all()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ModalityLUTSequence": [_lut(4096, 0, 12)]}, Reason.UNSUPPORTED_PIXELS),
        ({"BitsStored": 20, "HighBit": 19}, Reason.UNSUPPORTED_PIXELS),
        ({"WindowCenter": 5, "WindowWidth": 0}, Reason.BAD_GREY_LEVELS),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, Reason.BAD_GREY_LEVELS),
        ({"RescaleSlope": 0}, Reason.BAD_GREY_LEVELS),
        ({"RescaleSlope": "1e308"}, Reason.BAD_GREY_LEVELS),
        ({"RescaleIntercept": "inf"}, Reason.BAD_GREY_LEVELS),
        ({"WindowCenter": 5, "WindowWidth": "nan"}, Reason.BAD_GREY_LEVELS),
        ({"VOILUTSequence": [Dataset()]}, Reason.BAD_GREY_LEVELS),
        ({"VOILUTSequence": [_short_lut()]}, Reason.BAD_GREY_LEVELS),
    ],
)
def test_wrong_grey_attributes_are_rejections(attributes, reason):
    assert _reason(lambda: grey_levels(breast(), dataset(**attributes)))[0] == reason


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("RGB", "RGB"),
        ("PALETTE COLOR", "PALETTE COLOR"),
        ("YBR_FULL_422", "YBR_FULL_422"),
        ("SMITH", "not a known term"),
        (None, ""),
    ],
)
def test_a_photometric_interpretation_that_is_not_read_is_named(name, detail):
    content = _bytes(dataset(PhotometricInterpretation=name, SamplesPerPixel=3))
    found = _reason(lambda: reading.read_mammogram(content))
    assert found == (Reason.UNSUPPORTED_PHOTOMETRIC, detail)


# Whole files


def test_a_file_becomes_a_mammogram():
    mammogram = reading.read_mammogram(_bytes(dataset()))
    assert mammogram.grey.shape == (200, 160)
    assert mammogram.spacing_mm == pytest.approx(0.1)
    assert mammogram.header.manufacturer == "ACME"


def test_reduction_averages_blocks_and_scales_everything():
    mammogram = reading.read_mammogram(_bytes(dataset()))
    reduced = reading.reduce(mammogram, 3, 0.0)
    blocks = mammogram.grey[:198, :159].reshape(66, 3, 53, 3).mean((1, 3))
    np.testing.assert_allclose(reduced.grey, blocks, atol=1e-5)
    assert reduced.spacing_mm == pytest.approx(0.3)
    assert reduced.scale == pytest.approx((1 / 3, 1 / 3))


def test_resampling_reaches_the_spacing():
    mammogram = reading.read_mammogram(_bytes(dataset()))
    resampled = reading.reduce(mammogram, 1, 0.05)
    assert resampled.grey.shape == (400, 320)
    assert (resampled.spacing_mm, resampled.scale) == (0.05, (2.0, 2.0))
    unknown = reading.read_mammogram(_bytes(dataset(ImagerPixelSpacing=None)))
    assert _reason(lambda: reading.reduce(unknown, 1, 0.05))[0] == Reason.UNKNOWN_SPACING


def test_not_dicom_is_a_rejection():
    for content in (b"", b"hello", b"\0" * 128 + b"DICM" + b"\xff" * 64):
        with pytest.raises(Rejected):
            reading.read_mammogram(content)


def test_oblong_pixels_are_refused():
    content = _bytes(dataset(ImagerPixelSpacing=[0.1, 0.2]))
    assert _reason(lambda: reading.read_mammogram(content))[0] == Reason.NON_SQUARE_PIXELS


# The selection filter


def _view_code(view: str, modifier: str | None = None) -> list[Dataset]:
    item = Dataset()
    item.CodeValue = view
    if modifier:
        inner = Dataset()
        inner.CodeValue = modifier
        item.ViewModifierCodeSequence = [inner]
    return [item]


_FAULTS = {
    Reason.FOR_PROCESSING: {"PresentationIntentType": "FOR PROCESSING"},
    Reason.TOMOSYNTHESIS: {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"},
    Reason.WRONG_SOP_CLASS: {"SOPClassUID": SECONDARY_CAPTURE},
    Reason.NOT_MAMMOGRAPHY: {"Modality": "CR"},
    Reason.SYNTHESISED_2D: {"ImageType": ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]},
    Reason.MULTI_FRAME: {"NumberOfFrames": 3},
    Reason.WRONG_LATERALITY: {"ImageLaterality": "B"},
    Reason.WRONG_VIEW: {"ViewPosition": "ML"},
    Reason.MAGNIFICATION_VIEW: {"EstimatedRadiographicMagnificationFactor": 1.8},
    Reason.SPOT_VIEW: {"ViewCodeSequence": _view_code("R-10242", "R-102D7")},
    Reason.IMPLANT: {"BreastImplantPresent": "YES"},
}


@pytest.mark.parametrize("reason", sorted(_FAULTS))
def test_the_filter_names_what_it_rejects(reason):
    header = dataset(**_FAULTS[reason])
    assert selection_fault(header_of_dataset(header))[0] == reason
    assert selection_fault(header_of_side_car(side_car(header)))[0] == reason


@pytest.mark.parametrize("position", ["CC", "LCC", "L CC", "MLO", "RMLO", "RCC"])
def test_views_under_all_their_names(position):
    header = header_of_dataset(dataset(ViewPosition=position))
    assert header.view in ("CC", "MLO")
    assert selection_fault(header) is None


def test_the_view_code_speaks_where_the_position_is_empty():
    header = dataset(ViewPosition=None, ViewCodeSequence=_view_code("R-10226"))
    assert header_of_dataset(header).view == "MLO"
    assert header_of_side_car(side_car(header)).view == "MLO"


def test_the_file_and_its_side_car_say_the_same():
    header = dataset(ViewCodeSequence=_view_code("R-10242", "R-102D6"), NumberOfFrames=1)
    assert header_of_dataset(header) == header_of_side_car(side_car(header))


def test_a_side_car_of_wrong_types_counts_as_absent():
    content = {"00080016": {"vr": "UI"}, "00280010": {"Value": ["x"]}, "00540220": {"Value": 3}}
    header = header_of_side_car({**content, "00200062": [1], "00181164": {"Value": [None]}})
    assert (header.sop_class, header.rows, header.spacing_mm) == ("", 0, ())


def test_loose_films_may_lack_view_and_side(tmp_path):
    film = dataset(
        SOPClassUID=SECONDARY_CAPTURE,
        PresentationIntentType=None,
        ImageLaterality=None,
        ViewPosition=None,
    )
    header = reading.read_header(str(write(tmp_path / "film.dcm", film)))
    assert selection_fault(header)[0] == Reason.WRONG_SOP_CLASS
    assert selection_fault(header, strict=False) is None


# Damage


def test_damaged_files_are_rejections_and_say_nothing(recwarn, caplog, capfd):
    """Truncated and bit-flipped files: a picture or a reason, and no value of the header shown."""
    pixels = breast()
    whole = [_bytes(compressed(dataset(pixels), s, e(pixels))) for s, e in _SYNTAXES.items()]
    whole.append(_bytes(dataset(pixels, PatientID="NAMED PERSON")))
    generator = np.random.default_rng(0)
    reasons = set()
    for number in range(240):
        content = bytearray(whole[number % len(whole)])
        if number % 3 == 0:
            content = content[: generator.integers(len(content))]
        else:
            reach = 1400 if number % 3 == 1 else len(content)
            for place in generator.integers(0, reach, 12):
                content[place] ^= 1 << int(generator.integers(8))
        try:
            mammogram = reading.read_mammogram(bytes(content))
        except Rejected as fault:
            reasons.add(fault.reason)
            assert len(fault.detail) <= 80  # noqa: PT017
            assert "PERSON" not in fault.detail  # noqa: PT017
        else:
            assert np.abs(mammogram.grey).max() <= 1
    assert len(reasons) > 5
    assert not recwarn.list
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_a_value_that_is_no_code_is_not_shown():
    header = header_of_side_car({**side_car(dataset()), "00185101": {"Value": ["Mrs A. Person"]}})
    assert selection_fault(header) == (Reason.WRONG_VIEW, "not a known term")
