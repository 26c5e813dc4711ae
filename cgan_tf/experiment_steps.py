"""The steps of a sweep: for every seed and synthetic share a training and an evaluation.

OUT/seed-{S}/fraction-{PP}/classifier and OUT/seed-{S}/fraction-{PP}/evaluation, where PP is the
initial synthetic share in per cent; 00 is the baseline of its seed. OUT/quality holds what is
measured of the synthetic sets. OUT/report.html compares the runs.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from cgan_tf.config import (
    ClassifierConfig,
    ClassifierTrainingConfig,
    EvaluateConfig,
    ExperimentConfig,
    QualityConfig,
    ReportConfig,
)
from cgan_tf.errors import UserError
from cgan_tf.flag_config import config_from_file, flags_text
from cgan_tf.run_directory import MANIFEST_FILE
from cgan_tf.step_runner import Step

REPORT_FILE = "report.html"
FAILED_FILE = "failed.json"
QUALITY = "quality"  # the step and its directory

ProgramConfig = TypeVar("ProgramConfig")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the sweep: `percent` of the samples are synthetic at the start."""

    seed: int
    percent: int

    @property
    def fraction(self) -> float:
        """The initial synthetic share, 0 to 1."""
        return self.percent / 100

    @property
    def name(self) -> str:
        """For the progress line."""
        return f"seed {self.seed} {self.percent}%"

    def classifier(self, root: Path) -> Path:
        """The work directory of the training."""
        return self._directory(root) / "classifier"

    def evaluation(self, root: Path) -> Path:
        """The output directory of the evaluation."""
        return self._directory(root) / "evaluation"

    def is_finished(self, root: Path) -> bool:
        """Whether the evaluation is there."""
        return (self.evaluation(root) / MANIFEST_FILE).exists()

    def _directory(self, root: Path) -> Path:
        return root / f"seed-{self.seed}" / f"fraction-{self.percent:02d}"


@dataclasses.dataclass(frozen=True)
class PatchCounts:
    """How many patches a run reads: for the steps' share of the work."""

    validation: int
    scored: int


def cells_of(config: ExperimentConfig) -> list[Cell]:
    """Every run, seed by seed, the baseline first; `UserError` for lists that make no sweep."""
    seeds = [_seed(text) for text in config.seeds]
    percents = sorted(_percent(text) for text in config.synthetic_fractions)
    for flag, numbers in (("seeds", seeds), ("synthetic_fractions", percents)):
        if not numbers or len(set(numbers)) != len(numbers):
            found = ",".join(getattr(config, flag)) or "none"
            raise UserError(f"--{flag}: expected values, each once, found {found}")
    if 0 not in percents:
        raise UserError(
            "--synthetic_fractions: expected 0 among them, the baseline that every other share is "
            f"compared with, found {','.join(config.synthetic_fractions)}"
        )
    return [Cell(seed, percent) for seed in seeds for percent in percents]


def classifier_config(
    config: ExperimentConfig, cell: Cell, precision: str, threads: int
) -> ClassifierConfig:
    """The flags of one training; `threads` where the sweep's own flags leave them open."""
    shared = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(ClassifierTrainingConfig)
    }
    shared |= {
        "precision": precision,
        "intra_op_threads": config.intra_op_threads or threads,
        "inter_op_threads": config.inter_op_threads or threads,
    }
    return ClassifierConfig(
        **shared,
        workdir=str(cell.classifier(Path(config.output_dir))),
        seed=cell.seed,
        synthetic_fraction=cell.fraction,
    )


def cell_steps(
    config: ExperimentConfig, cell: Cell, precision: str, threads: int, counts: PatchCounts
) -> list[Step]:
    """Training and evaluation of one run. Their `seconds` count forward passes."""
    root = Path(config.output_dir)
    training = classifier_config(config, cell, precision, threads)
    evaluation = EvaluateConfig(
        classifier=training.workdir,
        patches_dir=config.patches_dir,
        synthetic_dirs=(*config.synthetic_dirs, *config.scored_dirs),
        output_dir=str(cell.evaluation(root)),
        precision=precision,
    )
    validations = -(-config.samples // config.validate_every)
    return [
        Step(
            f"{cell.name} training",
            "cgan_tf.train_classifier",
            _flags(training),
            cell.classifier(root) / MANIFEST_FILE,
            seconds=3 * config.samples + validations * counts.validation,
        ),
        Step(
            f"{cell.name} evaluation",
            "cgan_tf.evaluate",
            _flags(evaluation),
            cell.evaluation(root) / MANIFEST_FILE,
            after=(f"{cell.name} training",),
            seconds=counts.scored,
        ),
    ]


def quality_steps(config: ExperimentConfig, first: Cell, counts: PatchCounts) -> list[Step]:
    """What is measured of the synthetic sets, in the features of the first baseline; one or none.

    The report's overlap and its search for copies of training lesions are in it.
    """
    if not config.quality or not config.synthetic_dirs:
        return []
    root = Path(config.output_dir)
    own = own_flags(QualityConfig, config.quality_flagfile)
    quality = dataclasses.replace(
        own,
        real=config.patches_dir,
        synthetic=config.synthetic_dirs,
        classifier=str(first.evaluation(root)),
        output_dir=str(root / QUALITY),
    )
    result = root / QUALITY / MANIFEST_FILE
    after = (f"{first.name} evaluation",)
    return [Step(QUALITY, "cgan_tf.quality", _flags(quality), result, after, seconds=counts.scored)]


def report_step(config: ExperimentConfig, finished: Sequence[Cell], failed: bool) -> Step:
    """The report on the runs that have finished; those of a seed with a baseline come first.

    The first evaluation is the baseline of the whole report. Raises `UserError` without any.
    """
    root = Path(config.output_dir)
    with_baseline = {cell.seed for cell in finished if cell.percent == 0}
    if not with_baseline:
        raise UserError("no report: no baseline has finished")
    ordered = sorted(finished, key=lambda cell: cell.seed not in with_baseline)
    has_quality = (root / QUALITY / MANIFEST_FILE).exists()
    report = dataclasses.replace(
        own_flags(ReportConfig, config.report_flagfile),
        evaluations=tuple(str(cell.evaluation(root)) for cell in ordered),
        patches_dir=config.patches_dir,
        synthetic_dirs=config.synthetic_dirs,
        gan_dirs=config.gan_dirs,
        quality_dir=str(root / QUALITY) if has_quality else "",
        failed_runs=str(root / FAILED_FILE) if failed else "",
        output=str(root / REPORT_FILE),
    )
    return Step("report", "cgan_tf.report", _flags(report), root / REPORT_FILE)


def own_flags(config_class: type[ProgramConfig], flagfile: str) -> ProgramConfig:
    """A program's flags from a file, its defaults without one."""
    return config_from_file(config_class, flagfile) if flagfile else config_class()


def _flags(config: Any) -> tuple[str, ...]:
    return tuple(flags_text(config).splitlines())


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UserError(f"--seeds: expected whole numbers of 0 or more, found {text!r}")
    return int(text)


def _percent(text: str) -> int:
    try:
        percent = 100 * float(text)
    except ValueError:
        percent = -1.0
    if not (0 <= percent <= 100 and abs(percent - round(percent)) < 1e-6):
        raise UserError(
            f"--synthetic_fractions: expected 0 to 1 in whole per cents, found {text!r}"
        )
    return round(percent)
