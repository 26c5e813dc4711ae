"""Pasted lesions: real lesions of training patches, moved and turned, on other healthy tissue.

Not in the paper: it is what a generator must beat. A lesion is the layer that `data.lesion_layer`
estimates. It is pasted at its full strength and never dimmed, because what is left of a patch
without the layer is a smooth disc that a network finds at once.

Lesion, source patch and place of patch number k depend on (seed, k) alone.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cgan_tf.config import PasteConfig
from cgan_tf.data import tfrecords
from cgan_tf.data.keyed import SampleOrder, keyed_generator
from cgan_tf.data.lesion_layer import continued, lesion_layer, slices_of
from cgan_tf.data.patch_sets import PatchSet, Splits, splits_json, write_patch_set
from cgan_tf.data.provenance import PHANTOM_NOTICE, are_drawn, manifest_sha256, patients_of
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.data.tfds_files import write_tfds_files
from cgan_tf.labels import LESION_TYPES, MALIGNANT_CLASSES, PAPER_SIZE, SOURCE
from cgan_tf.pages.contact_sheets import draw_sheet
from cgan_tf.pages.patches import Pair
from cgan_tf.pages.viewer import gallery_page
from cgan_tf.runs import console
from cgan_tf.runs.directory import finish_run, run_to_the_end, write_bytes
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

TRAIN = "train"  # of lesions and of tissue: nobody's of another split is ever read
GALLERY = "gallery.html"
SHOWN = 12  # patches of a class in the gallery
Slices = tuple[slice, slice]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a layer comes to lie.

    Attributes:
      mirrored: left to right, before it is turned. turns: by 90 degrees, counter-clockwise.
      x, y: of the upper left corner of its box, in pixels of the patch.
    """

    mirrored: bool
    turns: int
    x: int
    y: int


def paste_lesions(config: PasteConfig) -> None:
    """Makes the set, or says that it is there."""
    check_ranges(config)
    run_to_the_end(
        config.output_dir,
        "paste_lesions",
        config,
        lambda: Pasting(config),
        lambda pasting, run: pasting.run(run.directory),
    )


class Pasting:
    """One run: the lesions, the tissue, and what is made of them."""

    def __init__(self, config: PasteConfig):
        self.config, self.patches = config, PatchSet(config.patches_dir)
        present = [name for name in MALIGNANT_CLASSES if self.patches.count(TRAIN, name)]
        self.lesions = self.patches.index(TRAIN, *(present or MALIGNANT_CLASSES))
        self.sources = self.patches.index(TRAIN, SOURCE)
        self.size = len(self.sources.pixels(0))
        self.lesion_order = SampleOrder(config.seed, "paste/lesions", len(self.lesions))
        self.source_order = SampleOrder(config.seed, "paste/sources", len(self.sources))
        self.left_out = 0

    def run(self, directory: Path) -> None:
        """Pastes until the count is met; writes shards, gallery and manifest."""
        pending = {name: directory / f".{name}.tfrecord.tmp" for name in MALIGNANT_CLASSES}
        made: Counter[str] = Counter()
        files = {name: path.open("wb") for name, path in pending.items()}
        with console.progress_bar(self.config.count, "pasted lesions", "patches") as bar:
            for record in self.records():
                files[record.patch_class].write(tfrecords.frame(encode_record(record)))
                made[record.patch_class] += 1
                bar.update(1)
        for file in files.values():
            file.close()
        shard_bytes = self.config.shard_megabytes * 10**6
        classes = {
            name: write_patch_set(
                directory, TRAIN, name, tfrecords.Payloads(path), shard_bytes, path.stat().st_size
            )
            for name, path in pending.items()
            if made[name]
        }
        for path in pending.values():
            path.unlink()
        self._finish(directory, {TRAIN: classes})

    def records(self) -> Iterator[PatchRecord]:
        """`count` patches; lesions whose box leaves nothing around it are passed over."""
        made = number = 0
        while made < self.config.count:
            record = self.record(number)
            number += 1
            if record is not None:
                made += 1
                yield record
            elif not made and number >= len(self.lesions):
                raise UserError(f"{self.lesions.name}: no lesion has a box with tissue around it")
        self.left_out = number - made

    def record(self, number: int) -> PatchRecord | None:
        """Patch number `number`; None where the lesion has no layer."""
        lesion = self.lesions.record(self.lesion_order[number])
        layer = lesion_layer(lesion.patch, lesion.box) if lesion.box else None
        if layer is None:
            return None
        box = slices_of(lesion.box, self.size)
        place = draw_place(box, self.size, keyed_generator(self.config.seed, "paste", number))
        source = self.sources.record(self.source_order[number])
        feather = self.config.feather * self.size / PAPER_SIZE
        return _record(source, lesion, paste(source.patch, layer, box, place, feather), number)

    def source_of(self, record: PatchRecord) -> PatchRecord:
        """The patch that a lesion was pasted onto."""
        return self.sources.record(self.source_order[int(record.patch_id.rpartition("~")[2])])

    def _finish(self, directory: Path, splits: Splits) -> None:
        write_tfds_files(directory, splits, self.size, synthetic=True)
        content = {
            "patches_manifest_sha256": manifest_sha256(self.patches),
            "lesion_patients": sorted(patients_of(self.patches, TRAIN, MALIGNANT_CLASSES)),
            "left_out": self.left_out,
            "splits": splits_json(splits),
            **({"phantom": True} if are_drawn(self.patches) else {}),
        }
        finish_run(directory, "paste_lesions", content)
        self._write_pictures(directory)
        print(f"{directory}: {self.config.count} patches with pasted lesions")

    def _write_pictures(self, directory: Path) -> None:
        pasted, pairs = PatchSet(directory), []
        phantom = are_drawn(self.patches)
        for name in MALIGNANT_CLASSES:
            if pasted.count(TRAIN, name):
                index = pasted.index(TRAIN, name)
                content, records = draw_sheet(index, TRAIN, name, SHOWN, self.config.seed, phantom)
                write_bytes(directory / f"contact_sheet_{name}.png", content)
                pairs += [Pair(record, self.source_of(record)) for record in records]
        facts = f"{len(pairs)} of {self.config.count:,} patches, drawn at random."
        notice = PHANTOM_NOTICE if phantom else ""
        page = gallery_page("Pasted lesions", facts, pairs, notice)
        write_bytes(directory / GALLERY, page)


@dataclasses.dataclass(frozen=True, eq=False)
class Pasted:
    """A patch with a lesion pasted onto it.

    Attributes:
      patch: float32 [size, size] in [-1, 1]. mask: float32, above 0 where it may have changed.
      box: (x0, y0, x1, y1) of the lesion in it.
    """

    patch: np.ndarray
    mask: np.ndarray
    box: tuple[float, float, float, float]


def draw_place(box: Slices, size: int, draws: np.random.Generator) -> Place:
    """Any of eight turns and any place, but a side that the patch cuts stays at a border.

    What lies beyond that border is unknown: elsewhere a lesion would end at a straight edge.
    """
    mirrored, turns = bool(draws.integers(2)), int(draws.integers(4))
    rows, columns = turned_box(box, size, mirrored, turns)
    x, y = (int(draws.choice(_starts(part, size))) for part in (columns, rows))
    return Place(mirrored, turns, x, y)


def turned_box(box: Slices, size: int, mirrored: bool, turns: int) -> Slices:
    """Where a box is once its patch is mirrored and turned."""
    inside = np.zeros((size, size), bool)
    inside[box] = True
    inside = turned(inside, mirrored, turns)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def turned(image: np.ndarray, mirrored: bool, turns: int) -> np.ndarray:
    """An image [size, size] mirrored left to right, then turned counter-clockwise by 90 degrees."""
    return np.rot90(np.fliplr(image) if mirrored else image, turns)


def paste(
    patch: np.ndarray, layer: np.ndarray, box: Slices, place: Place, feather_px: float = 0.0
) -> Pasted:
    """A layer, which is 0 outside `box`, on a healthy patch, both float32 [size, size].

    Without a feather by Poisson blending: in the box the patch has the grain of the lesion's own
    tissue. With one the layer is added, and fades towards the edges over so many pixels; there the
    grain of both is.
    """
    size = len(patch)
    turned_layer = turned(layer, place.mirrored, place.turns)
    rows, columns = turned_box(box, size, place.mirrored, place.turns)
    content = turned_layer[rows, columns]
    height, width = content.shape
    there = slice(place.y, place.y + height), slice(place.x, place.x + width)
    weight = _ramp(there[0], size, feather_px)[:, None] * _ramp(there[1], size, feather_px)
    result, mask = patch.copy(), np.zeros_like(patch)
    background = patch[there] if feather_px else continued(patch, *there)
    result[there] = (background + weight * content).clip(-1, 1)
    mask[there] = weight
    corner = float(place.x), float(place.y)
    return Pasted(result, mask, (*corner, corner[0] + width, corner[1] + height))


def _starts(part: slice, size: int) -> np.ndarray:
    """Where a side of a box may begin."""
    length = part.stop - part.start
    if part.start == 0:
        return np.array([0])
    if part.stop == size:
        return np.array([size - length])
    return np.arange(1, size - length)


def _ramp(part: slice, size: int, feather_px: float) -> np.ndarray:
    """Weights float64 [length] that grow to 1 from both ends, but not from the patch's border."""
    length = part.stop - part.start
    distance = np.full((2, length), np.inf)
    if part.start > 0:
        distance[0] = np.arange(length) + 0.5
    if part.stop < size:
        distance[1] = length - np.arange(length) - 0.5
    return np.minimum(1.0, distance.min(axis=0) / feather_px) if feather_px else np.ones(length)


def _record(source: PatchRecord, lesion: PatchRecord, pasted: Pasted, number: int) -> PatchRecord:
    """The patch as a record: tissue of `source`, findings of `lesion`."""
    return dataclasses.replace(
        source,
        patch_id=f"{source.patch_id}~{lesion.patch_id}~{number}",
        patch=pasted.patch,
        patch_class=lesion.patch_class,
        has_mass=lesion.has_mass,
        has_calcification=lesion.has_calcification,
        box=pasted.box,
        mark_id=lesion.mark_id,
        label_evidence="pasted",
        conspicuity=lesion.conspicuity,
        lesion_size_mm=lesion.lesion_size_mm,
        synthetic=1,
        lesion=(pasted.patch - source.patch).clip(-1, 1),
        mask=pasted.mask.astype(np.float32),
        source_patch_id=source.patch_id,
        task=LESION_TYPES[lesion.patch_class],
        lesion_area_px=int(np.count_nonzero(pasted.mask)),
    )
