"""The patches of each task and role, and the batches of a training.

The order of the patches is a pure function of (seed, stream, sample number), so a checkpoint needs
no state of the data beyond the step number.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.data.keyed import SampleOrder
from cgan_tf.data.patch_sets import PatchIndex, PatchSet
from cgan_tf.labels import (
    BENIGN_CALCIFICATION,
    BENIGN_MASS,
    MALIGNANT_CALCIFICATION,
    MALIGNANT_CLASSES,
    MALIGNANT_MASS,
    NORMAL,
    TASKS,
)
from cgan_tf.runs.errors import UserError

# Classes of [real, benign, normal] and of the generator's input, by task. For removal the paper is
# silent: a cleaned patch should look normal, and the fourth class, which it must not look like, is
# malignant.
CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "mass": {
        "real": (MALIGNANT_MASS,),
        "benign": (BENIGN_MASS,),
        "normal": (NORMAL,),
        "source": (NORMAL,),
    },
    "calcification": {
        "real": (MALIGNANT_CALCIFICATION,),
        "benign": (BENIGN_CALCIFICATION,),
        "normal": (NORMAL,),
        "source": (NORMAL,),
    },
    "removal": {
        "real": (NORMAL,),
        "benign": (BENIGN_MASS, BENIGN_CALCIFICATION),
        "normal": MALIGNANT_CLASSES,
        "source": MALIGNANT_CLASSES,
    },
}


def learnt_from(config: GanConfig) -> tuple[str, ...]:
    """The classes of training patches that a model sees."""
    roles = (classes for task in config.tasks() for classes in CLASSES[task].values())
    return tuple(dict.fromkeys(name for classes in roles for name in classes))


def task_streams(config: GanConfig, patches: PatchSet) -> dict[str, dict[str, PatchIndex]]:
    """The streams of each task."""
    return {task: streams(config, patches, task) for task in config.tasks()}


def streams(config: GanConfig, patches: PatchSet, task: str) -> dict[str, PatchIndex]:
    """The patches of each role in a step; a role whose loss has weight 0 is left out."""
    indexes = {}
    for role, classes in CLASSES[task].items():
        if (role == "benign" and not config.benign_weight) or (
            role == "normal" and not config.normal_weight
        ):
            continue
        try:
            indexes[role] = patches.index("train", *classes)
        except UserError as error:
            hint = f"; --{role}_weight=0 does without" if role in ("benign", "normal") else ""
            raise UserError(f"{error} (role '{role}' of task {task}){hint}") from error
    found = indexes["real"].pixels(0).shape[0]
    if found != config.size:
        raise UserError(
            f"{patches.directory}: expected patches of {config.size} px (--size), found {found}"
        )
    return indexes


def distributed_batches(
    strategy: tf.distribute.Strategy, config: GanConfig, patches: PatchSet, start_step: int
) -> Iterable[Any]:
    """Batches from iteration `start_step` on; every replica loads its own rows and no others."""

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync
        here = replicas // context.num_input_pipelines
        first = here * context.input_pipeline_id
        return training_batches(config, patches, start_step, range(first, first + here), replicas)

    return strategy.distribute_datasets_from_function(of_worker)


def training_batches(
    config: GanConfig,
    patches: PatchSet,
    start_step: int,
    places: range = range(1),
    replicas: int = 1,
) -> tf.data.Dataset:
    """Batches from iteration `start_step` on, without end, for the replicas numbered `places`.

    Each element maps a role to float32 [batch / replicas, size, size, 1] in [-1, 1]; an iteration
    has one for each of `places`, in their order: replica r takes the r-th part of the global batch.
    "task" is int64 [batch / replicas], places in labels.TASKS; those of a conditional model take
    turns, the same in every role.
    """
    tasks = config.tasks()
    places_of_tasks = [TASKS.index(task) for task in tasks]
    indexes = task_streams(config, patches)
    roles = list(indexes[tasks[0]])
    orders = {
        (task, role): SampleOrder(config.seed, f"{task}/{role}", len(indexes[task][role]))
        for task in tasks
        for role in roles
    }
    rows = config.batch_size // replicas

    def pixels(role: str, sample: int) -> np.ndarray:
        number, turn = divmod(sample, len(tasks))
        task = tasks[turn]
        return indexes[task][role].pixels(orders[task, role][number])

    def fetch(element: int) -> tuple[np.ndarray, np.ndarray]:
        step, place = divmod(int(element), len(places))
        first = step * config.batch_size + places[place] * rows
        samples = range(first, first + rows)
        batch = np.stack([np.stack([pixels(role, n) for n in samples]) for role in roles])
        return batch[..., None], np.array([places_of_tasks[n % len(tasks)] for n in samples])

    shape = [len(roles), rows, config.size, config.size, 1]

    def load(element: tf.Tensor) -> dict[str, tf.Tensor]:
        batch, task = tf.numpy_function(fetch, [element], (tf.float32, tf.int64))
        parts = dict(zip(roles, tf.unstack(tf.ensure_shape(batch, shape)), strict=True))
        return parts | {"task": tf.ensure_shape(task, [rows])}

    elements = tf.data.Dataset.counter(start=np.int64(start_step * len(places)))
    return elements.map(load).prefetch(2 * len(places))
