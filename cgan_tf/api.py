"""What the package offers in Python: arrays in, arrays and dataclasses out.

`import cgan_tf` gives every name here, and loads TensorFlow with the first generator or classifier.
The names for DICOM are in `beam_pipelines`. docs/python.md shows all of them at work.

Grey levels are float32 in [-1, 1], background dark, lesions bright. Patches are [n, size, size]
without a channel axis. What a file or directory does wrong is a `UserError` of one line; what an
argument does wrong is a `ValueError`.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cgan_tf.config import SynthesisConfig
from cgan_tf.data.keyed import sample_order
from cgan_tf.data.patch_sets import PatchPool, PatchSet
from cgan_tf.gan.card import GeneratorCard, task_of
from cgan_tf.labels import MALIGNANT_CLASSES, NORMAL, PATCH_CLASSES, SPLITS
from cgan_tf.runs.directory import Json, read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.statistics.auc import AucComparison, AucEstimate, auc_interval, delong_test
from cgan_tf.synthesis.candidates import candidate_scalars
from cgan_tf.synthesis.postprocess import (
    IN_BOX,
    LARGEST,
    NEAR,
    Extraction,
    extract_lesion,
    limited_extraction,
)

__all__ = [
    "AucComparison",
    "AucEstimate",
    "Classifier",
    "LesionGenerator",
    "PatchSet",
    "Patches",
    "Synthesis",
    "UserError",
    "auc_interval",
    "compare_aucs",
    "load_classifier",
    "load_generator",
    "load_patches",
]

_BATCH = 16  # patches at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """Patches of one split, in memory.

    Attributes:
      images: float32 [n, size, size] in [-1, 1].
      labels: int64 [n]: 1 malignant, 0 normal, -1 anything else.
      classes: text [n], such as "normal" or "malignant_mass".
      patients: text [n], whose patch it is (`client_id`).
      patch_ids: text [n], as in the tables that `evaluate` writes.
      boxes: n boxes (x0, y0, x1, y1) of lesions in pixels of the patch, x1 and y1 exclusive; ()
        where there is none.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    patients: np.ndarray
    patch_ids: np.ndarray
    boxes: tuple[tuple[float, ...], ...]

    def __len__(self) -> int:
        return len(self.images)


def load_patches(
    patches: PatchSet | str | os.PathLike[str],
    split: str,
    classes: Sequence[str] = (NORMAL, *MALIGNANT_CLASSES),
    count: int | None = None,
    seed: int = 0,
) -> Patches:
    """Reads patches of a set into memory.

    Args:
      patches: output directory of `make_patches`, `synthesize` or `paste_lesions`, or a `PatchSet`.
      split: "train", "validation" or "test".
      classes: which patches, class by class in this order. The default is what a classifier is
        tested on: normal and malignant patches.
      count: so many of them, drawn at random; None takes all.
      seed: of the draw.

    Returns:
      The patches in the order of their shards.

    Raises:
      UserError: for a directory that is no finished patch set, or has none of these patches.
      ValueError: for a split or class that there is not.
    """
    _one_of("split", [split], SPLITS)
    _one_of("classes", classes, PATCH_CLASSES)
    opened = patches if isinstance(patches, PatchSet) else PatchSet(os.fspath(patches))
    found = [name for name in classes if opened.count(split, name)]
    if not found:
        raise UserError(f"{opened.directory}: {split}: expected {' or '.join(classes)}, found none")
    pool = PatchPool(tuple(opened.index(split, name) for name in found))
    if count is not None:
        pool = pool.subset(np.sort(sample_order(seed, "patches", 0, len(pool))[:count]))
    records = [pool.record(number) for number in range(len(pool))]
    return Patches(
        images=np.stack([record.patch for record in records]),
        labels=np.array([_label(record.patch_class) for record in records], np.int64),
        classes=np.array([record.patch_class for record in records], dtype=str),
        patients=np.array([record.client_id for record in records], dtype=str),
        patch_ids=np.array([record.patch_id for record in records], dtype=str),
        boxes=tuple(record.box for record in records),
    )


def _label(patch_class: str) -> int:
    if patch_class in MALIGNANT_CLASSES:
        return 1
    return 0 if patch_class == NORMAL else -1


def _one_of(name: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    wrong = [value for value in values if value not in allowed]
    if wrong or isinstance(values, str) or not values:
        raise ValueError(f"{name}: expected {', '.join(allowed)}, found {wrong or values!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class Synthesis:
    """What became of each patch that a generator was given.

    A patch is rejected when its lesion is empty, too small ("discard the object if it is too
    small") or, if asked for, too large; it then comes back unchanged.

    Attributes:
      images: float32 [n, size, size] in [-1, 1], the patches with their lesions added or removed.
      lesions: float32 [n, size, size], what was added; 0 outside the mask and where rejected.
      masks: float32 [n, size, size] in [0, 1], soft; 0 where rejected.
      boxes: int64 [n, 4], (x0, y0, x1, y1) of the lesion in pixels, x1 and y1 exclusive; 0 where
        rejected.
      rejected: text [n]: empty, or "empty", "too_small" or "too_large".
      z: float32 [n, z_width], the random scalars of each patch.
    """

    images: np.ndarray
    lesions: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    rejected: np.ndarray
    z: np.ndarray

    @property
    def accepted(self) -> np.ndarray:
        """bool [n]: `synthesis.images[synthesis.accepted]` are the synthetic patches."""
        return self.rejected == ""


class LesionGenerator:
    """A trained generator; `load_generator` makes one.

    Attributes:
      task: "mass", "calcification" or "removal".
      size: side in pixels of the patches that it takes.
      z_width: random scalars that it takes for each patch.
      card: all that `model.json` says of it: licence, resolution, checksum, flags of its training.
      directory: where it was loaded from.
    """

    def __init__(self, function: Any, card: GeneratorCard, task: str, directory: str = ""):
        self.card, self.task, self.directory = card, task, directory
        self.size, self.z_width = card.size, card.z_width
        self._function = function

    def __repr__(self) -> str:
        return f"LesionGenerator(task={self.task!r}, size={self.size}, z_width={self.z_width})"

    def draw_z(self, count: int, seed: int = 0) -> np.ndarray:
        """Random scalars float32 [count, z_width] in [-1, 1]: those of `synthesize --seed`."""
        rows = [candidate_scalars(seed, self.task, n, self.z_width) for n in range(count)]
        return np.array(rows, np.float32).reshape(count, self.z_width)

    def lesion_channels(self, images: np.ndarray, z: np.ndarray) -> np.ndarray:
        """What the generator would add, before any post-processing.

        Args:
          images: float [n, size, size] in [-1, 1].
          z: float [n, z_width] in [-1, 1].

        Returns:
          float32 [n, size, size] in [-1, 1].
        """
        from cgan_tf.gan.export import generate

        images, z = _checked_images(images, self.size), np.asarray(z, np.float32)
        if z.shape != (len(images), self.z_width):
            expected = [len(images), self.z_width]
            raise ValueError(f"z: expected {expected}, found {list(z.shape)}")
        channels = [np.zeros((0, self.size, self.size), np.float32)]
        channels += [
            generate(self._function, self.card, self.task, images[part], z[part])
            for part in _batches(len(images))
        ]
        return np.concatenate(channels)

    def synthesize(
        self,
        images: np.ndarray,
        *,
        z: np.ndarray | None = None,
        seed: int = 0,
        boxes: Sequence[Sequence[float]] | None = None,
        min_area_fraction: float = 0.1,
        max_area_fraction: float = 1.0,
        threshold: float = 0.1,
        objects: str = "largest",
    ) -> Synthesis:
        """Adds one lesion to each patch, or removes it, with the paper's post-processing.

        Args:
          images: float [n, size, size] in [-1, 1].
          z: float [n, z_width] in [-1, 1]; None draws them with `draw_z(n, seed)`.
          seed: other seeds give other lesions.
          boxes: of the lesions to be removed, (x0, y0, x1, y1) each; for `objects="in_box"` alone.
          min_area_fraction: smallest share of the patch that a lesion may cover, 0 to 1.
          max_area_fraction: largest.
          threshold: grey levels from which a pixel belongs to a lesion.
          objects: "largest" object, as in the paper, "near" ones (the largest group), or "in_box".

        Raises:
          ValueError: for arrays of other shapes or ranges, and settings out of theirs.
        """
        images = _checked_images(images, self.size)
        settings = SynthesisConfig(
            min_area_fraction=min_area_fraction,
            max_area_fraction=max_area_fraction,
            threshold=threshold,
            objects=objects,
        )
        how = self._extraction(settings)
        z = self.draw_z(len(images), seed) if z is None else np.asarray(z, np.float32)
        places = [()] * len(images) if boxes is None else boxes
        found = [
            extract_lesion(channel, how, box)
            for channel, box in zip(self.lesion_channels(images, z), places, strict=True)
        ]
        nothing = np.zeros((self.size, self.size), np.float32)
        lesions = _stacked([each.lesion for each in found], nothing)
        return Synthesis(
            images=np.clip(images + lesions, -1.0, 1.0),
            lesions=lesions,
            masks=_stacked([each.mask for each in found], nothing),
            boxes=_stacked([each.box for each in found], np.zeros(4, np.int64)),
            rejected=np.array([each.rejected for each in found], dtype=str),
            z=z,
        )

    def _extraction(self, settings: SynthesisConfig) -> Extraction:
        _one_of("objects", [settings.objects], (LARGEST, NEAR, IN_BOX))
        try:
            check_ranges(settings)
            return limited_extraction(settings, self.size, removal=self.task == "removal")
        except UserError as error:  # it names a flag
            raise ValueError(str(error).removeprefix("--")) from error


def load_generator(directory: str | os.PathLike[str], task: str = "") -> LesionGenerator:
    """Loads a generator that `train_gan` has exported: RUN/generator.

    Args:
      directory: with `saved_model.pb` and `model.json`.
      task: what a conditional generator is to be asked for; others have one task.

    Raises:
      UserError: where there is none, or its files are not those that its card was written for.
    """
    from cgan_tf.gan.export import load_generator as load

    path = os.fspath(directory)
    function, card = load(path)
    config = SynthesisConfig(generator=path, task=task)
    return LesionGenerator(function, card, task_of(config, card), path)


class Classifier:
    """A trained patch classifier; `load_classifier` makes one.

    Attributes:
      size: side in pixels of the patches that it was trained on.
      manifest: what its training recorded: flags, validation AUC, versions.
    """

    def __init__(self, model: Any, manifest: Json):
        self.size, self.manifest = int(manifest["patch_size"]), manifest
        self._model = model

    def __repr__(self) -> str:
        return f"Classifier({self._model.title}, size={self.size})"

    def decision_function(self, images: np.ndarray) -> np.ndarray:
        """Logits float32 [n] of patches [n, size, size] in [-1, 1]; higher is more malignant.

        They rank patches. `evaluate` says how well they are calibrated.
        """
        return self._scored(images)[0]

    def features(self, images: np.ndarray) -> np.ndarray:
        """The last layer before the logit, float32 [n, d]; what the report's t-SNE map shows."""
        return self._scored(images)[1]

    def _scored(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from cgan_tf.classifier.scoring import score_batches

        images = _checked_images(images, self.size)
        return score_batches(
            self._model, (images[part, ..., None] for part in _batches(len(images)))
        )


def load_classifier(directory: str | os.PathLike[str]) -> Classifier:
    """Loads the classifier of a finished `train_classifier` run, with its best weights.

    Raises:
      UserError: for another directory, or weights that are not those that its manifest describes.
    """
    from cgan_tf.classifier.scoring import load_classifier as load

    path = os.fspath(directory)
    manifest = read_manifest(path, "train_classifier")
    return Classifier(load(path, manifest), manifest)


def compare_aucs(
    labels: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    patients: np.ndarray | None,
    level: float = 0.95,
) -> AucComparison:
    """Tests whether two classifiers have the same AUC on the same patches.

    Patches of one patient are alike, so the variance is clustered by patient (Obuchowski 1997).
    `patients=None` takes every patch for a patient of its own: DeLong's test, as in the paper,
    whose p-values are too small when patients give several patches.

    Args:
      labels: [n], 1 malignant, 0 normal.
      scores_a: [n], higher is more malignant.
      scores_b: [n], of the same patches.
      patients: [n], text or numbers, or None.
      level: of the interval of the difference.

    Raises:
      ValueError: for arrays of different lengths, other labels, scores that are not finite.
    """
    return delong_test(labels, scores_a, scores_b, patients, level)


def _batches(count: int) -> Iterator[slice]:
    return (slice(start, start + _BATCH) for start in range(0, count, _BATCH))


def _checked_images(images: np.ndarray, size: int) -> np.ndarray:
    """The images as float32, if they are [n, size, size] in [-1, 1]."""
    images = np.asarray(images, np.float32)
    if images.ndim != 3 or images.shape[1:] != (size, size):
        raise ValueError(f"images: expected [n, {size}, {size}], found {list(images.shape)}")
    if images.size and not (images.min() >= -1 and images.max() <= 1):  # NaN fails as well
        raise ValueError(
            f"images: expected grey levels in [-1, 1], found {images.min():g} to {images.max():g}"
        )
    return images


def _stacked(parts: Sequence[Any], nothing: np.ndarray) -> np.ndarray:
    """Arrays one over the other, `nothing` in the place of None."""
    filled = [nothing if part is None else part for part in parts]
    return np.array(filled, nothing.dtype).reshape(len(parts), *nothing.shape)
