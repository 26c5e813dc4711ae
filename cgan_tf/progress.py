"""What a person sees while a program works: one bar with the time left, and nothing else."""

import os
import sys

from tqdm import tqdm


def progress_bar(total: int, label: str, unit: str, done: int = 0) -> tqdm:
    """A bar on standard error; in a log file a line every half minute instead of many a second."""
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=f" {unit}",
        mininterval=0.5 if sys.stderr.isatty() else 30.0,
        dynamic_ncols=True,
        smoothing=0.1,
    )


def quiet_tensorflow() -> None:
    """Keeps TensorFlow's start-up chatter off the screen; call before importing TensorFlow.

    Errors still show. A value that the user has set is left alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
