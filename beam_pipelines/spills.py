"""Spill files: the encoded patches of one image, kept out of Beam's shuffle.

One file holds the payloads one after the other, then the rows that describe them as JSON, then the
length of that JSON (8 bytes). It appears under its name whole or not at all, so that an
interrupted run finds what was done.
"""

import dataclasses
import json
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from beam_pipelines import files
from beam_pipelines.cutting import Outcome
from beam_pipelines.rejections import Reason, Rejection
from cgan_tf.records import encode_record

DIRECTORY = ".spill"
_LENGTH = struct.Struct("<Q")


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Row:
    """One encoded patch in a spill file: small enough to be collected and sorted.

    Attributes:
      place, key: in the order of the draws of `group`, see `plan`.
      name: of the spill file. offset, length: of the payload.
    """

    place: float
    key: str
    group: str
    split: str
    patch_class: str
    sop_uid: str
    client_id: str
    mark_id: str
    name: str
    offset: int
    length: int


def write_spill(directory: str, name: str, outcome: Outcome) -> dict[str, Any]:
    """Encodes and writes the patches of one image; returns what `read_trailer` will give."""
    payloads, rows, offset = [], [], 0
    for cut in outcome.cuts:
        payload = encode_record(cut.record)
        draw, record = cut.draw, cut.record
        rows.append(
            Row(
                draw.place,
                draw.key,
                draw.group,
                draw.split,
                draw.patch_class,
                record.sop_uid,
                record.client_id,
                record.mark_id,
                name,
                offset,
                len(payload),
            )
        )
        payloads.append(payload)
        offset += len(payload)
    content = {
        "rows": [dataclasses.astuple(row) for row in rows],
        "rejections": [
            (item.kind, item.name, item.reason, item.detail) for item in outcome.rejections
        ],
    }
    trailer = json.dumps(content).encode()
    whole = b"".join((*payloads, trailer, _LENGTH.pack(len(trailer))))
    files.write_atomically(os.path.join(directory, name), whole)
    return json.loads(trailer)


def read_trailer(directory: str, name: str) -> dict[str, Any]:
    """The `rows` and `rejections` of a spill file, as lists of values."""
    path = os.path.join(directory, name)
    end = files.size(path) - _LENGTH.size
    (length,) = _LENGTH.unpack(files.read_range(path, end, _LENGTH.size))
    return json.loads(files.read_range(path, end - length, length))


def rejection_from(values: Sequence[str]) -> Rejection:
    """A rejection of a trailer."""
    kind, name, reason, detail = values
    return Rejection(kind, name, Reason(reason), detail)


def read_payloads(directory: str, rows: Iterable[Row]) -> Iterator[bytes]:
    """The encoded patches of rows, in their order."""
    places = ((os.path.join(directory, row.name), row.offset, row.length) for row in rows)
    return files.read_ranges(places)
