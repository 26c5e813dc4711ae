"""Reads a DICOM file's bytes into a mammogram in grey levels, with bounds on what a file can cost.

>>> mammogram = read_mammogram(files.read_bytes(path))
>>> window = mammogram.grey[100:356, 200:456]

pydicom builds objects for whatever a header declares: a few megabytes of empty sequence items
become gigabytes. So it reads through a stream that limits the number and the size of its reads, and
never sees the pixel data, which are nearly all of a file.
"""

import contextlib
import dataclasses
import io
import logging
import struct
import threading
import warnings
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO

import cv2
import numpy as np
import pydicom

from beam_pipelines.dicom.grey_levels import GreyLevels, check_photometric, cropped, grey_levels
from beam_pipelines.dicom.header import Header, header_of_dataset, selection_fault
from beam_pipelines.dicom.pixels import LARGEST_IMAGE, decode_pixels
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.storage import files
from cgan_tf.runs.errors import UserError

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
    dataset, position = _read_up_to_pixels(data)
    return dataset, _pixel_data(data, position)


def _read_up_to_pixels(data: bytes) -> tuple[Any, int]:
    """(pydicom data set without pixels, where the pixels begin)."""
    stream = io.BytesIO(data)
    dataset = read_dataset_header(stream)
    if stream.tell() > len(data):
        raise Rejected(Reason.BROKEN_DICOM, "an element is longer than the file")
    return dataset, stream.tell()


def read_dataset_header(stream: BinaryIO) -> Any:
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


@dataclasses.dataclass(frozen=True, eq=False)
class Mammogram:
    """One image in grey levels, ready to be cut.

    Attributes:
      grey: float32 [H, W] in [-1, 1], background dark; `grey[:]` is an array in any case.
      header: of the file.
      spacing_mm: of `grey`; 0 when unknown.
      scale: (x, y) pixels of `grey` a stored pixel.
      origin: (x, y) of the first pixel of `grey` on the image that it is a part of.
    """

    grey: np.ndarray | GreyLevels
    header: Header
    spacing_mm: float
    scale: tuple[float, float] = (1.0, 1.0)
    origin: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """One image as it is stored.

    Attributes:
      dataset: pydicom data set without pixels. values: unsigned bit patterns [H, W].
      spacing_mm: of the pixels; 0 when unknown.
      head: the bytes of the file that `dataset` is of.
    """

    dataset: Any
    header: Header
    values: np.ndarray
    spacing_mm: float
    head: bytes

    def __reduce__(self) -> tuple[Any, ...]:
        # Beam pickles what goes from step to step. A data set cannot always be pickled, depending
        # on what was read of it: in pydicom 3 not after a LUT Descriptor. Its bytes can.
        return _stored_again, (self.head, self.header, self.values, self.spacing_mm)

    def mammogram(self) -> Mammogram:
        """The image in grey levels; `Rejected` where the attributes make no sense."""
        with quietly_rejecting():
            return Mammogram(grey_levels(self.values, self.dataset), self.header, self.spacing_mm)


def read_mammogram(
    data: bytes,
    strict: bool = True,
    allow_synthetic: bool = False,
    admitted: Collection[str] = (),
) -> Mammogram:
    """Decodes a DICOM file at its stored size.

    Raises `Rejected` for whatever makes the file unfit, the selection filter of `dicom.header`
    included (`strict`, `allow_synthetic` and `admitted` as there).
    """
    return read_stored(data, strict, allow_synthetic, admitted).mammogram()


def read_stored(
    data: bytes,
    strict: bool = True,
    allow_synthetic: bool = False,
    admitted: Collection[str] = (),
) -> Stored:
    """A DICOM file's data set and stored values. Raises as `read_mammogram`."""
    with quietly_rejecting():
        dataset, position = _read_up_to_pixels(data)
        pixels = _pixel_data(data, position)
        if not pixels:  # the header of a file that was cut off may be incomplete
            raise Rejected(Reason.NO_PIXEL_DATA)
        header = header_of_dataset(dataset)
        fault = selection_fault(header, strict, allow_synthetic, admitted)
        if fault:
            raise Rejected(*fault)
        spacing = _square_spacing(header)
        check_photometric(dataset)
        values = decode_pixels(dataset, pixels)
        return Stored(dataset, header, values, spacing, data[:position])


def _stored_again(head: bytes, header: Header, values: np.ndarray, spacing_mm: float) -> Stored:
    with quietly_rejecting():
        dataset = read_dataset_header(io.BytesIO(head))
    return Stored(dataset, header, values, spacing_mm, head)


def read_stored_values(data: bytes) -> np.ndarray:
    """uint8 or uint16 [H, W]: the stored values of a grey image that need be no mammogram.

    Raises `Rejected` for what is damaged or not read.
    """
    with quietly_rejecting():
        return decode_pixels(*read_file(data))


def read_header(path: str) -> Header:
    """The header of a file, its pixels unread; `Rejected` when there is none."""
    with quietly_rejecting(), files.open_binary(path) as file:
        return header_of_dataset(read_dataset_header(file))


@contextlib.contextmanager
def quietly_rejecting() -> Iterator[None]:
    """Whatever a file's content raises becomes `Rejected`, and nothing of it is printed."""
    with _SILENCE:
        try:
            yield
        except (Rejected, UserError):
            raise
        except Exception as error:  # damaged files raise nearly anything
            raise _rejected(error) from error


def _rejected(error: Exception) -> Rejected:
    """For the ledger; texts of errors quote the file."""
    if isinstance(error, OSError) and error.errno is not None:
        return Rejected(Reason.UNREADABLE_FILE, error.strerror or type(error).__name__)
    return Rejected(Reason.BROKEN_DICOM, type(error).__name__)


class _Silence:
    """Keeps pydicom's warnings and log lines back while any thread is inside.

    They hold the odd value itself, which may name a person. The warnings' filters are those of
    the whole process: the first thread sets them and the last one puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                logger = logging.getLogger("pydicom")
                self._undo.callback(logger.setLevel, logger.level)
                logger.setLevel(logging.CRITICAL)
                self._undo.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._undo.close()


_SILENCE = _Silence()


def reduce(mammogram: Mammogram, reduction: int, spacing_mm: float) -> Mammogram:
    """Block averages of `reduction` pixels a side, then resampling to `spacing_mm` (0: none).

    Rows and columns that do not fill a block are dropped (right and bottom). Raises `Rejected`
    when the spacing is asked for and unknown.
    """
    if reduction > 1:
        mammogram = _block_average(mammogram, reduction)
    if spacing_mm > 0:
        mammogram = _resample(mammogram, spacing_mm)
    return mammogram


def crop(mammogram: Mammogram, place: tuple[slice, slice]) -> Mammogram:
    """Some rows and columns of a whole image, as a view."""
    rows, columns = place
    grey = cropped(mammogram.grey, place)
    return dataclasses.replace(mammogram, grey=grey, origin=(columns.start, rows.start))


def _block_average(mammogram: Mammogram, block: int) -> Mammogram:
    height, width = (length // block for length in mammogram.grey.shape)
    if not height or not width:
        raise Rejected(Reason.IMAGE_TOO_SMALL, f"{mammogram.grey.shape} for blocks of {block}")
    whole = mammogram.grey[: height * block, : width * block]
    return dataclasses.replace(
        mammogram,
        grey=cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA),
        spacing_mm=mammogram.spacing_mm * block,
        scale=(mammogram.scale[0] / block, mammogram.scale[1] / block),
    )


def _resample(mammogram: Mammogram, spacing_mm: float) -> Mammogram:
    if not mammogram.spacing_mm:
        raise Rejected(Reason.UNKNOWN_SPACING)
    factor = mammogram.spacing_mm / spacing_mm
    old_height, old_width = mammogram.grey.shape
    height, width = max(1, round(old_height * factor)), max(1, round(old_width * factor))
    if height * width > LARGEST_IMAGE:
        raise Rejected(Reason.IMAGE_TOO_LARGE, f"{height}x{width} at {spacing_mm:g} mm")
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return dataclasses.replace(
        mammogram,
        grey=cv2.resize(mammogram.grey[:], (width, height), interpolation=way).clip(-1, 1),
        spacing_mm=spacing_mm,
        scale=(
            mammogram.scale[0] * width / old_width,
            mammogram.scale[1] * height / old_height,
        ),
    )


def _square_spacing(header: Header) -> float:
    if not header.spacing_mm:
        if header.aspect_ratio and header.aspect_ratio[0] != header.aspect_ratio[1]:
            detail = "pixel aspect ratio {:g} to {:g}".format(*header.aspect_ratio)
            raise Rejected(Reason.NON_SQUARE_PIXELS, detail)
        return 0.0
    row, column = header.spacing_mm
    if abs(row - column) > 0.01 * column:
        raise Rejected(Reason.NON_SQUARE_PIXELS, f"{row:g} x {column:g} mm")
    return row
