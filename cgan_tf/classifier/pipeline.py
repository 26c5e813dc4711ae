"""Batches of patches: in the order of the sampling plan for training, of a set for scoring.

`tf.data.Dataset.sample_from_datasets` draws the plan once, as numbers, and the run keeps it; pixels
are read by number. A resumed run starts in the middle of its plan, so what was in flight when it
stopped does not matter.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from cgan_tf.classifier.inputs import ClassifierSets, schedule_of
from cgan_tf.classifier.sampling import (
    CLASS_WEIGHTS,
    FILLS,
    OWN,
    REAL,
    STREAM_LABELS,
    Schedule,
    patch_numbers,
    plan_checksum,
    source_weights,
)
from cgan_tf.config import ClassifierConfig
from cgan_tf.data.patch_sets import PatchPool, patch_size
from cgan_tf.runs.directory import Json, read_json, write_json
from cgan_tf.runs.errors import UserError, writing

READERS = 2  # batches decoded side by side
Change = Callable[[np.ndarray, int], np.ndarray]


def training_batches(
    pools: Sequence[PatchPool],
    plan: np.ndarray,
    start: int,
    batch_size: int,
    changes: Mapping[int, Change] | None = None,
) -> tf.data.Dataset:
    """Batches ([B, S, S, 1], labels [B]) of the plan from sample number `start` on.

    `changes` has for some streams what is done to a patch, given the number of its sample.
    """
    size, labels, changes = patch_size(pools), tf.constant(STREAM_LABELS, tf.float32), changes or {}

    def pixels(row: np.ndarray, sample: int) -> np.ndarray:
        stream, number = (int(value) for value in row)
        patch = pools[stream].pixels(number)
        return changes[stream](patch, sample) if stream in changes else patch

    def read(rows: np.ndarray, samples: np.ndarray) -> np.ndarray:
        return np.stack([pixels(*place) for place in zip(rows, samples, strict=True)])[..., None]

    def fetch(rows: tf.Tensor, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.numpy_function(read, [rows, samples], tf.float32)
        return tf.ensure_shape(batch, [None, size, size, 1]), tf.gather(labels, rows[:, 0])

    numbered = (plan[start:], np.arange(start, len(plan)))
    rows = tf.data.Dataset.from_tensor_slices(numbered).batch(batch_size)
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


PLAN_FILE, DESCRIPTION_FILE = "plan.npy", "plan.json"
SAMPLES_AT_ONCE = 8192  # of those that are drawn one by one


def keep_plan(directory: Path, config: ClassifierConfig, sets: ClassifierSets) -> np.ndarray:
    """The run's sampling plan, int32 [samples, 2]: drawn at its start, read when it goes on.

    plan.json, written after plan.npy, holds its checksum and those of the patches it was drawn for.
    Raises `UserError` when the plan or the patches are no longer those.
    """
    path = directory / DESCRIPTION_FILE
    if path.exists():
        return _read(directory, read_json(path), sets)
    counts = [len(pool) for pool in sets.streams]
    schedule = schedule_of(config)
    plan = sampling_plan(schedule, config.samples, counts, config.seed, config.filling)
    with writing(directory / PLAN_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, plan)
    write_json(path, {"sha256": plan_checksum(plan), "sets": sets.description()})
    return plan


def sampling_plan(
    schedule: Schedule, samples: int, counts: Sequence[int], seed: int, filling: str = "both"
) -> np.ndarray:
    """The whole order of training: int32 [samples, 2] of (stream, patch number).

    counts: patches of each stream; one that is never drawn from may have none. filling: one of
    `labels.FILLINGS`, for the slots that the schedule gives to the second source.
    """
    tf.random.set_seed(seed)  # sample_from_datasets mixes the global seed into its own
    classes = _draw(CLASS_WEIGHTS, samples, seed=1)
    plan = np.empty((samples, 2), np.int64)
    for label in (0, 1):
        places = np.flatnonzero(classes == label)  # sample numbers, which the schedule goes by
        weights = tf.data.Dataset.from_tensor_slices(source_weights(schedule.share(places)))
        sources = _draw(weights, len(places), seed=2 + label)
        for source, fill in ((0, REAL), (1, FILLS[filling][label])):
            draws = np.flatnonzero(sources == source)
            if len(draws):
                stream = label if fill == REAL else label + 2
                order = label + 2 if fill == OWN else label  # whose turns the patches take
                plan[places[draws], 0] = stream
                plan[places[draws], 1] = patch_numbers(seed, order, counts[stream], draws)
    return plan.astype(np.int32)


def _draw(weights: Sequence[float] | tf.data.Dataset, count: int, seed: int) -> np.ndarray:
    """`count` draws of 0 or 1, int64; a dataset of weights has one pair for each draw.

    tf.data compares a uniform number, which depends on the seed alone, with the weights.
    """
    if not count:
        return np.zeros(0, np.int64)
    numbers = [tf.data.Dataset.from_tensors(np.int64(number)).repeat() for number in (0, 1)]
    mixed = tf.data.Dataset.sample_from_datasets(numbers, weights=weights, seed=seed)
    options = tf.data.Options()  # a third of the time: handing over one number costs more than it
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    batches = mixed.take(count).batch(SAMPLES_AT_ONCE).with_options(options)
    return np.concatenate(list(batches.as_numpy_iterator()))


def _read(directory: Path, description: Json, sets: ClassifierSets) -> np.ndarray:
    before = description.get("sets", {})
    for name, found in sets.description().items():
        expected = before.get(name, {})
        if found != expected:
            raise UserError(
                f"{directory / DESCRIPTION_FILE}: the run began with other {name} patches "
                f"({expected.get('patches', 0):,}, now {found['patches']:,}); restore them or "
                "start anew with --restart or another --output_dir"
            )
    path = directory / PLAN_FILE
    try:
        plan = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise UserError(f"{path}: expected the run's sampling plan: {error}") from error
    if plan_checksum(plan) != description.get("sha256"):
        raise UserError(
            f"{path}: expected the sampling plan with SHA-256 {description.get('sha256')}, "
            f"found {plan_checksum(plan)}"
        )
    return plan
