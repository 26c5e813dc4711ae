"""Patches with lesions of three random spots, and synthetic sets with a fault planted in each.

Every patch is of a patient of her own. Real and honest synthetic lesions are drawn alike.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cgan_tf.config import PatchesConfig, SynthesisConfig
from cgan_tf.data.patch_sets import PatchSet, splits_json, write_patch_set
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.labels import MALIGNANT_MASS, NORMAL, SOURCE
from cgan_tf.runs.directory import finish_run, open_run
from cgan_tf.synthesis.postprocess import Extraction, expand, extract_lesion, smooth

SIZE = 64
LESIONS = 70  # of a class and split
Y, X = np.mgrid[:SIZE, :SIZE]
TRAINING, VALIDATION, TEST, FRESH = range(4)  # seeds of lesions
Channel = Callable[[int], np.ndarray]  # the lesion channel of synthetic patch n


def spots(seed: int, number: int) -> np.ndarray:
    """Lesion `number` of a seed: three spots of 0.2 to 0.5 within 10 px, near the middle."""
    rng = np.random.default_rng([seed, number])
    places = zip(*rng.uniform(22, 42, (2, 3)), rng.uniform(2, 4, 3), strict=True)
    level = rng.uniform(0.2, 0.5)
    return level * sum(np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * s**2)) for x, y, s in places)


def moved(lesion: np.ndarray, key: int) -> np.ndarray:
    """The lesion at another place, up to 10 px away in either direction."""
    return np.roll(lesion, np.random.default_rng([9, key]).integers(-10, 11, 2), (0, 1))


def honest(number: int) -> np.ndarray:
    return moved(spots(FRESH, number), number)


def copied(number: int) -> np.ndarray:
    """A training lesion each, elsewhere."""
    return moved(spots(TRAINING, number), 1_000 + number)


def pasted(number: int) -> np.ndarray:
    """One lesion everywhere, at the same place."""
    return spots(FRESH, 0)


def wandering(number: int) -> np.ndarray:
    """One lesion everywhere, at many places."""
    return moved(pasted(number), number)


def noisy(number: int) -> np.ndarray:
    """Noise in a disk."""
    noise = np.abs(np.random.default_rng([7, number]).standard_normal((SIZE, SIZE))) / 2
    return moved(noise * (np.hypot(X - 32, Y - 32) < 12), number)


def tissue(seed: int, number: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number, 1])
    slope = rng.uniform(-0.2, 0.2, 2)
    plane = slope[0] * X / SIZE + slope[1] * Y / SIZE
    return plane - 0.2 + 0.03 * rng.standard_normal((SIZE, SIZE))


def write_patches(directory: Path, lesions: int = LESIONS) -> Path:
    """A finished make_patches directory of masses, normals and sources, `lesions` of each class
    and split."""
    config = PatchesConfig(input_dir="toy", output_dir=str(directory), size=SIZE)
    classes = {
        "train": (MALIGNANT_MASS, SOURCE),
        "validation": (MALIGNANT_MASS, NORMAL),
        "test": (MALIGNANT_MASS, NORMAL),
    }
    with open_run(directory, "make_patches", config):
        splits = {
            split: {
                name: write_patch_set(
                    directory, split, name, [_real(seed, split, name, n) for n in range(lesions)],
                    1 << 20,
                )
                for name in names
            }
            for seed, (split, names) in enumerate(classes.items())
        }  # fmt: skip
        finish_run(directory, "make_patches", {"splits": splits_json(splits)})
    return directory


def _real(seed: int, split: str, name: str, number: int) -> bytes:
    patch_id = f"{split}-{name}-{number}"
    patch = tissue(100 * seed + len(name), number)
    record = PatchRecord(patch_id, patch, name, client_id=f"client of {patch_id}")
    if name == MALIGNANT_MASS:
        lesion = _extracted(moved(spots(seed, number), 5_000 * seed + number))
        record = dataclasses.replace(record, patch=patch + lesion.lesion, box=lesion.box)
    return encode_record(record)


def _extracted(channel: np.ndarray):
    """Step 2 to 6 of synthesis, with every part of the lesion kept."""
    return extract_lesion(
        channel,
        Extraction(
            removal=False, threshold=0.1, min_area_fraction=0.0, dilation_px=3, sigma_px=1.0
        ),
    )


def write_masses(
    directory: Path, patches_dir: Path, channel: Channel, change: Callable | None = None
) -> Path:
    """A finished synthesize directory, with a patch of every source; `change` spoils the patch of
    each record, [size, size]."""

    def result(number: int) -> bytes:
        source, lesion = sources.record(number), _extracted(channel(number))
        patch = np.clip(source.patch + lesion.lesion, -1, 1)
        return encode_record(
            dataclasses.replace(
                source, patch=patch if change is None else change(patch),
                patch_id=f"{source.patch_id}~mass{number}", source_patch_id=source.patch_id,
                patch_class=MALIGNANT_MASS, box=lesion.box, lesion=lesion.lesion,
                mask=lesion.mask, synthetic=1, task="mass",
            )
        )  # fmt: skip

    sources = PatchSet(patches_dir).index("train", SOURCE)
    return _write(directory, patches_dir, "mass", MALIGNANT_MASS, map(result, range(len(sources))))


def write_removals(directory: Path, patches_dir: Path, left: float) -> Path:
    """Cleaned training masses, of whose lesions the share `left` stays."""

    def result(number: int) -> bytes:
        source = sources.record(number)
        truth = moved(spots(TRAINING, number), number)
        mask = smooth(expand(truth > 0.02, 3), 1.0)
        lesion = -(1 - left) * mask * _extracted(truth).lesion
        return encode_record(
            dataclasses.replace(
                source, patch=np.clip(source.patch + lesion, -1, 1), lesion=lesion, mask=mask,
                patch_id=f"{source.patch_id}~removal{number}", source_patch_id=source.patch_id,
                patch_class=NORMAL, box=(), synthetic=1, task="removal",
            )
        )  # fmt: skip

    sources = PatchSet(patches_dir).index("train", MALIGNANT_MASS)
    return _write(directory, patches_dir, "removal", NORMAL, map(result, range(LESIONS)))


def _write(directory: Path, patches_dir: Path, task: str, name: str, payloads) -> Path:
    config = SynthesisConfig(generator="toy", patches_dir=str(patches_dir))
    with open_run(directory, "synthesize", config):
        entry = write_patch_set(directory, "train", name, list(payloads), 1 << 20)
        content = {
            "task": task,
            "generator_checksum": "0" * 64,
            "splits": splits_json({"train": {name: entry}}),
        }
        finish_run(directory, "synthesize", content)
    return directory
