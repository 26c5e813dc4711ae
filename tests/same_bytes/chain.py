"""Every program of the project once, at tiny size, with one thread.

The programs are known by their command lines alone, so that the chain runs wherever their modules
lie, before a move and after it.
"""

import importlib
import os
import resource
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.forks import ROOT, OwnForks

GAN = (
    "--patches_dir=patches", "--size=32", "--generator_filters=4", "--discriminator_multiplier=1",
    "--bottleneck_filters=16", "--batch_size=4", "--learning_rate=1e-3", "--log_every=1",
    "--grid_every=4", "--checkpoint_minutes=1000", "--intra_op_threads=1", "--inter_op_threads=1",
)  # fmt: skip
# 12 steps. What a GAN costs is the tracing of its graphs, one a phase.
THREE_PHASES = ("--half_steps=4", "--fade_in_steps=4", "--full_steps=4")
ONE_PHASE = ("--grow=false", "--full_steps=12")
# An untrained generator draws faintly: everything above zero counts, and hardly any size is asked.
LESIONS = ("--threshold=0", "--min_area_fraction=0.01")
SYNTHESIS = ("--patches_dir=patches", "--count=8", "--batch_size=8", *LESIONS)
SYNTHETIC = "synthetic/mass,synthetic/calcification,synthetic/removal"
CLASSIFIER = (
    "--patches_dir=patches", "--weights=none", "--batch_norm=batch", "--batch_size=8",
    "--samples=96", "--validate_every=48", "--learning_rate=1e-3", "--checkpoint_minutes=1000",
    "--intra_op_threads=1", "--inter_op_threads=1",
)  # fmt: skip
EVALUATION = ("--patches_dir=patches", f"--synthetic_dirs={SYNTHETIC}", "--grad_cams=4")
INSERTION = ("--input_dir=phantom", "--images=3", "--min_tissue=0.5", *LESIONS)
BEAM = "--beam=--runner=FnApiRunner"
# These seeds of phantom and patches put every class into the training split; so few women cannot
# give every class to the other splits, hence --allow_shortfall.
PATCHES = (
    "--input_dir=phantom", "--seed=13", "--size=32", "--resample_spacing_mm=0.8",
    "--max_offset=96", "--allow_shortfall", "--train_normal=24", "--train_malignant_mass=16",
    "--train_benign_mass=8", "--train_malignant_calcification=16",
    "--train_benign_calcification=8", "--train_source=16", "--eval_normal=12",
    "--eval_malignant_mass=6", "--eval_malignant_calcification=6", BEAM,
)  # fmt: skip


def _gan(name: str, *flags: str) -> tuple[str, ...]:
    return ("cgan_tf.train_gan", *flags, *GAN, f"--workdir=gan/{name}")


def _synthesis(name: str, generator: str, *flags: str) -> tuple[str, ...]:
    output = f"--output_dir=synthetic/{name}"
    return (
        "cgan_tf.synthesize",
        f"--generator=generators/{generator}",
        output,
        *SYNTHESIS,
        *flags,
    )


Programs = tuple[tuple[str, ...], ...]  # (module, flag, flag, ...) each
TRAINING: Programs = (
    ("beam_pipelines.make_phantom", "--output_dir=phantom", "--clients=16", "--seed=42",
     "--image_size=small", "--workers=1"),
    ("beam_pipelines.make_patches", "--list_only", "--output_dir=listing", *PATCHES),
    ("beam_pipelines.make_patches", "--output_dir=patches", *PATCHES),
    ("beam_pipelines.make_patches", "--source=folder", "--input_dir=phantom",
     "--output_dir=folder_patches", "--size=32", "--reduction=4", "--folder_patches=24",
     "--all_in_split=test", "--image_sampling=random", BEAM),
    ("cgan_tf.show_patches", "--patches_dir=patches", "--output_dir=sheets"),
    _gan("mass", "--task=mass", *THREE_PHASES),
    _gan("conditional", "--conditional", *ONE_PHASE),
    _gan("calcification", "--task=calcification", "--mode_seeking_weight=0.01", *ONE_PHASE),
    _gan("removal", "--task=removal", "--discriminator_input=triplet", "--discriminator_noise",
         "--penalty_noise=uniform", "--penalty_logit=real_minus_fake",
         "--spectral_norm=discriminator", "--attention_size=-1", *ONE_PHASE),
)  # fmt: skip
# These read copies of the base's generators, in the head too. The checksum of a generator, which
# is in every synthetic record and in UIDs, differs from run to run: Keras numbers the variables of
# an export in any order. The head's own generators are compared by their weights and by what they
# compute.
USE: Programs = (
    ("cgan_tf.plot_curves", "--runs=gan/mass,gan/removal", "--output=curves/curves.png"),
    _synthesis("mass", "mass"),
    _synthesis("calcification", "calcification"),
    _synthesis("removal", "removal"),
    _synthesis("conditional", "conditional", "--task=calcification"),
    ("cgan_tf.train_classifier", "--workdir=classifier/baseline", *CLASSIFIER),
    ("cgan_tf.train_classifier", "--workdir=classifier/mixed", *CLASSIFIER,
     f"--synthetic_dirs={SYNTHETIC}", "--synthetic_fraction=0.5"),
    ("cgan_tf.evaluate", "--classifier=classifier/baseline", "--output_dir=evaluation/baseline",
     *EVALUATION),
    ("cgan_tf.evaluate", "--classifier=classifier/mixed", "--output_dir=evaluation/mixed",
     *EVALUATION),
    ("cgan_tf.quality", "--real=patches", f"--synthetic={SYNTHETIC}", "--splits=1", "--draws=2",
     "--classifier=evaluation/baseline", "--generators=generators/mass",
     "--output_dir=quality"),
    ("cgan_tf.measure_diversity", "--generator=generators/mass", "--patches_dir=patches",
     "--output_dir=diversity", "--draws=4", "--patches=4", "--threshold=0"),
    ("beam_pipelines.insert_lesions", "--generator=generators/mass", "--output_dir=inserted",
     "--lesions_per_image=2", "--places=row", *INSERTION),
    ("beam_pipelines.insert_lesions", "--generator=generators/removal", "--output_dir=removed",
     *INSERTION),
    ("cgan_tf.export_onnx", "--generator=generators/mass", "--output=onnx/mass.onnx"),
    ("cgan_tf.report", "--evaluations=evaluation/baseline,evaluation/mixed",
     "--patches_dir=patches", f"--synthetic_dirs={SYNTHETIC}", "--gan_dirs=gan/mass,gan/removal",
     "--quality_dir=quality", "--insertion_dirs=inserted,removed", "--output=report/report.html"),
)  # fmt: skip
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "SOURCE_DATE_EPOCH": "0",  # the date in PDF files
    # Intel's library in OpenCV rounds differently where an array lies elsewhere in memory.
    "OPENCV_IPP": "disabled",
}


# Forks have these; importing them takes longer than most of what the programs do.
PRELOADED = (
    *("tensorflow", "keras", "h5py", "cv2", "scipy.stats", "scipy.ndimage", "sklearn.manifold"),
    *("sklearn.metrics", "sklearn.neighbors", "matplotlib.backends.backend_agg"),
)
_WITH_PROCESSES = "beam_pipelines."  # programs with processes or a server of their own never fork


def run_chain(tree: Path, directory: Path, base: Path | None = None) -> None:
    """Runs the programs of the source tree `tree` in `directory`, in a process with one thread.

    With `base`, outputs of an earlier call, its generators are used in place of the own ones.

    Raises `subprocess.CalledProcessError` when one has failed and said why.
    """
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    subprocess.run(
        [sys.executable, "-m", __name__, str(tree), str(directory), str(base or directory)],
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": path}, check=True,
    )  # fmt: skip


def run_program(tree: str, module: str, *flags: str) -> None:
    """Runs a module of the tree as a program, in this process."""
    sys.path.insert(0, tree)
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(tree: str, directory: str, base: str) -> None:
    """Runs the chain; exits at the first program that fails, with what it printed."""
    _preload()
    for folder in ("curves", "onnx", "report"):  # for programs that write one file
        Path(directory, folder).mkdir(exist_ok=True)
    forks = OwnForks()
    for program in TRAINING:
        _run(forks, tree, directory, *program)
    for generator in Path(base, "gan").glob("*/generator"):
        shutil.copytree(generator, Path(directory, "generators", generator.parent.name))
    for program in USE:
        _run(forks, tree, directory, *program)


def _preload() -> None:
    """Imports what forks have, without TensorFlow's words about the machine."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    for name in PRELOADED:
        importlib.import_module(name)
    os.dup2(kept, 2)


def _run(forks: OwnForks, tree: str, directory: str, module: str, *flags: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.NamedTemporaryFile() as log:
        code = _exit_code(forks, tree, directory, log.name, module, *flags)
        if code:
            text = Path(log.name).read_text(errors="replace")
            sys.exit(f"{module} {' '.join(flags)}\nended with exit code {code}:\n{text}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"  {sum(after[:2]) - sum(before[:2]):5.1f} s of a core: {module}", flush=True)


def _exit_code(
    forks: OwnForks, tree: str, directory: str, log: str, module: str, *flags: str
) -> int:
    """The exit code of a program whose output goes to the file `log`."""
    if module.startswith(_WITH_PROCESSES):
        with open(log, "wb") as file:
            return subprocess.run(
                [sys.executable, "-m", module, *flags], cwd=directory, stdout=file,
                stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": tree},
            ).returncode  # fmt: skip
    fork = forks.start(
        {
            "module": __name__, "function": "run_program", "arguments": (tree, module, *flags),
            "directory": directory, "environment": {}, "err": log,
        }
    )  # fmt: skip
    while (code := forks.poll(fork)) is None:
        time.sleep(0.05)
    return code


if __name__ == "__main__":
    main(*sys.argv[1:])
