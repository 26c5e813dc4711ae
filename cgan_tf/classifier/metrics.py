"""What is measured of one classifier: AUCs, sensitivity, calibration, what synthesis changes.

A sub-group of the lesions (type, size, conspicuity) is compared with all normal patches, because a
normal patch has none of these. A sub-group of the patients or of the images (manufacturer, breast
density, age, thickness, exposure, site) is compared with the normal patches of the same group:
against all of them, a classifier that knows a manufacturer's images from another's would seem to
know cancer.

A value that the scores do not define is None, with the reason in words in a note.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from cgan_tf.data.acquisition import (
    AGE_BANDS,
    EXPOSURE_BANDS,
    LESION_SIZE_BANDS,
    THICKNESS_BANDS,
)
from cgan_tf.data.records import PatchRecord
from cgan_tf.labels import LESION_TYPES, NORMAL
from cgan_tf.statistics.auc import auc_interval, sensitivity_at
from cgan_tf.statistics.bands import sensitivity_interval
from cgan_tf.statistics.calibration import (
    ReliabilityBin,
    brier_score,
    expected_calibration_error,
    recalibration,
    reliability_bins,
)

ALL_NORMALS, NORMALS_OF_GROUP = "all normal patches", "normal patches of the same group"
ATTRIBUTES = {
    "manufacturer": NORMALS_OF_GROUP,
    "lesion_type": ALL_NORMALS,
    "lesion_size_mm": ALL_NORMALS,
    "conspicuity": ALL_NORMALS,
    "breast_density": NORMALS_OF_GROUP,
    "age_band": NORMALS_OF_GROUP,
    "breast_thickness_mm": NORMALS_OF_GROUP,
    "exposure_mas": NORMALS_OF_GROUP,
    "site": NORMALS_OF_GROUP,
}
UNKNOWN_GROUP = "unknown"
BANDS = {
    "lesion_size_mm": LESION_SIZE_BANDS,
    "breast_thickness_mm": THICKNESS_BANDS,
    "exposure_mas": EXPOSURE_BANDS,
}
# In this order, whatever else is in the order of its name.
_ORDER = (*AGE_BANDS.names, *(name for bands in BANDS.values() for name in bands.names))
FEWEST_PATIENTS = 5  # with positive, and with negative patches: below that an interval is a guess
SPECIFICITY = 0.9


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """A row of scores.csv: a normal or malignant patch; what its record does not know is empty."""

    patch_id: str
    client_id: str
    label: int  # 1 for malignant
    patch_class: str
    lesion_type: str
    logit: float
    manufacturer: str = ""
    lesion_size_mm: float | None = None
    conspicuity: str = ""
    breast_density: str = ""
    age_band: str = ""
    breast_thickness_mm: float | None = None
    exposure_mas: float | None = None
    site: str = ""


@dataclasses.dataclass(frozen=True)
class SyntheticRow:
    """A row of synthetic_scores.csv: a synthetic patch beside the patch that it was made from."""

    patch_id: str
    client_id: str
    task: str
    split: str
    patch_class: str
    logit: float
    source_patch_id: str
    source_class: str
    source_logit: float


@dataclasses.dataclass(frozen=True)
class AucMetric:
    """An AUC with two 95% intervals: of single patches, and of patients (`..._by_patient`)."""

    auc: float | None
    variance: float | None
    low: float | None
    high: float | None
    method: str
    positives: int
    negatives: int
    note: str
    low_by_patient: float | None
    high_by_patient: float | None
    note_by_patient: str


@dataclasses.dataclass(frozen=True)
class SubgroupAuc:
    """The AUC of a sub-group, with its interval by patient and what it rests on."""

    auc: float | None
    low_by_patient: float | None
    high_by_patient: float | None
    note: str
    positives: int
    negatives: int
    positive_patients: int = dataclasses.field(metadata={"key": "positive_clients"})
    negative_patients: int = dataclasses.field(metadata={"key": "negative_clients"})


@dataclasses.dataclass(frozen=True)
class Subgroups:
    """The sub-groups of an attribute.

    Attributes:
      negatives: what they are compared with. groups: by name.
      note: empty, or that the attribute is unknown for every lesion.
    """

    negatives: str
    groups: dict[str, SubgroupAuc]
    note: str


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How well probabilities agree with labels; see `statistics.calibration`."""

    prevalence: float
    prevalence_note: str
    bins: tuple[ReliabilityBin, ...]
    expected_calibration_error: float | None
    brier_score: float | None
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    intercept: float | None
    intercept_low: float | None
    intercept_high: float | None
    intercept_at_even_odds: float | None
    note: str


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What a threshold that the validation patches gave does to the test patches.

    Attributes:
      threshold: of the logits, for `SPECIFICITY` on the validation patches; above it is positive.
      sensitivity, specificity: on the test patches.
    """

    threshold: float
    sensitivity: float
    specificity: float


@dataclasses.dataclass(frozen=True)
class ClassCounts:
    """Patches of each class."""

    normal: int
    malignant: int


@dataclasses.dataclass(frozen=True)
class SyntheticEffect:
    """Mean logits of source patches and of what was made of them.

    Attributes:
      as_intended: share of the patches that are on the right side of 0 after the change, 0 to 1:
        below it for removal, above it for the other tasks. A logit that moves the right way says
        little: any dimming moves it.
    """

    task: str
    split: str
    patches: int
    mean_logit_before: float
    mean_logit_after: float
    mean_change: float
    as_intended: float


@dataclasses.dataclass(frozen=True)
class Metrics:
    """metrics.json: one classifier on the patches of one split, and on synthetic ones.

    Attributes:
      auc: "overall" and each lesion type against all normal patches.
      average_precision: area under precision over recall, all lesions.
      sensitivity: at `specificity`, with its interval by patient; above `threshold` is positive.
      at_validation_threshold: what a user gets, who cannot choose a threshold on the test patches.
      subgroups: by attribute. synthetic: by task, with the split behind it where it is held out.
    """

    split: str
    auc: dict[str, AucMetric]
    average_precision: float | None
    specificity: float
    sensitivity: float | None
    sensitivity_low_by_patient: float | None
    sensitivity_high_by_patient: float | None
    sensitivity_note_by_patient: str
    threshold: float | None
    at_validation_threshold: OperatingPoint
    patches: ClassCounts
    patients: int = dataclasses.field(metadata={"key": "clients"})
    calibration: Calibration
    subgroups: dict[str, Subgroups]
    synthetic: dict[str, SyntheticEffect]


def score_row(record: PatchRecord, logit: float) -> ScoreRow:
    """The row of a normal or malignant patch."""
    return ScoreRow(
        patch_id=record.patch_id,
        client_id=record.client_id,
        label=int(record.patch_class != NORMAL),
        patch_class=record.patch_class,
        lesion_type=LESION_TYPES.get(record.patch_class, ""),
        logit=float(logit),
        manufacturer=record.manufacturer,
        lesion_size_mm=round(record.lesion_size_mm, 2) or None,
        conspicuity=record.conspicuity,
        breast_density=record.breast_density,
        age_band=record.age_band,
        breast_thickness_mm=round(record.breast_thickness_mm, 1) or None,
        exposure_mas=round(record.exposure_mas, 1) or None,
        site=record.site,
    )


def synthetic_row(
    record: PatchRecord, split: str, logit: float, source: PatchRecord, source_logit: float
) -> SyntheticRow:
    """The row of a synthetic patch."""
    return SyntheticRow(
        patch_id=record.patch_id,
        client_id=record.client_id,
        task=record.task,
        split=split,
        patch_class=record.patch_class,
        logit=float(logit),
        source_patch_id=record.source_patch_id,
        source_class=source.patch_class,
        source_logit=float(source_logit),
    )


def metrics_of(
    split: str,
    rows: Sequence[ScoreRow],
    synthetic: Sequence[SyntheticRow],
    validation: tuple[np.ndarray, np.ndarray],
) -> Metrics:
    """Everything that is measured; a lesion type is compared with all normal patches.

    validation: labels int [n] and logits float [n] of the validation patches.
    """
    from sklearn.metrics import average_precision_score  # a second to import, for its one reader

    scores = _Scores.of(rows)
    kinds = np.array([row.lesion_type for row in rows])
    groups = {"overall": np.ones(len(rows), bool)}
    for kind in LESION_TYPES.values():
        groups[kind] = (scores.labels == 0) | (kinds == kind)
    point = sensitivity_interval(scores.labels, scores.logits, scores.patients, SPECIFICITY)
    metrics = Metrics(
        split=split,
        auc={name: _auc(scores.chosen(chosen)) for name, chosen in groups.items()},
        average_precision=float(average_precision_score(scores.labels, scores.logits)),
        specificity=SPECIFICITY,
        sensitivity=point.sensitivity,
        sensitivity_low_by_patient=point.low,
        sensitivity_high_by_patient=point.high,
        sensitivity_note_by_patient=point.note,
        threshold=point.threshold,
        at_validation_threshold=operating_point(scores.labels, scores.logits, *validation),
        patches=ClassCounts(int((scores.labels == 0).sum()), int(scores.labels.sum())),
        patients=len(set(scores.patients.tolist())),
        calibration=_calibration(scores),
        subgroups=subgroup_aucs(rows),
        synthetic=synthetic_effects(synthetic),
    )
    return _defined(metrics)


def operating_point(
    labels: np.ndarray,
    logits: np.ndarray,
    validation_labels: np.ndarray,
    validation_logits: np.ndarray,
) -> OperatingPoint:
    """The threshold that reaches `SPECIFICITY` on the validation patches, on the test patches."""
    threshold = sensitivity_at(validation_labels, validation_logits, SPECIFICITY)[1]
    above = logits > threshold
    return OperatingPoint(
        threshold, float(above[labels == 1].mean()), float(1 - above[labels == 0].mean())
    )


def synthetic_effects(rows: Sequence[SyntheticRow]) -> dict[str, SyntheticEffect]:
    """By task and split: the key is the task for the training split, else task_split."""
    effects = {}
    for task, split in dict.fromkeys((row.task, row.split) for row in rows):
        members = [row for row in rows if (row.task, row.split) == (task, split)]
        after = np.array([row.logit for row in members])
        before = np.array([row.source_logit for row in members])
        intended = after < 0 if task == "removal" else after > 0
        effects[task if split == "train" else f"{task}_{split}"] = SyntheticEffect(
            task=task,
            split=split,
            patches=len(members),
            mean_logit_before=float(before.mean()),
            mean_logit_after=float(after.mean()),
            mean_change=float((after - before).mean()),
            as_intended=float(intended.mean()),
        )
    return effects


def subgroup_aucs(rows: Sequence[ScoreRow]) -> dict[str, Subgroups]:
    """The sub-groups of every attribute of `ATTRIBUTES`."""
    scores, result = _Scores.of(rows), {}
    for attribute, negatives in ATTRIBUTES.items():
        names = np.array([_group(attribute, row) for row in rows])
        known = _ordered(set(names[scores.labels == 1].tolist()))
        groups = {}
        for name in [] if known == [UNKNOWN_GROUP] else known:
            chosen = names == name
            if negatives == ALL_NORMALS:
                chosen = (chosen & (scores.labels == 1)) | (scores.labels == 0)
            groups[name] = _defined(_group_auc(scores.chosen(chosen)))
        note = "" if groups else f"undefined: {attribute} is unknown for every malignant patch"
        result[attribute] = Subgroups(negatives, groups, note)
    return result


@dataclasses.dataclass(frozen=True, eq=False)
class _Scores:
    """labels int [n], logits float64 [n], patients text [n]."""

    labels: np.ndarray
    logits: np.ndarray
    patients: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[ScoreRow]) -> "_Scores":
        return cls(
            np.array([row.label for row in rows]),
            np.array([row.logit for row in rows], np.float64),
            np.array([row.client_id for row in rows]),
        )

    def chosen(self, chosen: np.ndarray) -> "_Scores":
        """Those that a mask, bool [n], chooses."""
        return _Scores(self.labels[chosen], self.logits[chosen], self.patients[chosen])


def _group(attribute: str, row: ScoreRow) -> str:
    value = getattr(row, attribute)
    if not value:
        return UNKNOWN_GROUP
    return BANDS[attribute].of(value) if attribute in BANDS else value


def _ordered(names: set[str]) -> list[str]:
    """Bands by what they hold, others by name, the unknown last."""
    place = {name: number for number, name in enumerate(_ORDER)}
    return sorted(names, key=lambda name: (name == UNKNOWN_GROUP, place.get(name, 0), name))


def _group_auc(scores: _Scores) -> SubgroupAuc:
    estimate = auc_interval(scores.labels, scores.logits, scores.patients)
    patients = [len(set(scores.patients[scores.labels == label].tolist())) for label in (1, 0)]
    low, high, note = estimate.low, estimate.high, estimate.note
    if min(patients) < FEWEST_PATIENTS:
        low = high = math.nan
        note = (
            f"undefined: {patients[0]} patients with positive and {patients[1]} with negative "
            f"patches; an interval needs {FEWEST_PATIENTS} of each"
        )
    return SubgroupAuc(
        auc=estimate.auc,
        low_by_patient=low,
        high_by_patient=high,
        note=note,
        positives=estimate.positives,
        negatives=estimate.negatives,
        positive_patients=patients[0],
        negative_patients=patients[1],
    )


def _auc(scores: _Scores) -> AucMetric:
    by_patient = auc_interval(scores.labels, scores.logits, scores.patients)
    return AucMetric(
        **dataclasses.asdict(auc_interval(scores.labels, scores.logits)),
        low_by_patient=by_patient.low,
        high_by_patient=by_patient.high,
        note_by_patient=by_patient.note,
    )


def _calibration(scores: _Scores) -> Calibration:
    labels, probabilities = scores.labels, expit(scores.logits)
    bins = reliability_bins(labels, probabilities)
    return Calibration(
        prevalence=float(labels.mean()),
        prevalence_note=(
            f"{labels.mean():.0%} of these patches are malignant, a share that was chosen when "
            "they were cut; in screening it is a small fraction of that. Bins, error, Brier score "
            "and intercept hold for this share only; the slope is the figure that carries over."
        ),
        bins=tuple(bins),
        expected_calibration_error=expected_calibration_error(bins),
        brier_score=brier_score(labels, probabilities),
        **dataclasses.asdict(recalibration(labels, scores.logits, scores.patients)),
    )


def _defined(value: Any) -> Any:
    """A dataclass, with what it holds, with None in the place of NaN."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value))
        return dataclasses.replace(value, **{n: _defined(getattr(value, n)) for n in fields})
    if isinstance(value, Mapping):
        return {name: _defined(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_defined(item) for item in value)
    return None if isinstance(value, float) and math.isnan(value) else value
