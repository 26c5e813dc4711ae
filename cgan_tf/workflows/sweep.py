"""The sweep of Table 1: a training and an evaluation for every seed and synthetic share, a report.

OUT/seed-{S}/fraction-{PP}/classifier and OUT/seed-{S}/fraction-{PP}/evaluation, where PP is the
initial synthetic share in per cent; 00 is the baseline of its seed. With --arms it is the name of
the arm: OUT/seed-{S}/pasted/classifier. OUT/quality holds what is measured of the synthetic sets,
OUT/pasted the pasted lesions. OUT/report.html compares the runs.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from cgan_tf.classifier.inputs import open_sets
from cgan_tf.classifier.results import read_metrics
from cgan_tf.classifier.training import check_config
from cgan_tf.config import EvaluateConfig, ExperimentConfig, QualityConfig, ReportConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import MALIGNANT_CLASSES, NORMAL, PATCH_CLASSES, SPLITS
from cgan_tf.models.weights_file import find_weights
from cgan_tf.reporting.comparisons import FailedRun, write_failed_runs
from cgan_tf.runs import machine
from cgan_tf.runs.directory import (
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
from cgan_tf.runs.steps import StepRunner
from cgan_tf.synthesis.pasting import Pasting
from cgan_tf.workflows.cells import (
    FAILED_FILE,
    PASTED,
    QUALITY,
    REPORT_FILE,
    Cell,
    PatchCounts,
    cell_steps,
    cells_of,
    classifier_config,
    own_flags,
    paste_config,
    paste_steps,
    quality_steps,
    report_step,
)


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
    synthetic_sets = [PatchSet(directory) for directory in config.synthetic_dirs]
    malignant = sum(each.count("train", *MALIGNANT_CLASSES) for each in synthetic_sets)
    for cell in _largest(cells):
        if paste_steps(config, [cell], malignant):
            Pasting(paste_config(config, malignant))
        else:
            sets = open_sets(classifier_config(config, cell, config.precision, 1))
    patches = PatchSet(config.patches_dir)
    scored = [*synthetic_sets, *(PatchSet(directory) for directory in config.scored_dirs)]
    real = sum(
        patches.count(split, NORMAL, *MALIGNANT_CLASSES)
        for split in ("validation", EvaluateConfig().split)
    )
    synthetic = sum(found.count(split, *PATCH_CLASSES) for found in scored for split in SPLITS)
    # Every synthetic patch is scored beside its source.
    return PatchCounts(len(sets.validation), real + 2 * synthetic, real, malignant)


def _largest(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Runs of one seed that draw from every stream that any run draws from, the baseline first."""
    first = [cell for cell in cells if cell.seed == cells[0].seed]
    return first if first[0].arm else [first[-1]]


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
    every = paste_steps(config, cells, counts.synthetic)
    every += [step for pair in steps.values() for step in pair]
    every += quality_steps(config, cells[0], counts)
    runner = StepRunner(root, every, lanes, keep_going=True)
    runner.run()
    failed = [
        FailedRun(
            cell.seed,
            cell.fraction,
            step.name.split()[-1],
            failure.reason,
            str(failure.log),
            cell.arm,
        )
        for cell in cells
        for step in steps[cell]
        if (failure := runner.failed.get(step.name))
    ]
    problems = []
    if failed:
        write_failed_runs(root / FAILED_FILE, failed)
        problems.append(_summary(failed, len(cells), root))
    for name in (PASTED, QUALITY):
        if failure := runner.failed.get(name):
            problems.append(f"{name} failed: {failure.reason} (see {failure.log})")
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
    name = f"seed {first.seed} {first.arm or f'{first.synthetic_fraction:.0%}'} {first.step}"
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
                **({"arm": cell.arm} if cell.arm else {}),
                "evaluation": str(cell.evaluation(root).relative_to(root)),
                "best_validation_auc": training["best_validation_auc"],
                "auc": metrics.auc["overall"].auc,
            }
        )
    return results
