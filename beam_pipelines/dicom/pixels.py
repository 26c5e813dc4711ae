"""Decodes Pixel Data into stored values, by imagecodecs, once their stream is known to be safe.

The decoders are C libraries: they allocate what a header declares, and CharLS does not come back
from a stream without an end. So the headers of JPEG, JPEG-LS and JPEG 2000 streams are read first:
a stream is decoded only when it declares one component of the image's own size, is written in a way
that mammograms are, and has its end. Everything else raises `Rejected`.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
from pydicom.uid import UID_dictionary

from beam_pipelines.rejections import Reason, Rejected

_END_OF_IMAGE = b"\xff\xd9"  # of all three
_MOST_PADDING = 4096  # bytes at the end of a stream; one is usual
_MOST_SEGMENTS = 1000  # of a header
# ITU-T T.81, table B.1, and T.87: frame headers, of which mammograms have baseline, extended and
# lossless Huffman (SOF0, SOF1, SOF3), or JPEG-LS (SOF55).
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
JPEG_FRAMES = (0xC0, 0xC1, 0xC3)
JPEG_LS_FRAMES = (0xF7,)
_START_OF_SCAN, _JPEG_LS_PARAMETERS, _OVERSIZE = 0xDA, 0xF8, 4
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
# ISO/IEC 15444-1, table A.2. What changes the coding from part to part is not for mammograms.
_SIZ, _COD, _SOT, _SOD = 0x51, 0x52, 0x90, 0x93
_MAIN_SEGMENTS = frozenset({_SIZ, _COD, 0x5C, 0x5D, 0x55, 0x57, 0x63, 0x64})
_TILE_SEGMENTS = frozenset({0x5C, 0x5D, 0x58, 0x64})
_MOST_TILES = 4096
_MOST_TILE_PARTS = 1 << 16
_MOST_PACKETS = 1 << 18  # layers times precincts: 256 px tiles with 10 layers have 50,000
_PRECISION = 42  # where a codestream keeps the bits of its component, less 1 (A.5.1)
_SMALLEST_BLOCK = 8  # log2 of a code block's pixels


def check_jpeg(frame: bytes, rows: int, columns: int, bits: int, kinds: tuple[int, ...]) -> int:
    """Checks a JPEG or JPEG-LS stream against Rows, Columns and BitsAllocated.

    Args:
      kinds: the frame headers to accept, `JPEG_FRAMES` or `JPEG_LS_FRAMES`.

    Returns:
      The bits of a pixel that the stream declares.
    """
    _check_end(frame)
    headers = []
    for marker, segment in _jpeg_segments(frame):
        if marker in _FRAME_HEADERS:
            headers.append((marker, segment))
        elif marker == _JPEG_LS_PARAMETERS and segment[:1] == bytes([_OVERSIZE]):
            raise _broken("a second image size")
    if len(headers) != 1 or len(headers[0][1]) < 6:
        raise _broken("no JPEG frame header")
    marker, segment = headers[0]
    if marker not in kinds:
        raise _broken(f"JPEG frame of type ff{marker:02x}")
    precision, height, width, components = struct.unpack_from(">BHHB", segment)
    _check_size(height, width, rows, columns)
    _check_depth(precision, components, bits)
    return precision


def jpeg_2000_codestream(frame: bytes, rows: int, columns: int, bits: int) -> bytes:
    """The codestream of a JPEG 2000 stream, without the boxes of JP2 that may be around it.

    Checked against Rows, Columns and BitsAllocated.
    """
    _check_end(frame)
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0:
        raise _broken("no JPEG 2000 image size")
    stream = frame[start:].rstrip(b"\0")
    first_tile, segments = _segments(stream, 2, _MAIN_SEGMENTS, _SOT)
    tile = _tile_size(segments.get(_SIZ, b""), rows, columns, bits)
    _check_coding(segments.get(_COD, b""), tile, (columns, rows))
    _check_tile_parts(stream, first_tile)
    return stream


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of the segments before the first scan."""
    position = 2
    for _ in range(_MOST_SEGMENTS):
        marker, position = _marker(frame, position)
        if marker == _START_OF_SCAN:
            return
        if marker in _WITHOUT_LENGTH:
            break
        content = _content(frame, position)
        yield marker, content
        position += 2 + len(content)
    raise _broken("no JPEG scan")


def _marker(stream: bytes, position: int) -> tuple[int, int]:
    """(marker, position after it); the marker may follow fill bytes."""
    end = position
    while stream[end : end + 1] == b"\xff" and end - position < _MOST_SEGMENTS:
        end += 1
    if end == position or end >= len(stream):
        raise _broken("marker expected")
    return stream[end], end + 1


def _content(stream: bytes, position: int) -> bytes:
    """The content of the segment whose length is at `position`."""
    if position + 2 > len(stream):
        raise _broken("segment cut off")
    (length,) = struct.unpack_from(">H", stream, position)
    if length < 2 or position + length > len(stream):
        raise _broken("segment cut off")
    return stream[position + 2 : position + length]


def _segments(
    stream: bytes, position: int, accepted: frozenset[int], last: int
) -> tuple[int, dict[int, bytes]]:
    """(position of the marker `last`, contents by marker) of a JPEG 2000 header."""
    found: dict[int, bytes] = {}
    for _ in range(_MOST_SEGMENTS):
        marker, after = _marker(stream, position)
        if marker == last:
            return after - 2, found
        if marker not in accepted or (marker in (_SIZ, _COD) and marker in found):
            raise _broken(f"JPEG 2000 segment ff{marker:02x}")
        found[marker] = _content(stream, after)
        position = after + 2 + len(found[marker])
    raise _broken("no JPEG 2000 tile")


def _tile_size(siz: bytes, rows: int, columns: int, bits: int) -> tuple[int, int]:
    """(width, height) of a tile, by segment SIZ (ISO/IEC 15444-1, A.5.1)."""
    if len(siz) != 39:
        raise _broken("no JPEG 2000 image of one component")
    numbers = struct.unpack(">H8IHBBB", siz)
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = numbers[1:9]
    components, depth, step_x, step_y = numbers[9:]
    _check_size(bottom - top, right - left, rows, columns)
    _check_depth((depth & 0x7F) + 1, components, bits)
    if (step_x, step_y) != (1, 1) or not (tile_width and tile_height):
        raise _broken("JPEG 2000 sampling")
    if tile_left > left or tile_top > top:
        raise _broken("JPEG 2000 tiles")
    across, down = -(-(right - tile_left) // tile_width), -(-(bottom - tile_top) // tile_height)
    if across * down > _MOST_TILES:
        raise _broken(f"{across * down} JPEG 2000 tiles")
    return tile_width, tile_height


def _check_coding(cod: bytes, tile: tuple[int, int], size: tuple[int, int]) -> None:
    """Checks segment COD (ISO/IEC 15444-1, A.6.1) for what the decoder would have to set up."""
    if len(cod) < 10:
        raise _broken("no JPEG 2000 coding style")
    style, _, layers, _, levels, block_x, block_y, block_style, _ = struct.unpack_from(
        ">BBHBBBBBB", cod
    )
    if levels > 32 or len(cod) != 10 + (style & 1) * (levels + 1):
        raise _broken("JPEG 2000 coding style")
    if block_x + block_y + 4 < _SMALLEST_BLOCK or block_style & 0xC0:
        raise _broken("JPEG 2000 code blocks")
    precincts = 0
    for level in range(levels + 1):
        exponents = cod[10 + level] if style & 1 else 0xFF
        count = 1
        for length, whole, power in zip(tile, size, (exponents & 15, exponents >> 4), strict=True):
            at_level = -(-min(length, whole) >> (levels - level))
            # A tile may begin inside a precinct. Tiles beyond the image's size are cut to it.
            count *= ((at_level >> power) + 2) * -(-whole // min(length, whole))
        precincts += count
    if layers * precincts > _MOST_PACKETS:
        raise _broken(f"{layers * precincts} JPEG 2000 packets")


def _check_tile_parts(stream: bytes, position: int) -> None:
    """Follows the tile parts to the end of the stream; none may change the coding."""
    for _ in range(_MOST_TILE_PARTS):
        if stream[position : position + 2] == _END_OF_IMAGE and position + 2 == len(stream):
            return
        if stream[position : position + 4] != b"\xff\x90\x00\x0a" or position + 12 > len(stream):
            break
        _segments(stream, position + 12, _TILE_SEGMENTS, _SOD)
        (length,) = struct.unpack_from(">I", stream, position + 6)
        position = position + length if length else len(stream) - 2
        if length and length < 14:
            break
    raise _broken("JPEG 2000 tile parts")


def _check_end(frame: bytes) -> None:
    # Without it decoders fill in grey, and CharLS never ends. A byte of padding may follow.
    if not frame[-_MOST_PADDING:].rstrip(b"\0").endswith(_END_OF_IMAGE):
        raise _broken("no end of image")


def _check_size(height: int, width: int, rows: int, columns: int) -> None:
    if (height, width) != (rows, columns):
        raise Rejected(Reason.SIZE_MISMATCH, f"header {rows}x{columns}, stream {height}x{width}")


def _check_depth(precision: int, components: int, bits: int) -> None:
    if components != 1 or not 2 <= precision <= bits:
        raise _broken(f"{components} components of {precision} bits")


def _broken(what: str) -> Rejected:
    return Rejected(Reason.BROKEN_PIXEL_DATA, what)


LARGEST_IMAGE = 1 << 26  # 67 million pixels; the largest detectors have 16 to 20 million
_MOST_FRAGMENTS = 1 << 16
_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_RLE_HEADER = struct.Struct("<16I")  # the number of segments, then their offsets

# From a stream, rows, columns and bits allocated to values and the bits of one of them.
Decoder = Callable[[bytes, int, int, int], tuple[np.ndarray, int]]


def decode_pixels(dataset: Any, data: bytes | memoryview) -> np.ndarray:
    """The stored values of a single-frame grey image as unsigned bit patterns.

    Args:
      dataset: pydicom data set with its file meta information.
      data: Pixel Data (7FE0,0010), encapsulated (PS3.5 A.4) or not.

    Returns:
      uint8 or uint16 [Rows, Columns]; signs are the caller's, and so are the bits above BitsStored
      of uncompressed and RLE pixels, which may hold an overlay. The values of the other streams are
      clipped to BitsStored.

    Raises `Rejected`: an unsupported syntax is named by its UID.
    """
    decode = _decoder(str(getattr(dataset.file_meta, "TransferSyntaxUID", "")))
    rows, columns, bits = _declared(dataset)
    if not len(data):
        raise Rejected(Reason.NO_PIXEL_DATA)
    if decode is _raw:
        return _raw(data, rows, columns, bits)[0]
    frame = _frame(memoryview(data))
    if 8 * len(frame) < _least_bits(decode, rows, columns):
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"{len(frame)} bytes for {rows}x{columns}")
    try:
        values, precision = decode(frame, rows, columns, bits)
    except Rejected:
        raise
    except Exception as error:  # the codecs raise their own classes, a damaged stream any of them
        raise Rejected(Reason.BROKEN_PIXEL_DATA, type(error).__name__) from error
    _check_decoded(values, rows, columns)
    if decode is not _rle:
        values = _clipped(values, precision, dataset)
    return values.view(f"u{values.dtype.itemsize}")


def _least_bits(decode: Decoder, rows: int, columns: int) -> int:
    """What an image of one grey level needs in its format; a shorter stream has no content.

    JPEG has two codes for a block of 64 pixels, JPEG-LS one for a row, RLE two bytes for 128
    pixels. JPEG 2000 needs next to nothing, for which `LARGEST_IMAGE` is the bound.
    """
    pixels = rows * columns
    least: dict[Decoder, int] = {_jpeg: pixels // 32, _jpeg_ls: rows, _rle: pixels // 8}
    return least.get(decode, 0)


def _clipped(values: np.ndarray, precision: int, dataset: Any) -> np.ndarray:
    """Decoded values [H, W] as bit patterns within BitsStored, of the same size in bytes.

    A lossy stream may hold more bits than BitsStored says, and overshoots beside what is brightest:
    without its upper bits a value just above white would be black. The stream tells how many bits
    a value has, and so where its sign is.
    """
    bits = int(dataset.get("BitsStored") or 0)
    high = dataset.get("HighBit")
    bits = bits if high is None else int(high) + 1
    if not 1 <= bits <= 16:
        return values  # which `grey_levels.pixel_layout` rejects
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    lowest, highest = (
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    )
    as_patterns = signed and values.dtype.kind == "u"
    most = highest
    if as_patterns:
        most = (1 << bits) - 1 if precision >= bits else (1 << (precision - 1)) - 1
    if values.max() <= most and values.min() >= lowest:
        return values  # numbers, or patterns whose sign is the highest of BitsStored
    numbers = values.astype(np.int32)
    if as_patterns:
        numbers -= numbers >> (precision - 1) << precision
    patterns = numbers.clip(lowest, highest) & ((1 << bits) - 1)
    return patterns.astype(f"u{values.dtype.itemsize}")


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
    parts: list[memoryview] = []
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


def _raw(data: bytes | memoryview, rows: int, columns: int, bits: int) -> tuple[np.ndarray, int]:
    needed = rows * columns * bits // 8
    if len(data) < needed:
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"{len(data)} of {needed} bytes")
    values = np.frombuffer(data, f"<u{bits // 8}", rows * columns).reshape(rows, columns)
    return values, bits


def _rle(frame: bytes, rows: int, columns: int, bits: int) -> tuple[np.ndarray, int]:
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
    return values.view(f"<u{bits // 8}").reshape(rows, columns), bits


def _jpeg(frame: bytes, rows: int, columns: int, bits: int) -> tuple[np.ndarray, int]:
    precision = check_jpeg(frame, rows, columns, bits, JPEG_FRAMES)
    values = imagecodecs.jpeg8_decode(frame)
    # The decoder does not say when it loses its place in a damaged lossless stream, but what it
    # gives from there on soon leaves the range.
    if values.max() >> precision:
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"values of more than {precision} bits")
    return values, precision


def _jpeg_ls(frame: bytes, rows: int, columns: int, bits: int) -> tuple[np.ndarray, int]:
    precision = check_jpeg(frame, rows, columns, bits, JPEG_LS_FRAMES)
    return imagecodecs.jpegls_decode(frame), precision


def _jpeg_2000(frame: bytes, rows: int, columns: int, bits: int) -> tuple[np.ndarray, int]:
    stream = jpeg_2000_codestream(frame, rows, columns, bits)
    return imagecodecs.jpeg2k_decode(stream), (stream[_PRECISION] & 0x7F) + 1


_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_DECODERS: dict[str, Decoder] = {
    "1.2.840.10008.1.2": _raw,
    "1.2.840.10008.1.2.1": _raw,
    "1.2.840.10008.1.2.5": _rle,
    **{f"{_JPEG_FAMILY}{number}": _jpeg for number in (50, 51, 57, 70)},
    **{f"{_JPEG_FAMILY}{number}": _jpeg_ls for number in (80, 81)},
    **{f"{_JPEG_FAMILY}{number}": _jpeg_2000 for number in (90, 91)},
}


def _check_decoded(values: np.ndarray, rows: int, columns: int) -> None:
    if values.shape != (rows, columns) or values.dtype.kind not in "ui":
        raise Rejected(Reason.BROKEN_PIXEL_DATA, f"decoded {values.dtype} {values.shape}")
    if values.dtype.itemsize > 2:
        raise Rejected(Reason.UNSUPPORTED_PIXELS, str(values.dtype))
