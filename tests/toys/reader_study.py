"""Patch sets for reader studies: many women, lesions of many sizes, synthetic ones among them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.config import PatchesConfig, ReaderStudyConfig, SynthesisConfig
from cgan_tf.data.patch_sets import splits_json, write_patch_set
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.labels import MALIGNANT_CALCIFICATION, MALIGNANT_MASS, NORMAL
from cgan_tf.reading.run import run_reader_study
from cgan_tf.runs.directory import finish_run, open_run

SIZE = 32
CLASSES = {"mass": MALIGNANT_MASS, "calcification": MALIGNANT_CALCIFICATION, "normal": NORMAL}


def tissue(rng: np.random.Generator) -> np.ndarray:
    """Smooth tissue with fine noise, float [32, 32] in [-1, 1]."""
    rough, fine = rng.standard_normal((2, SIZE, SIZE))
    smooth = cv2.GaussianBlur(rough, (0, 0), 4)
    return np.clip(-0.2 + 0.2 * smooth / smooth.std() + 0.05 * fine, -1, 1).astype(np.float32)


def patch(kind: str, name: str, woman: str, rng: np.random.Generator) -> PatchRecord:
    """A real patch: a disc of 8 to 20 px, or specks in such a box, clear of the border."""
    picture, box = tissue(rng), ()
    if kind != "normal":
        side = int(rng.integers(8, 21))
        x, y = rng.integers(4, SIZE - 4 - side, 2)
        box = (float(x), float(y), float(x + side), float(y + side))
        layer = np.zeros((SIZE, SIZE), np.float32)
        if kind == "mass":
            cv2.circle(layer, (int(x + side / 2), int(y + side / 2)), side // 2 - 1, 0.5, -1)
        else:
            layer[y + rng.integers(0, side, 12), x + rng.integers(0, side, 12)] = 0.8
        picture = np.clip(picture + layer, -1, 1)
    return PatchRecord(
        patch_id=f"patch-{name}",
        patch=picture,
        patch_class=CLASSES[kind],
        box=box,
        client_id=woman,
        tissue_fraction=float(rng.uniform(0.7, 1)),
    )


def write_real(directory: Path, count: int = 60, seed: int = 0, each: int = 2) -> Path:
    """Test patches of make_patches: `count` of every kind, `each` of a woman."""
    with open_run(directory, "make_patches", PatchesConfig(input_dir="toy")):
        entries = {}
        for number, (kind, patch_class) in enumerate(CLASSES.items()):
            rng = np.random.default_rng([seed, number])
            records = [
                patch(kind, f"{kind}-{n}", f"woman-{kind}-{n // each}", rng) for n in range(count)
            ]
            payloads = [encode_record(record) for record in records]
            entries[patch_class] = write_patch_set(
                directory, "test", patch_class, payloads, 1 << 20
            )
        finish_run(directory, "make_patches", {"splits": splits_json({"test": entries})})
    return directory


def write_synthetic(
    directory: Path, kind: str, count: int = 40, seed: int = 1, change=None, sources=None
) -> Path:
    """A set of synthesize: patches drawn as the real ones are, of other women and sources.

    `change` of the patch plants what should give a case away.
    """
    rng = np.random.default_rng([seed, len(kind)])
    records = []
    for number in range(count):
        record = patch(kind, f"s-{kind}-{seed}-{number}", f"other-{seed}-{number // 2}", rng)
        source = sources[number] if sources else f"source-{seed}-{number}"
        record = dataclasses.replace(record, synthetic=1, source_patch_id=source, task=kind)
        if change is not None:
            record = dataclasses.replace(record, patch=change(record.patch))
        records.append(record)
    config = SynthesisConfig(generator="toy", patches_dir="toy")
    with open_run(directory, "synthesize", config):
        payloads = [encode_record(record) for record in records]
        entry = write_patch_set(directory, "train", CLASSES[kind], payloads, 1 << 20)
        content = {"task": kind, "splits": splits_json({"train": {CLASSES[kind]: entry}})}
        finish_run(directory, "synthesize", content)
    return directory


def write_sets(root: Path, kinds: Sequence[str] = tuple(CLASSES)) -> Path:
    """`real` and a synthetic set of each kind in a directory."""
    write_real(root / "real")
    for kind in kinds:
        write_synthetic(root / f"made_{kind}", kind)
    return root


def study_config(root: Path, output: Path, kinds=tuple(CLASSES), **flags) -> ReaderStudyConfig:
    """A study of these sets."""
    values = {
        "cases": 24, "training": 4, "repeats": 6, "real_splits": ("test",), **flags,
        "patches_dir": str(root / "real"), "output_dir": str(output),
        "synthetic_dirs": tuple(str(root / f"made_{kind}") for kind in kinds),
    }  # fmt: skip
    return ReaderStudyConfig(**values)


def write_study(root: Path, output: Path, **flags) -> Path:
    """The study, made."""
    run_reader_study(study_config(root, output, **flags))
    return output
