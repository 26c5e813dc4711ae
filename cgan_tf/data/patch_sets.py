"""Patch sets: directories of shards that a program of `PROGRAMS` wrote, with random access.

Layout::

    DIR/manifest.json
    DIR/<split>/<class>-00000-of-00004.tfrecord

`manifest.json` holds `splits[split][class] = {"count": n, "shards": [{"file", "records", "bytes",
"sha256"}, ...]}`, with `file` relative to DIR, beside what the program adds of its own.
"""

import bisect
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cgan_tf.data import tfrecords
from cgan_tf.data.records import PatchRecord, decode_pixels, decode_record, decode_text
from cgan_tf.labels import MALIGNANT_CLASSES, NORMAL, PATCH_CLASSES, SOURCE, SPLITS
from cgan_tf.runs.directory import MANIFEST_FILE, Json, read_json, read_manifest, sha256
from cgan_tf.runs.errors import UserError, contained

PROGRAMS = ("make_patches", "synthesize", "paste_lesions")
Member = TypeVar("Member")
_SHARD: dict[str, type] = {"file": str, "records": int, "bytes": int, "sha256": str}


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard as the manifest names it: `file` in the patch set, its size and its SHA-256."""

    file: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class ClassShards:
    """The shards of one class of a split, in their order."""

    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """Patches."""
        return sum(shard.records for shard in self.shards)


Splits = Mapping[str, Mapping[str, ClassShards]]  # by split and class


def splits_json(splits: Splits) -> Json:
    """The `splits` of the manifest."""
    return {
        split: {
            name: {
                "count": entry.count,
                "shards": [dataclasses.asdict(shard) for shard in entry.shards],
            }
            for name, entry in classes.items()
        }
        for split, classes in splits.items()
    }


def shard_path(split: str, patch_class: str, index: int, total: int) -> str:
    """The path of a shard relative to its directory."""
    return f"{split}/{patch_class}-{index:05d}-of-{total:05d}.tfrecord"


def shard_count(total_bytes: int, shard_bytes: int) -> int:
    """How many shards: each from two thirds to four thirds of `shard_bytes`, or only one."""
    return max(1, -(-3 * total_bytes // (4 * shard_bytes)))


def describe_shard(directory: str | Path, file: str, records: int) -> Shard:
    """A shard that is written."""
    path = Path(directory) / file
    return Shard(file, records, path.stat().st_size, sha256(path))


def shard_parts(
    split: str, patch_class: str, members: Sequence[Member], total_bytes: int, shard_bytes: int
) -> Iterator[tuple[str, Sequence[Member]]]:
    """(file, members) of each shard of one split and class, as even as can be."""
    total = shard_count(total_bytes, shard_bytes)
    for index in range(total):
        part = members[index * len(members) // total : (index + 1) * len(members) // total]
        yield shard_path(split, patch_class, index, total), part


def write_patch_set(
    directory: str | Path,
    split: str,
    patch_class: str,
    payloads: Sequence[bytes] | tfrecords.Payloads,
    shard_bytes: int,
    total_bytes: int | None = None,
) -> ClassShards:
    """Deals the encoded records of one split and class out to shards.

    Args:
      payloads: read once and in their order; twice without `total_bytes`, their size in all.
    """
    if total_bytes is None:
        total_bytes = sum(map(len, payloads))
    rest, shards = iter(payloads), []
    numbers = range(len(payloads))
    for file, part in shard_parts(split, patch_class, numbers, total_bytes, shard_bytes):
        (Path(directory) / file).parent.mkdir(parents=True, exist_ok=True)
        tfrecords.write_shard(Path(directory) / file, itertools.islice(rest, len(part)))
        shards.append(describe_shard(directory, file, len(part)))
    return ClassShards(tuple(shards))


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
        self.splits = splits_from(self.manifest, self.directory)
        check_shards(self.directory, self._shards(SPLITS, PATCH_CLASSES))

    def count(self, split: str, *classes: str) -> int:
        """Patches of a split and classes."""
        entries = self.splits.get(split, {})
        return sum(entries[name].count for name in classes if name in entries)

    def checksum(self, split: str, *classes: str) -> str:
        """SHA-256 over the checksums of the shards: other patches, another value."""
        shards = self._shards((split,), classes)
        return hashlib.sha256("".join(shard.sha256 for shard in shards).encode()).hexdigest()

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
        paths = tuple(self.directory / shard.file for shard in shards)
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

    def _shards(self, splits: Sequence[str], classes: Sequence[str]) -> list[Shard]:
        found = (self.splits.get(split, {}).get(name) for split in splits for name in classes)
        return [shard for entry in found if entry for shard in entry.shards]


def splits_from(manifest: Json, directory: Path) -> Splits:
    """The inverse of `splits_json`, from the manifest of a directory; `UserError` where it has no
    such splits."""
    values = manifest.get("splits", {})
    if not _is_splits(values):
        raise UserError(
            f"{directory / MANIFEST_FILE}: expected splits with classes, counts and shards"
        )
    return {
        split: {
            name: ClassShards(
                tuple(Shard(**{key: shard[key] for key in _SHARD}) for shard in entry["shards"])
            )
            for name, entry in classes.items()
        }
        for split, classes in values.items()
    }


def check_shards(directory: Path, shards: Iterable[Shard]) -> None:
    """Raises `UserError` naming a shard that is missing or has another size."""
    for shard in shards:
        path = contained(directory, shard.file)
        found = path.stat().st_size if path.exists() else None
        if found != shard.bytes:
            raise UserError(f"{path}: expected {shard.bytes} bytes, found {found}")


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


@dataclasses.dataclass(frozen=True, eq=False)
class PatchPool:
    """Several patch indices read as one; may be empty."""

    indices: tuple[PatchIndex, ...]

    @property
    def starts(self) -> list[int]:
        """Position of each index's first patch, and the total."""
        return list(itertools.accumulate((len(index) for index in self.indices), initial=0))

    def __len__(self) -> int:
        return sum(len(index) for index in self.indices)

    def pixels(self, number: int) -> np.ndarray:
        """float32 [S, S] in [-1, 1]."""
        index, place = self._place(number)
        return index.pixels(place)

    def record(self, number: int) -> PatchRecord:
        """The whole record."""
        index, place = self._place(number)
        return index.record(place)

    def descriptions(self) -> list[PatchRecord]:
        """Every record without its images: `patch`, `lesion` and `mask` are empty."""
        none = np.zeros((0, 0), np.float32)
        return [
            dataclasses.replace(index.record(place), patch=none, lesion=None, mask=None)
            for index in self.indices
            for place in range(len(index))
        ]

    def subset(self, numbers: np.ndarray) -> "PatchPool":
        """The patches with these numbers, int [k], ascending."""
        starts = self.starts
        parts = [
            numbers[(numbers >= start) & (numbers < end)] - start
            for start, end in itertools.pairwise(starts)
        ]
        return PatchPool(
            tuple(
                dataclasses.replace(index, places=index.places[part])
                for index, part in zip(self.indices, parts, strict=True)
                if len(part)
            )
        )

    def _place(self, number: int) -> tuple[PatchIndex, int]:
        starts = self.starts
        owner = bisect.bisect_right(starts, number) - 1
        return self.indices[owner], number - starts[owner]


def evaluation_pool(patches: PatchSet, split: str) -> tuple[PatchPool, np.ndarray]:
    """(patches, labels int [n]) of a split: normal against malignant, as in the paper.

    Benign and unlabelled patches never count.
    """
    negatives, positives = patches.count(split, NORMAL), patches.count(split, *MALIGNANT_CLASSES)
    if not negatives or not positives:
        raise UserError(
            f"{patches.directory}: {split}: expected normal and malignant patches, found "
            f"{negatives} and {positives}"
        )
    pool = PatchPool((patches.index(split, NORMAL), patches.index(split, *MALIGNANT_CLASSES)))
    return pool, np.repeat([0, 1], [negatives, positives])


def patch_size(pools: Sequence[PatchPool]) -> int:
    """Side of the first patch."""
    return len(next(pool for pool in pools if len(pool)).pixels(0))


def check_sizes(pools: Sequence[PatchPool]) -> None:
    """Raises `UserError` when the sets hold patches of different sizes."""
    indices = [index for pool in pools for index in pool.indices]
    expected = len(indices[0].pixels(0))
    for index in indices:
        found = len(index.pixels(0))
        if found != expected:
            raise UserError(
                f"{index.name}: expected {expected} px patches as in {indices[0].name}, "
                f"found {found} px"
            )


# Where synthesize takes its patches from comes first: the search ends when all are found.
_LIKELY = (SOURCE, *MALIGNANT_CLASSES)
_ORDER = (*_LIKELY, *(name for name in PATCH_CLASSES if name not in _LIKELY))


def whole_sets(patch_sets: Sequence[PatchSet]) -> tuple[PatchPool, list[str]]:
    """(every patch of some directories, the split of each)."""
    indices, splits = [], []
    for patches, split, name in itertools.product(patch_sets, SPLITS, PATCH_CLASSES):
        if patches.count(split, name):
            indices.append(patches.index(split, name))
            splits += [split] * len(indices[-1])
    return PatchPool(tuple(indices)), splits


def find_sources(
    patches: PatchSet, source_ids: Sequence[str]
) -> tuple[tuple[PatchIndex, ...], list[int]]:
    """(indices of the sources, for each id its number among them).

    Every source is held once, however often it was used. Raises `UserError` when an id is not
    among the patches.
    """
    missing, indices = set(source_ids), []
    numbers: dict[str, int] = {}
    for split, name in ((split, name) for split in SPLITS for name in _ORDER):
        if not missing:
            break
        if not patches.count(split, name):
            continue
        index = patches.index(split, name)
        ids = [decode_text(index.payload(i), "patch_id", index.name) for i in range(len(index))]
        chosen = [i for i, patch_id in enumerate(ids) if patch_id in missing]
        numbers.update({ids[i]: len(numbers) + order for order, i in enumerate(chosen)})
        missing -= numbers.keys()
        if chosen:
            indices.append(PatchIndex(index.name, index.paths, index.places[np.asarray(chosen)]))
    if missing:
        raise UserError(
            f"{patches.directory}: expected patch '{min(missing)}', which a synthetic patch was "
            f"made from, and {len(missing) - 1} more; were they made from other patches?"
        )
    return tuple(indices), [numbers[source_id] for source_id in source_ids]


def resolution_of(patches_dir: str | Path) -> dict[str, float]:
    """How make_patches resampled the images of a patch set, for those who learn from it."""
    flags = read_json(Path(patches_dir) / MANIFEST_FILE).get("flags", {})
    return {name: flags[name] for name in ("resample_spacing_mm", "reduction") if name in flags}
