"""Scores and features of patches under a classifier."""

import numpy as np
import tensorflow as tf

from cgan_tf.classifier_data import PatchPool, pool_batches, reading_errors
from cgan_tf.models.resnet import PatchClassifier


def score(
    model: PatchClassifier, pool: PatchPool, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """(logits float32 [n], features float32 [n, 2048]) of the patches of a pool, in its order."""
    logits, features = [], []
    with reading_errors():
        for patches in pool_batches(pool, batch_size):
            batch = _forward(model)(patches)
            logits.append(batch[0].numpy())
            features.append(batch[1].numpy())
    return np.concatenate(logits), np.concatenate(features)


def _forward(model: PatchClassifier):
    """The model's inference graph, traced once per model."""
    if not hasattr(model, "inference_graph"):

        @tf.function
        def forward(patches):
            features = model.features(patches, training=False)
            return model.logits(features), features

        model.inference_graph = forward
    return model.inference_graph
