"""Training on several devices or processes: the strategy, and what the workers agree on.

With --strategy=multi_worker every process runs the same command with its own TF_CONFIG (cluster
and task, as tf.distribute reads it) and the same --output_dir on a shared file system. Only worker
0, the chief, writes.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Iterator

import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict
from cgan_tf.runs.identity import INPUT_FLAGS, OWN_FLAGS, PACE_FLAGS


def choose_strategy(config: GanConfig) -> tf.distribute.Strategy:
    """The tf.distribute strategy; refuses a batch that its replicas cannot share evenly."""
    if config.strategy == "none":
        return tf.distribute.get_strategy()
    if config.strategy == "multi_worker":
        worker_index()  # TF_CONFIG is looked at before TensorFlow waits for the others
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise UserError(
            f"--batch_size: expected a multiple of the {replicas} replicas, "
            f"found {config.batch_size}"
        )
    return strategy


def is_chief(config: GanConfig) -> bool:
    """Whether this process writes checkpoints, logs and the generator."""
    return config.strategy != "multi_worker" or worker_index() == 0


def worker_index() -> int:
    """This process's place among the workers of TF_CONFIG.

    Raises `UserError` when the variable is missing or names no place for this process.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        content = json.loads(text)
        workers, task = content["cluster"]["worker"], content["task"]
        index = int(task["index"])
        if task["type"] == "worker" and 0 <= index < len(workers):
            return index
    except (ValueError, KeyError, TypeError):
        pass
    raise UserError(
        '--strategy=multi_worker: expected TF_CONFIG={"cluster": {"worker": ["host:port", ...]}, '
        f'"task": {{"type": "worker", "index": 0}}}} in the environment, found {text[:80]!r}'
    )


def any_worker(strategy: tf.distribute.Strategy, here: bool) -> bool:
    """Whether `here` is true on any worker; every worker must ask at the same step."""
    return _reduced(strategy, float(here)) > 0


def check_agreement(strategy: tf.distribute.Strategy, config: GanConfig, step: int) -> None:
    """Raises `UserError` when the workers have other flags, or not the same checkpoint restored."""
    if config.strategy != "multi_worker":
        return
    if not _agreed(strategy, _fingerprint(config)):
        raise UserError(
            "--strategy=multi_worker: expected the same flags on every worker, "
            f"found worker {worker_index()} and others with different ones"
        )
    if not _agreed(strategy, step):
        raise UserError(
            f"{config.output_dir}: expected every worker at the same step, found {step} on worker "
            f"{worker_index()} and others elsewhere; --output_dir must be one directory for all"
        )


def _agreed(strategy: tf.distribute.Strategy, value: int) -> bool:
    """Whether every worker's number is the mean of all."""
    return _reduced(strategy, float(value)) / strategy.num_replicas_in_sync == value


def _fingerprint(config: GanConfig) -> int:
    """32 bits of the flags that decide the result; paths may have other names elsewhere."""
    flags = config_to_dict(config)
    decisive = {k: v for k, v in flags.items() if k not in PACE_FLAGS | OWN_FLAGS | INPUT_FLAGS}
    return zlib.crc32(json.dumps(decisive, sort_keys=True).encode())


@contextlib.contextmanager
def lost_workers(config: GanConfig) -> Iterator[None]:
    """Turns the failure of a collective operation, when a worker is gone, into a `UserError`."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if config.strategy != "multi_worker":
            raise
        raise UserError(
            "--strategy=multi_worker: another worker is gone; run the same command on all of "
            "them again to go on from the last checkpoint"
        ) from error


def _reduced(strategy: tf.distribute.Strategy, value: float) -> float:
    """The sum of a number over all replicas of all workers."""
    here = strategy.run(lambda: tf.constant(value, tf.float64))
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, here, axis=None))
