"""The mammograms that a detector learns from and is scored on, opened before TensorFlow is.

Each batch has a fixed number of images that show a malignant lesion: KerasHub's loss of a batch
without any is 0, however many false boxes there are.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from cgan_tf.config import DetectorConfig
from cgan_tf.data.images import BENIGN, MALIGNANT, NORMAL, ImageIndex, ImageRecord, ImageSet
from cgan_tf.data.keyed import SampleOrder, unit_hash
from cgan_tf.data.provenance import HELD_OUT, Overlap
from cgan_tf.runs.errors import UserError

EXTRA = "train_detector needs KerasHub: pip install 'contextual-gan-mammography[detector]'"
WITHOUT, REAL, INSERTED = 0, 1, 2  # streams: images without a malignant lesion, and with one
STREAMS = ("without_lesion", "real_lesion", "inserted_lesion")


@dataclasses.dataclass(frozen=True, eq=False)
class ImagePool:
    """Images of several sets, read as one; may be empty."""

    indices: tuple[ImageIndex, ...]

    def __len__(self) -> int:
        return sum(map(len, self.indices))

    def record(self, number: int) -> ImageRecord:
        """The record at a position."""
        for index in self.indices:
            if number < len(index):
                return index.record(number)
            number -= len(index)
        raise IndexError(number)


@dataclasses.dataclass(frozen=True, eq=False)
class DetectorSets:
    """What a run reads.

    Attributes:
      streams: of training, in the order of `STREAMS`; one that is never drawn from may be empty.
      validation, test: every image of these splits of the real set.
      canvas: (height, width) that a batch has.
      overlaps: women of validation and test who are behind a stream, which the flags allow.
      phantom: whether the real images were drawn by a computer.
    """

    streams: tuple[ImagePool, ...]
    validation: ImagePool
    test: ImagePool
    canvas: tuple[int, int]
    overlaps: tuple[Overlap, ...] = ()
    phantom: bool = False


def open_sets(config: DetectorConfig) -> DetectorSets:
    """The streams of training and the images to be scored.

    Raises `UserError` for a stream that is drawn from and has no image, for held-out splits
    without malignant or without other images, and for women of these splits who are behind the
    inserted images, unless they are allowed.
    """
    real = ImageSet(config.images_dir)
    inserted = [ImageSet(directory) for directory in config.inserted_dirs]
    for images in inserted:
        if not images.manifest.get("inserted"):
            raise UserError(
                f"--inserted_dirs={images.directory}: expected images of insert_lesions, found "
                "those of a data set"
            )
    for split in HELD_OUT:
        counts = real.count(split, (MALIGNANT,)), real.count(split, (BENIGN, NORMAL))
        if not all(counts):
            raise UserError(
                f"{real.directory}: {split}: expected images with and without malignant lesions, "
                f"found {counts[0]} and {counts[1]}"
            )
    overlaps = tuple(held_out_overlaps(real, inserted if config.inserted_fraction else ()))
    if overlaps and not config.allow_overlap:
        told = "; ".join(f"{overlap.name}: {overlap}" for overlap in overlaps)
        raise UserError(
            f"made from another split than {real.directory}: {told}. Make them anew with its seed "
            "and fractions; --allow_overlap admits them for a deliberate study"
        )
    sets = DetectorSets(
        streams=(
            ImagePool((real.index("train", (NORMAL, BENIGN)),)),
            ImagePool((real.index("train", (MALIGNANT,)),)),
            ImagePool(tuple(images.index("train", (MALIGNANT,)) for images in inserted)),
        ),
        validation=ImagePool((real.index("validation"),)),
        test=ImagePool((real.index("test"),)),
        canvas=canvas_of([real, *inserted], config.max_level),
        overlaps=overlaps,
        phantom=bool(real.manifest.get("phantom")),
    )
    _refuse_empty(sets, config)
    return sets


def held_out_overlaps(real: ImageSet, inserted: Iterable[ImageSet]) -> Iterable[Overlap]:
    """The women of `real`'s validation and test split in the training split of inserted images,
    and behind the generator of their lesions; named by their digests."""
    for images in inserted:
        generator = images.manifest["inserted"].get("generator_patients") or ()
        for name, behind in (
            (str(images.directory), images.patients["train"]),
            (f"the generator of {images.directory}", frozenset(generator)),
        ):
            for split in HELD_OUT:
                shared = real.patients[split] & behind
                if shared:
                    yield Overlap(name, split, tuple(sorted(shared)), 0, len(behind))


def canvas_of(sets: Sequence[ImageSet], max_level: int) -> tuple[int, int]:
    """The smallest (height, width) that holds every image and halves `max_level` times."""
    step = 2**max_level
    height, width = (max(images.largest[axis] for images in sets) for axis in (0, 1))
    return -(-height // step) * step, -(-width // step) * step


def training_canvas(config: DetectorConfig, canvas: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a training batch: of a window, or of whole images."""
    return (config.window, config.window) if config.window else canvas


def _refuse_empty(sets: DetectorSets, config: DetectorConfig) -> None:
    share = config.inserted_fraction
    lesions = lesions_of_batch(config)
    drawn = (lesions < config.batch_size, lesions and share < 1, lesions and share > 0)
    if not lesions:
        raise UserError(
            f"--lesion_share={config.lesion_share:g}: expected enough for one image with a "
            f"lesion in a batch of {config.batch_size}"
        )
    for name, pool, used in zip(STREAMS, sets.streams, drawn, strict=True):
        if used and not len(pool):
            where = "--inserted_dirs" if name == "inserted_lesion" else config.images_dir
            raise UserError(f"{where}: no training image for the stream {name}")


def lesions_of_batch(config: DetectorConfig) -> int:
    """How many images of a batch show a malignant lesion."""
    return round(config.lesion_share * config.batch_size)


def steps_of(config: DetectorConfig) -> int:
    """Steps of a run: only whole batches are drawn."""
    return max(1, config.samples // config.batch_size)


def training_plan(config: DetectorConfig, counts: Sequence[int]) -> np.ndarray:
    """The order of training: int32 [steps * batch, 2] of (stream, number of the image).

    Every image of a stream comes once before any comes again. It follows from the seed alone, and
    runs that differ in the inserted share alone have the same images without a lesion in the same
    places.

    Args:
      counts: images of each stream.
    """
    size, lesions, steps = config.batch_size, lesions_of_batch(config), steps_of(config)
    with_lesion = np.tile(np.arange(size) < lesions, steps)
    streams = np.full(steps * size, WITHOUT, np.int32)
    places = np.flatnonzero(with_lesion)
    share = config.inserted_fraction
    inserted = [unit_hash(config.seed, "inserted", number) < share for number in range(len(places))]
    streams[places] = np.where(inserted, INSERTED, REAL)
    plan = np.stack([streams, np.zeros_like(streams)], axis=1)
    for stream, name in enumerate(STREAMS):
        own = np.flatnonzero(streams == stream)
        order = SampleOrder(config.seed, name, counts[stream])
        plan[own, 1] = [order[number] for number in range(len(own))]
    return plan
