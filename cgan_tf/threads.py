"""TensorFlow's threads: settled when a run starts, because its bits depend on their number."""

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeVar

from cgan_tf.errors import UserError
from cgan_tf.run_directory import RUN_FILE, read_json

Config = TypeVar("Config")
FLAGS = ("intra_op_threads", "inter_op_threads")


def settle_threads(config: Config) -> Config:
    """The config of a training with its numbers of threads filled in where they are 0.

    A run that has begun keeps the numbers it began with, also on a machine with more cores or
    fewer; a new one takes a thread for each core. The numbers are kept as the run's flags.
    """
    saved: dict[str, Any] = {}
    run_file = Path(config.workdir) / RUN_FILE  # type: ignore[attr-defined]
    if run_file.exists():
        saved = read_json(run_file).get("flags", {})
    numbers = {name: getattr(config, name) or saved.get(name, core_count()) for name in FLAGS}
    return dataclasses.replace(config, **numbers)  # type: ignore[type-var]


def start_threads(config: Any) -> None:
    """Gives TensorFlow its numbers of threads; call before its first operation.

    Raises `UserError` when TensorFlow has already started with others.
    """
    import tensorflow as tf

    threading = tf.config.threading
    calls = (
        (threading.get_intra_op_parallelism_threads, threading.set_intra_op_parallelism_threads),
        (threading.get_inter_op_parallelism_threads, threading.set_inter_op_parallelism_threads),
    )
    for name, (current, set_to) in zip(FLAGS, calls, strict=True):
        number = getattr(config, name)
        try:
            set_to(number)
        except RuntimeError as error:
            found = current() or core_count()
            if found != number:
                raise UserError(
                    f"--{name}: expected {found}, with which TensorFlow has started in this "
                    f"process, found {number}"
                ) from error


def core_count() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
