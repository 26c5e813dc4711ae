"""The paper's networks made small, with weights that no test passes by chance."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from cgan_tf.config import GanConfig

SMALL = GanConfig(
    size=32,
    generator_filters=4,
    bottleneck_filters=16,
    discriminator_multiplier=2,
    batch_size=2,
    half_steps=2,
    fade_in_steps=4,
    full_steps=2,
    learning_rate=1e-3,
    log_every=1,
    spectral_norm="discriminator",  # the generator's takes a quarter of a graph's building
    strategy="none",
)


def small_config(**changes) -> GanConfig:
    """The small GAN's config with some fields changed."""
    return dataclasses.replace(SMALL, **changes)


def randomise(network: keras.Model, seed: int = 0) -> None:
    """Random biases, attention gains and heads: a fresh network has zeros there.

    Biases are positive, so that no ReLU is dead.
    """
    rng = np.random.default_rng(seed)
    for weight in network.trainable_weights:
        place = weight.path
        if place.endswith("bias"):
            weight.assign(rng.uniform(0, 0.1, weight.shape))
        elif place.endswith("gamma"):
            weight.assign(0.7)
        elif "head/kernel" in place:
            weight.assign(rng.normal(0, 0.3, weight.shape))


def singular_value_errors(layers) -> list[float]:
    """Relative errors of the estimates of spectral layers against numpy.linalg.svd."""
    errors = []
    for layer in layers:
        kernel = np.asarray(layer.kernel, np.float64).reshape(-1, layer.filters)
        exact = np.linalg.svd(kernel, compute_uv=False)[0]
        errors.append(abs(float(layer.sigma()) / exact - 1))
    return errors


def random_images(*shape: int, seed: int = 0) -> tf.Tensor:
    """Grey levels in [-0.8, 0.8], float32 `shape`."""
    return tf.constant(np.random.default_rng(seed).uniform(-0.8, 0.8, shape), tf.float32)


def random_scalars(batch: int, width: int, seed: int = 1) -> tf.Tensor:
    """z in [-1, 1], float32 [batch, width]."""
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (batch, width)), tf.float32)
