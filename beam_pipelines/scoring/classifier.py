"""The classifier of a run: its settings, and what loads it inside a worker.

This is the one module of the room that loads TensorFlow, when the first image is scored.
"""

import dataclasses
import functools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cgan_tf.config import PatchesConfig, PredictImagesConfig
from cgan_tf.data.patch_sets import resolution_of
from cgan_tf.detection.heat_maps import PLACE, Grid
from cgan_tf.detection.predictions import read_predictions
from cgan_tf.detection.scores import Calibration, calibration_of
from cgan_tf.labels import scaled_length
from cgan_tf.runs.console import quiet_tensorflow
from cgan_tf.runs.directory import MANIFEST_FILE, Json, read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.runs.machine import Threads, set_threads

# (grey float32 [H, W], grid, chosen bool [R, C]) to logits float32 [n] of the chosen windows.
Scorer = Callable[[np.ndarray, Grid, np.ndarray], np.ndarray]

# What must be the same for scores to be comparable, beside the classifier's weights.
SCORING_FLAGS = ("stride", "dense", "min_tissue", "precision")


@dataclasses.dataclass(frozen=True)
class Setup:
    """Flags and classifier, resolved.

    Attributes:
      manifest: of the classifier. size: of its patches.
      stride: of windows, in pixels. separation, candidate_side: shares of a window's side.
      reduction, spacing_mm: arguments of `dicom.reduce` that make what the classifier is shown.
      patients: flags of make_patches by which patients are in splits; None where nobody asks.
      calibration: None without --calibration_dir. calibrated_on: the patients behind it.
    """

    config: PredictImagesConfig
    manifest: Json
    size: int
    stride: int
    separation: float
    candidate_side: float
    reduction: int
    spacing_mm: float
    patients: PatchesConfig | None
    calibration: Calibration | None
    calibrated_on: frozenset[str]

    @property
    def weights_sha256(self) -> str:
        """Of the classifier."""
        return str(self.manifest["weights_sha256"])


def setup_of(config: PredictImagesConfig) -> Setup:
    """Checks the flags and resolves those that follow the classifier; `UserError` otherwise."""
    check_ranges(config)
    return setup_with(config, read_manifest(config.classifier, "train_classifier"))


def setup_with(config: PredictImagesConfig, manifest: Json) -> Setup:
    """The same with the manifest of the classifier at hand, and flags that are in their ranges."""
    size = int(manifest["patch_size"])
    stride = scaled_length(config.stride, size)
    if config.dense:
        _check_dense(config, manifest, size, stride)
    reduction, spacing = _resolution(config, manifest)
    calibration, calibrated_on = _calibration(config, manifest, reduction, spacing)
    return Setup(
        config=config,
        manifest=manifest,
        size=size,
        stride=stride,
        separation=scaled_length(config.separation, size) / size,
        candidate_side=scaled_length(config.candidate_side, size) / size,
        reduction=reduction,
        spacing_mm=spacing,
        patients=_patients_of(config, manifest) if config.split else None,
        calibration=calibration,
        calibrated_on=calibrated_on,
    )


def _check_dense(config: PredictImagesConfig, manifest: Json, size: int, stride: int) -> None:
    network = manifest["flags"]["network"]
    if network != "resnet50":
        raise UserError(
            f"--dense: expected a classifier with --network=resnet50, found {network}: its group "
            "normalisation over an image is another function; leave --dense out"
        )
    if size % PLACE or stride % PLACE:
        raise UserError(
            f"--dense: expected patches and a stride of a multiple of {PLACE} px, found {size} px "
            f"and --stride={config.stride}, {stride} px"
        )


def _resolution(config: PredictImagesConfig, manifest: Json) -> tuple[int, float]:
    """(reduction, spacing in mm): those of the flags, else those of the training patches."""
    trained = manifest.get("resolution") or {}
    if not trained and not (config.reduction and config.resample_spacing_mm >= 0):
        patches = Path(config.patches_dir or manifest["flags"]["patches_dir"])
        if (patches / MANIFEST_FILE).exists():
            trained = resolution_of(patches)
    if config.reduction == 0 and config.resample_spacing_mm < 0 and not trained:
        raise UserError(
            f"{config.classifier}: does not say at which resolution its training patches were; "
            "name them with --patches_dir, or give --resample_spacing_mm (0: native) and "
            "--reduction"
        )
    spacing = config.resample_spacing_mm
    if spacing < 0:
        spacing = float(trained.get("resample_spacing_mm", 0.0))
    return config.reduction or int(trained.get("reduction", 1)), spacing


def _patients_of(config: PredictImagesConfig, manifest: Json) -> PatchesConfig:
    """What decides the split of a patient, as the patch set has it."""
    patches = config.patches_dir or manifest["flags"]["patches_dir"]
    if not (Path(patches) / MANIFEST_FILE).exists():
        raise UserError(
            f"--split={config.split}: expected the patches of {config.classifier} in {patches}, "
            "which say who is in it, found none; name them with --patches_dir"
        )
    flags = read_manifest(patches, "make_patches")["flags"]
    names = ("seed", "train_fraction", "validation_fraction", "all_in_split")
    return PatchesConfig(**{name: flags[name] for name in names})


def _calibration(
    config: PredictImagesConfig, manifest: Json, reduction: int, spacing_mm: float
) -> tuple[Calibration | None, frozenset[str]]:
    if not config.calibration_dir:
        return None, frozenset()
    predictions = read_predictions(config.calibration_dir)
    flags = predictions.manifest["flags"]
    told = {name: (flags.get(name), getattr(config, name)) for name in SCORING_FLAGS}
    different = [
        f"--{name}={was} there, {is_} here" for name, (was, is_) in told.items() if was != is_
    ]
    there = predictions.manifest.get("resolution") or {}
    for name, key, here in (
        ("reduction", "reduction", reduction),
        ("pixel spacing", "resample_spacing_mm", spacing_mm),
    ):
        if there.get(key) != here:
            different.append(f"a {name} of {there.get(key)} there, {here} here")
    if predictions.manifest.get("weights_sha256") != manifest["weights_sha256"]:
        different.insert(0, "another classifier")
    if different:
        raise UserError(
            f"--calibration_dir={config.calibration_dir}: expected images scored in the same way, "
            f"found {'; '.join(different)}"
        )
    women = frozenset(image.client_id for image in predictions.images)
    return calibration_of(predictions), women


_LOADING = threading.Lock()


@functools.lru_cache(maxsize=1)
def _scorer(directory: str, weights: str, dense: bool, batch: int, precision: str, size: int):  # type: ignore[no-untyped-def]
    from cgan_tf.classifier.scoring import load_classifier
    from cgan_tf.classifier.windows import score_dense, score_windows

    model = load_classifier(directory, read_manifest(directory, "train_classifier"), precision)

    def score(grey: np.ndarray, grid: Grid, chosen: np.ndarray) -> np.ndarray:
        if dense:
            return score_dense(model, grey, grid)[chosen]
        return score_windows(model, grey, grid.corners(chosen), size, batch)

    return score


def scorer_of(setup: Setup, threads: Threads) -> Scorer:
    """What scores the windows of an image; the classifier is loaded once in a process."""
    config = setup.config
    with _LOADING:
        quiet_tensorflow()
        set_threads(threads)
        return _scorer(
            *(config.classifier, setup.weights_sha256, config.dense, config.batch_size),
            *(config.precision, setup.size),
        )
