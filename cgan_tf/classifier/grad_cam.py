"""Grad-CAM (Selvaraju et al. 2017) of a classifier's most confident mistakes.

The map of a patch is the sum of the last stage's channels A_k, each weighted with the mean gradient
alpha_k of the logit in it. The classifier has one logit, so one signed map tells both stories: its
positive part is Grad-CAM's ReLU for "cancer", its negative part that for "no cancer". After global
average pooling and one dense layer the map is exact: its sum over the places is the logit without
its bias.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from cgan_tf.classifier.metrics import ScoreRow
from cgan_tf.classifier.results import write_table
from cgan_tf.data.patch_sets import PatchPool
from cgan_tf.models.patch_classifier import PatchClassifier, pooled
from cgan_tf.pages.patches import patch_levels
from cgan_tf.runs.directory import write_bytes

FOLDER = "grad_cam"
FALSE_NEGATIVE, FALSE_POSITIVE = "false_negative", "false_positive"
SMALLEST_PANEL = 256  # pixels; smaller patches are enlarged by a whole factor
_OPACITY = 0.6
# Blue, green, red, as OpenCV has them.
_FOR_CANCER, _AGAINST_CANCER, _BOX = (0, 60, 255), (255, 130, 0), (0, 255, 255)


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A row of grad_cam/index.csv: a mistake and the picture of what it rests on.

    `places`: a side of the map that the picture shows, before it is enlarged.
    """

    patch_id: str
    client_id: str
    label: int
    patch_class: str
    mistake: str
    logit: float
    file: str
    places: int


def surest_mistakes(
    labels: np.ndarray, logits: np.ndarray, patients: np.ndarray, count: int
) -> dict[str, list[int]]:
    """Numbers of the worst false negatives and false positives, the worst first.

    A mistake is a logit of the wrong sign. Of a patient's mistakes of a kind only the worst is
    taken: patches overlap, and twelve pictures of one lesion would say less than twelve lesions.
    Half of `count` goes to each kind; what one kind leaves over goes to the other.

    Args:
      labels: int [n], 1 for malignant. logits: float [n]. patients: text [n].
    """
    signs = {FALSE_NEGATIVE: (labels == 1, -logits), FALSE_POSITIVE: (labels == 0, logits)}
    found: dict[str, list[int]] = {}
    for mistake, (chosen, wrongness) in signs.items():
        worst: dict[str, int] = {}
        for number in np.argsort(-wrongness, kind="stable"):
            if chosen[number] and wrongness[number] > 0:
                worst.setdefault(str(patients[number]), int(number))
        found[mistake] = list(worst.values())
    negatives, positives = map(len, found.values())
    kept = min(negatives, max((count + 1) // 2, count - positives))
    return {
        FALSE_NEGATIVE: found[FALSE_NEGATIVE][:kept],
        FALSE_POSITIVE: found[FALSE_POSITIVE][: count - kept],
    }


def evidence_maps(model: PatchClassifier, patches: np.ndarray) -> np.ndarray:
    """Signed Grad-CAM, float32 [B, h, w], of patches [B, S, S, 1]: positive for cancer."""
    maps = model.maps(tf.constant(patches))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = model.logits(pooled(maps))
    # Patches do not mix in inference, so the gradient of the sum is that of each logit.
    weights = tf.reduce_mean(tape.gradient(logits, maps), axis=(1, 2), keepdims=True)
    return tf.reduce_sum(weights * maps, axis=-1).numpy()


def overlay(patch: np.ndarray, evidence: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    """Three panels, uint8 [H, 3 H, 3] in OpenCV's order of colours.

    The patch with its lesion box; the evidence for cancer in red; that against it in blue. Both
    panels share one scale, their largest value.

    Args:
      patch: [S, S] in [-1, 1]. evidence: [h, w], signed. box: in patch pixels, or empty.
    """
    factor = -(-SMALLEST_PANEL // len(patch))
    side = factor * len(patch)
    grey = cv2.resize(patch_levels(patch), (side, side), interpolation=cv2.INTER_NEAREST)
    grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    strength = cv2.resize(evidence.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    strength = strength / np.float32(max(np.abs(strength).max(), np.finfo(np.float32).tiny))
    tinted = (_tint(grey, strength, _FOR_CANCER), _tint(grey, -strength, _AGAINST_CANCER))
    panels = (grey, *tinted)
    if box:
        x0, y0, x1, y1 = (round(factor * value) for value in box)
        for panel in panels:
            cv2.rectangle(panel, (x0, y0), (x1 - 1, y1 - 1), _BOX, 1)
    return np.concatenate(panels, axis=1)


def write_grad_cams(
    directory: Path,
    model: PatchClassifier,
    pool: PatchPool,
    rows: Sequence[ScoreRow],
    count: int,
) -> list[str]:
    """Writes grad_cam/ with a picture a mistake and index.csv.

    Args:
      pool: the scored patches. rows: theirs in scores.csv, in the same order.

    Returns:
      The files relative to `directory`.
    """
    labels, logits, patients = (
        np.array([getattr(row, name) for row in rows]) for name in ("label", "logit", "client_id")
    )
    (directory / FOLDER).mkdir(exist_ok=True)
    index = []
    for mistake, numbers in surest_mistakes(labels, logits, patients, count).items():
        for rank, number in enumerate(numbers, 1):
            file = f"{mistake}_{rank:02d}.png"
            record, row = pool.record(number), rows[number]
            evidence = evidence_maps(model, record.patch[None, ..., None])[0]
            picture = overlay(record.patch, evidence, record.box)
            write_bytes(directory / FOLDER / file, cv2.imencode(".png", picture)[1].tobytes())
            own = (row.patch_id, row.client_id, row.label, row.patch_class)
            index.append(Mistake(*own, mistake, row.logit, file, len(evidence)))
    write_table(directory / FOLDER / "index.csv", Mistake, index)
    return [f"{FOLDER}/{name}" for name in ("index.csv", *(row.file for row in index))]


def _tint(grey: np.ndarray, strength: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture with a colour laid over it, as opaque as the positive part of `strength`."""
    opacity = _OPACITY * np.clip(strength, 0, 1)[..., None]
    return np.rint((1 - opacity) * grey + opacity * np.array(colour)).astype(np.uint8)
