"""Threads, GPUs and the speed of this machine.

A run keeps the thread counts of its start, because the last bits of its results depend on them.
Speed is measured in a process of its own, so that the parent never starts TensorFlow:
`python -m cgan_tf.runs.machine` prints, as JSON, the seconds of one training convolution in float32
and in bfloat16.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cgan_tf.runs.directory import RUN_FILE, read_json, write_json
from cgan_tf.runs.errors import UserError


@dataclasses.dataclass(frozen=True)
class Threads:
    """Threads within an operation and across operations, each 1 or more."""

    intra_op: int
    inter_op: int


def resolve_threads(config: Any, directory: str | Path) -> Threads:
    """The counts that a run in `directory` uses.

    They are those it was started with, so that it gives the same bits on a machine with other
    cores; of a new run the flags', where 0 is every core that this process may use.
    """
    run_file = Path(directory) / RUN_FILE
    goes_on = run_file.exists() and not config.restart
    saved = read_json(run_file).get("threads", {}) if goes_on else {}
    counts = {}
    for name in ("intra_op", "inter_op"):
        flag = getattr(config, f"{name}_threads")
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


REPEATS = 8


def convolution_seconds(precision: str) -> float:
    """Forward and both gradients of a 3x3 convolution, 64 channels, 16 images of 32x32: median."""
    import tensorflow as tf

    dtype = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}[precision]
    images = tf.cast(tf.random.stateless_normal([16, 32, 32, 64], [0, 1]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([3, 3, 64, 64], [0, 2]), dtype)

    @tf.function
    def run(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            total = tf.reduce_sum(tf.cast(tf.nn.conv2d(images, kernel, 1, "SAME"), tf.float32))
        return tape.gradient(total, [images, kernel])

    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run(images, kernel)[1].numpy()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[REPEATS // 2]


_COUNT_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


def probe_seconds() -> dict[str, float]:
    """Seconds of one training convolution by precision: float32, mixed_bfloat16."""
    command = [sys.executable, "-m", "cgan_tf.runs.machine"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(probe.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise UserError(f"the speed probe failed: {probe.stderr[-300:]}") from error


def faster_precision(seconds: dict[str, float]) -> str:
    """bfloat16 where it is worth its rounding."""
    faster = seconds["mixed_bfloat16"] < 0.8 * seconds["float32"]
    return "mixed_bfloat16" if faster else "float32"


def gpu_names() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that TensorFlow can use; empty without any."""
    command = [sys.executable, "-c", _COUNT_GPUS]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        count = int(probe.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise UserError(f"TensorFlow cannot be started: {probe.stderr[-300:]}") from error
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = named.split(",") if named else map(str, range(count))
    return list(names)[:count]


if __name__ == "__main__":
    print(json.dumps({name: convolution_seconds(name) for name in ("float32", "mixed_bfloat16")}))
