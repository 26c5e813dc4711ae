"""Every transfer syntax at every depth, and streams that are damaged on purpose."""

import functools
import io
import struct

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.grey_levels import grey_levels
from beam_pipelines.dicom.pixels import decode_pixels
from beam_pipelines.rejections import Reason, Rejected
from tests.toys.omidb_tree import breast, compressed, dataset

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"
BASELINE, EXTENDED, LOSSLESS, LOSSLESS_SV1, JPEG_LS, NEAR_LOSSLESS, JPEG_2000, JPEG_2000_LOSSY = (
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)
)
EXACT = (EXPLICIT, IMPLICIT, RLE, LOSSLESS, LOSSLESS_SV1, JPEG_LS, JPEG_2000, JPEG_2000_LOSSY)


def _rle(pixels, bits):
    rows, columns = pixels.shape
    allocated = 8 * pixels.itemsize
    frame = get_encoder(RLELossless).encode(
        pixels,
        encoding_plugin="pydicom",
        rows=rows,
        columns=columns,
        samples_per_pixel=1,
        bits_allocated=allocated,
        bits_stored=allocated,
        photometric_interpretation="MONOCHROME2",
        pixel_representation=0,
        number_of_frames=1,
    )
    return bytes(frame)


def _jpeg_lossless(pixels, bits, predictor=1):
    return imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)


def _jpeg_2000(pixels, bits, kind="j2k"):
    return imagecodecs.jpeg2k_encode(
        pixels, level=0, codecformat=kind, bitspersample=bits, reversible=True, numthreads=1
    )


_ENCODERS = {
    RLE: _rle,
    LOSSLESS: functools.partial(_jpeg_lossless, predictor=6),
    LOSSLESS_SV1: _jpeg_lossless,
    JPEG_LS: lambda pixels, bits: imagecodecs.jpegls_encode(pixels),
    JPEG_2000: _jpeg_2000,
    JPEG_2000_LOSSY: functools.partial(_jpeg_2000, kind="jp2"),
}


def _file(header, syntax, stream):
    """(data set, Pixel Data) of the file with that stream, as they are read again."""
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = syntax
    if stream is not None:
        compressed(header, syntax, stream)
    file = io.BytesIO()
    pydicom.dcmwrite(file, header, enforce_file_format=True)
    return reading.read_file(file.getvalue())


def _written(pixels, syntax, bits, **attributes):
    """(data set, Pixel Data) of a file of these stored bit patterns."""
    stream = _ENCODERS[syntax](pixels, bits) if syntax in _ENCODERS else None
    return _file(dataset(pixels, BitsStored=bits, **attributes), syntax, stream)


def _ramp(bits, shape=(64, 65)):
    """Every stored value of that depth, or as many as there are pixels, in rows."""
    values = np.linspace(0, (1 << bits) - 1, shape[0] * shape[1]).astype(np.uint16)
    return values.reshape(shape).astype(np.uint8 if bits <= 8 else np.uint16)


def _reason(call, *arguments):
    with pytest.raises(Rejected) as fault:
        call(*arguments)
    return fault.value.reason, fault.value.detail


@pytest.mark.parametrize("bits", [8, 10, 12, 13, 14, 16])
@pytest.mark.parametrize("syntax", EXACT)
def test_every_depth_gives_the_stored_values(syntax, bits):
    pixels = _ramp(bits)
    np.testing.assert_array_equal(decode_pixels(*_written(pixels, syntax, bits)), pixels)


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("syntax", EXACT)
def test_signed_values_keep_their_signs(syntax, bits):
    """The lowest stored value is black, the highest white, whatever the coding made of the sign."""
    lowest = -(1 << (bits - 1))
    signed = _ramp(bits).astype(np.int32) + lowest
    patterns = (signed & ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    header, data = _written(patterns, syntax, bits, PixelRepresentation=1)
    expected = 2.0 * (signed - lowest) / ((1 << bits) - 1) - 1
    np.testing.assert_allclose(
        grey_levels(decode_pixels(header, data), header), expected, atol=1e-6
    )


@pytest.mark.parametrize("syntax", [EXPLICIT, JPEG_2000, RLE])
def test_signs_may_fill_the_bits_above_those_stored(syntax):
    signed = _ramp(12).astype(np.int16) - 2048
    stream = None
    if syntax == JPEG_2000:
        stream = imagecodecs.jpeg2k_encode(signed, level=0, codecformat="j2k", reversible=True)
    elif syntax == RLE:
        stream = _rle(signed.view(np.uint16), 16)
    header = dataset(signed, BitsStored=12, PixelRepresentation=1)
    header, data = _file(header, syntax, stream)
    expected = 2.0 * (signed + 2048.0) / 4095 - 1
    np.testing.assert_allclose(
        grey_levels(decode_pixels(header, data), header), expected, atol=1e-6
    )


@pytest.mark.parametrize(
    "shape", [(832, 640), pytest.param((3328, 2560), marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("syntax", EXACT)
def test_large_images(syntax, shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    pixels = ((rows * columns) >> 11).astype(np.uint16) & 0xFFF
    if syntax == RLE:  # pydicom's encoder takes ten seconds
        segments = [imagecodecs.packbits_encode(pixels.view(np.uint8)[:, i::2]) for i in (1, 0)]
        offsets = [2, 64, 64 + len(segments[0]), *[0] * 13]
        written = _file(dataset(pixels), RLE, struct.pack("<16I", *offsets) + b"".join(segments))
    else:
        written = _written(pixels, syntax, 12)
    np.testing.assert_array_equal(decode_pixels(*written), pixels)


@pytest.mark.parametrize("syntax", sorted(_ENCODERS))
def test_one_frame_in_many_fragments(syntax):
    pixels = breast()
    stream = _ENCODERS[syntax](pixels, 12)
    header = compressed(dataset(pixels), syntax, stream)
    header.PixelData = pydicom.encaps.encapsulate([stream], fragments_per_frame=7)
    np.testing.assert_array_equal(decode_pixels(header, header.PixelData), pixels)


def test_lossy_syntaxes_are_close():
    smooth = np.add.outer(np.arange(64), np.arange(80)).astype(np.uint16)  # what transforms keep
    eight = smooth.astype(np.uint8)
    twelve = (smooth * 28).astype(np.uint16)
    for syntax, pixels, bits, stream, error in (
        (BASELINE, eight, 8, imagecodecs.jpeg8_encode(eight, level=95), 3),
        (EXTENDED, twelve, 12, imagecodecs.jpeg8_encode(twelve, level=95, bitspersample=12), 40),
        (NEAR_LOSSLESS, twelve, 12, imagecodecs.jpegls_encode(twelve, level=2), 2),
        (JPEG_2000_LOSSY, twelve, 12, imagecodecs.jpeg2k_encode(twelve, level=90), 40),
    ):
        found = decode_pixels(*_file(dataset(pixels, BitsStored=bits), syntax, stream))
        assert np.abs(found.astype(int) - pixels).max() <= error, syntax


def test_jpeg_2000_in_tiles_and_layers():
    pixels = np.add.outer(np.arange(200), np.arange(160)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, "JPEG2000", no_jp2=True, tile_size=(64, 64), irreversible=False,
        quality_mode="rates", quality_layers=[20, 5, 0], num_resolutions=3,
    )  # fmt: skip
    header = compressed(dataset(pixels), JPEG_2000, file.getvalue())
    np.testing.assert_array_equal(decode_pixels(header, header.PixelData), pixels)


def test_eight_bits_in_a_stream_of_sixteen_allocated():
    pixels = _ramp(8)
    header = dataset(pixels.astype(np.uint16), BitsStored=8)
    header, data = _file(header, LOSSLESS_SV1, _jpeg_lossless(pixels, 8))
    np.testing.assert_array_equal(decode_pixels(header, data), pixels)


# What is not read


@pytest.mark.parametrize(
    ("syntax", "detail"),
    [
        ("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.100"),
        ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.201"),
        ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.2"),
        ("1.2.19560312", "not a known transfer syntax"),  # a date of birth
        ("SMITH^JANE", "not a known transfer syntax"),
        ("", "not a known transfer syntax"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_unsupported_syntax_is_named_if_it_is_one(syntax, detail):
    header = dataset()
    header.file_meta.TransferSyntaxUID = syntax
    found = _reason(decode_pixels, header, b"x")
    assert found == (Reason.UNSUPPORTED_TRANSFER_SYNTAX, detail)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, Reason.IMAGE_TOO_LARGE),
        ({"Rows": 0}, Reason.UNSUPPORTED_PIXELS),
        ({"Columns": None}, Reason.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 32}, Reason.UNSUPPORTED_PIXELS),
        ({"BitsAllocated": 1}, Reason.UNSUPPORTED_PIXELS),
        ({"SamplesPerPixel": 3}, Reason.UNSUPPORTED_PIXELS),
    ],
)
def test_what_the_header_declares_is_judged_before_the_pixels(attributes, reason):
    assert _reason(decode_pixels, dataset(**attributes), b"x")[0] == reason


def test_too_few_raw_values():
    header = dataset()
    found = _reason(decode_pixels, header, header.PixelData[:1000])
    assert found == (Reason.BROKEN_PIXEL_DATA, "1000 of 64000 bytes")
    assert _reason(decode_pixels, header, b"")[0] == Reason.NO_PIXEL_DATA


# Damage


@pytest.mark.parametrize("syntax", sorted(_ENCODERS))
@pytest.mark.parametrize("share", [0.001, 0.01, 0.5, 0.99])
def test_a_cut_stream_is_a_rejection(syntax, share):
    stream = _ENCODERS[syntax](breast(), 12)
    header = compressed(dataset(), syntax, stream[: int(share * len(stream))])
    assert _reason(decode_pixels, header, header.PixelData)[0] == Reason.BROKEN_PIXEL_DATA


@pytest.mark.parametrize("syntax", [LOSSLESS_SV1, JPEG_LS, JPEG_2000])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_stream_with_a_new_end_comes_back(syntax, share):
    """A stream without an end keeps CharLS busy for ever; with one, no decoder is."""
    stream = _ENCODERS[syntax](breast(), 12)
    header = compressed(dataset(), syntax, stream[: int(share * len(stream))] + b"\xff\xd9")
    try:
        values = decode_pixels(header, header.PixelData)
    except Rejected as fault:
        assert fault.reason == Reason.BROKEN_PIXEL_DATA  # noqa: PT017
    else:
        assert values.shape == breast().shape


@pytest.mark.parametrize(
    "damage",
    [
        lambda stream: stream[:8] + b"\x34\x16\x00\x80" + stream[12:],  # crashes imagecodecs
        lambda stream: stream[:4] + b"\xff\xff\xff\x7f" + stream[8:],
        lambda stream: stream[:4] + b"\x00\x00\x00\x00" + stream[8:],
        lambda stream: b"\x03" + stream[1:],
        lambda stream: b"\x01" + stream[1:],
        lambda stream: stream[:64] + b"\x81\xaa" * 200_000,  # a hundred times too much
        lambda stream: stream[:60],
        lambda stream: bytes(2),
    ],
)
def test_wrong_rle_segments_are_rejections(damage):
    header = compressed(dataset(), RLE, damage(_rle(breast(), 12)))
    assert _reason(decode_pixels, header, header.PixelData)[0] == Reason.BROKEN_PIXEL_DATA


def test_an_odd_rle_segment_is_padded():
    pixels = breast()
    stream = _rle(pixels, 12)
    header = compressed(dataset(pixels), RLE, stream + b"\0\0")
    np.testing.assert_array_equal(decode_pixels(header, header.PixelData), pixels)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00",  # an offset table and nothing else
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + bytes(64),
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\xf0\xff\xff\xff" + bytes(64),
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 100_000,
        bytes(64),
    ],
)
@pytest.mark.parametrize("syntax", sorted(_ENCODERS))
def test_fragments_that_are_none(syntax, data):
    header = compressed(dataset(), syntax, b"1234")
    reason = Reason.BROKEN_PIXEL_DATA if data else Reason.NO_PIXEL_DATA
    assert _reason(decode_pixels, header, data)[0] == reason


@pytest.mark.parametrize("syntax", [RLE, LOSSLESS, LOSSLESS_SV1, JPEG_LS])
def test_a_stream_with_a_bad_stretch_is_a_rejection(syntax):
    """A bit in every thousandth byte; JPEG 2000 has nothing by which its decoder could tell."""
    pixels = breast()
    whole = np.frombuffer(_ENCODERS[syntax](pixels, 12), np.uint8)
    generator = np.random.default_rng(0)
    for _ in range(20):
        stream = whole.copy()
        places = generator.integers(200, len(stream) - 2, len(stream) // 1000)
        stream[places] ^= (1 << generator.integers(0, 8, len(places))).astype(np.uint8)
        header = compressed(dataset(pixels), syntax, stream.tobytes())
        found = _reason(decode_pixels, header, header.PixelData)
        assert found[0] == Reason.BROKEN_PIXEL_DATA


@pytest.mark.parametrize("syntax", sorted(_ENCODERS))
def test_flipped_bits_give_a_picture_or_a_reason(syntax):
    """In the streams themselves; most flips there are no damage that a decoder could see."""
    pixels = breast((64, 48))
    whole = _ENCODERS[syntax](pixels, 12)
    generator = np.random.default_rng(0)
    outcomes = set()
    for number in range(300):
        stream = np.frombuffer(whole, np.uint8).copy()
        reach = len(stream) if number % 2 else 120
        places = generator.integers(0, reach, generator.integers(1, 6))
        stream[places] ^= (1 << generator.integers(0, 8, len(places))).astype(np.uint8)
        header = compressed(dataset(pixels), syntax, stream.tobytes())
        try:
            values = decode_pixels(header, header.PixelData)
        except Rejected as fault:
            outcomes.add(fault.reason)
        else:
            assert values.shape == pixels.shape
            outcomes.add("picture")
    assert Reason.BROKEN_PIXEL_DATA in outcomes
    assert "picture" in outcomes
