"""What would give a case away without its lesion: the file, the order, the border of the picture.

A reader study measures whether the eye tells synthetic from real. It does not if something else
does. Here a classifier sees of every picture only how long it is in the page and compressed, its
place there, and its outermost pixels, which no synthetic lesion should have changed. Its AUC, by
patients that it has not seen, is compared with that of labels shuffled among patients.
"""

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from cgan_tf.data.keyed import keyed_generator
from cgan_tf.reading.study import DEEPEST, decode_picture
from cgan_tf.statistics.auc import patient_numbers

RING = 2  # outermost pixels that count as the border
SEGMENTS = 8  # of the border, of which each has its mean level
_SHUFFLES, _FOLDS, _RIDGE = 499, 5, 3.0


@dataclasses.dataclass(frozen=True)
class Leak:
    """What something beside the lesion tells.

    Attributes:
      auc: of the classifier, 0 to 1; 0.5 is chance. p_value: share of shuffled labels with a higher
        one. shuffled: their middle. pictures, patients: numbers.
    """

    auc: float
    p_value: float
    shuffled: float
    pictures: int
    patients: int


def file_features(texts: Sequence[str]) -> np.ndarray:
    """Of every picture its length and its place in the page: float64 [n, 2]."""
    return np.array([(len(text), place) for place, text in enumerate(texts)], np.float64)


def border_features(texts: Sequence[str], size: int) -> np.ndarray:
    """Of every picture what its border says: float64 [n, 6 + SEGMENTS]."""
    return np.stack([_border(decode_picture(text, size).astype(np.float64)) for text in texts])


def compressed_features(texts: Sequence[str]) -> np.ndarray:
    """How long each picture would be as a compressed file: float64 [n, 1].

    It tells of the content, lesion and all; what the page holds is not compressed.
    """
    return np.array([[len(zlib.compress(text.encode(), 6))] for text in texts], np.float64)


def _border(levels: np.ndarray) -> np.ndarray:
    rings = [_ring(levels, depth) for depth in range(RING + 1)]
    outer = np.concatenate(rings[:RING])
    seam = np.abs(levels[RING - 1, RING:-RING] - levels[RING, RING:-RING]).mean()
    return np.array(
        [
            outer.mean(),
            outer.std(),
            np.abs(np.diff(rings[0])).mean(),
            seam,
            (outer % 2).mean(),  # grey levels of another depth leave gaps
            np.isin(outer, (0, DEEPEST)).mean(),
            *(part.mean() for part in np.array_split(rings[0], SEGMENTS)),
        ]
    )


def _ring(levels: np.ndarray, depth: int) -> np.ndarray:
    """The pixels `depth` from the edge, once around."""
    inner = levels[depth : len(levels) - depth, depth : len(levels) - depth]
    return np.concatenate([inner[0], inner[1:, -1], inner[-1, -2::-1], inner[-2:0:-1, 0]])


def leak_of(features: np.ndarray, labels: np.ndarray, patients: Sequence[str], seed: int) -> Leak:
    """What features tell of the labels.

    Args:
      features: float [n, k]. labels: [n], 0 or 1. patients: of each picture; a patient's pictures
        are in one fold, and labels are shuffled among patients, not pictures.
    """
    patient = patient_numbers(np.asarray(patients), len(labels))
    hat = _fold_weights(_standardised(features), patient, seed)
    labels = np.asarray(labels)
    shuffled = _shuffled(labels, patient, keyed_generator("leak", seed))
    aucs = _aucs(hat, np.vstack([labels, shuffled]))
    return Leak(
        auc=float(aucs[0]),
        p_value=float((aucs >= aucs[0]).mean()),
        shuffled=float(np.median(aucs[1:])),
        pictures=len(labels),
        patients=int(patient.max()) + 1,
    )


def _standardised(features: np.ndarray) -> np.ndarray:
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _fold_weights(features: np.ndarray, patient: np.ndarray, seed: int) -> np.ndarray:
    """What turns labels into scores of a ridge regression that has not seen the patient: [n, n].

    It does not depend on the labels, so that shuffled ones cost a product each.
    """
    order = keyed_generator("folds", seed).permutation(int(patient.max()) + 1)
    fold = (order % _FOLDS)[patient]
    weights = np.zeros((len(features), len(features)))
    for number in np.unique(fold):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if not len(outside):
            continue
        known = features[outside]
        normal = known.T @ known + _RIDGE * np.eye(features.shape[1])
        weights[np.ix_(inside, outside)] = features[inside] @ np.linalg.solve(normal, known.T)
    return weights


def _aucs(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of the scores that each row of labels [shuffles, n] gives: float64 [shuffles]."""
    centred = labels - labels.mean(axis=1, keepdims=True)
    ranks = rankdata(centred @ weights.T, axis=1)
    positives = labels.sum(axis=1)
    above = (ranks * labels).sum(axis=1) - positives * (positives + 1) / 2
    return above / (positives * (labels.shape[1] - positives))


def _shuffled(
    labels: np.ndarray, patient: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The patients' shares of positive pictures exchanged: int [shuffles, n], none of one class."""
    sizes = np.bincount(patient)
    shares = np.bincount(patient, labels) / sizes
    order = np.argsort(patient, kind="stable")
    number = np.empty(len(labels), int)  # of a picture among its patient's
    number[order] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = generator.permuted(np.tile(shares, (_SHUFFLES, 1)), axis=1)
    drawn = (number < np.rint(rows * sizes)[:, patient]).astype(int)
    return drawn[(drawn.min(axis=1) < 1) & (drawn.max(axis=1) > 0)]
