"""A directory of patch shards, written by make_patches or synthesize, read at random.

Layout::

    DIR/manifest.json
    DIR/<split>/<class>-00000-of-00004.tfrecord

`manifest.json` holds `splits[split][class] = {"count": n, "shards": [{"file", "records", "bytes",
"sha256"}, ...]}`, with `file` relative to DIR, beside what the program adds of its own.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf import tfrecords
from cgan_tf.config import PATCH_CLASSES, SPLITS
from cgan_tf.contained import contained
from cgan_tf.errors import UserError
from cgan_tf.records import PatchRecord, decode_pixels, decode_record
from cgan_tf.run_directory import MANIFEST_FILE, read_manifest, sha256

PROGRAMS = ("make_patches", "synthesize")
_SHARD: dict[str, type] = {"file": str, "records": int, "bytes": int, "sha256": str}


def shard_path(split: str, patch_class: str, index: int, total: int) -> str:
    """The path of a shard relative to its directory."""
    return f"{split}/{patch_class}-{index:05d}-of-{total:05d}.tfrecord"


def shard_count(total_bytes: int, shard_bytes: int) -> int:
    """How many shards: each from two thirds to four thirds of `shard_bytes`, or only one."""
    return max(1, -(-3 * total_bytes // (4 * shard_bytes)))


def describe_shard(directory: str | Path, file: str, records: int) -> dict[str, Any]:
    """A shard's entry in the manifest."""
    path = Path(directory) / file
    return {
        "file": file,
        "records": records,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }


def write_patch_set(
    directory: str | Path, split: str, patch_class: str, payloads: list[bytes], shard_bytes: int
) -> dict[str, Any]:
    """Writes the encoded records of one split and class; returns its entry in `splits`."""
    total = shard_count(sum(map(len, payloads)), shard_bytes)
    shards = []
    for index in range(total):
        chunk = payloads[index * len(payloads) // total : (index + 1) * len(payloads) // total]
        file = shard_path(split, patch_class, index, total)
        (Path(directory) / file).parent.mkdir(parents=True, exist_ok=True)
        tfrecords.write_shard(Path(directory) / file, chunk)
        shards.append(describe_shard(directory, file, len(chunk)))
    return {"count": len(payloads), "shards": shards}


@dataclasses.dataclass(frozen=True, eq=False)
class PatchIndex:
    """Random access to the patches of some classes of one split.

    Attributes:
      name: for messages, e.g. "train/normal".
      paths: the shards. places: int64 [n, 3] (shard, offset, length) of every record.
    """

    name: str
    paths: tuple[Path, ...]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def payload(self, index: int) -> bytes:
        """The serialised record at a position."""
        shard, offset, length = (int(value) for value in self.places[index])
        return tfrecords.read_payload(self.paths[shard], offset, length)

    def record(self, index: int) -> PatchRecord:
        """The record at a position."""
        return decode_record(self.payload(index), str(self.paths[int(self.places[index, 0])]))

    def pixels(self, index: int) -> np.ndarray:
        """The patch at a position, float32 [size, size] in [-1, 1]."""
        return decode_pixels(self.payload(index), str(self.paths[int(self.places[index, 0])]))


class PatchSet:
    """A finished patch directory."""

    def __init__(self, directory: str | Path):
        """Reads the manifest and checks that every shard is there at its size.

        Raises `UserError` naming the manifest or the shard.
        """
        self.directory = Path(directory)
        self._indexes: dict[tuple[str, ...], PatchIndex] = {}
        self.manifest = read_manifest(directory, PROGRAMS)
        self.splits: dict[str, dict[str, Any]] = self.manifest.get("splits", {})
        if not _is_splits(self.splits):
            raise UserError(
                f"{self.directory / MANIFEST_FILE}: expected splits with classes, counts and shards"
            )
        for shard in self._shards(SPLITS, PATCH_CLASSES):
            path = contained(self.directory, shard["file"])
            found = path.stat().st_size if path.exists() else None
            if found != shard["bytes"]:
                raise UserError(f"{path}: expected {shard['bytes']} bytes, found {found}")

    def count(self, split: str, *classes: str) -> int:
        """Patches of a split and classes."""
        entries = self.splits.get(split, {})
        return sum(entries.get(name, {"count": 0})["count"] for name in classes)

    def checksum(self, split: str, *classes: str) -> str:
        """SHA-256 over the checksums of the shards: other patches, another value."""
        shards = self._shards((split,), classes)
        return hashlib.sha256("".join(shard["sha256"] for shard in shards).encode()).hexdigest()

    def index(self, split: str, *classes: str) -> PatchIndex:
        """Random access to a split and classes, in the order of their shards.

        The first record of every shard is decoded, so that a foreign or outdated shard is named
        here and not in the middle of a run. Every shard is read through for it, once for all who
        ask. Raises `UserError` when there is no patch.
        """
        key = (split, *classes)
        if key not in self._indexes:
            self._indexes[key] = self._open_index(split, classes)
        return self._indexes[key]

    def _open_index(self, split: str, classes: Sequence[str]) -> PatchIndex:
        name = f"{self.directory}: {split}/{'+'.join(classes)}"
        shards = self._shards((split,), classes)
        paths = tuple(self.directory / shard["file"] for shard in shards)
        places = [
            (number, offset, length)
            for number, path in enumerate(paths)
            for offset, length in tfrecords.shard_index(path)
        ]
        if not places:
            raise UserError(f"{name}: expected patches, found none")
        index = PatchIndex(name, paths, np.asarray(places, np.int64))
        for first in np.unique(index.places[:, 0], return_index=True)[1]:
            index.record(int(first))
        return index

    def _shards(self, splits: Sequence[str], classes: Sequence[str]) -> list[dict[str, Any]]:
        return [
            shard
            for split in splits
            for name in classes
            for shard in self.splits.get(split, {}).get(name, {"shards": []})["shards"]
        ]


def _is_splits(splits: Any) -> bool:
    """Whether it is what the module says of `splits`."""
    if not isinstance(splits, dict) or not all(isinstance(c, dict) for c in splits.values()):
        return False
    return all(_is_entry(entry) for classes in splits.values() for entry in classes.values())


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("shards"), list):
        return False
    shards = entry["shards"]
    whole = all(
        isinstance(shard, dict) and isinstance(shard.get(name), kind)
        for shard in shards
        for name, kind in _SHARD.items()
    )
    return whole and entry.get("count") == sum(shard["records"] for shard in shards)
