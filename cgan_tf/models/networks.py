"""The networks that --network names, and their starting weights from any file of Keras."""

from pathlib import Path

import h5py

from cgan_tf.models.keras_setup import keras
from cgan_tf.models.patch_classifier import PatchClassifier
from cgan_tf.models.resnet import ResNetClassifier, keras_resnet
from cgan_tf.models.small import SmallClassifier
from cgan_tf.models.weights_file import find_weights
from cgan_tf.runs.errors import UserError


def build_classifier(
    network: str, batch_norm: str, precision: str = "float32", momentum: float = 0.99
) -> PatchClassifier:
    """A classifier of random weights; batch_norm and momentum are ResNet-50's alone."""
    if network == "small":
        return SmallClassifier(precision)
    return ResNetClassifier(batch_norm, precision, momentum)


def load_weights(model: PatchClassifier, weights: str) -> None:
    """Fills the model from `imagenet`, `none` or a path.

    A path is the file of a `keras.applications.ResNet50(include_top=False)` (`*_notop.h5` of
    keras.applications, `.weights.h5` or `.keras`) or `best.weights.h5` of train_classifier, which
    holds the logit's layer as well; another network than ResNet-50 takes the latter only. Raises
    `UserError` naming the file when it is missing, damaged or another network's.
    """
    path = find_weights(weights)
    if path is None:
        return
    try:
        _load_file(model, path)
    except UserError:
        raise
    except Exception as error:  # h5py, zipfile and Keras raise many kinds for a damaged file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: expected weights of {model.title}: {reason}") from error


def _load_file(model: PatchClassifier, path: Path) -> None:
    if not isinstance(model, ResNetClassifier):
        model.load_weights(path)
    elif path.name.endswith(".keras"):
        _copy(keras.saving.load_model(path, compile=False, safe_mode=True), model.backbone, path)
    elif not path.name.endswith(".h5"):
        raise UserError(f"{path}: expected a .weights.h5, .keras or *_notop.h5 file")
    elif path.name.endswith(".weights.h5") and _of_a_classifier(path):
        model.load_weights(path)
    else:
        # Keras files weights under the names of the layers' classes, and ours are fused: Keras' own
        # network reads the file, and ours, with the same weights in the same order, copies it.
        plain = keras_resnet()
        plain.load_weights(path)
        _copy(plain, model.backbone, path)


def _of_a_classifier(path: Path) -> bool:
    with h5py.File(path) as file:
        return "backbone" in file


def _copy(source: keras.Model, target: keras.Model, path: Path) -> None:
    expected = [tuple(weight.shape) for weight in target.weights]
    found = [tuple(weight.shape) for weight in source.weights]
    if expected != found:
        raise UserError(
            f"{path}: expected the {len(expected)} weights of ResNet-50 without its top, found "
            f"{len(found)} of other shapes"
        )
    target.set_weights(source.get_weights())
