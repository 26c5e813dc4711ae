"""Whole mammograms at a reduced size with their lesions: the record, and sets of records.

`make_images` writes such sets for train_detector. Layout::

    DIR/manifest.json
    DIR/<split>/<kind>-00000-of-00004.tfrecord

A kind is what an image shows, one of `KINDS`. The manifest's `splits` are those of a patch set,
with kinds in the place of classes; its `patients` has the women of each split as
`provenance.patient_digest` names them, and `largest` is [height, width] that hold every image.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.data import tfrecords
from cgan_tf.data.patch_sets import check_shards, splits_from
from cgan_tf.data.records import Example, decode_png, encode_png
from cgan_tf.labels import LESION_CLASSES, MALIGNANT_CLASSES, SPLITS
from cgan_tf.runs.directory import MANIFEST_FILE, read_manifest
from cgan_tf.runs.errors import UserError

PROGRAM = "make_images"
MALIGNANT, BENIGN, NORMAL = "malignant", "benign", "normal"
KINDS = (MALIGNANT, BENIGN, NORMAL)

_TEXTS = ("sop_uid", "client_id", "study_uid", "laterality", "view", "source_file")
_INTEGERS = ("rows", "columns", "synthetic")
_TEXT_LISTS = ("mark_ids", "box_classes")
_FLOAT_LISTS = ("spacing_mm", "scale", "origin", "boxes")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageRecord:
    """One mammogram at a reduced size, its padding cut off.

    A place (x, y) of the stored image is (x * scale[0] - origin[0], y * scale[1] - origin[1]) of
    `pixels`.

    Attributes:
      sop_uid, client_id, study_uid: as in the data set. laterality: L or R, or empty.
      view: CC or MLO, or empty. source_file: name of the file.
      pixels: float32 [h, w], grey levels in [-1, 1].
      rows, columns: of the stored image. spacing_mm: of its pixels; 0 where unknown.
      scale: (x, y) pixels a stored pixel. origin: (x, y) of the first pixel.
      boxes: float64 [n, 4]: x0, y0, x1, y1 of its lesions in the stored image, x1 and y1 exclusive.
      mark_ids: of the lesions, unique within the image. box_classes: of `labels.LESION_CLASSES`.
      synthetic: 1 if the file is marked as synthetic data.
    """

    sop_uid: str
    client_id: str
    study_uid: str
    laterality: str
    view: str
    source_file: str
    pixels: np.ndarray
    rows: int
    columns: int
    spacing_mm: float
    scale: tuple[float, float]
    origin: tuple[float, float]
    boxes: np.ndarray
    mark_ids: tuple[str, ...]
    box_classes: tuple[str, ...]
    synthetic: int = 0

    @property
    def malignant(self) -> np.ndarray:
        """Which lesions are malignant, bool [n]."""
        return np.array([name in MALIGNANT_CLASSES for name in self.box_classes], bool)

    @property
    def kind(self) -> str:
        """One of `KINDS`: of its worst lesion."""
        if not self.box_classes:
            return NORMAL
        return MALIGNANT if self.malignant.any() else BENIGN

    def reduced(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [n, 4] of the stored image in pixels of `pixels`."""
        return boxes * np.tile(self.scale, 2) - np.tile(self.origin, 2)

    def stored(self, boxes: np.ndarray) -> np.ndarray:
        """The inverse of `reduced`, no further than the stored image's edges."""
        places = (boxes + np.tile(self.origin, 2)) / np.tile(self.scale, 2)
        return np.clip(places, 0, np.tile([self.columns, self.rows], 2))


def encode_image(record: ImageRecord) -> bytes:
    """The record as a serialised `tf.train.Example`; the same record gives the same bytes."""
    unknown = set(record.box_classes) - set(LESION_CLASSES)
    if unknown or not len(record.boxes) == len(record.mark_ids) == len(record.box_classes):
        raise ValueError(f"expected an id and one of {LESION_CLASSES} for each box: {record}")
    example = Example()
    feature = example.features.feature
    feature["pixels"].bytes_list.value.append(encode_png(record.pixels))
    for name in _TEXTS:
        feature[name].bytes_list.value.append(getattr(record, name).encode())
    for name in _TEXT_LISTS:
        feature[name].bytes_list.value.extend(text.encode() for text in getattr(record, name))
    for name in _INTEGERS:
        feature[name].int64_list.value.append(int(getattr(record, name)))
    for name in _FLOAT_LISTS:
        feature[name].float_list.value.extend(np.ravel(getattr(record, name)).tolist())
    return example.SerializeToString(deterministic=True)


def decode_image(serialised: bytes, where: str) -> ImageRecord:
    """The inverse of `encode_image`; numbers with a fraction have the precision of float32.

    Raises `UserError` naming `where` (the shard) for unknown or missing features, and for values
    that no record has.
    """
    try:
        feature = Example.FromString(serialised).features.feature
    except Exception as error:  # protobuf's DecodeError has no public base class of its own
        raise UserError(f"{where}: expected a serialised tf.train.Example") from error
    expected = {"pixels", *_TEXTS, *_TEXT_LISTS, *_INTEGERS, *_FLOAT_LISTS}
    if set(feature) != expected:
        raise UserError(
            f"{where}: missing features {sorted(expected - set(feature))}, unknown features "
            f"{sorted(set(feature) - expected)}"
        )
    values: dict[str, Any] = {}
    try:
        for name in _TEXTS:
            values[name] = feature[name].bytes_list.value[0].decode()
        for name in _TEXT_LISTS:
            values[name] = tuple(text.decode() for text in feature[name].bytes_list.value)
        for name in _INTEGERS:
            values[name] = int(feature[name].int64_list.value[0])
        floats = {name: np.array(feature[name].float_list.value) for name in _FLOAT_LISTS}
        values["boxes"] = floats["boxes"].reshape(-1, 4)
        values["spacing_mm"] = float(floats["spacing_mm"][0])
        values |= {name: tuple(map(float, floats[name])) for name in ("scale", "origin")}
        pixels = decode_png(feature["pixels"].bytes_list.value[0], "patch", where)
    except (IndexError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise UserError(f"{where}: expected a record of {PROGRAM}: {error}") from error
    record = ImageRecord(pixels=pixels, **values)
    counts = {len(record.boxes), len(record.mark_ids), len(record.box_classes)}
    if len(counts) > 1 or not set(record.box_classes) <= set(LESION_CLASSES):
        raise UserError(f"{where}: expected an id and one of {LESION_CLASSES} for each box")
    return record


@dataclasses.dataclass(frozen=True, eq=False)
class ImageIndex:
    """Random access to some images of a set.

    Attributes:
      paths: the shards. places: int64 [n, 3] (shard, offset, length) of every record.
    """

    paths: tuple[Path, ...]
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def record(self, index: int) -> ImageRecord:
        """The record at a position."""
        shard, offset, length = (int(value) for value in self.places[index])
        path = self.paths[shard]
        return decode_image(tfrecords.read_payload(path, offset, length), str(path))


class ImageSet:
    """A finished output directory of make_images.

    Attributes:
      largest: (height, width) that holds every image. patients: digests of women, by split.
    """

    def __init__(self, directory: str | Path):
        """Reads the manifest and checks that every shard is there at its size.

        Raises `UserError` naming the manifest or the shard.
        """
        self.directory = Path(directory)
        self.manifest = read_manifest(directory, PROGRAM)
        self.splits = splits_from(self.manifest, self.directory)
        largest = self.manifest.get("largest")
        if not (isinstance(largest, list) and len(largest) == 2 and min(largest) > 0):
            raise UserError(f"{self.directory / MANIFEST_FILE}: expected the largest image's size")
        self.largest = (int(largest[0]), int(largest[1]))
        self.patients = {
            split: frozenset(self.manifest.get("patients", {}).get(split, ())) for split in SPLITS
        }
        shards = [
            shard
            for kinds in self.splits.values()
            for entry in kinds.values()
            for shard in entry.shards
        ]
        check_shards(self.directory, shards)

    def count(self, split: str, kinds: Sequence[str] = KINDS) -> int:
        """Images of a split and kinds."""
        entries = self.splits.get(split, {})
        return sum(entries[kind].count for kind in kinds if kind in entries)

    def index(self, split: str, kinds: tuple[str, ...] = KINDS) -> ImageIndex:
        """Random access to a split and kinds, in the order of their shards; it may be empty."""
        entries = self.splits.get(split, {})
        shards = [s for kind in kinds if kind in entries for s in entries[kind].shards]
        paths = tuple(self.directory / shard.file for shard in shards)
        places = [
            (number, offset, length)
            for number, path in enumerate(paths)
            for offset, length in tfrecords.shard_index(path)
        ]
        return ImageIndex(paths, np.asarray(places, np.int64).reshape(-1, 3))
