"""What `evaluate` leaves, and its reader: tables, features, metrics. Nothing is computed here."""

import csv
import dataclasses
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.classifier.metrics import Metrics
from cgan_tf.classifier.sampling import SYNTHETIC
from cgan_tf.config import ClassifierConfig
from cgan_tf.labels import Arm, arm_of, arm_title
from cgan_tf.runs.dataclass_json import from_json
from cgan_tf.runs.directory import Json, csv_bytes, read_json, read_manifest, write_bytes
from cgan_tf.runs.errors import UserError, reading
from cgan_tf.runs.flags import renamed


@dataclasses.dataclass(frozen=True, eq=False)
class ScoredTest:
    """One classifier on the test patches, as `evaluate` left it.

    Attributes:
      directory: of the evaluation. name: as the paper's Table 1 calls the training regime, with
        the seed where there are several.
      arm: what it was trained on. seed: of the run.
      patch_ids, patients, lesion_types: text [n]. labels: int [n]. logits: float64 [n].
      metrics: of metrics.json. training: the manifest of the classifier.
    """

    directory: Path
    name: str
    arm: Arm
    seed: int
    patch_ids: np.ndarray
    patients: np.ndarray
    lesion_types: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    metrics: Metrics
    training: Json

    @property
    def regime(self) -> str:
        """As the paper's Table 1 calls it."""
        return arm_title(self.arm)

    @property
    def classes(self) -> np.ndarray:
        """normal, mass or calcification, text [n]."""
        return np.where(self.lesion_types == "", "normal", self.lesion_types)


def read_evaluations(directories: tuple[str, ...]) -> list[ScoredTest]:
    """The evaluations in the order given; the first is the one that others are compared with.

    Raises `UserError` when one is unfinished, when it scored other patches than the first, or when
    the first has seen synthetic patches.
    """
    evaluations = [_read_evaluation(Path(directory)) for directory in directories]
    first = evaluations[0]
    if not first.arm.is_baseline:
        raise UserError(
            f"{first.directory}: expected a baseline, trained on real patches only, as the first "
            f"of --evaluations, found {first.arm.share:.0%} synthetic ones"
        )
    for other in evaluations[1:]:
        if not np.array_equal(first.patch_ids, other.patch_ids):
            raise UserError(
                f"{other.directory / 'scores.csv'}: expected the patches of "
                f"{first.directory / 'scores.csv'}, found others"
            )
    networks = sorted({str(evaluation.training["flags"]["network"]) for evaluation in evaluations})
    if len(networks) > 1:
        raise UserError(f"--evaluations: expected one network, found {' and '.join(networks)}")
    several_seeds = len({evaluation.seed for evaluation in evaluations}) > 1
    return [
        dataclasses.replace(e, name=f"{e.regime}, seed {e.seed}" if several_seeds else e.regime)
        for e in evaluations
    ]


def by_arm(evaluations: Sequence[ScoredTest]) -> dict[Arm, list[ScoredTest]]:
    """The evaluations by what they were trained on, in the order of their first ones."""
    arms: dict[Arm, list[ScoredTest]] = {}
    for evaluation in evaluations:
        arms.setdefault(evaluation.arm, []).append(evaluation)
    return arms


def compared_with(baseline: ScoredTest, evaluations: Sequence[ScoredTest]) -> ScoredTest | None:
    """The classifier with synthetic patches of the baseline's seed with the best validation AUC.

    The choice must not look at the test split, whose patches may be among those shown.
    """
    mixed = [
        e
        for e in evaluations
        if e.seed == baseline.seed
        and not e.arm.is_baseline
        and not e.arm.is_substitute
        and e.arm.filling in SYNTHETIC
    ]
    return max(mixed, key=lambda e: e.training["best_validation_auc"], default=None)


FEATURE_ARRAYS = (
    "test", "validation", "synthetic", "validation_class", "validation_patch_id",
    "validation_logit",
)  # fmt: skip


def read_features(evaluation: ScoredTest) -> dict[str, np.ndarray]:
    """features.npz of an evaluation, with id, logit, task and split of every synthetic patch.

    Arrays are [n] in the order of their tables; features are float32 [n, 2048].

    Raises `UserError` when the file is missing or lacks an array that evaluate writes.
    """
    path = evaluation.directory / "features.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            features = {name: arrays[name] for name in FEATURE_ARRAYS}
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: expected the features that evaluate writes") from error
    except KeyError as error:
        raise UserError(f"{path}: expected {error}; evaluate the classifier again") from error
    rows = read_table(evaluation.directory / "synthetic_scores.csv")
    for name in ("patch_id", "task", "split"):
        features[f"synthetic_{name}"] = np.array([row[name] for row in rows], dtype=str)
    features["synthetic_logit"] = np.array([float(row["logit"]) for row in rows])
    return features


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; `UserError` when it is missing."""
    with reading(path), path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read_evaluation(directory: Path) -> ScoredTest:
    manifest = read_manifest(directory, "evaluate")
    rows = read_table(directory / "scores.csv")
    flags = renamed(ClassifierConfig, manifest["classifier"]["flags"])
    try:
        return ScoredTest(
            directory=directory,
            name="",
            arm=arm_of(
                flags.get("filling", "both"), float(flags["synthetic_fraction"]), flags["decay"]
            ),
            seed=int(flags["seed"]),
            patch_ids=np.array([row["patch_id"] for row in rows], dtype=str),
            patients=np.array([row["client_id"] for row in rows], dtype=str),
            lesion_types=np.array([row["lesion_type"] for row in rows], dtype=str),
            labels=np.array([int(row["label"]) for row in rows]),
            logits=np.array([float(row["logit"]) for row in rows]),
            metrics=read_metrics(directory),
            training={**manifest["classifier"], "flags": flags},
        )
    except (KeyError, ValueError) as error:
        raise UserError(f"{directory / 'scores.csv'}: expected the scores of evaluate") from error


def read_metrics(directory: Path) -> Metrics:
    """metrics.json of an evaluation; `UserError` naming what is missing or of another kind."""
    path = directory / "metrics.json"
    try:
        return from_json(Metrics, read_json(path), f"{path}: metrics")
    except UserError as error:
        raise UserError(f"{error}; evaluate the classifier again") from error


def write_table(path: Path, kind: type, rows: Iterable[Any]) -> None:
    """Rows of one dataclass, `kind`, as CSV: a column a field; None is an empty cell."""
    heading = [field.name for field in dataclasses.fields(kind)]
    write_bytes(path, csv_bytes([heading, *map(dataclasses.astuple, rows)]))
