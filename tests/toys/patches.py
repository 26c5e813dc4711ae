"""Small fabricated patch sets in the real layout: smooth texture with bright blobs or specks.

`write_toy_patches` stands in for make_patches, `write_toy_synthetic` for synthesize; both leave a
finished run directory that `PatchSet` reads.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.config import PatchesConfig, SynthesisConfig
from cgan_tf.data.acquisition import AGE_BANDS
from cgan_tf.data.patch_sets import PatchSet, splits_json, write_patch_set
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.labels import (
    LESION_CLASSES,
    MALIGNANT_CALCIFICATION,
    MALIGNANT_MASS,
    NORMAL,
    SOURCE,
    SPLITS,
    UNLABELLED,
)
from cgan_tf.runs.directory import finish_run, open_run

TRAIN_CLASSES = (NORMAL, *LESION_CLASSES, SOURCE)
# Evaluation must leave the benign and the unlabelled patches of its splits alone.
EVAL_CLASSES = (NORMAL, *LESION_CLASSES, UNLABELLED)
_KEYS = (*TRAIN_CLASSES, UNLABELLED)
SYNTHETIC_CLASS = {
    "mass": MALIGNANT_MASS,
    "calcification": MALIGNANT_CALCIFICATION,
    "removal": NORMAL,
}
PATCHES_OF_A_CLIENT = 3
MANUFACTURERS = ("ACME", "TOY")
CONSPICUITIES = ("Obvious", "Subtle")


def write_toy_patches(
    directory: str | Path,
    size: int = 32,
    per_class: int = 24,
    seed: int = 0,
    women: Mapping[str, str] | None = None,
) -> Path:
    """A finished make_patches directory: `per_class` patches of every class and split.

    Malignant lesions are brighter than benign ones, so that a classifier has something to learn.
    `women` gives the women of a split the names of another's: {"train": "test"}, say.
    """
    directory = Path(directory)
    config = PatchesConfig(input_dir="toy", output_dir=str(directory), size=size, seed=seed)
    with open_run(directory, "make_patches", config):
        splits = {
            split: {
                name: write_patch_set(
                    directory,
                    split,
                    name,
                    _payloads(split, name, size, per_class, seed, (women or {}).get(split, split)),
                    1 << 20,
                )
                for name in (TRAIN_CLASSES if split == "train" else EVAL_CLASSES)
            }
            for split in SPLITS
        }
        finish_run(directory, "make_patches", {"splits": splits_json(splits)})
    return directory


def write_toy_synthetic(
    directory: str | Path, patches_dir: str | Path, task: str, count: int, split: str = "train"
) -> Path:
    """A finished synthesize directory made from the patches of `patches_dir`.

    A mass or a calcification is added to source patches; removal takes the lesion layer out of
    malignant ones with a median filter in the generator's place.
    """
    directory = Path(directory)
    patches = PatchSet(patches_dir)
    source_classes = (
        (MALIGNANT_MASS, MALIGNANT_CALCIFICATION)
        if task == "removal"
        else ((SOURCE,) if split == "train" else (NORMAL,))
    )
    sources = patches.index(split, *source_classes)
    config = SynthesisConfig(
        generator="toy", patches_dir=str(patches_dir), output_dir=str(directory), count=count
    )
    with open_run(directory, "synthesize", config):
        payloads = [
            encode_record(_synthesised(sources.record(number % len(sources)), task, number))
            for number in range(count)
        ]
        name = SYNTHETIC_CLASS[task]
        entry = write_patch_set(directory, split, name, payloads, 1 << 20)
        content = {
            "splits": splits_json({split: {name: entry}}),
            "task": task,
            "candidates": 2 * count,
            "accepted": count,
            "acceptance_rate": 0.5,
            "rejected": {"too_small": count, "empty": 0},
            "generator_checksum": "0" * 64,
        }
        finish_run(directory, "synthesize", content)
    return directory


def _payloads(split: str, name: str, size: int, count: int, seed: int, woman: str) -> list[bytes]:
    key = [seed, SPLITS.index(split), _KEYS.index(name)]
    records = (_toy_record(split, name, size, number, key) for number in range(count))
    return [
        encode_record(
            dataclasses.replace(record, client_id=record.client_id.replace(split, woman, 1))
        )
        for record in records
    ]


def _toy_record(split: str, name: str, size: int, number: int, key: list[int]) -> PatchRecord:
    rng = np.random.default_rng([*key, number])
    background = _texture(rng, size)
    lesion, box = _lesion(rng, size, name)
    client = number // PATCHES_OF_A_CLIENT
    kind = "case" if box else "normal"
    return PatchRecord(
        patch_id=f"{split}-{name}-{number:05d}",
        patch=np.clip(background + lesion, -1, 1),
        patch_class=name,
        has_mass=int(name.endswith("mass")),
        has_calcification=int(name.endswith("calcification")),
        box=box,
        client_id=f"{split}-{kind}-{client:04d}",
        study_uid=f"1.2.3.{number}",
        sop_uid=f"1.2.3.{number}.1",
        laterality="L" if number % 2 else "R",
        view="CC" if number % 4 < 2 else "MLO",
        manufacturer=MANUFACTURERS[client % 2],
        pixel_spacing_mm=0.07,
        tissue_fraction=1.0,
        window=(0.0, 0.0, float(size)),
        conspicuity=CONSPICUITIES[client % 2] if box else "",
        # The cases' boxes stand for lesions of 5, 15, 25, ... mm; every third size is unknown.
        lesion_size_mm=(5.0 + 10 * client) * (number % 3 > 0) if box else 0.0,
        breast_density="bc"[client % 2] if client else "",
        # One woman is known by nothing; the others differ, and their two bands hold both classes.
        age_band=AGE_BANDS.names[1 + client % 2] if client else "",
        breast_thickness_mm=50.0 + 20.0 * (client % 2) if client else 0.0,
        exposure_mas=80.5 + 40.0 * (client % 2) if client else 0.0,
        site=("adde", "stge")[client % 2] if client else "",
        synthetic=0,
    )


def _texture(rng: np.random.Generator, size: int) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), size / 8)
    fine = rng.standard_normal((size, size)).astype(np.float32)
    return -0.3 + 0.15 * noise / noise.std() + 0.03 * fine


def _lesion(rng: np.random.Generator, size: int, name: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """Additive layer [size, size] and its box, zeros and () for classes without a lesion."""
    if name in (NORMAL, SOURCE, UNLABELLED):
        return np.zeros((size, size), np.float32), ()
    strength = 0.55 if name.startswith("malignant") else 0.3
    x, y = rng.integers(size // 4, size - size // 4, 2)
    radius = max(2, int(size * rng.uniform(0.12, 0.2)))
    layer = np.zeros((size, size), np.float32)
    if name.endswith("mass"):
        cv2.circle(layer, (int(x), int(y)), radius, strength, -1)
        layer = cv2.GaussianBlur(layer, (0, 0), max(0.8, size / 40))
    else:
        for dx, dy in rng.integers(-radius, radius + 1, (10, 2)):
            cv2.circle(layer, (int(x + dx), int(y + dy)), max(0, size // 48), 1.4 * strength, -1)
    box = np.clip([x - radius, y - radius, x + radius + 1, y + radius + 1], 0, size)
    return layer, tuple(float(value) for value in box)


def _synthesised(source: PatchRecord, task: str, number: int) -> PatchRecord:
    size = len(source.patch)
    rng = np.random.default_rng([len(task), number])
    name = SYNTHETIC_CLASS[task]
    if task == "removal":
        broad = cv2.medianBlur(
            cv2.normalize(source.patch, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U),
            2 * (size // 4) + 1,
        ).astype(np.float32)
        span = source.patch.max() - source.patch.min()
        lesion = np.minimum(0, broad / 255 * span + source.patch.min() - source.patch)
    else:
        lesion, _ = _lesion(rng, size, name)
    mask = cv2.GaussianBlur((np.abs(lesion) > 0.1).astype(np.float32), (0, 0), size / 64)
    lesion = lesion * mask
    return dataclasses.replace(
        source,
        patch_id=f"{task}-{number:05d}",
        patch=np.clip(source.patch + lesion, -1, 1),
        patch_class=name,
        has_mass=int(task == "mass"),
        has_calcification=int(task == "calcification"),
        box=(),
        synthetic=1,
        lesion=lesion,
        mask=mask,
        z=tuple(rng.uniform(-1, 1, 8)),
        source_patch_id=source.patch_id,
        task=task,
        lesion_area_px=int((np.abs(lesion) > 0.1).sum()),
        threshold=0.1,
        min_area_fraction=0.1,
        generator_checksum="0" * 64,
    )
