"""The patches that a classifier is trained and validated on, opened before TensorFlow is."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cgan_tf.classifier.augmentation import Augmentation, augmentation_of
from cgan_tf.classifier.sampling import (
    CHANGED,
    FILLS,
    SYNTHETIC,
    Schedule,
    stream_names,
    stream_weights,
)
from cgan_tf.config import ClassifierConfig
from cgan_tf.data.patch_sets import PatchIndex, PatchPool, PatchSet, check_sizes, evaluation_pool
from cgan_tf.data.provenance import Overlap, check_origins, origins_of_set
from cgan_tf.labels import BENIGN_CALCIFICATION, BENIGN_MASS, MALIGNANT_CLASSES, NORMAL
from cgan_tf.runs.directory import Json
from cgan_tf.runs.errors import UserError

VALIDATION = "validation"
_DIRECTORIES = {"pasted": "pasted_dirs", "oracle": "oracle_dirs"}


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifierSets:
    """What a run reads.

    Attributes:
      streams: of training, named `names`; a stream that is never drawn from may be empty.
      validation: real patches, normal and malignant. labels: int [n] of them.
      checksums: of the patches behind each stream and behind the validation set, by name.
      changes: what is done to the patches of some streams.
      overlaps: women of validation and test who are behind a stream, which the flags allow.
    """

    names: tuple[str, ...]
    streams: tuple[PatchPool, ...]
    validation: PatchPool
    labels: np.ndarray
    checksums: dict[str, str]
    changes: Mapping[int, Augmentation]
    overlaps: tuple[Overlap, ...] = ()

    def description(self) -> Json:
        """{name: {"patches": count, "sha256": checksum}} of every set, ready for JSON."""
        pools = dict(zip(self.names, self.streams, strict=True)) | {VALIDATION: self.validation}
        return {
            name: {"patches": len(pool), "sha256": self.checksums[name]}
            for name, pool in pools.items()
        }


def open_sets(config: ClassifierConfig) -> ClassifierSets:
    """The four streams of the training split and the validation set.

    Raises `UserError` for a stream that the schedule draws from and that has no patch, for
    patches of different sizes, for a validation set with one class, and for synthetic sets that
    rest on women of the validation or test split, unless they are allowed.
    """
    patches = PatchSet(config.patches_dir)
    others = [PatchSet(directory) for directory in getattr(config, _flag_of(config), ())]
    benign = (BENIGN_MASS, BENIGN_CALCIFICATION) if config.benign == "negative" else ()
    real = (([patches], (NORMAL, *benign)), ([patches], MALIGNANT_CLASSES))
    filling = others if _flag_of(config) else [patches]
    sources = (
        (*real, *real)
        if config.filling == "augmented"
        else (*real, (filling, (NORMAL,)), (filling, MALIGNANT_CLASSES))
    )
    names = stream_names(config.filling)
    streams = [_pool(sets, classes) for sets, classes in sources]
    if config.filling == "oversampled":
        streams[3] = evenly([patches.index("train", name) for name in MALIGNANT_CLASSES])
    _refuse_empty(streams, config)
    validation, labels = validation_pool(patches, config.validation_patches)
    check_sizes([*streams, validation])
    checksums = {
        name: _checksum(sets, "train", classes)
        for name, (sets, classes) in zip(names, sources, strict=True)
    }
    checksums[VALIDATION] = _checksum([patches], "validation", (NORMAL, *MALIGNANT_CLASSES))
    drawn = others if config.synthetic_fraction else []
    origins = [origin for each in drawn for origin in origins_of_set(each)]
    overlaps = check_origins(patches, origins, config.allow_overlap)
    change = augmentation_of(config)
    changes = {n + 2: change for n, fill in enumerate(FILLS[config.filling]) if fill == CHANGED}
    return ClassifierSets(names, tuple(streams), validation, labels, checksums, changes, overlaps)


def evenly(indices: Sequence[PatchIndex]) -> PatchPool:
    """A pool in which each index has as many places as the largest: its patches come in turns."""
    most = max(map(len, indices))
    return PatchPool(
        tuple(
            dataclasses.replace(index, places=index.places[np.arange(most) % len(index)])
            for index in indices
        )
    )


def _flag_of(config: ClassifierConfig) -> str:
    """The flag with the sets that fill the slots; empty where --patches_dir does."""
    if config.filling in SYNTHETIC:
        return "synthetic_dirs"
    return _DIRECTORIES.get(config.filling, "")


def schedule_of(config: ClassifierConfig) -> Schedule:
    """The synthetic share's schedule as the flags give it."""
    return Schedule(config.synthetic_fraction, config.decay, config.decay_rate, config.decay_every)


def validation_pool(patches: PatchSet, limit: int) -> tuple[PatchPool, np.ndarray]:
    """(patches, labels int [n]) of the validation split, `limit` of them unless it is 0.

    The list is sorted by class and, within one, by shard. Patches evenly spaced in it keep the
    classes' proportions and spread over the shards, and no seed has a say.
    """
    pool, labels = evaluation_pool(patches, "validation")
    if not 0 < limit < len(pool):
        return pool, labels
    chosen = ((np.arange(limit) + 0.5) * len(pool) / limit).astype(np.int64)
    if len(set(labels[chosen])) < 2:
        raise UserError(
            f"--validation_patches: expected 0 or enough for both classes ({np.sum(labels == 0):,} "
            f"normal, {np.sum(labels == 1):,} malignant), found {limit}"
        )
    return pool.subset(chosen), labels[chosen]


def _pool(patch_sets: Sequence[PatchSet], classes: tuple[str, ...]) -> PatchPool:
    return PatchPool(
        tuple(
            patches.index("train", *classes)
            for patches in patch_sets
            if patches.count("train", *classes)
        )
    )


def _checksum(patch_sets: Sequence[PatchSet], split: str, classes: tuple[str, ...]) -> str:
    parts = [patches.checksum(split, *classes) for patches in patch_sets]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _refuse_empty(streams: Sequence[PatchPool], config: ClassifierConfig) -> None:
    shares = schedule_of(config).intervals(config.samples)
    weights = stream_weights(shares, config.filling).max(axis=0)
    for name, pool, weight in zip(stream_names(config.filling), streams, weights, strict=True):
        if weight > 0 and not len(pool):
            raise UserError(_empty_stream(name, config))


def _empty_stream(name: str, config: ClassifierConfig) -> str:
    if name.startswith("real"):
        return f"{Path(config.patches_dir)}: the {name} stream has no training patch"
    if config.filling in _DIRECTORIES:
        return (
            f"--filling={config.filling}: the {name} stream is empty; "
            f"--{_flag_of(config)} names no set with malignant training patches"
        )
    task = "removal" if name.endswith("negative") else "mass or calcification"
    return (
        f"--synthetic_fraction={config.synthetic_fraction:g}: the {name} stream is empty; "
        f"--synthetic_dirs names no set of the {task} task with training patches"
    )
