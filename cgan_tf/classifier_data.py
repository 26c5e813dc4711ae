"""Patches for the classifier: four streams mixed by a schedule, and fixed evaluation sets.

The mixing is `tf.data.Dataset.sample_from_datasets` over cheap elements (stream, draw) with a
dataset of changing weights; pixels are read by number afterwards. The resulting plan is saved with
the run: going on after an interruption starts in its middle, whatever is in flight.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from cgan_tf.config import (
    BENIGN_CALCIFICATION,
    BENIGN_MASS,
    MALIGNANT_CLASSES,
    NORMAL,
    ClassifierConfig,
)
from cgan_tf.errors import UserError
from cgan_tf.mixing import (
    STREAM_LABELS,
    STREAM_NAMES,
    Schedule,
    patch_numbers,
    stream_weights,
)
from cgan_tf.patch_pools import PatchPool, check_sizes, patch_size
from cgan_tf.patch_sets import PatchSet

SAMPLES_AT_ONCE = 8192  # of the plan, which is drawn one by one
READERS = 2  # batches decoded side by side


def training_pools(config: ClassifierConfig) -> tuple[PatchPool, ...]:
    """The four streams of the training split, in the order of `mixing.STREAM_NAMES`.

    Raises `UserError` for a stream that the schedule draws from and that has no patch, and for
    patches of different sizes.
    """
    patches = PatchSet(config.patches_dir)
    benign = (BENIGN_MASS, BENIGN_CALCIFICATION) if config.benign == "negative" else ()
    synthetic = [PatchSet(directory) for directory in config.synthetic_dirs]
    pools = (
        _pool([patches], (NORMAL, *benign)),
        _pool([patches], MALIGNANT_CLASSES),
        _pool(synthetic, (NORMAL,)),
        _pool(synthetic, MALIGNANT_CLASSES),
    )
    shares = schedule_of(config).intervals(config.samples)
    for name, pool, weight in zip(
        STREAM_NAMES, pools, stream_weights(shares).max(axis=0), strict=True
    ):
        if weight > 0 and not len(pool):
            raise UserError(_empty_stream(name, config))
    check_sizes(pools)
    return pools


def schedule_of(config: ClassifierConfig) -> Schedule:
    """The synthetic share's schedule as the flags give it."""
    return Schedule(config.synthetic_fraction, config.decay, config.decay_rate, config.decay_every)


def sampling_plan(schedule: Schedule, samples: int, counts: Sequence[int], seed: int) -> np.ndarray:
    """The whole order of training: int32 [samples, 2] of (stream, patch number)."""
    tf.random.set_seed(seed)  # sample_from_datasets mixes the global seed into its own
    weights = tf.data.Dataset.from_tensor_slices(
        stream_weights(schedule.intervals(samples))
    ).flat_map(lambda row: tf.data.Dataset.from_tensors(row).repeat(schedule.every))
    streams = [
        tf.data.Dataset.counter().map(lambda draw, stream=stream: (np.int64(stream), draw))
        for stream in range(len(counts))
    ]
    mixed = tf.data.Dataset.sample_from_datasets(streams, weights=weights, seed=seed)
    batches = mixed.take(samples).batch(SAMPLES_AT_ONCE).as_numpy_iterator()
    plan = np.concatenate([np.stack(batch, axis=1) for batch in batches])
    for stream, count in enumerate(counts):
        drawn = plan[:, 0] == stream
        if drawn.any():
            plan[drawn, 1] = patch_numbers(seed, stream, count, plan[drawn, 1])
    return plan.astype(np.int32)


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


def _pool(patch_sets: Sequence[PatchSet], classes: tuple[str, ...]) -> PatchPool:
    return PatchPool(
        tuple(
            patches.index("train", *classes)
            for patches in patch_sets
            if patches.count("train", *classes)
        )
    )


def _empty_stream(name: str, config: ClassifierConfig) -> str:
    if name.startswith("real"):
        return f"{Path(config.patches_dir)}: the {name} stream has no training patch"
    task = "removal" if name.endswith("negative") else "mass or calcification"
    return (
        f"--synthetic_fraction={config.synthetic_fraction:g}: the {name} stream is empty; "
        f"--synthetic_dirs names no set of the {task} task with training patches"
    )
