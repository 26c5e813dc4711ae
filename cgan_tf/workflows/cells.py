"""What a sweep consists of: its runs, their places and flags, and the steps that make them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from cgan_tf.classifier.sampling import SYNTHETIC
from cgan_tf.config import (
    ClassifierConfig,
    ClassifierTrainingConfig,
    EvaluateConfig,
    ExperimentConfig,
    PasteConfig,
    QualityConfig,
    ReportConfig,
)
from cgan_tf.labels import ARMS, DECAYED, REAL_ONLY, Arm, arm_named
from cgan_tf.runs.directory import MANIFEST_FILE
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_from_file, flags_text
from cgan_tf.runs.steps import Step

REPORT_FILE = "report.html"
FAILED_FILE = "failed.json"
QUALITY = "quality"  # the step and its directory
PASTED = "pasted"  # likewise

ProgramConfig = TypeVar("ProgramConfig")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of the sweep.

    Attributes:
      percent: of the samples that are not real ones at the start. arm: one of `labels.ARMS`, empty
        in a sweep over the paper's shares.
    """

    seed: int
    percent: int
    arm: str = ""

    @property
    def fraction(self) -> float:
        """The initial share, 0 to 1."""
        return self.percent / 100

    @property
    def filling(self) -> str:
        """What that share is, one of `labels.FILLINGS`."""
        return arm_named(self.arm, self.fraction).filling if self.arm else "both"

    @property
    def is_substitute(self) -> bool:
        """Whether it sees no real lesion at all."""
        return bool(self.arm) and arm_named(self.arm, self.fraction).is_substitute

    @property
    def name(self) -> str:
        """For the progress line."""
        return f"seed {self.seed} {self.arm or f'{self.percent}%'}"

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
        return root / f"seed-{self.seed}" / (self.arm or f"fraction-{self.percent:02d}")


@dataclasses.dataclass(frozen=True)
class PatchCounts:
    """How many patches a run reads: for the steps' share of the work.

    Attributes:
      validation: at each validation. scored: by an evaluation of everything. tested: by one of
        the test patches alone. synthetic: malignant ones to train on.
    """

    validation: int
    scored: int
    tested: int = 0
    synthetic: int = 0


def cells_of(config: ExperimentConfig) -> list[Cell]:
    """Every run, seed by seed, the baseline first; `UserError` for lists that make no sweep."""
    seeds = [_seed(text) for text in config.seeds]
    _check_list("seeds", seeds, config.seeds)
    if config.arms:
        arms = _arms(config)
        return [Cell(seed, round(100 * arm.share), arm.name) for seed in seeds for arm in arms]
    percents = sorted(_percent(text) for text in config.synthetic_fractions)
    _check_list("synthetic_fractions", percents, config.synthetic_fractions)
    if 0 not in percents:
        raise UserError(
            "--synthetic_fractions: expected 0 among them, the baseline that every other share is "
            f"compared with, found {','.join(config.synthetic_fractions)}"
        )
    return [Cell(seed, percent) for seed in seeds for percent in percents]


def _check_list(flag: str, values: Sequence[int | str], given: Sequence[str]) -> None:
    if not values or len(set(values)) != len(values):
        raise UserError(f"--{flag}: expected values, each once, found {','.join(given) or 'none'}")


def _arms(config: ExperimentConfig) -> list[Arm]:
    """The arms of --arms in their order; `UserError` for a list or a share that makes none."""
    _check_list("arms", config.arms, config.arms)
    unknown = sorted(set(config.arms) - set(ARMS))
    if unknown:
        raise UserError(f"--arms: expected of {', '.join(ARMS)}, found {unknown[0]!r}")
    if REAL_ONLY not in config.arms:
        raise UserError(
            f"--arms: expected {REAL_ONLY} among them, the baseline that every other arm is "
            f"compared with, found {','.join(config.arms)}"
        )
    share, percent = config.arm_share, 100 * config.arm_share
    if not (0 < share < 1 and abs(percent - round(percent)) < 1e-6):
        raise UserError(
            f"--arm_share: expected more than 0 and less than 1 in whole per cents, found {share:g}"
        )
    if DECAYED in config.arms and config.decay == "constant":
        raise UserError(f"--decay: expected multiplicative or subtractive for {DECAYED}")
    return sorted(arm_named(name, share) for name in config.arms)


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
    if cell.arm and cell.arm != DECAYED:
        shared["decay"] = "constant"
    if cell.filling == PASTED and not config.pasted_dirs:
        shared["pasted_dirs"] = (str(Path(config.output_dir) / PASTED),)
    return ClassifierConfig(
        **shared,
        output_dir=str(cell.classifier(Path(config.output_dir))),
        seed=cell.seed,
        synthetic_fraction=cell.fraction,
        filling=cell.filling,
    )


def cell_steps(
    config: ExperimentConfig, cell: Cell, precision: str, threads: int, counts: PatchCounts
) -> list[Step]:
    """Training and evaluation of one run. Their `seconds` count forward passes.

    Among arms, only those score synthetic patches that the report may set beside the baseline, and
    only the first seed draws Grad-CAM pictures.
    """
    root = Path(config.output_dir)
    training = classifier_config(config, cell, precision, threads)
    first_seed = str(cell.seed) == config.seeds[0]
    scores_all = not cell.arm or (cell.filling in SYNTHETIC and not cell.is_substitute)
    evaluation = EvaluateConfig(
        classifier=training.output_dir,
        patches_dir=config.patches_dir,
        synthetic_dirs=(*config.synthetic_dirs, *config.scored_dirs) if scores_all else (),
        output_dir=str(cell.evaluation(root)),
        grad_cams=EvaluateConfig().grad_cams if not cell.arm or first_seed else 0,
        precision=precision,
    )
    validations = -(-config.samples // config.validate_every)
    return [
        Step(
            f"{cell.name} training",
            "cgan_tf.train_classifier",
            _flags(training),
            cell.classifier(root) / MANIFEST_FILE,
            after=(PASTED,) if cell.filling == PASTED and not config.pasted_dirs else (),
            seconds=3 * config.samples + validations * counts.validation,
        ),
        Step(
            f"{cell.name} evaluation",
            "cgan_tf.evaluate",
            _flags(evaluation),
            cell.evaluation(root) / MANIFEST_FILE,
            after=(f"{cell.name} training",),
            seconds=counts.scored if scores_all else counts.tested,
        ),
    ]


def paste_steps(config: ExperimentConfig, cells: Sequence[Cell], synthetic: int) -> list[Step]:
    """What makes the lesions of the arms of pasted ones, unless they are given; one or none.

    synthetic: malignant patches in the synthetic sets; as many are pasted.
    """
    if config.pasted_dirs or all(cell.filling != PASTED for cell in cells):
        return []
    output = Path(config.output_dir) / PASTED
    paste = paste_config(config, synthetic)
    result = output / MANIFEST_FILE
    return [Step(PASTED, "cgan_tf.paste_lesions", _flags(paste), result, seconds=paste.count)]


def paste_config(config: ExperimentConfig, synthetic: int) -> PasteConfig:
    """The flags with which lesions are pasted."""
    own = own_flags(PasteConfig, config.paste_flagfile)
    if not config.paste_flagfile and synthetic:
        own = dataclasses.replace(own, count=synthetic)
    output = str(Path(config.output_dir) / PASTED)
    return dataclasses.replace(own, patches_dir=config.patches_dir, output_dir=output)


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
        patches_dir=config.patches_dir,
        synthetic_dirs=config.synthetic_dirs,
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
