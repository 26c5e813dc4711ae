"""Finds and checks the classifier's starting weights, before TensorFlow is imported; keeps a
network's own."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

from cgan_tf.runs.directory import write_bytes
from cgan_tf.runs.errors import UserError

IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"
IMAGENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"


def find_weights(weights: str) -> Path | None:
    """The file that `imagenet` or a path stands for; None for `none`.

    Raises `UserError` when it is missing or, for ImageNet's, another file than the published one: a
    model never starts at random unless told.
    """
    if weights == "none":
        return None
    path = imagenet_path() if weights == "imagenet" else Path(weights).expanduser()
    if weights == "imagenet":
        _check_imagenet(path)
    elif not path.is_file():
        raise UserError(
            f"--weights={weights}: no such file (imagenet, none, or a .weights.h5, .keras or "
            "*_notop.h5 file)"
        )
    return path


def imagenet_path() -> Path:
    """Where Keras keeps the ImageNet weights: $KERAS_HOME/models, ~/.keras/models by default."""
    home = os.environ.get("KERAS_HOME", "~/.keras")
    return Path(home).expanduser() / "models" / IMAGENET_FILE


def _check_imagenet(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f"--weights=imagenet: expected {path} (md5 {IMAGENET_MD5}); download "
            f"{IMAGENET_URL}{IMAGENET_FILE} to that place, or say --weights=none to start at random"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != IMAGENET_MD5:
        raise UserError(f"{path}: expected md5 {IMAGENET_MD5}, found {found}; download it again")


class _NamedMemory(io.BytesIO):
    """Where Keras writes weights: HDF5 that meets a full disk kills the process when it ends."""

    def __str__(self) -> str:
        return "memory.weights.h5"  # Keras looks at the suffix


def save_weights(model: Any, path: Path) -> None:
    """Writes the weights of a Keras model whole or not at all."""
    content = _NamedMemory()
    model.save_weights(content)
    write_bytes(path, content.getbuffer())
