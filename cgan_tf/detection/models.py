"""The classifiers and detectors that are compared: names, marks and scores on shared images."""

import collections
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cgan_tf.detection.matching import NEITHER, Marks, Rules, Truth, marks_of, truth_of
from cgan_tf.detection.predictions import (
    CANDIDATES,
    IMAGES,
    LESIONS,
    Predictions,
    ScoredBreast,
    ScoredImage,
    ScoredPatient,
    read_predictions,
)
from cgan_tf.runs.directory import MANIFEST_FILE
from cgan_tf.runs.errors import UserError

LEVELS = ("image", "breast", "patient")
CALIBRATED = "_calibrated"  # behind a level: its calibrated score


@dataclasses.dataclass(frozen=True, eq=False)
class LevelScores:
    """The scores of images, breasts or patients of which it is known what they show.

    Attributes:
      keys: which they are, sorted. labels: int [n], 1 with a malignant lesion.
      scores: float64 [n]. patients: text [n].
    """

    keys: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    scores: np.ndarray
    patients: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A classifier or detector on the shared images.

    Attributes:
      name: unique; with several seeds it holds the seed. model: what was trained, the same for all
        of its seeds. seed: None where unknown.
      predictions: its directory. marks: its candidates. levels: by name, see `level_scores`.
    """

    name: str
    model: str
    seed: int | None
    predictions: Predictions
    marks: Marks
    levels: dict[str, LevelScores]


def open_models(directories: Sequence[str], split: str, rules: Rules) -> list[Model]:
    """The models of directories of predictions, which share their images.

    Raises `UserError` for a directory that is named twice, cannot be read, or speaks of other
    images or lesions than the first, for scores that are no probabilities, and as `truth_of` does.
    """
    twice = [name for name, count in collections.Counter(directories).items() if count > 1]
    if twice:
        raise UserError(f"--prediction_dirs: expected each directory once, found {twice[0]} twice")
    read = [read_predictions(directory) for directory in directories]
    truths = [truth_of(predictions, split, rules) for predictions in read]
    for predictions, truth in zip(read, truths, strict=True):
        _check_same(read[0], truths[0], predictions, truth)
        _check_scores(predictions)
    truth = truths[0]
    models = []
    for (name, model, seed), predictions in zip(_names(read), read, strict=True):
        marks, levels = marks_of(predictions.candidates, truth), _levels(predictions, truth, rules)
        models.append(Model(name, model, seed, predictions, marks, levels))
    shared = set.intersection(*(set(model.levels) for model in models))
    models = [
        dataclasses.replace(m, levels={n: s for n, s in m.levels.items() if n in shared})
        for m in models
    ]
    for other in models[1:]:
        for level, scores in other.levels.items():
            if scores.keys != models[0].levels[level].keys:
                raise UserError(
                    f"{other.predictions.directory}: expected the {level} scores of "
                    f"{models[0].predictions.directory}, found others"
                )
    return models


def _check_same(first: Predictions, known: Truth, other: Predictions, truth: Truth) -> None:
    for name, one, two in (
        (IMAGES, _images_of(known), _images_of(truth)),
        (LESIONS, _lesions_of(known), _lesions_of(truth)),
    ):
        if one != two:
            where = f"{len(set(two) - set(one))} others, and {len(set(one) - set(two))} are missing"
            raise UserError(
                f"{other.directory / name}: expected those of {first.directory / name}, found "
                f"{where}; models are compared on the same images"
            )


def _images_of(truth: Truth) -> list[tuple[object, ...]]:
    return [(i.sop_uid, i.client_id, i.malignant, i.width, i.height) for i in truth.images]


def _lesions_of(truth: Truth) -> list[tuple[object, ...]]:
    return [(each.sop_uid, each.mark_id, each.patch_class, *each.box) for each in truth.lesions]


def _check_scores(predictions: Predictions) -> None:
    tables = (
        (CANDIDATES, [candidate.score for candidate in predictions.candidates]),
        (IMAGES, [image.score for image in predictions.images]),
    )
    for name, scores in tables:
        for number, score in enumerate(scores, 2):
            if not 0 <= score <= 1:
                raise UserError(
                    f"{predictions.directory / name}, line {number}: score: expected 0 to 1, found "
                    f"{score:g}"
                )


def _names(read: Sequence[Predictions]) -> list[tuple[str, str, int | None]]:
    """(name, model, seed) of each."""
    trained = [model_and_seed(predictions) for predictions in read]
    twice = {pair for pair, count in collections.Counter(trained).items() if count > 1}
    models = [
        (f"{model} ({predictions.directory})" if (model, seed) in twice else model, seed)
        for (model, seed), predictions in zip(trained, read, strict=True)
    ]
    several = len({seed for _, seed in models if seed is not None}) > 1
    return [
        (f"{model}, seed {seed}" if several and seed is not None else model, model, seed)
        for model, seed in models
    ]


def model_and_seed(predictions: Predictions) -> tuple[str, int | None]:
    """(what was trained, seed) as the manifest says it, or the name of the directory."""
    model = predictions.manifest.get("model")
    if model is None:
        return Path(predictions.directory).resolve().name, None
    try:
        return str(model["name"]), int(model["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{predictions.directory / MANIFEST_FILE}: expected the name and seed of a model, "
            f"found {model!r:.80}"
        ) from error


def _levels(predictions: Predictions, truth: Truth, rules: Rules) -> dict[str, LevelScores]:
    """Scores by level; the calibrated ones where all have one. A level that has none is left out:
    breasts, where no image tells its side.

    Where a candidate on a benign lesion is neither hit nor false positive, an image, breast or
    patient without a malignant lesion and with a benign one is neither positive nor negative.
    """
    images = {image.sop_uid: image for image in truth.images}
    patients = {image.client_id for image in truth.images}
    benign = truth.benign if rules.benign_marks == NEITHER else ()
    left_out = {
        *((lesion.sop_uid,) for lesion in benign),
        *((each.client_id, images[each.sop_uid].study_uid, each.laterality) for each in benign),
        *((lesion.client_id, "") for lesion in benign),
    }
    keyed: dict[str, dict[tuple[str, ...], ScoredImage | ScoredBreast | ScoredPatient]] = {
        "image": {(i.sop_uid,): i for i in predictions.images if i.sop_uid in images},
        "breast": {(b.client_id, b.study_uid, b.laterality): b for b in predictions.breasts},
        "patient": {(p.client_id, ""): p for p in predictions.patients},
    }
    levels = {}
    for level, rows in keyed.items():
        known = {
            key: row
            for key, row in sorted(rows.items())
            if row.client_id in patients
            and row.malignant is not None
            and (row.malignant or key not in left_out)
        }
        for name, field in ((level, "score"), (level + CALIBRATED, "calibrated_score")):
            scores = [getattr(row, field) for row in known.values()]
            if scores and None not in scores:
                levels[name] = LevelScores(
                    tuple(known),
                    np.array([row.malignant for row in known.values()], int),
                    np.array(scores, np.float64),
                    np.array([row.client_id for row in known.values()]),
                )
    return levels
