"""A DICOM file's bytes to its data set and its pixel data, with bounds on what a file can cost.

pydicom builds objects for whatever a header declares: a few megabytes of empty sequence items
become gigabytes. It reads through a stream that bounds the number and the size of its reads. The
pixel data, nearly all of a file, is not read by it at all.
"""

import io
import struct
from typing import Any, BinaryIO

import pydicom

from beam_pipelines.rejections import Reason, Rejected

_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXEL_DATA = b"\xe0\x7f\x10\x00"  # (7FE0,0010), little endian
_UNDEFINED = 0xFFFFFFFF
# A mammogram's header takes about 1,000 reads, a tomosynthesis of 100 frames 20,000.
_MOST_READS = 100_000
_LARGEST_READ = 2 << 20  # bytes of one element inside a sequence
_LARGEST_VALUE = 1 << 20  # bytes of one element; VOI LUTs of 2^16 entries have 131,072
_MOST_BYTES = 64 << 20  # of a header


def read_file(data: bytes) -> tuple[Any, memoryview]:
    """(pydicom data set without pixels, Pixel Data as it is in the file, empty without any).

    Raises `Rejected` for a header beyond all bounds and for a deflated data set, and anything
    else that pydicom raises on damage. An element of more than a megabyte cannot be read.
    """
    stream = io.BytesIO(data)
    dataset = read_header(stream)
    if stream.tell() > len(data):
        raise Rejected(Reason.BROKEN_DICOM, "an element is longer than the file")
    return dataset, _pixel_data(data, stream.tell())


def read_header(stream: BinaryIO) -> Any:
    """The data set up to its pixels; the stream is left at them. Raises as `read_file`."""
    guarded: Any = _Guarded(stream)
    return pydicom.dcmread(guarded, stop_before_pixels=True, defer_size=_LARGEST_VALUE)


class _Guarded:
    """The part of a stream's interface that pydicom uses, with bounds."""

    def __init__(self, stream: BinaryIO):
        self.seek, self.tell = stream.seek, stream.tell
        self._stream = stream
        self._reads = self._bytes = 0

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # only to inflate all of it at once
            raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, _DEFLATED)
        self._reads += 1
        self._bytes += size
        if self._reads > _MOST_READS or size > _LARGEST_READ or self._bytes > _MOST_BYTES:
            raise Rejected(Reason.BROKEN_DICOM, "header too large")
        return self._stream.read(size)


def _pixel_data(data: bytes, position: int) -> memoryview:
    """The value of the element at `position` where that is Pixel Data.

    Its length may be undefined, and be wrong in a damaged file: the value ends with the file.
    """
    head = data[position : position + 12]
    if head[:4] != _PIXEL_DATA or len(head) < 8:
        return memoryview(b"")
    explicit = head[4:6] in (b"OB", b"OW", b"UN") and len(head) == 12
    start = position + (12 if explicit else 8)
    (length,) = struct.unpack_from("<I", head, 8 if explicit else 4)
    end = len(data) if length == _UNDEFINED else start + length
    return memoryview(data)[start:end]
