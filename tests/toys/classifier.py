"""A classifier's run on toy patches, small enough for a test."""

import dataclasses
from pathlib import Path

from cgan_tf.config import ClassifierConfig
from cgan_tf.labels import TASKS
from cgan_tf.runs.directory import sha256, write_json
from cgan_tf.runs.flags import config_to_dict
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


def write_toy_classifier(
    directory: Path, size: int = 32, patches_dir: str = "", **resolution: float
) -> Path:
    """The directory of a finished run: the small network with random weights that no one trained.

    `resolution`: of its training patches, as the manifest tells it; by default native pixels.
    """
    import keras

    from cgan_tf.models.networks import build_classifier

    keras.utils.set_random_seed(7)
    model = build_classifier("small", "inference")
    config = ClassifierConfig(
        patches_dir=patches_dir, output_dir=str(directory), network="small", weights="none"
    )
    directory.mkdir(parents=True)
    model.save_weights(directory / "best.weights.h5")
    write_json(directory / "run.json", {"program": "train_classifier", "flags": {}})
    content = {
        "format": 1,
        "program": "train_classifier",
        "weights": "best.weights.h5",
        "weights_sha256": sha256(directory / "best.weights.h5"),
        "patch_size": size,
        "resolution": resolution or {"resample_spacing_mm": 0.0, "reduction": 1},
        "flags": config_to_dict(config),
    }
    write_json(directory / "manifest.json", content)
    return directory
