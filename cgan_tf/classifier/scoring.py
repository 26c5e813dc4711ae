"""Scores patches with a classifier, and computes their features."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.classifier.pipeline import pool_batches
from cgan_tf.data.patch_sets import PatchPool
from cgan_tf.models.networks import build_classifier
from cgan_tf.models.patch_classifier import PatchClassifier
from cgan_tf.runs.directory import Json, sha256
from cgan_tf.runs.errors import UserError, contained
from cgan_tf.runs.training import reading_errors


def score(
    model: PatchClassifier,
    pool: PatchPool,
    batch_size: int,
    advance: Callable[[int], Any] = lambda patches: None,
) -> tuple[np.ndarray, np.ndarray]:
    """(logits float32 [n], features float32 [n, d]) of the patches of a pool, in its order.

    `advance` is told the patches of each batch, for a progress bar.
    """
    if not len(pool):
        return score_batches(model, ())
    with reading_errors():
        return score_batches(model, pool_batches(pool, batch_size), advance)


def score_batches(
    model: PatchClassifier,
    batches: Iterable[Any],
    advance: Callable[[int], Any] = lambda patches: None,
) -> tuple[np.ndarray, np.ndarray]:
    """(logits float32 [n], features float32 [n, d]) of batches of patches, [B, S, S, 1] each."""
    logits = [np.zeros(0, np.float32)]
    features = [np.zeros((0, model.feature_count), np.float32)]
    for patches in batches:
        batch_logits, batch_features = model.infer(patches)
        logits.append(batch_logits.numpy())
        features.append(batch_features.numpy())
        advance(len(logits[-1]))
    return np.concatenate(logits), np.concatenate(features)


def load_classifier(
    directory: str | Path, manifest: Json, precision: str = "float32"
) -> PatchClassifier:
    """The classifier of a finished training run, with its best weights.

    Raises `UserError` when the weights are not those that the manifest describes.
    """
    path = contained(directory, manifest["weights"])
    if not path.exists() or sha256(path) != manifest["weights_sha256"]:
        raise UserError(f"{path}: expected the weights that {directory}'s manifest describes")
    flags = manifest["flags"]
    model = build_classifier(flags["network"], flags["batch_norm"], precision)
    model.load_weights(path)
    return model
