"""What this machine offers, asked in processes that end: the parent never starts TensorFlow."""

import json
import os
import subprocess
import sys

from cgan_tf.errors import UserError

_COUNT_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


def probe_seconds() -> dict[str, float]:
    """Seconds of one training convolution by precision: float32, mixed_bfloat16."""
    command = [sys.executable, "-m", "cgan_tf.demo_probe"]
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
