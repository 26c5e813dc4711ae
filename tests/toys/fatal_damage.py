"""Files of an OMI-DB tree damaged in every way that a reader has to notice.

Each kind of damage takes the bytes of a file and a generator, and gives the bytes of the damaged
one. All are chosen so that the file is of no use: what a flipped bit does to a pixel nobody sees.
"""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import encapsulate

from beam_pipelines.rejections import Reason

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
_END_OF_STREAM = 10  # bytes: what is after the end of an image, in a fragment of its own
_VRS = ("SQ", "OB", "OW", "UN", "UT", "FD", "DS", "DA", "SS", "FL", "??")
_MUST_BE_READ = (0x0010, 0x0011, 0x0100)  # of group 0028: Rows, Columns, BitsAllocated
_NUMBERS = ("SS",)  # of the VRs above, those that say the same of a small number
_SEQUENCE = struct.pack("<HH2sHI", 0x0040, 0x0555, b"SQ", 0, 0xFFFFFFFF)
_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)

Damage = Callable[[bytes, np.random.Generator], bytes]


def cut(content: bytes, generator: np.random.Generator) -> bytes:
    """Ends early, anywhere before the end of the picture, or of the JSON object."""
    return content[: int(generator.integers(len(content.rstrip()) - _END_OF_STREAM))]


def cut_json(content: bytes, generator: np.random.Generator) -> bytes:
    """Ends early, anywhere before the last brace."""
    return content[: int(generator.integers(len(content.rstrip())))]


def flipped(content: bytes, generator: np.random.Generator) -> bytes:
    """A bit in every twentieth byte, header and pixels."""
    return _flip(content, 0, len(content), 20, generator)


def bad_stretch(content: bytes, generator: np.random.Generator) -> bytes:
    """A hundred bytes of a JPEG lossless stream with flipped bits."""
    start = content.find(b"\xff\xda") + 20
    begin = int(generator.integers(start, len(content) - 2000))
    return _flip(content, begin, begin + 1000, 10, generator)


def wrong_vr(content: bytes, generator: np.random.Generator) -> bytes:
    """An element that must be read, under another VR."""
    tag = struct.pack("<HH", 0x0028, int(generator.choice(_MUST_BE_READ)))
    place = content.find(tag + b"US") + 4
    others = [vr for vr in _VRS if vr not in _NUMBERS]
    return content[:place] + str(generator.choice(others)).encode() + content[place + 2 :]


def huge_rows(content: bytes, generator: np.random.Generator) -> bytes:
    """More rows, and sometimes columns, than there are pixels."""
    header = pydicom.dcmread(io.BytesIO(content))
    header.Rows = int(generator.integers(20_000, 65_536))
    if generator.random() < 0.5:
        header.Columns = int(generator.integers(20_000, 65_536))
    return _written(header)


def deep(content: bytes, generator: np.random.Generator) -> bytes:
    """Sequences in sequences, thousands of them, some without an end."""
    depth = int(generator.integers(1000, 20_000))
    item_end, sequence_end = struct.pack("<HHI", 0xFFFE, 0xE00D, 0), b"\xfe\xff\xdd\xe0" + bytes(4)
    ends = (item_end + sequence_end) * (depth if generator.random() < 0.5 else 0)
    place = content.find(b"\x08\x00\x16\x00UI")
    return content[:place] + (_SEQUENCE + _ITEM) * depth + ends + content[place:]


def without_pixels(content: bytes, generator: np.random.Generator) -> bytes:
    """No pixel data, or none in it."""
    header = pydicom.dcmread(io.BytesIO(content))
    if generator.random() < 0.5:
        del header.PixelData
    elif header.file_meta.TransferSyntaxUID.is_compressed:
        header.PixelData = encapsulate([b"\0\0"])
        header["PixelData"].is_undefined_length = True
    else:
        header.PixelData = b""
    return _written(header)


def no_dicom(content: bytes, generator: np.random.Generator) -> bytes:
    """Something else altogether."""
    return generator.bytes(int(generator.integers(4000)))


_UNREADABLE = {Reason.BROKEN_DICOM, Reason.NO_HEADER, Reason.NO_PIXEL_DATA}
_BROKEN = _UNREADABLE | {Reason.BROKEN_PIXEL_DATA, Reason.UNSUPPORTED_PIXELS}
# What is reported of each kind; in a header with flipped bits anything may be the first fault.
DICOM_DAMAGES: dict[Damage, set[Reason]] = {
    cut: _BROKEN,
    flipped: set(Reason),
    bad_stretch: {Reason.BROKEN_PIXEL_DATA},
    wrong_vr: _BROKEN | {Reason.IMAGE_TOO_LARGE, Reason.SIZE_MISMATCH},
    huge_rows: {Reason.IMAGE_TOO_LARGE, Reason.SIZE_MISMATCH, Reason.BROKEN_PIXEL_DATA},
    deep: {Reason.BROKEN_DICOM, Reason.NO_HEADER},
    without_pixels: {Reason.NO_PIXEL_DATA, Reason.BROKEN_PIXEL_DATA},
    no_dicom: _UNREADABLE,
}


def damage_files(paths: list[Path], damages: list[Damage], seed: int) -> dict[Path, Damage]:
    """Damages the files in place, the kinds taking turns; what was done to each."""
    done = {}
    for number, path in enumerate(paths):
        damage = damages[number % len(damages)]
        generator = np.random.default_rng((seed, number))
        path.write_bytes(damage(path.read_bytes(), generator))
        done[path] = damage
    return done


def _flip(
    content: bytes, begin: int, end: int, every: int, generator: np.random.Generator
) -> bytes:
    damaged = np.frombuffer(content, np.uint8).copy()
    places = generator.choice(np.arange(begin, end), (end - begin) // every, replace=False)
    damaged[places] ^= (1 << generator.integers(0, 8, len(places))).astype(np.uint8)
    return damaged.tobytes()


def _written(header: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    pydicom.dcmwrite(file, header, enforce_file_format=True)
    return file.getvalue()
