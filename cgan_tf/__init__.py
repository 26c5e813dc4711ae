"""Contextual GANs that synthesise and remove lesions on mammogram patches (TensorFlow / Keras).

The names in Python are those of `cgan_tf.api`, imported when they are first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# The types are in __init__.pyi: an import here, even for a type checker alone, would lead every
# module of both packages to TensorFlow.
__all__ = [
    "AucComparison",
    "AucEstimate",
    "Classifier",
    "LesionGenerator",
    "PatchSet",
    "Patches",
    "Synthesis",
    "UserError",
    "auc_interval",
    "compare_aucs",
    "load_classifier",
    "load_generator",
    "load_patches",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("cgan_tf.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
