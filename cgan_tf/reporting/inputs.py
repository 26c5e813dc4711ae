"""What every section of the report is made from: the runs that its flags name, read once."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.classifier.results import ScoredTest, compared_with, read_evaluations, read_table
from cgan_tf.config import ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.pages.patches import Pair, example_pairs
from cgan_tf.pages.style import Estimate
from cgan_tf.reporting.comparisons import FailedRun, Results, compare, read_failed_runs
from cgan_tf.reporting.feature_space import FeatureSpace, baseline_space
from cgan_tf.runs.directory import read_json, read_manifest
from cgan_tf.runs.errors import UserError

PAIRS_OF_A_SET = 6
TASK_TITLES = {
    "mass": "Masses synthesised",
    "calcification": "Calcifications synthesised",
    "removal": "Lesions removed",
}

Columns = Mapping[str, np.ndarray]  # of a metrics.csv: numbers or text, [rows] each


@dataclasses.dataclass(frozen=True)
class SyntheticSet:
    """What the manifest of a run of synthesize says.

    Attributes:
      directory: of the run. task: mass, calcification or removal. splits: those it was made from.
      candidates, accepted: patches. acceptance_rate: accepted share, 0 to 1.
      rejected: candidates for each reason. min_area_fraction: least area accepted, of the patch.
      flags: of the run.
    """

    directory: str
    task: str
    splits: tuple[str, ...]
    candidates: int
    accepted: int
    acceptance_rate: float
    rejected: Mapping[str, int]
    min_area_fraction: float
    flags: Mapping[str, object]

    @property
    def title(self) -> str:
        """The task, with the split unless that is train."""
        held_out = [split for split in self.splits if split != "train"]
        title = TASK_TITLES.get(self.task, self.task)
        return f"{title} ({held_out[0]} split)" if held_out else title


@dataclasses.dataclass(frozen=True, eq=False)
class ReportInputs:
    """The inputs of a report. What several sections share and takes time is made once, when first
    asked for.

    Attributes:
      config: the flags. evaluations: the first is the baseline. patches: the real patches.
      sets: synthetic ones, in the order of the flags. failed: runs of a sweep without evaluation.
      losses: the columns of each GAN's metrics.csv, by task.
    """

    config: ReportConfig
    evaluations: Sequence[ScoredTest]
    patches: PatchSet
    sets: Sequence[SyntheticSet] = ()
    failed: Sequence[FailedRun] = ()
    losses: Mapping[str, Columns] = dataclasses.field(default_factory=dict)

    @property
    def baseline(self) -> ScoredTest:
        """The classifier that the others are compared with."""
        return self.evaluations[0]

    @property
    def mixed(self) -> ScoredTest | None:
        """The classifier shown beside the baseline; see `compared_with`."""
        return compared_with(self.baseline, self.evaluations)

    @property
    def compared(self) -> list[ScoredTest]:
        """The baseline and, where there is one, the mixed classifier."""
        return [self.baseline, *([self.mixed] if self.mixed else [])]

    @functools.cached_property
    def results(self) -> Results:
        """The comparisons of Table 1; `UserError` when a seed has a synthetic share twice."""
        return compare(self.evaluations, self.failed)

    @functools.cached_property
    def feature_space(self) -> FeatureSpace | None:
        """The map of Figure 4; None where there are next to no patches."""
        return baseline_space(self.config, self.baseline)

    @functools.cached_property
    def examples(self) -> list[tuple[str, list[Pair]]]:
        """(title, pairs) for every synthetic set."""
        return [(each.title, self.pairs_of(each, self.patches)) for each in self.sets]

    def pairs_of(self, synthetic: SyntheticSet, patches: PatchSet) -> list[Pair]:
        """Pairs of a set and the patches that it was made from, drawn by the seed."""
        return example_pairs(synthetic.directory, patches, PAIRS_OF_A_SET, self.config.seed)


@dataclasses.dataclass(frozen=True)
class Effect:
    """How the logits of a classifier move from source patches to the synthetic ones of a set.

    Attributes:
      task, split: of the set. patches: their number. before, after: mean logits.
      change: mean change. as_intended: share of logits that moved as the task intends, 0 to 1.
    """

    task: str
    split: str
    patches: int
    before: float
    after: float
    change: float
    as_intended: float


def effects_of(evaluation: ScoredTest) -> list[Effect]:
    """The effect of every synthetic set that the classifier was evaluated on."""
    return [
        Effect(
            task=values["task"],
            split=values["split"],
            patches=values["patches"],
            before=values["mean_logit_before"],
            after=values["mean_logit_after"],
            change=values["mean_change"],
            as_intended=values["as_intended"],
        )
        for values in evaluation.metrics["synthetic"].values()
    ]


def estimate_of(values: Mapping[str, Any], name: str, low: str, high: str) -> Estimate:
    """A value of metrics.json and its limits by their keys."""
    limits = None if values[low] is None else (values[low], values[high])
    return Estimate(values[name], limits, values.get("note") or "")


def auc_of(values: Mapping[str, Any]) -> Estimate:
    """An AUC of metrics.json with its interval by patient."""
    return estimate_of(values, "auc", "low_by_patient", "high_by_patient")


def calibration_of(evaluation: ScoredTest, name: str) -> Estimate:
    """The slope or the intercept of the calibration."""
    return estimate_of(evaluation.metrics["calibration"], name, f"{name}_low", f"{name}_high")


def sensitivity_of(evaluation: ScoredTest) -> Estimate:
    """The sensitivity at the specificity that evaluate was asked for."""
    limits = (f"sensitivity_{side}_by_patient" for side in ("low", "high"))
    return estimate_of(evaluation.metrics, "sensitivity", *limits)


def read_inputs(config: ReportConfig) -> ReportInputs:
    """Reads all that the flags name; `UserError` naming what is missing or of another form."""
    inputs = ReportInputs(
        config,
        evaluations=read_evaluations(config.evaluations),
        patches=PatchSet(config.patches_dir),
        failed=read_failed_runs(config.failed_runs) if config.failed_runs else [],
        sets=[read_set(directory) for directory in config.synthetic_dirs],
        losses=read_losses(config.gan_dirs),
    )
    inputs.results  # noqa: B018  two runs of one seed and share are refused before anything is made
    return inputs


def read_set(directory: str) -> SyntheticSet:
    """The manifest of a run of synthesize; `UserError` for another form."""
    manifest = read_manifest(directory, "synthesize")
    try:
        return SyntheticSet(
            directory=directory,
            task=str(manifest["task"]),
            splits=tuple(manifest["splits"]),
            candidates=int(manifest["candidates"]),
            accepted=int(manifest["accepted"]),
            acceptance_rate=float(manifest["acceptance_rate"]),
            rejected=dict(manifest.get("rejected", {})),
            min_area_fraction=float(manifest["flags"]["min_area_fraction"]),
            flags=dict(manifest["flags"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{directory}: expected the manifest of synthesize: {error!r}") from error


def read_losses(directories: Sequence[str]) -> dict[str, Columns]:
    """By task: the columns of a GAN's metrics.csv, float64 or text [rows] each."""
    losses: dict[str, Columns] = {}
    for directory in directories:
        flags = read_json(Path(directory) / "run.json").get("flags", {})
        task = "conditional" if flags.get("conditional") else str(flags.get("task", directory))
        rows = read_table(Path(directory) / "metrics.csv")
        if rows and "step" in rows[0]:
            losses[task] = {name: _column([row[name] for row in rows]) for name in rows[0]}
    return losses


def _column(values: list[str]) -> np.ndarray:
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return np.array(values)
