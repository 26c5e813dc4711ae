"""What a person sees while a program works: one bar with the time left, and nothing else."""

import faulthandler
import os
import sys

from absl import logging
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
    logging.set_verbosity(logging.WARNING)


def separate_native_stderr() -> None:
    """Sends what C++ libraries write to descriptor 2 away; Python's own messages still show.

    TensorFlow 2.21 prints some lines before its log level applies. Setting TF_CPP_MIN_LOG_LEVEL
    shows everything again. For programs only: a library must not touch its caller's descriptors.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    screen = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    os.close(sink)
    sys.stderr = screen
    faulthandler.enable(file=screen)
