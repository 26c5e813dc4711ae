"""Feature spaces to compare patches in: a baseline classifier's and an ImageNet network's."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cgan_tf.classifier.results import read_evaluations, read_features
from cgan_tf.config import QualityConfig
from cgan_tf.data.patch_sets import PatchPool, PatchSet, whole_sets
from cgan_tf.models.weights_file import imagenet_path
from cgan_tf.runs.directory import Json, read_manifest
from cgan_tf.runs.errors import UserError

# The features, float [n, d], of the patches of a pool, given with their ids.
Features = Callable[[PatchPool, Sequence[str]], np.ndarray]
CLASSIFIER, IMAGENET = "classifier", "ImageNet"


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Patches in a feature space.

    Attributes:
      features: float [n, d]. patients, patch_ids: text [n].
    """

    features: np.ndarray
    patients: np.ndarray
    patch_ids: np.ndarray


def feature_spaces(config: QualityConfig) -> dict[str, Features]:
    """The feature spaces that the flags ask for, by name.

    Raises `UserError` for weights that are missing and for a classifier that was trained on
    synthetic patches: it may have learned to tell them apart, or not to.
    """
    spaces: dict[str, Features] = {}
    if config.classifier:
        manifest = read_manifest(config.classifier, ("train_classifier", "evaluate"))
        spaces[CLASSIFIER] = (
            _evaluated(config) if manifest["program"] == "evaluate" else _computed(config, manifest)
        )
    if config.imagenet_weights:
        spaces[IMAGENET] = _imagenet(config)
    return spaces


def _evaluated(config: QualityConfig) -> Features:
    """The features that an evaluation has already computed."""
    evaluation = read_evaluations((config.classifier,))[0]
    arrays = read_features(evaluation)
    ids = {"test": evaluation.patch_ids} | {
        name: arrays[f"{name}_patch_id"] for name in ("validation", "synthetic")
    }
    places = {
        patch_id: (name, place)
        for name, own in ids.items()
        for place, patch_id in enumerate(own.tolist())
    }

    def check(patch_ids: Sequence[str]) -> None:
        missing = [patch_id for patch_id in patch_ids if patch_id not in places]
        if missing:
            raise UserError(
                f"{config.classifier}: expected the features of patch '{missing[0]}' and "
                f"{len(missing) - 1} more; evaluate with --synthetic_dirs, or give --classifier a "
                "work directory of train_classifier"
            )

    # A set that was not evaluated is told before another one is measured: what is advised would be
    # another flag of a run that has made something.
    for directory in config.synthetic_dirs:
        pool, _ = whole_sets([PatchSet(directory)])
        if len(pool):
            check([pool.record(0).patch_id])

    def features(pool: PatchPool, patch_ids: Sequence[str]) -> np.ndarray:
        check(patch_ids)
        return np.stack(
            [arrays[name][place] for name, place in (places[patch_id] for patch_id in patch_ids)]
        )

    return features


def _computed(config: QualityConfig, manifest: Json) -> Features:
    share = manifest["flags"]["synthetic_fraction"]
    if share:
        raise UserError(
            f"{config.classifier}: expected a baseline, trained on real patches only, found "
            f"{share:.0%} synthetic ones"
        )
    from cgan_tf.classifier.scoring import load_classifier, score

    model = load_classifier(Path(config.classifier), manifest)
    return lambda pool, _: score(model, pool, config.batch_size)[1]


def _imagenet(config: QualityConfig) -> Features:
    named = config.imagenet_weights == "imagenet"
    path = imagenet_path() if named else Path(config.imagenet_weights).expanduser()
    if not path.is_file():
        raise UserError(f"--imagenet_weights: expected {path}, found none")
    from cgan_tf.classifier.scoring import score
    from cgan_tf.models.networks import load_weights
    from cgan_tf.models.resnet import ResNetClassifier

    model = ResNetClassifier("frozen")
    load_weights(model, "imagenet" if named else str(path))
    return lambda pool, _: score(model, pool, config.batch_size)[1]
