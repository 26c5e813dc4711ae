"""From mammogram DICOM files to TFRecord patch shards: everything that touches DICOM or Beam.

The names in Python are those of `beam_pipelines.api`, imported when they are first used.
"""

import importlib
import logging
from pathlib import Path
from typing import Any


def _not_a_warning_of_beam(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or "apache_beam" not in Path(record.pathname).parts


# Beam warns while it is imported, by its own loggers and by the root's. The root's level is the
# user's.
logging.getLogger("apache_beam").setLevel(logging.ERROR)
logging.getLogger().addFilter(_not_a_warning_of_beam)

# The types are in __init__.pyi.
__all__ = [
    "Header",
    "Mammogram",
    "ScoredMammogram",
    "SyntheticMammogram",
    "UserError",
    "add_lesions",
    "read_mammogram",
    "score_mammogram",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("beam_pipelines.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
