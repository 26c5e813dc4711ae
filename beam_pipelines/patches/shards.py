"""Patches on their way from an image to their shard: spill files, then the shards of a patch set.

Everything follows from the keys of the draws, so the shards are the same whatever order, worker or
runner cut the patches. A spill file holds the encoded patches of one image, kept out of Beam's
shuffle: the payloads one after the other, then the rows that describe them as JSON, then the length
of that JSON (8 bytes). It appears under its name whole or not at all, so that a run that goes on
finds what was done.
"""

import collections
import dataclasses
import hashlib
import json
import os
import struct
import time
from collections.abc import Iterable, Iterator, Sequence

from beam_pipelines.jobs import work
from beam_pipelines.patches.cutting import Outcome, cut_image
from beam_pipelines.patches.plan import Draw, Quota
from beam_pipelines.rejections import Rejection, rejection_from
from beam_pipelines.sources.base import Image
from beam_pipelines.sources.index import image_from
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import digest
from cgan_tf.data.patch_sets import ClassShards, Shard, Splits, shard_parts
from cgan_tf.data.records import encode_record
from cgan_tf.data.tfrecords import frame
from cgan_tf.runs.directory import Json

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


@dataclasses.dataclass(frozen=True)
class Spilled:
    """What is said of the patches of a spill file, and of those that could not be cut."""

    rows: tuple[Row, ...]
    rejections: tuple[Rejection, ...]

    def as_json(self) -> Json:
        """The trailer of the spill file."""
        return {
            "rows": [dataclasses.astuple(row) for row in self.rows],
            "rejections": [dataclasses.asdict(item) for item in self.rejections],
        }


def spilled_from(values: Json) -> Spilled:
    """The inverse of `Spilled.as_json`."""
    return Spilled(
        tuple(Row(*row) for row in values["rows"]),
        tuple(map(rejection_from, values["rejections"])),
    )


def write_spill(directory: str, name: str, outcome: Outcome) -> Json:
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
    trailer = json.dumps(Spilled(tuple(rows), outcome.rejections).as_json()).encode()
    whole = b"".join((*payloads, trailer, _LENGTH.pack(len(trailer))))
    files.write_atomically(os.path.join(directory, name), whole)
    return json.loads(trailer)


def read_trailer(directory: str, name: str) -> Json:
    """What `spilled_from` reads, of a spill file."""
    path = os.path.join(directory, name)
    end = files.size(path) - _LENGTH.size
    (length,) = _LENGTH.unpack(files.read_range(path, end, _LENGTH.size))
    return json.loads(files.read_range(path, end - length, length))


def read_payloads(directory: str, rows: Iterable[Row]) -> Iterator[bytes]:
    """The encoded patches of rows, in their order."""
    places = ((os.path.join(directory, row.name), row.offset, row.length) for row in rows)
    return files.read_ranges(places)


def chosen_rows(rows: Iterable[Row], quota: Quota) -> list[Row]:
    """The first `quota.count` rows of the quota, in the order of its draws."""
    by_key = {row.key: row for row in rows if row.group == quota.group}
    return sorted(by_key.values(), key=lambda row: (row.place, row.key))[: quota.count]


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """A shard to be written.

    Attributes:
      file: in the patch set. rows: of its patches, in their order.
    """

    split: str
    patch_class: str
    file: str
    rows: tuple[Row, ...]

    def as_item(self) -> Json:
        """What `WriteShard` is given, ready for JSON."""
        return {**vars(self), "rows": [dataclasses.astuple(row) for row in self.rows]}


@dataclasses.dataclass(frozen=True)
class WrittenShard:
    """A shard that is there, with its split and class."""

    split: str
    patch_class: str
    shard: Shard


def shard_plan(rows: Iterable[Row], shard_bytes: int) -> list[PlannedShard]:
    """The shards of a patch set, their rows in the order of their keys.

    Sizes are those of `patch_sets.shard_count`; the keys are hashes, so each shard is a random
    part.
    """
    groups: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in rows:
        groups[row.split, row.patch_class].append(row)
    plan = []
    for (split, name), members in sorted(groups.items()):
        members.sort(key=lambda row: row.key)
        total_bytes = sum(row.length for row in members)
        for file, part in shard_parts(split, name, members, total_bytes, shard_bytes):
            plan.append(PlannedShard(split, name, file, tuple(part)))
    return plan


@dataclasses.dataclass(frozen=True)
class WriteShard:
    """Copies the patches of a `PlannedShard` into its file.

    Attributes:
      directory: of the patch set. spills: of the spill files.
    """

    directory: str
    spills: str

    def __call__(self, item: Json) -> Json:
        """Returns the `WrittenShard` as JSON."""
        rows = [Row(*values) for values in item["rows"]]
        frames = _Summed(map(frame, read_payloads(self.spills, rows)))
        files.write_atomically_from(os.path.join(self.directory, item["file"]), frames)
        work.observe("shard_bytes", frames.bytes)
        shard = Shard(item["file"], len(rows), frames.bytes, frames.digest.hexdigest())
        return dataclasses.asdict(WrittenShard(item["split"], item["patch_class"], shard))


def written_from(values: Json) -> WrittenShard:
    """What `WriteShard` returned."""
    return WrittenShard(values["split"], values["patch_class"], Shard(**values["shard"]))


class _Summed:
    """Parts of a file, with their bytes and their SHA-256 once they are taken."""

    def __init__(self, parts: Iterable[bytes]):
        self.bytes = 0
        self.digest = hashlib.sha256()
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.bytes += len(part)
            self.digest.update(part)
            yield part


def splits_of(written: Sequence[WrittenShard]) -> Splits:
    """The shards by split and class, in the order of their files."""
    splits: dict[str, dict[str, ClassShards]] = {}
    for one in sorted(written, key=lambda one: one.shard.file):
        classes = splits.setdefault(one.split, {})
        before = classes[one.patch_class].shards if one.patch_class in classes else ()
        classes[one.patch_class] = ClassShards((*before, one.shard))
    return splits


@dataclasses.dataclass(frozen=True)
class CutToSpill:
    """Cuts every patch planned for an image into one spill file."""

    config: PatchesConfig
    directory: str

    def __call__(self, item: Json) -> Json:
        """Returns the name of the spill file with its rows and rejections."""
        name = item["name"]
        if files.exists(os.path.join(self.directory, name)):
            work.count("images_found_cut")
            return read_trailer(self.directory, name)
        start = time.perf_counter()
        draws = [Draw(*values) for values in item["draws"]]
        outcome = cut_image(image_from(item["image"]), draws, self.config)
        trailer = write_spill(self.directory, name, outcome)
        _measure(outcome, time.perf_counter() - start)
        return trailer


def _measure(outcome: Outcome, seconds: float) -> None:
    work.count("images_cut")
    work.count("patches_cut", len(outcome.cuts))
    work.observe("image_ms", 1000 * seconds)
    if outcome.decode_seconds:
        work.observe("decode_ms", 1000 * outcome.decode_seconds)
    for cut in outcome.cuts:
        work.observe("tissue_thousandths", 1000 * cut.record.tissue_fraction)
    for item in outcome.rejections:
        work.count(f"rejected_{item.kind}_{item.reason.value}")


def by_image(batch: Iterable[tuple[Image, Draw]]) -> list[tuple[Image, list[Draw]]]:
    """The draws of each image, images in the order of their SOP instance uid."""
    work_of: dict[str, tuple[Image, list[Draw]]] = {}
    for image, draw in batch:
        work_of.setdefault(image.sop_uid, (image, []))[1].append(draw)
    return [work_of[uid] for uid in sorted(work_of)]


def spill_name(image: Image, draws: list[Draw]) -> str:
    """The spill file of these draws: the same in every run that asks for them."""
    return f"{digest(image.sop_uid, *sorted(draw.key for draw in draws)).hex()}.spill"


def work_item(image: Image, draws: list[Draw]) -> Json:
    """What `CutToSpill` is given, ready for JSON."""
    return {
        "name": spill_name(image, draws),
        "image": dataclasses.asdict(image),
        "draws": [dataclasses.astuple(draw) for draw in draws],
    }
