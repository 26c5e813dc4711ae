"""Scores of images, breasts and patients, by the maximum and calibrated.

By the maximum: an image has the highest probability on it, a breast that of its images, a patient
that of her breasts. It ranks well, but it is no probability of cancer: among the thousand windows
of an image one is high by chance, and whoever cut the training patches chose how many of them have
a lesion.

Calibrated: Platt's (1999) line through what an image, a breast or a patient is judged by, fitted to
images whose truth is known and which are none of those scored:

    P(malignant) = expit(intercept + slope * evidence)

The evidence of an image is the logit of its score; of a breast the mean over its images, as both
views show the same tissue; of a patient the highest of her breasts. The line keeps the order of
images; breasts and patients may change places with those by the maximum.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.special import expit, logit

from cgan_tf.detection.predictions import (
    Predictions,
    ScoredBreast,
    ScoredImage,
    ScoredPatient,
)
from cgan_tf.runs.errors import UserError

_EDGE = 1e-12  # nearer to 0 and 1 a probability has no logit that means anything


@dataclasses.dataclass(frozen=True)
class Line:
    """P(malignant) = expit(intercept + slope * evidence)."""

    slope: float
    intercept: float

    def probability(self, evidence: float) -> float:
        """0 to 1."""
        return float(expit(self.intercept + self.slope * evidence))


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The lines of images, breasts and patients."""

    image: Line
    breast: Line
    patient: Line


@dataclasses.dataclass(frozen=True)
class _Breast:
    """A breast at one study; an image whose side is unknown is one for itself."""

    images: tuple[ScoredImage, ...]

    @property
    def evidence(self) -> float:
        return float(np.mean([image_evidence(image.score) for image in self.images]))


def image_evidence(score: float) -> float:
    """What an image is judged by: the logit of its score."""
    return float(logit(min(max(score, _EDGE), 1 - _EDGE)))


def fitted_line(labels: Sequence[int], evidence: Sequence[float]) -> Line:
    """Platt's line: the highest likelihood, with targets drawn in from 0 and 1.

    For N positives the target is (N + 1) / (N + 2), for N negatives 1 / (N + 2): so there is a line
    where a threshold separates the two.

    Args:
      labels: [n], 1 malignant, 0 not, both present.
    """
    from sklearn.linear_model import LogisticRegression  # a second to import

    positive = np.asarray(labels).astype(bool)
    high, low = positive.sum(), (~positive).sum()
    target = np.where(positive, (high + 1) / (high + 2), 1 / (low + 2))
    # A target between 0 and 1 is a sample of each class, weighted.
    values = np.tile(np.asarray(evidence, np.float64)[:, None], (2, 1))
    classes = np.repeat([1, 0], len(target))
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(values, classes, sample_weight=np.concatenate([target, 1 - target]))
    return Line(float(model.coef_[0, 0]), float(model.intercept_[0]))


def calibration_of(predictions: Predictions) -> Calibration:
    """The lines for images like those of some predictions, of which the truth is known.

    Raises `UserError` without a malignant and a healthy one at each level.
    """
    breasts = list(_breasts(predictions.images))
    patients = list(_patients(predictions.images))
    levels = {
        "images": [(image.malignant, image_evidence(image.score)) for image in predictions.images],
        "breasts": [(_truth(breast.images), breast.evidence) for breast in breasts],
        "patients": [(_truth(images), _patient_evidence(images)) for images in patients],
    }
    return Calibration(*(_line(predictions, name, pairs) for name, pairs in levels.items()))


def _line(predictions: Predictions, name: str, pairs: list[tuple[int | None, float]]) -> Line:
    known = [(label, value) for label, value in pairs if label is not None]
    labels = [label for label, _ in known]
    if len(set(labels)) < 2:
        raise UserError(
            f"{predictions.directory}: expected malignant and other {name} to calibrate with, "
            f"found {sum(labels)} of {len(labels)} malignant"
        )
    return fitted_line(labels, [value for _, value in known])


def calibrated_image_score(score: float, calibration: Calibration | None) -> float | None:
    """The probability of an image with this score by the maximum; None without a calibration."""
    return _calibrated(calibration, "image", image_evidence(score))


def breast_scores(
    images: Iterable[ScoredImage], calibration: Calibration | None
) -> list[ScoredBreast]:
    """A score for each breast at each study, in their order; images without a side have none."""
    return [
        ScoredBreast(
            client_id=breast.images[0].client_id,
            study_uid=breast.images[0].study_uid,
            laterality=breast.images[0].laterality,
            images=len(breast.images),
            malignant=_truth(breast.images),
            score=max(image.score for image in breast.images),
            calibrated_score=_calibrated(calibration, "breast", breast.evidence),
        )
        for breast in _breasts(images)
    ]


def patient_scores(
    images: Iterable[ScoredImage], calibration: Calibration | None
) -> list[ScoredPatient]:
    """A score for each patient, in the order of their names."""
    return [
        ScoredPatient(
            client_id=group[0].client_id,
            images=len(group),
            malignant=_truth(group),
            score=max(image.score for image in group),
            calibrated_score=_calibrated(calibration, "patient", _patient_evidence(group)),
        )
        for group in _patients(images)
    ]


def _breasts(images: Iterable[ScoredImage]) -> Iterable[_Breast]:
    sided = (image for image in images if image.laterality)
    return map(_Breast, _groups(sided, lambda i: (i.client_id, i.study_uid, i.laterality)))


def _patients(images: Iterable[ScoredImage]) -> Iterable[tuple[ScoredImage, ...]]:
    return _groups(images, lambda image: (image.client_id,))


def _groups(
    images: Iterable[ScoredImage], key: Callable[[ScoredImage], tuple[str, ...]]
) -> Iterable[tuple[ScoredImage, ...]]:
    ordered = sorted(images, key=lambda image: (*key(image), image.sop_uid))
    return (tuple(group) for _, group in itertools.groupby(ordered, key))


def _patient_evidence(images: Sequence[ScoredImage]) -> float:
    sideless = [_Breast((image,)) for image in images if not image.laterality]
    return max(breast.evidence for breast in (*_breasts(images), *sideless))


def _calibrated(calibration: Calibration | None, level: str, evidence: float) -> float | None:
    if calibration is None:
        return None
    line: Line = getattr(calibration, level)
    return line.probability(evidence)


def _truth(images: Sequence[ScoredImage]) -> int | None:
    """1 with a malignant image, 0 where all are known to be none, None otherwise."""
    known = [image.malignant for image in images]
    if 1 in known:
        return 1
    return None if None in known else 0
