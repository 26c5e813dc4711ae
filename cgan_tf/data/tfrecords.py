"""TFRecord framing without TensorFlow, for Beam workers and for random access.

A frame is `length (uint64 LE) | masked CRC-32C of length | payload | masked CRC-32C of payload`
(TensorFlow, core/lib/io/record_writer.h).
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c

from cgan_tf.runs.errors import UserError, reading, writing

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LONGEST = 1 << 30  # no patch record comes near; a damaged length must not allocate memory


def frame(payload: bytes) -> bytes:
    """One TFRecord frame."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        (length, _FOOTER.pack(_masked_crc(length)), payload, _FOOTER.pack(_masked_crc(payload)))
    )


def write_shard(path: str | Path, payloads: Iterable[bytes]) -> None:
    """Writes a TFRecord file under a temporary name and renames it."""
    with writing(path) as temporary, temporary.open("wb") as file:
        file.writelines(map(frame, payloads))


class Payloads:
    """The payloads of a TFRecord file, read one after the other as they are asked for, CRCs
    checked; how many they are is known before."""

    def __init__(self, path: str | Path):
        self.path, self.places = path, shard_index(path)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[bytes]:
        with reading(self.path), Path(self.path).open("rb") as file:
            for offset, length in self.places:
                yield _read_payload(file, self.path, offset, length)


def read_payload(path: str | Path, offset: int, length: int) -> bytes:
    """One payload at a place that `shard_index` gave, CRC checked."""
    with reading(path), Path(path).open("rb") as file:
        return _read_payload(file, path, offset, length)


def shard_index(path: str | Path) -> list[tuple[int, int]]:
    """(offset, length) of every payload; reads the frame headers only."""
    places = []
    with reading(path), Path(path).open("rb") as file:
        size = Path(path).stat().st_size
        position = 0
        while position < size:
            file.seek(position)
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise UserError(f"{path}: expected a TFRecord frame at byte {position}")
            length, crc = _HEADER.unpack(header)
            end = position + _HEADER.size + length + _FOOTER.size
            if crc != _masked_crc(header[:8]) or length > _LONGEST or end > size:
                raise UserError(f"{path}: damaged TFRecord frame at byte {position}")
            places.append((position + _HEADER.size, length))
            position = end
    return places


def _read_payload(file, path: str | Path, offset: int, length: int) -> bytes:  # type: ignore[no-untyped-def]
    file.seek(offset)
    payload = file.read(length)
    footer = file.read(_FOOTER.size)
    if len(footer) < _FOOTER.size or _FOOTER.unpack(footer)[0] != _masked_crc(payload):
        raise UserError(f"{path}: damaged record at byte {offset}: its checksum does not match")
    return payload


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
