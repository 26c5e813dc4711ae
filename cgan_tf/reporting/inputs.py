"""What every section of the report is made from: the runs that its flags name, read once."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cgan_tf.assessment.results import CONTENT, SetResult, read_results
from cgan_tf.classifier.metrics import AucMetric, Calibration, Metrics, SubgroupAuc
from cgan_tf.classifier.results import ScoredTest, compared_with, read_evaluations, read_table
from cgan_tf.config import ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import are_drawn
from cgan_tf.detection.results import FrocResult
from cgan_tf.detection.results import read_results as read_froc
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

PHANTOM_NOTICE = (
    "All numbers here come from a phantom: breasts and lesions drawn by a computer. They show that "
    "the programs work and say nothing about mammograms. “Real” here means not synthetic."
)

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
    """The inputs of a report. What several sections share is made once, when first used.

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
    def phantom(self) -> bool:
        """Whether the patches are drawn. The paper's values do not stand beside a phantom's."""
        return bool(self.patches) and are_drawn(self.patches)

    @property
    def notice(self) -> str:
        """What a reader must know of the data: that they are drawn, and --notice."""
        return " ".join(filter(None, (PHANTOM_NOTICE if self.phantom else "", self.config.notice)))

    @property
    def original(self) -> str:
        """What patches that are not synthetic are called: real, as in the paper, or phantom."""
        return "phantom" if self.phantom else "real"

    @functools.cached_property
    def quality(self) -> Mapping[str, SetResult]:
        """What quality found, by set; empty without a run of it."""
        directory = self.config.quality_dir
        if not directory:
            return {}
        read_manifest(directory, "quality")
        return read_results(Path(directory) / CONTENT)

    @functools.cached_property
    def froc(self) -> FrocResult | None:
        """What evaluate found on whole mammograms; None without a run of it."""
        directory = self.config.froc_dir
        return read_froc(directory) if directory else None

    @functools.cached_property
    def feature_space(self) -> FeatureSpace | None:
        """The map of Figure 4; None with too few patches."""
        return baseline_space(self.config, self.baseline)

    @functools.cached_property
    def examples(self) -> list[tuple[str, list[Pair]]]:
        """(title, pairs) for every synthetic set."""
        return [(each.title, self.pairs_of(each, self.patches)) for each in self.sets]

    def pairs_of(self, synthetic: SyntheticSet, patches: PatchSet) -> list[Pair]:
        """Pairs of a set and the patches that it was made from, drawn by the seed."""
        return example_pairs(synthetic.directory, patches, PAIRS_OF_A_SET, self.config.seed)


def auc_of(metric: AucMetric | SubgroupAuc) -> Estimate:
    """An AUC with its interval by patient."""
    return _estimate(metric.auc, metric.low_by_patient, metric.high_by_patient, metric.note)


def attribute_title(attribute: str) -> str:
    """The name of an attribute without its unit, which its groups name: breast thickness."""
    return re.sub(r"_(mm|mas)$", "", attribute).replace("_", " ")


def slope_of(values: Calibration) -> Estimate:
    """The slope of a calibration."""
    return _estimate(values.slope, values.slope_low, values.slope_high, values.note)


def intercept_of(values: Calibration) -> Estimate:
    """The intercept of a calibration."""
    return _estimate(values.intercept, values.intercept_low, values.intercept_high, values.note)


def sensitivity_of(metrics: Metrics) -> Estimate:
    """The sensitivity at the specificity that evaluate was asked for, by patient."""
    low, high = metrics.sensitivity_low_by_patient, metrics.sensitivity_high_by_patient
    return _estimate(metrics.sensitivity, low, high, metrics.sensitivity_note_by_patient)


def _estimate(value: float | None, low: float | None, high: float | None, note: str) -> Estimate:
    return Estimate(value, None if low is None or high is None else (low, high), note)


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
    inputs.froc  # noqa: B018  and so is a directory that holds no evaluation of images
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
    """The curves of each GAN, by task; see `read_curves`."""
    losses: dict[str, Columns] = {}
    for directory in directories:
        flags = read_json(Path(directory) / "run.json").get("flags", {})
        task = "conditional" if flags.get("conditional") else str(flags.get("task", directory))
        columns = read_curves(Path(directory))
        if "step" in columns:
            losses[task] = columns
    return losses


def read_curves(run: Path) -> dict[str, np.ndarray]:
    """The columns of a training's metrics.csv, float64 or text [rows] each; none without rows."""
    rows = read_table(run / "metrics.csv")
    return {name: _column([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def _column(values: list[str]) -> np.ndarray:
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return np.array(values)
