"""Patches as batches: those of a sampling plan for training, those of a set for scoring."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cgan_tf.mixing import STREAM_LABELS
from cgan_tf.patch_pools import PatchPool, patch_size

READERS = 2  # batches decoded side by side


def training_batches(
    pools: Sequence[PatchPool], plan: np.ndarray, start: int, batch_size: int
) -> tf.data.Dataset:
    """Batches ([B, S, S, 1], labels [B]) of the plan from sample number `start` on."""
    size, labels = patch_size(pools), tf.constant(STREAM_LABELS, tf.float32)

    def read(rows: np.ndarray) -> np.ndarray:
        return np.stack([pools[stream].pixels(int(number)) for stream, number in rows])[..., None]

    def fetch(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.ensure_shape(tf.numpy_function(read, [rows], tf.float32), [None, size, size, 1])
        return pixels, tf.gather(labels, rows[:, 0])

    rows = tf.data.Dataset.from_tensor_slices(plan[start:]).batch(batch_size)
    return rows.map(fetch, num_parallel_calls=READERS).prefetch(2 * READERS)


def pool_batches(pool: PatchPool, batch_size: int) -> tf.data.Dataset:
    """Batches [B, S, S, 1] of a pool in its order."""
    size = patch_size([pool])

    def read(numbers: np.ndarray) -> np.ndarray:
        return np.stack([pool.pixels(int(number)) for number in numbers])[..., None]

    def fetch(numbers: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(
            tf.numpy_function(read, [numbers], tf.float32), [None, size, size, 1]
        )

    numbers = tf.data.Dataset.range(len(pool)).batch(batch_size)
    return numbers.map(fetch, num_parallel_calls=READERS).prefetch(READERS)
