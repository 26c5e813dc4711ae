"""Mammograms as PNG, TIFF, PGM or JPEG, in the same grey levels as those of DICOM files.

What is read: one grey channel of 8 or 16 bits a pixel. A palette, or three colours, that hold
grey alone are taken as the grey that they show; colours are refused, and so are transparent pixels,
32-bit and floating-point values, and files with several images. PGM files say their largest value.
In JPEG a colour may differ by 2 of 255, which is what its rounding does to grey.

Pillow reads the header before it allocates anything, and it says where a file is damaged.
"""

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import Image as Pillow

from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.dicom.header import Header
from beam_pipelines.dicom.pixels import LARGEST_IMAGE
from beam_pipelines.dicom.reading import Mammogram
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.base import HEADER_FACTS, FileFacts
from beam_pipelines.storage import files

SUFFIXES = (".png", ".tif", ".tiff", ".pgm", ".jpg", ".jpeg")
_FORMATS = ("PNG", "TIFF", "PPM", "JPEG")
_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"P2", b"P5", b"\xff\xd8\xff")
_GREY_8, _GREY_16 = ("L", "1"), ("I;16", "I;16L", "I;16B", "I")
_COLOURED = ("P", "PA", "RGB", "RGBA", "LA")
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0  # of TIFF
_JPEG_ROUNDING = 2


@dataclasses.dataclass(frozen=True)
class PlainHeader:
    """What a plain image says before it is decoded.

    Attributes:
      bits: those in use, as far as the file says. bytes: of a pixel, 1 or 2.
      white_is_zero: whether its largest value is black.
      scaled: whether the values are stretched to 16 bits, as the file says its largest one (PGM).
    """

    rows: int
    columns: int
    bits: int
    bytes: int
    white_is_zero: bool = False
    scaled: bool = False


def is_plain(data: bytes) -> bool:
    """Whether the first bytes of a file are those of a plain image."""
    return data.startswith(_BEGINNINGS)


def read_plain_header(path: str) -> PlainHeader:
    """The header of a plain image; `Rejected` when it is none, or not one that is read here."""
    try:
        with files.open_binary(path) as file, _opened(file) as image:
            return _header(image)
    except OSError as error:
        raise Rejected(Reason.UNREADABLE_FILE, error.strerror or type(error).__name__) from error


def decode_plain(data: bytes) -> tuple[PlainHeader, np.ndarray]:
    """The header, and the values [H, W] as uint8 or uint16; `Rejected` for whatever is wrong."""
    with _opened(io.BytesIO(data)) as image:
        header = _header(image)
        try:
            return header, _values(image)
        except Rejected:
            raise
        except Exception as error:  # damage raises nearly anything
            raise Rejected(Reason.BROKEN_PIXEL_DATA, type(error).__name__) from error


def plain_mammogram(
    data: bytes, facts: FileFacts, laterality: str = "", view: str = ""
) -> Mammogram:
    """A plain image in grey levels, 0 as -1 and the largest value that its bits hold as 1.

    Raises `Rejected` for whatever is wrong with the file, and for values of more bits than said.
    """
    header, values = decode_plain(data)
    sayable = header.bytes == 2 and not header.scaled
    bits = facts.bits if facts.bits and sayable else header.bits
    if int(values.max()) >> bits:
        raise Rejected(Reason.BAD_GREY_LEVELS, f"values of more than {bits} bits")
    table = np.arange(1 << (8 * header.bytes), dtype=np.float64) * (2.0 / ((1 << bits) - 1)) - 1.0
    if facts.inverted != header.white_is_zero:
        table = -table
    return Mammogram(
        GreyLevels(values, table.clip(-1.0, 1.0).astype(np.float32)),
        Header(
            laterality=laterality,
            view=view,
            **{name: getattr(facts, name) for name in HEADER_FACTS},
            rows=header.rows,
            columns=header.columns,
        ),
        facts.spacing_mm,
    )


@contextlib.contextmanager
def _opened(file: BinaryIO) -> Iterator[Pillow.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they may hold text of the file
        try:
            image = Pillow.open(file, formats=_FORMATS)
        except Pillow.DecompressionBombError as error:
            raise Rejected(Reason.IMAGE_TOO_LARGE) from error
        except Exception as error:
            raise Rejected(Reason.BROKEN_IMAGE, "no PNG, TIFF, PGM or JPEG") from error
        with image:
            yield image


def _header(image: Any) -> PlainHeader:  # the attributes of Pillow's image files are many
    columns, rows = image.size
    if rows * columns > LARGEST_IMAGE:
        raise Rejected(Reason.IMAGE_TOO_LARGE, f"{rows}x{columns}")
    if getattr(image, "n_frames", 1) > 1:
        raise Rejected(Reason.MULTI_FRAME, f"{min(image.n_frames, 9999)} images")
    codec, arguments = (image.tile[0][0], image.tile[0][3]) if image.tile else ("", "")
    raw = arguments if isinstance(arguments, str) else str(arguments[0] if arguments else "")
    if image.mode in _COLOURED and "16" in raw:  # Pillow keeps 8 bits of each colour
        raise Rejected(Reason.UNSUPPORTED_PHOTOMETRIC, "colours of 16 bits")
    if image.mode not in (*_GREY_8, *_GREY_16, *_COLOURED):
        raise Rejected(Reason.UNSUPPORTED_PIXELS, f"mode {image.mode}")
    if image.mode not in _GREY_16:
        return PlainHeader(rows, columns, 8, 1)
    tags = getattr(image, "tag_v2", {})
    said = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    white = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # Pillow turns 8 bits over, not 16
    bits = said if 8 < said <= 16 else 16
    return PlainHeader(rows, columns, bits, 2, white, codec.startswith("ppm"))


def _values(image: Pillow.Image) -> np.ndarray:
    if image.mode in _COLOURED:
        return _grey_of(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    values = np.asarray(image)
    if image.mode == "L":
        return values
    if values.min() < 0 or values.max() > 0xFFFF:  # of mode I, which may have 32 bits
        raise Rejected(Reason.UNSUPPORTED_PIXELS, "values of more than 16 bits")
    return values.astype(np.uint16)


def _grey_of(image: Pillow.Image) -> np.ndarray:
    """uint8 [H, W] of an image whose colours are all grey."""
    colours = np.asarray(image.convert("RGBA"))
    if colours[..., 3].min() < 255:
        raise Rejected(Reason.UNSUPPORTED_PHOTOMETRIC, "transparent pixels")
    red, green, blue = (colours[..., place].astype(np.int16) for place in range(3))
    allowed = _JPEG_ROUNDING if image.format == "JPEG" else 0
    if max(abs(red - green).max(), abs(blue - green).max()) > allowed:
        raise Rejected(Reason.UNSUPPORTED_PHOTOMETRIC, "colours")
    return np.ascontiguousarray(colours[..., 1])
