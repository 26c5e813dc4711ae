"""A classifier's run on toy patches, small enough for a test."""

import dataclasses
from pathlib import Path

from cgan_tf.config import ClassifierConfig
from cgan_tf.labels import TASKS
from tests.toys.patches import write_toy_patches, write_toy_synthetic


def write_toy_sets(root: Path, per_class: int = 20) -> Path:
    """Writes patches/ and a synthetic set of each task, half as large, under `root`."""
    write_toy_patches(root / "patches", size=32, per_class=per_class)
    for task in TASKS:
        write_toy_synthetic(root / task, root / "patches", task, per_class // 2)
    return root


def toy_config(root: Path, workdir: Path, **changes) -> ClassifierConfig:
    """96 samples in steps of 8, three validations, half of the samples synthetic at first."""
    config = ClassifierConfig(
        patches_dir=str(root / "patches"),
        synthetic_dirs=tuple(str(root / task) for task in TASKS),
        output_dir=str(workdir),
        weights="none",
        synthetic_fraction=0.5,
        decay_every=20,
        samples=96,
        validate_every=32,
        batch_size=8,
        learning_rate=1e-3,
    )
    return dataclasses.replace(config, **changes)
