"""The programs of the chain at tiny size: what each reads, writes, and may write otherwise."""

import dataclasses

from tests.end_to_end.test_chain import CLASSIFIER, PROGRAMS, STEPS

# Bits depend on the number of threads.
_THREADS = ("--intra_op_threads=1", "--inter_op_threads=1")


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of the chain with its flags; paths are relative to a directory of the trial.

    Attributes:
      output: the directory it writes. inputs: the directories it reads.
      victims: patterns of input files that it cannot do without.
      listed: a path of its own that is there when it has listed its inputs; what goes away before
        it never knew of.
      tells_time: files that differ from run to run.
      forks: whether it may be made by a fork, see `forks`; what uses Beam or processes of its own
        may not.
    """

    name: str
    module: str
    flags: tuple[str, ...]
    output: str
    inputs: tuple[str, ...] = ()
    victims: tuple[str, ...] = ()
    listed: str = ""
    tells_time: tuple[str, ...] = ()
    forks: bool = True


def _step(step: str, *more: str) -> dict:
    """Name, module and flags of a step of the chain that the tests run, with more flags."""
    name, *flags = STEPS[step]
    return {"name": name, "module": PROGRAMS[name], "flags": (*flags, *more)}


CHAIN = (
    # What the others read; one of a few women is disturbed in its place.
    Program(**{**_step("phantom"), "name": "inputs"}, output="phantom", forks=False),
    Program(
        name="make_phantom",
        module="beam_pipelines.make_phantom",
        flags=("--output_dir=small_phantom", "--clients=3", "--seed=1", "--image_size=small"),
        output="small_phantom",
        forks=False,
    ),
    Program(
        **_step("patches"),
        output="patches",
        inputs=("phantom",),
        victims=("phantom/IMAGES/*/*/*.dcm",),
        listed="patches/.spill",
        tells_time=("metrics.json",),
        forks=False,
    ),
    Program(
        # One phase: tests/gan/test_kills.py kills in every one.
        **_step("gan/mass", *_THREADS, "--grow=false", "--half_steps=0", "--full_steps=3"),
        output="gan/mass",
        inputs=("patches",),
        victims=("patches/train/malignant_mass-*", "patches/train/normal-*"),
    ),
    Program(
        **_step("synthetic/mass"),
        output="synthetic/mass",
        inputs=("gan/mass", "patches"),
        victims=("gan/mass/generator/variables/variables.data-*", "patches/train/source-*"),
    ),
    Program(
        **_step("classifier/baseline", *_THREADS),
        output="classifier/baseline",
        inputs=("patches",),
        victims=("patches/train/normal-*", "patches/validation/malignant_*"),
    ),
    Program(
        name="evaluate",
        module="cgan_tf.evaluate",
        flags=(
            "--classifier=classifier/baseline",
            "--patches_dir=patches",
            "--synthetic_dirs=synthetic/mass",
            "--output_dir=evaluation/baseline",
        ),
        output="evaluation/baseline",
        inputs=("classifier/baseline", "patches", "synthetic/mass"),
        victims=("classifier/baseline/best.weights.h5", "patches/test/normal-*"),
    ),
    Program(
        name="quality",
        module="cgan_tf.quality",
        flags=(
            "--patches_dir=patches",
            "--synthetic_dirs=synthetic/mass",
            "--classifier=evaluation/baseline",
            "--generators=gan/mass/generator",
            "--output_dir=quality",
            "--splits=1",
            "--draws=2",
        ),
        output="quality",
        inputs=("patches", "synthetic/mass", "evaluation/baseline", "gan/mass"),
        victims=("synthetic/mass/train/*.tfrecord", "patches/test/malignant_mass-*"),
    ),
    Program(
        name="report",
        module="cgan_tf.report",
        flags=(
            "--evaluations=evaluation/baseline",
            "--patches_dir=patches",
            "--synthetic_dirs=synthetic/mass",
            "--gan_dirs=gan/mass",
            "--quality_dir=quality",
            "--output=report/report.html",
        ),
        output="report",
        inputs=("evaluation/baseline", "patches", "synthetic/mass", "gan/mass", "quality"),
        victims=("evaluation/baseline/scores.csv", "evaluation/baseline/features.npz"),
    ),
    Program(
        name="insert_lesions",
        module="beam_pipelines.insert_lesions",
        flags=(
            "--generator=gan/mass/generator",
            "--input_dir=phantom",
            "--output_dir=insertions",
            "--images=4",
            "--threshold=0",
            "--min_area_fraction=0.01",
            "--min_tissue=0.5",
        ),
        output="insertions",
        inputs=("gan/mass", "phantom"),
        victims=("gan/mass/generator/variables/variables.data-*",),
        tells_time=("metrics.json",),
        forks=False,
    ),
    Program(
        name="predict_images",
        module="beam_pipelines.predict_images",
        flags=(
            "--classifier=classifier/baseline",
            "--input_dir=phantom",
            "--patches_dir=patches",
            "--output_dir=predictions",
            "--images=4",
            "--overlays=2",
            "--stride=128",
        ),
        output="predictions",
        inputs=("classifier/baseline", "phantom", "patches"),
        victims=("classifier/baseline/best.weights.h5",),
        tells_time=("metrics.json",),
        forks=False,
    ),
    Program(
        name="experiment",
        module="cgan_tf.experiment",
        flags=(
            "--patches_dir=patches",
            "--synthetic_dirs=synthetic/mass",
            "--output_dir=experiment",
            "--seeds=1,2",
            "--synthetic_fractions=0",
            "--precision=float32",
            "--parallel=1",
            *_THREADS,
            *CLASSIFIER,
        ),
        output="experiment",
        inputs=("patches", "synthetic/mass"),
        victims=("patches/test/normal-*", "synthetic/mass/train/*.tfrecord"),
        forks=False,
    ),
)
DISTURBED = CHAIN[1:]
BY_NAME = {program.name: program for program in CHAIN}
