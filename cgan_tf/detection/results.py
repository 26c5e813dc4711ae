"""What FROC says of classifiers and detectors on the same images: as dataclasses, as files.

    froc.json         all of it
    froc.csv          a row for each model, group of lesions and measure
    aucs.csv          a row for each model and level: images, breasts, patients
    comparisons.csv   a row for each comparison and measure; with several seeds those that pool them
    lesions.csv       a row for each model and malignant lesion: how sure it was found

Undefined values are null and empty cells, with a note that says why. Nothing is computed here.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from cgan_tf.detection.matching import Rules
from cgan_tf.runs.dataclass_json import from_json, to_json
from cgan_tf.runs.directory import csv_bytes, read_json, read_manifest, write_bytes, write_json
from cgan_tf.statistics.froc import RATES

PROGRAM = "evaluate_images"
RESULTS = "froc.json"
FILES = (RESULTS, "froc.csv", "aucs.csv", "comparisons.csv", "lesions.csv")
AREA = "area"
ALL_LESIONS, LESION_TYPE, LESION_SIZE = "all", "lesion_type", "lesion_size_mm"


def sensitivity_name(rate: float) -> str:
    """The measure at a rate: sensitivity_at_0.125."""
    return f"sensitivity_at_{rate:g}"


MEASURES = (*map(sensitivity_name, RATES), AREA)  # in the order of `statistics.froc`


@dataclasses.dataclass(frozen=True)
class Value:
    """A measure with its 95% interval by patient; note: why it has none, or empty."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    note: str


@dataclasses.dataclass(frozen=True)
class GroupResult:
    """What a model finds of some malignant lesions.

    Attributes:
      attribute: `ALL_LESIONS`, `LESION_TYPE` or `LESION_SIZE`. group: which of it.
      lesions, patients: how many, and of how many patients.
      measures: by name, one of `MEASURES`. chance: the same of candidates that know nothing.
    """

    attribute: str
    group: str
    lesions: int
    patients: int
    measures: dict[str, Value]
    chance: dict[str, float]


@dataclasses.dataclass(frozen=True)
class AucResult:
    """How well the scores of images, breasts or patients tell who has a malignant lesion.

    Attributes:
      level: image, breast or patient, with _calibrated behind it for the calibrated score.
      positives, negatives: with and without a malignant lesion. patients: of both.
    """

    level: str
    auc: Value
    positives: int
    negatives: int
    patients: int


@dataclasses.dataclass(frozen=True)
class CurveResult:
    """Corners of an FROC curve from (0, 0), as far as its shape needs them."""

    rates: tuple[float, ...]
    sensitivities: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ModelResult:
    """One classifier or detector.

    Attributes:
      name: unique; with several seeds it holds the seed. model: what was trained, the same for all
        of its seeds. seed: of the training, None where unknown. directory: of the predictions.
      candidates: a mean of how many on an image on which false positives count.
    """

    name: str
    model: str
    seed: int | None
    directory: str
    candidates: float
    curve: CurveResult
    groups: tuple[GroupResult, ...]
    aucs: tuple[AucResult, ...]

    @property
    def overall(self) -> GroupResult:
        """Of all lesions."""
        return self.groups[0]

    def auc(self, level: str) -> AucResult | None:
        """Of a level, if it was measured."""
        return next((auc for auc in self.aucs if auc.level == level), None)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A model against the baseline: a difference of measures.

    Attributes:
      model, against: names; with `seeds`, of what was trained. measure: one of `MEASURES`, or
        auc_ and a level. seeds: that are pooled; empty for one run against one.
      mean, spread: of the model over its seeds; None for one run.
      holm: p_value adjusted for the models that are compared with the same one.
    """

    model: str
    against: str
    measure: str
    seeds: tuple[int, ...]
    mean: float | None
    spread: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    holm: float | None
    note: str


@dataclasses.dataclass(frozen=True)
class Hit:
    """A malignant lesion: the highest score that hits it, None where it is missed.

    Attributes:
      rate: false positives an image at that score.
    """

    model: str
    sop_uid: str
    client_id: str
    mark_id: str
    patch_class: str
    size_mm: float
    score: float | None
    rate: float | None


@dataclasses.dataclass(frozen=True)
class FrocResult:
    """froc.json.

    Attributes:
      split: empty where no image has one. rounds: of the bootstrap of patients.
      images, counted_images: in all, and those on which false positives count.
      lesions: malignant ones. patients, lesion_patients, image_patients: in all, with such lesions,
        with counted images.
      models: the first is the baseline. comparisons: run against run. pooled: over several seeds.
    """

    split: str
    rules: Rules
    rounds: int
    images: int
    counted_images: int
    lesions: int
    patients: int
    lesion_patients: int
    image_patients: int
    models: tuple[ModelResult, ...]
    comparisons: tuple[Comparison, ...]
    pooled: tuple[Comparison, ...]

    def compared(self, model: str, measure: str) -> Comparison | None:
        """A model, or with several seeds what was trained, against the baseline."""
        rows = self.pooled or self.comparisons
        return next((row for row in rows if (row.model, row.measure) == (model, measure)), None)


def known(value: float) -> float | None:
    """None in the place of NaN."""
    return None if math.isnan(value) else float(value)


def read_results(directory: str | Path) -> FrocResult:
    """What evaluate found on images.

    Raises `UserError` when the run is unfinished or another program's, or the file is damaged.
    """
    read_manifest(directory, PROGRAM)
    path = Path(directory) / RESULTS
    return from_json(FrocResult, read_json(path), str(path))


def write_results(directory: Path, result: FrocResult, hits: Sequence[Hit]) -> None:
    """Writes `FILES`."""
    write_json(directory / RESULTS, to_json(result))
    tables = (
        ("froc.csv", _measure_rows(result)),
        ("aucs.csv", _auc_rows(result)),
        ("comparisons.csv", _comparison_rows(result)),
        ("lesions.csv", _hit_rows(hits)),
    )
    for name, rows in tables:
        write_bytes(directory / name, csv_bytes(rows))


def _measure_rows(result: FrocResult) -> Iterator[Sequence[object]]:
    yield (
        *("model", "attribute", "group", "lesions", "patients", "measure"),
        *("value", "low", "high", "method", "note", "chance"),
    )
    for model in result.models:
        for group in model.groups:
            for name, value in group.measures.items():
                yield (
                    *(model.name, group.attribute, group.group, group.lesions, group.patients),
                    *(name, *dataclasses.astuple(value), group.chance[name]),
                )


def _auc_rows(result: FrocResult) -> Iterator[Sequence[object]]:
    yield (
        *("model", "level", "positives", "negatives", "patients"),
        *("auc", "low", "high", "method", "note"),
    )
    for model in result.models:
        for each in model.aucs:
            counts = (each.positives, each.negatives, each.patients)
            yield (model.name, each.level, *counts, *dataclasses.astuple(each.auc))


def _comparison_rows(result: FrocResult) -> Iterator[Sequence[object]]:
    yield [field.name for field in dataclasses.fields(Comparison)]
    for each in (*result.pooled, *result.comparisons):
        yield dataclasses.astuple(
            dataclasses.replace(each, seeds=" ".join(map(str, each.seeds)))  # type: ignore[arg-type]
        )


def _hit_rows(hits: Sequence[Hit]) -> Iterator[Sequence[object]]:
    yield [field.name for field in dataclasses.fields(Hit)]
    yield from (dataclasses.astuple(hit) for hit in hits)
