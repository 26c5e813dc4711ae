"""Pixel Data to stored values, by imagecodecs; sizes are checked before anything is allocated."""

import struct
from typing import Any

import imagecodecs
import numpy as np
import pydicom.encaps

from beam_pipelines.rejections import Reason, Rejected

_RAW = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
_RLE = "1.2.840.10008.1.2.5"
_JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
_JPEG_LS = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81))
_JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91))
_END_OF_IMAGE = b"\xff\xd9"  # of JPEG, JPEG-LS and JPEG 2000 streams
LARGEST_IMAGE = 1 << 26  # 67 million pixels; the largest detectors have 16 to 20 million


def decode_pixels(dataset: Any) -> np.ndarray:
    """The stored values of a single-frame grey image as unsigned bit patterns.

    Args:
      dataset: pydicom data set with its file meta information.

    Returns:
      uint8 or uint16 [Rows, Columns]; bits above BitsStored and signs are the caller's.

    Raises `Rejected`: an unsupported syntax is named by its UID.
    """
    syntax = str(getattr(dataset.file_meta, "TransferSyntaxUID", ""))
    rows, columns, bits = _declared(dataset)
    if "PixelData" not in dataset or not dataset.PixelData:
        raise Rejected(Reason.NO_PIXEL_DATA)
    data = dataset.PixelData
    if syntax in _RAW:
        return _raw(data, rows, columns, bits)
    decode = {
        _RLE: _rle,
        **dict.fromkeys(_JPEG, _jpeg),
        **dict.fromkeys(_JPEG_LS, _jpeg_ls),
        **dict.fromkeys(_JPEG_2000, _jpeg_2000),
    }.get(syntax)
    if decode is None:
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, syntax)
    return _unsigned(_decode_frame(decode, data, rows, columns, bits), rows, columns)


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


def _raw(data: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    needed = rows * columns * bits // 8
    if len(data) < needed:
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"{len(data)} of {needed} bytes")
    return np.frombuffer(data, f"<u{bits // 8}", rows * columns).reshape(rows, columns)


def _decode_frame(decode: Any, data: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    try:
        frame = pydicom.encaps.get_frame(data, 0, number_of_frames=1)
        if decode is not _rle and not frame.rstrip(b"\0").endswith(_END_OF_IMAGE):
            raise Rejected(Reason.BROKEN_PIXEL_DATA, "no end of image")  # decoders fill in grey
        return decode(frame, rows, columns, bits)
    except Rejected:
        raise
    except Exception as error:  # the codecs raise their own classes, a damaged stream any of them
        raise Rejected(Reason.BROKEN_PIXEL_DATA, type(error).__name__) from error


def _rle(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    return _raw(imagecodecs.dicomrle_decode(frame, f"<u{bits // 8}"), rows, columns, bits)


def _jpeg(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    _check_size(_jpeg_size(frame), rows, columns)
    return imagecodecs.jpeg8_decode(frame)


def _jpeg_ls(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    _check_size(_jpeg_size(frame), rows, columns)
    return imagecodecs.jpegls_decode(frame)


def _jpeg_2000(frame: bytes, rows: int, columns: int, bits: int) -> np.ndarray:
    _check_size(_jpeg_2000_size(frame), rows, columns)
    return imagecodecs.jpeg2k_decode(frame)


def _jpeg_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) of the frame header (SOF) of a JPEG or JPEG-LS stream."""
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
            return struct.unpack_from(">HH", frame, position + 5)
        position += 2 + struct.unpack_from(">H", frame, position + 2)[0]
    raise Rejected(Reason.BROKEN_PIXEL_DATA, "no JPEG frame header")


def _jpeg_2000_size(frame: bytes) -> tuple[int, int]:
    """(rows, columns) of the SIZ segment of a JPEG 2000 codestream."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(frame) < start + 24:
        raise Rejected(Reason.BROKEN_PIXEL_DATA, "no JPEG 2000 image size")
    right, bottom, left, top = struct.unpack_from(">IIII", frame, start + 8)
    return bottom - top, right - left


def _check_size(found: tuple[int, int], rows: int, columns: int) -> None:
    if found != (rows, columns):
        raise Rejected(
            Reason.SIZE_MISMATCH, f"header {rows}x{columns}, stream {found[0]}x{found[1]}"
        )


def _unsigned(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    if values.shape != (rows, columns) or values.dtype.kind not in "ui":
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"decoded {values.dtype} {values.shape}")
    if values.dtype.itemsize > 2:
        raise Rejected(Reason.UNSUPPORTED_PIXELS, str(values.dtype))
    return values.view(f"u{values.dtype.itemsize}")
