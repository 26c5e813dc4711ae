"""What a detector finds on mammograms, as the tables that evaluate reads."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.data.images import ImageRecord
from cgan_tf.detection.matching import Rules, free_response, marks_of, truth_of
from cgan_tf.detection.predictions import (
    BREASTS,
    PATIENTS,
    Candidate,
    ImagePrediction,
    KnownLesion,
    Predictions,
    ScoredBreast,
    ScoredImage,
    ScoredPatient,
    write_predictions,
    write_rows,
)
from cgan_tf.detection.scores import breast_scores, patient_scores
from cgan_tf.detector.batches import pool_batches
from cgan_tf.detector.inputs import ImagePool
from cgan_tf.labels import SPLITS
from cgan_tf.statistics.auc import exact_auc
from cgan_tf.statistics.froc import froc_area, froc_curve

SCORING_BATCH = 16


def predictions_of(
    candidates: Any,
    pool: ImagePool,
    split: str,
    canvas: tuple[int, int],
    advance: Callable[[int], Any] = lambda images: None,
) -> Iterator[ImagePrediction]:
    """What is found on each image of a pool, in its order.

    Args:
      candidates: of `model.candidate_function`.
      advance: is told the images of each batch, for a progress bar.
    """
    assert split in SPLITS
    number = 0
    for batch in pool_batches(pool, canvas, SCORING_BATCH):
        found = [each.numpy() for each in candidates(batch)]
        for boxes, scores, count in zip(*found, strict=True):
            yield prediction_of(pool.record(number), split, boxes[:count], scores[:count])
            number += 1
        advance(len(batch))


def prediction_of(
    record: ImageRecord, split: str, boxes: np.ndarray, scores: np.ndarray
) -> ImagePrediction:
    """The rows of one image.

    Args:
      boxes: float [k, 4] in pixels of the reduced image, from the highest score down. Those that
        lie beside the image are left out. scores: float [k].
    """
    whose = (record.sop_uid, record.client_id, record.laterality, record.view)
    places = record.stored(np.asarray(boxes, np.float64))
    inside = (places[:, 2:] > places[:, :2]).all(axis=1)
    found = tuple(
        Candidate(*whose, *_sides(place), float(score))
        for place, score in zip(places[inside], np.asarray(scores)[inside], strict=True)
    )
    sizes = (record.boxes[:, 2:] - record.boxes[:, :2]).max(axis=1) * record.spacing_mm
    lesions = tuple(
        KnownLesion(*whose, mark_id, patch_class, *_sides(box), round(float(size), 3))
        for mark_id, patch_class, box, size in zip(
            record.mark_ids, record.box_classes, record.boxes, sizes, strict=True
        )
    )
    image = ScoredImage(
        sop_uid=record.sop_uid,
        client_id=record.client_id,
        study_uid=record.study_uid,
        laterality=record.laterality,
        view=record.view,
        split=split,
        malignant=int(any(lesion.malignant for lesion in lesions)),
        width=record.columns,
        height=record.rows,
        spacing_mm=record.spacing_mm,
        score=max((candidate.score for candidate in found), default=0.0),
        calibrated_score=None,
        source_file=record.source_file,
    )
    return ImagePrediction(image, found, lesions)


def _sides(box: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = map(_rounded, box)
    return x0, y0, x1, y1


def _rounded(value: float) -> float:
    return round(float(value), 2)


def write_tables(directory: Path, predictions: Iterable[ImagePrediction]) -> None:
    """All tables of `detection.predictions`; without a calibration scores are by the maximum."""
    ordered = sorted(predictions, key=lambda item: item.image.sop_uid)
    write_predictions(directory, ordered)
    images = [item.image for item in ordered]
    write_rows(directory / BREASTS, ScoredBreast, breast_scores(images, None))
    write_rows(directory / PATIENTS, ScoredPatient, patient_scores(images, None))


def validation_measures(predictions: list[ImagePrediction], split: str) -> tuple[float, float]:
    """(area under the FROC up to 1 false positive an image, AUC of the images' scores)."""
    images = tuple(item.image for item in predictions)
    tables = Predictions(
        directory=Path(split),
        manifest={},
        images=images,
        candidates=tuple(each for item in predictions for each in item.candidates),
        lesions=tuple(each for item in predictions for each in item.lesions),
        breasts=(),
        patients=(),
    )
    truth = truth_of(tables, split, Rules())
    response = free_response(marks_of(tables.candidates, truth), Rules())
    labels = np.array([image.malignant for image in images])
    scores = np.array([image.score for image in images])
    return froc_area(froc_curve(response)), exact_auc(labels, scores)
