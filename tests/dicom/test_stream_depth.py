"""Streams with more bits than BitsStored, and streams that need next to no bytes."""

import imagecodecs
import numpy as np
import pytest

from beam_pipelines.dicom.grey_levels import grey_levels
from beam_pipelines.dicom.pixels import decode_pixels
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.outlines import read_mask
from tests.toys.omidb_tree import compressed, dataset, write

JPEG, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{number}" for number in (51, 81, 91))


def _jpeg_2000(pixels, **options):
    return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", **options)


def _specks(bits):
    """uint16 [96, 80]: specks as bright as can be on a smooth ground."""
    rows, columns = np.mgrid[:96, :80]
    pixels = (0.4 + 0.2 * np.sin(rows / 17) * np.cos(columns / 13)) * ((1 << bits) - 1)
    for row, column in ((20, 30), (50, 60), (80, 20)):
        pixels[(rows - row) ** 2 + (columns - column) ** 2 < 16] = (1 << bits) - 1
    return pixels.astype(np.uint16)


@pytest.mark.parametrize(
    ("stream", "bits", "syntax", "decoder"),
    [
        (_jpeg_2000(_specks(12), level=38, bitspersample=16, reversible=False), 12, JPEG_2000,
         imagecodecs.jpeg2k_decode),
        (imagecodecs.jpegls_encode(_specks(12), level=4), 12, JPEG_LS, imagecodecs.jpegls_decode),
        (imagecodecs.jpeg8_encode(_specks(10), level=85, bitspersample=12), 10, JPEG,
         imagecodecs.jpeg8_decode),
        (_jpeg_2000(_specks(13), level=0, bitspersample=14), 12, JPEG_2000,
         imagecodecs.jpeg2k_decode),
    ],
    ids=["JPEG 2000, 16 in 12", "JPEG-LS, 16 in 12", "JPEG, 12 in 10", "lossless, 14 in 12"],
)  # fmt: skip
def test_values_above_bits_stored_are_white(stream, bits, syntax, decoder):
    decoded = decoder(stream)
    assert decoded.max() > (1 << bits) - 1  # or there is nothing to be clipped
    header = compressed(dataset(_specks(bits), BitsStored=bits), syntax, stream)
    found = decode_pixels(header, header.PixelData)
    np.testing.assert_array_equal(found, np.minimum(decoded, (1 << bits) - 1))


def test_signed_values_beyond_bits_stored_are_black_or_white():
    signed = np.array([[-2100, -2048, -5, 0], [3, 2047, 2048, 4000]], np.int16).repeat(32, axis=0)
    stream = _jpeg_2000(signed, level=0, reversible=True)
    header = compressed(dataset(signed, BitsStored=12, PixelRepresentation=1), JPEG_2000, stream)
    found = grey_levels(decode_pixels(header, header.PixelData), header)
    expected = 2.0 * (signed.clip(-2048, 2047) + 2048.0) / 4095 - 1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_negative_values_of_a_stream_of_an_unsigned_image_are_black():
    signed = np.array([[-40, -1, 0], [1, 4000, 4095]], np.int16).repeat(32, axis=0)
    stream = _jpeg_2000(signed, level=0, reversible=True)
    header = compressed(dataset(signed.astype(np.uint16)), JPEG_2000, stream)
    np.testing.assert_array_equal(decode_pixels(header, header.PixelData), signed.clip(0))


def test_the_sign_is_the_highest_bit_of_the_stream():
    """-1 in a stream of 12 bits, of an image of 16: 4095 without its sign."""
    patterns = np.array([[0, 5, 2047], [2048, 4090, 4095]], np.uint16).repeat(32, axis=0)
    stream = _jpeg_2000(patterns, level=0, bitspersample=12)
    header = dataset(patterns, BitsStored=16, PixelRepresentation=1)
    header = compressed(header, JPEG_2000, stream)
    numbers = decode_pixels(header, header.PixelData).view(np.int16)
    assert numbers[::32].tolist() == [[0, 5, 2047], [-2048, -6, -1]]


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        ("1.2.840.10008.1.2.4.90", lambda mask: _jpeg_2000(mask, level=0)),
        ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
    ],
    ids=["JPEG 2000", "JPEG-LS"],
)
def test_a_mask_that_compresses_well_is_read(tmp_path, syntax, encode):
    mask = np.zeros((2404, 1512), np.uint8)
    mask[1300:1310, 600:620] = 255
    stream = encode(mask)
    assert mask.size > 1000 * len(stream)
    path = write(tmp_path / "1-1.dcm", compressed(dataset(mask), syntax, stream))
    found = read_mask(str(path), mask.shape)
    assert len(found.pixels) == 200
    assert found.box_on(mask.shape) == (600, 1300, 620, 1310)


@pytest.mark.parametrize("syntax", ["5", "4.50", "4.70", "4.80"])
def test_a_stream_too_short_for_its_size_is_a_rejection(syntax):
    stream = b"\xff\xd8" + bytes(300) + b"\xff\xd9"
    header = dataset(np.zeros((2, 2), np.uint8), Rows=8000, Columns=8000)
    header = compressed(header, f"1.2.840.10008.1.2.{syntax}", stream)
    with pytest.raises(Rejected) as fault:
        decode_pixels(header, header.PixelData)
    expected = (Reason.BROKEN_PIXEL_DATA, "304 bytes for 8000x8000")
    assert (fault.value.reason, fault.value.detail) == expected
