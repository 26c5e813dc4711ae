"""The sweep of Table 1: a training and an evaluation for every seed and synthetic share, a report.

OUT/seed-{S}/fraction-{PP}/classifier and OUT/seed-{S}/fraction-{PP}/evaluation, where PP is the
initial synthetic share in per cent; 00 is the baseline of its seed. OUT/quality holds what is
measured of the synthetic sets. OUT/report.html compares the runs.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from cgan_tf.classifier.inputs import open_sets
from cgan_tf.classifier.results import read_metrics
from cgan_tf.classifier.training import check_config
from cgan_tf.config import (
    ClassifierConfig,
    ClassifierTrainingConfig,
    EvaluateConfig,
    ExperimentConfig,
    QualityConfig,
    ReportConfig,
)
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import MALIGNANT_CLASSES, NORMAL, PATCH_CLASSES, SPLITS
from cgan_tf.models.weights_file import find_weights
from cgan_tf.reporting.comparisons import FailedRun, write_failed_runs
from cgan_tf.runs import machine
from cgan_tf.runs.directory import (
    MANIFEST_FILE,
    RUN_FILE,
    Json,
    Run,
    finish_run,
    read_json,
    read_manifest,
    run_to_the_end,
    write_json,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_from_file, flags_text
from cgan_tf.runs.steps import Step, StepRunner

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


def run_experiment(config: ExperimentConfig) -> None:
    """Runs what is left of a sweep and writes the report.

    Raises `UserError` at the end when a run has failed; everything else is finished by then.
    """
    cells = cells_of(config)

    def work(counts: PatchCounts, run: Run) -> None:
        failed, problems = _run_cells(config, cells, counts)
        problems += _report(config, cells, failed)
        if problems:
            raise UserError(f"{'; '.join(problems)}; the same command tries again what failed")
        finish_run(run.directory, "experiment", {"runs": _results(config, cells)})

    if not run_to_the_end(
        config.output_dir, "experiment", config, lambda: check_inputs(config, cells), work
    ):
        print(f"Report: {(Path(config.output_dir) / REPORT_FILE).resolve()}")


def check_inputs(config: ExperimentConfig, cells: Sequence[Cell]) -> PatchCounts:
    """Opens everything that the runs and the report will read; counts the patches.

    Raises `UserError`, so that twelve runs do not fail one after another for the same flag.
    """
    if config.parallel < 0:
        raise UserError(f"--parallel: expected 0 or more, found {config.parallel}")
    for cell in cells:
        check_config(classifier_config(config, cell, config.precision, 1))
    find_weights(config.weights)
    own_flags(ReportConfig, config.report_flagfile)
    own_flags(QualityConfig, config.quality_flagfile)
    for directory in config.gan_dirs:
        read_json(Path(directory) / RUN_FILE)
    # The largest share draws from every stream that any share draws from.
    sets = open_sets(classifier_config(config, cells[-1], config.precision, 1))
    patches = PatchSet(config.patches_dir)
    scored = [PatchSet(directory) for directory in (*config.synthetic_dirs, *config.scored_dirs)]
    real = sum(
        patches.count(split, NORMAL, *MALIGNANT_CLASSES)
        for split in ("validation", EvaluateConfig().split)
    )
    synthetic = sum(found.count(split, *PATCH_CLASSES) for found in scored for split in SPLITS)
    # Every synthetic patch is scored beside its source.
    return PatchCounts(validation=len(sets.validation), scored=real + 2 * synthetic)


def _run_cells(
    config: ExperimentConfig, cells: Sequence[Cell], counts: PatchCounts
) -> tuple[list[FailedRun], list[str]]:
    """Trains and scores what is left, `--parallel` at a time; returns what failed, and in words."""
    root = Path(config.output_dir)
    (root / FAILED_FILE).unlink(missing_ok=True)
    lanes, setup = _lanes_and_setup(config)
    precision, threads = setup.precision, setup.threads
    done = sum(cell.is_finished(root) for cell in cells)
    print(
        f"{root}: {len(cells)} runs, {done} finished; {len(lanes)} at a time, {precision}, "
        f"{config.intra_op_threads or threads} threads each",
        flush=True,
    )
    steps = {cell: cell_steps(config, cell, precision, threads, counts) for cell in cells}
    every = [step for pair in steps.values() for step in pair]
    every += quality_steps(config, cells[0], counts)
    runner = StepRunner(root, every, lanes, keep_going=True)
    runner.run()
    failed = [
        FailedRun(cell.seed, cell.fraction, step.name.split()[-1], failure.reason, str(failure.log))
        for cell in cells
        for step in steps[cell]
        if (failure := runner.failed.get(step.name))
    ]
    problems = []
    if failed:
        write_failed_runs(root / FAILED_FILE, failed)
        problems.append(_summary(failed, len(cells), root))
    if failure := runner.failed.get(QUALITY):
        problems.append(f"quality failed: {failure.reason} (see {failure.log})")
    return failed, problems


@dataclasses.dataclass(frozen=True)
class Setup:
    """What is settled once for all runs: the precision, and the threads of a process."""

    precision: str
    threads: int


def _lanes_and_setup(config: ExperimentConfig) -> tuple[list[dict[str, str]], Setup]:
    """The environments of the processes; precision and threads.

    Precision and threads are settled once and kept: bits depend on both, and --parallel may change.
    """
    gpus = machine.gpu_names()
    parallel = config.parallel or max(1, len(gpus))
    path = Path(config.output_dir) / "setup.json"
    if not path.exists():
        precision = config.precision
        if precision == "auto":
            precision = machine.faster_precision(machine.probe_seconds())
        threads = max(1, (os.cpu_count() or 1) // parallel)
        write_json(path, dataclasses.asdict(Setup(precision, threads)))
    setup = Setup(**read_json(path))
    return lanes_of(parallel, gpus, setup.threads), setup


def lanes_of(parallel: int, gpus: Sequence[str], threads: int) -> list[dict[str, str]]:
    """The environment of each process: one GPU, shared where there are more processes."""
    # TensorFlow reads these where a program has no flag for them, as evaluate has none.
    shared = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": str(threads)}
    if parallel > len(gpus) > 0:
        shared["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # else the first takes the whole memory
    return [
        {**shared, **({"CUDA_VISIBLE_DEVICES": gpus[lane % len(gpus)]} if gpus else {})}
        for lane in range(parallel)
    ]


def _summary(failed: Sequence[FailedRun], runs: int, root: Path) -> str:
    first = failed[0]
    name = f"seed {first.seed} {first.synthetic_fraction:.0%} {first.step}"
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    file = root / FAILED_FILE
    return f"{len(failed)} of {runs} runs failed: {name}: {first.reason}{more} (see {file})"


def _report(
    config: ExperimentConfig, cells: Sequence[Cell], failed: Sequence[FailedRun]
) -> list[str]:
    """Writes the report anew; returns why it could not, in a list of at most one."""
    root = Path(config.output_dir)
    report = root / REPORT_FILE
    report.unlink(missing_ok=True)  # an earlier one is on fewer runs
    try:
        step = report_step(config, [c for c in cells if c.is_finished(root)], bool(failed))
        StepRunner(root, [step], [{}]).run()
    except UserError as error:
        return [str(error)]
    print(f"Report: {report.resolve()}", flush=True)
    return []


def _results(config: ExperimentConfig, cells: Sequence[Cell]) -> list[Json]:
    root, results = Path(config.output_dir), []
    for cell in cells:
        training = read_manifest(cell.classifier(root), "train_classifier")
        metrics = read_metrics(cell.evaluation(root))
        results.append(
            {
                "seed": cell.seed,
                "synthetic_fraction": cell.fraction,
                "evaluation": str(cell.evaluation(root).relative_to(root)),
                "best_validation_auc": training["best_validation_auc"],
                "auc": metrics.auc["overall"].auc,
            }
        )
    return results
