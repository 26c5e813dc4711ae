"""Pixel Data to stored values, by imagecodecs; sizes are checked before anything is allocated."""

import struct
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from pydicom.uid import UID_dictionary

from beam_pipelines.codestreams import (
    JPEG_FRAMES,
    JPEG_LS_FRAMES,
    check_jpeg,
    jpeg_2000_codestream,
)
from beam_pipelines.rejections import Reason, Rejected

LARGEST_IMAGE = 1 << 26  # 67 million pixels; the largest detectors have 16 to 20 million
_MOST_FRAGMENTS = 1 << 16
# Of a compressed stream. Mammograms have 1 to 100; a stream without content could declare any size.
_MOST_PIXELS_A_BYTE = 1000
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_RLE_HEADER = struct.Struct("<16I")  # the number of segments, then their offsets

Decoder = Callable[[bytes, int, int, int], np.ndarray]


def decode_pixels(dataset: Any, data: bytes | memoryview) -> np.ndarray:
    """The stored values of a single-frame grey image as unsigned bit patterns.

    Args:
      dataset: pydicom data set with its file meta information.
      data: Pixel Data (7FE0,0010), encapsulated (PS3.5 A.4) or not.

    Returns:
      uint8 or uint16 [Rows, Columns]; bits above BitsStored and signs are the caller's.

    Raises `Rejected`: an unsupported syntax is named by its UID.
    """
    decode = _decoder(str(getattr(dataset.file_meta, "TransferSyntaxUID", "")))
    rows, columns, bits = _declared(dataset)
    if not len(data):
        raise Rejected(Reason.NO_PIXEL_DATA)
    if decode is _raw:
        return _raw(data, rows, columns, bits)
    frame = _frame(memoryview(data))
    if rows * columns > _MOST_PIXELS_A_BYTE * len(frame):
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"{len(frame)} bytes for {rows}x{columns}")
    try:
        values = decode(frame, rows, columns, bits)
    except Rejected:
        raise
    except Exception as error:  # the codecs raise their own classes, a damaged stream any of them
        raise Rejected(Reason.BROKEN_PIXEL_DATA, type(error).__name__) from error
    return _unsigned(values, rows, columns)


def _decoder(syntax: str) -> Decoder:
    if syntax in _DECODERS:
        return _DECODERS[syntax]
    # Anything but a registered UID could be any text.
    known = UID_dictionary.get(syntax, ("", ""))[1] == "Transfer Syntax"
    name = syntax if known else "not a known transfer syntax"
    raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, name)


def _declared(dataset: Any) -> tuple[int, int, int]:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    bits = int(dataset.get("BitsAllocated") or 0)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    if rows * columns > LARGEST_IMAGE:
        raise Rejected(Reason.IMAGE_TOO_LARGE, f"{rows}x{columns}")
    if rows < 1 or columns < 1 or bits not in (8, 16) or samples != 1:
        raise Rejected(
            Reason.UNSUPPORTED_PIXELS, f"{rows}x{columns}, {bits} bits, {samples} samples"
        )
    return rows, columns, bits


def _frame(data: memoryview) -> bytes:
    """The fragments of encapsulated pixel data after its offset table, joined: there is one frame.

    Raises `Rejected` where the fragments do not follow each other.
    """
    parts = []
    position = 0
    while position + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, position)
        position += 8
        if (group, element) == _DELIMITER:
            break
        fits = (group, element) == _ITEM and length <= len(data) - position
        if not fits or len(parts) > _MOST_FRAGMENTS:
            raise Rejected(Reason.BROKEN_PIXEL_DATA, "fragments")
        parts.append(data[position : position + length])
        position += length
    return bytes(parts[1]) if len(parts) == 2 else b"".join(parts[1:])


def _raw(data: bytes | memoryview, rows: int, columns: int, bits: int) -> np.ndarray:
    needed = rows * columns * bits // 8
    if len(data) < needed:
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"{len(data)} of {needed} bytes")
    return np.frombuffer(data, f"<u{bits // 8}", rows * columns).reshape(rows, columns)


def _rle(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    """PS3.5 annex G: a segment for each byte of the pixels, the most significant first."""
    header = _RLE_HEADER.unpack_from(frame)
    bounds = [*header[1 : 1 + bits // 8], len(frame)]
    if header[0] != bits // 8 or bounds[0] != _RLE_HEADER.size or bounds != sorted(bounds):
        raise Rejected(Reason.BROKEN_PIXEL_DATA, "RLE header")
    values = np.empty((rows * columns, bits // 8), np.uint8)
    for place in range(bits // 8):
        segment = frame[bounds[place] : bounds[place + 1]]
        # imagecodecs' decoder for DICOM crashes on wrong offsets, that for one segment does not. A
        # segment of odd length is padded with a zero, which may read as one more pixel.
        decoded = imagecodecs.packbits_decode(segment, out=rows * columns + 1)
        if len(decoded) < rows * columns:
            raise Rejected(Reason.BROKEN_PIXEL_DATA, "RLE segment too short")
        values[:, bits // 8 - 1 - place] = np.frombuffer(decoded, np.uint8, rows * columns)
    return values.view(f"<u{bits // 8}").reshape(rows, columns)


def _jpeg(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    precision = check_jpeg(frame, rows, columns, bits, JPEG_FRAMES)
    values = imagecodecs.jpeg8_decode(frame)
    # The decoder does not say when it loses its place in a damaged lossless stream, but what it
    # gives from there on soon leaves the range.
    if values.max() >> precision:
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"values of more than {precision} bits")
    return values


def _jpeg_ls(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    check_jpeg(frame, rows, columns, bits, JPEG_LS_FRAMES)
    return imagecodecs.jpegls_decode(frame)


def _jpeg_2000(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    return imagecodecs.jpeg2k_decode(jpeg_2000_codestream(frame, rows, columns, bits))


_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_DECODERS: dict[str, Decoder] = {
    "1.2.840.10008.1.2": _raw,
    "1.2.840.10008.1.2.1": _raw,
    "1.2.840.10008.1.2.5": _rle,
    **{f"{_JPEG_FAMILY}{number}": _jpeg for number in (50, 51, 57, 70)},
    **{f"{_JPEG_FAMILY}{number}": _jpeg_ls for number in (80, 81)},
    **{f"{_JPEG_FAMILY}{number}": _jpeg_2000 for number in (90, 91)},
}


def _unsigned(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    if values.shape != (rows, columns) or values.dtype.kind not in "ui":
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"decoded {values.dtype} {values.shape}")
    if values.dtype.itemsize > 2:
        raise Rejected(Reason.UNSUPPORTED_PIXELS, str(values.dtype))
    return values.view(f"u{values.dtype.itemsize}")
