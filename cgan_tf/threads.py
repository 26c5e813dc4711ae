"""TensorFlow's thread counts: resolved once and kept with the run, because bits depend on them."""

import dataclasses
import os
from pathlib import Path
from typing import Any

from cgan_tf.errors import UserError
from cgan_tf.run_directory import RUN_FILE, read_json, write_json


@dataclasses.dataclass(frozen=True)
class Threads:
    """Threads within an operation and across operations, each 1 or more."""

    intra_op: int
    inter_op: int


def resolve_threads(config: Any, directory: str | Path) -> Threads:
    """The counts that a run in `directory` uses.

    They are those it was started with, so that it gives the same bits on a machine with other
    cores; of a new run the flags', where 0 is every core that this process may use. Raises
    `UserError` for a negative flag.
    """
    run_file = Path(directory) / RUN_FILE
    saved = read_json(run_file).get("threads", {}) if run_file.exists() else {}
    counts = {}
    for name in ("intra_op", "inter_op"):
        flag = getattr(config, f"{name}_threads")
        if flag < 0:
            raise UserError(f"--{name}_threads: expected 0 or more, found {flag}")
        counts[name] = saved.get(name) or flag or core_count()
    return Threads(**counts)


def save_threads(directory: str | Path, threads: Threads) -> None:
    """Keeps the counts in the opened run's run.json."""
    path = Path(directory) / RUN_FILE
    content = read_json(path)
    if content.get("threads") != dataclasses.asdict(threads):
        write_json(path, {**content, "threads": dataclasses.asdict(threads)})


def set_threads(threads: Threads) -> None:
    """Gives TensorFlow the counts; call before its first operation.

    Raises `UserError` when it has started with others.
    """
    import tensorflow as tf

    threading = tf.config.threading
    calls = {
        "intra_op": (
            threading.get_intra_op_parallelism_threads,
            threading.set_intra_op_parallelism_threads,
        ),
        "inter_op": (
            threading.get_inter_op_parallelism_threads,
            threading.set_inter_op_parallelism_threads,
        ),
    }
    for name, (current, set_to) in calls.items():
        count = getattr(threads, name)
        try:
            set_to(count)
        except RuntimeError as error:
            found = current() or core_count()  # 0 is TensorFlow's own default, every core
            if found != count:
                raise UserError(
                    f"--{name}_threads: expected to run with {count}, but this process has "
                    f"started TensorFlow with {found}; use a process of its own"
                ) from error


def core_count() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
