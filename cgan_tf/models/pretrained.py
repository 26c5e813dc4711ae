"""Starting weights of the classifier: ImageNet's, none, or a file in a form that Keras knows."""

import hashlib
import os
from pathlib import Path

import h5py
import keras

from cgan_tf.errors import UserError
from cgan_tf.models.resnet import PatchClassifier

IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"
IMAGENET_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"


def load_weights(model: PatchClassifier, weights: str) -> None:
    """Fills the model from `imagenet`, `none` or a path.

    A path is the file of a backbone (`*_notop.h5` of keras.applications, `.weights.h5` or `.keras`
    of a `keras.applications.ResNet50(include_top=False)`) or `best.weights.h5` of
    train_classifier, which holds the logit's layer as well. Raises `UserError` naming the file
    when it is missing, damaged or another network's; a model never starts at random unless told.
    """
    if weights == "none":
        return
    path = imagenet_path() if weights == "imagenet" else Path(weights).expanduser()
    if weights == "imagenet":
        _check_imagenet(path)
    elif not path.is_file():
        raise UserError(
            f"--weights={weights}: no such file (imagenet, none, or a .weights.h5, .keras or "
            "*_notop.h5 file)"
        )
    try:
        _load_file(model, path)
    except UserError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise many kinds for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: expected weights of ResNet-50: {reason}") from error


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


def _load_file(model: PatchClassifier, path: Path) -> None:
    if path.name.endswith(".keras"):
        _copy(keras.saving.load_model(path, compile=False), model.backbone, path)
    elif path.name.endswith(".weights.h5"):
        with h5py.File(path) as file:
            whole = "backbone" in file
        (model if whole else model.backbone).load_weights(path)
    elif path.name.endswith(".h5"):
        model.backbone.load_weights(path)
    else:
        raise UserError(f"{path}: expected a .weights.h5, .keras or *_notop.h5 file")


def _copy(source: keras.Model, target: keras.Model, path: Path) -> None:
    expected = [tuple(weight.shape) for weight in target.weights]
    found = [tuple(weight.shape) for weight in source.weights]
    if expected != found:
        raise UserError(
            f"{path}: expected the {len(expected)} weights of ResNet-50 without its top, found "
            f"{len(found)} of other shapes"
        )
    target.set_weights(source.get_weights())
