"""Help and refused commands answer at once: heavy imports wait until the flags are parsed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("numpy", "scipy", "sklearn", "pandas", "matplotlib", "cv2"),
    *("tensorflow", "keras", "apache_beam", "pydicom", "tensorboard", "google"),
}
PROGRAMS = sorted(
    f"{path.parent.name}.{path.stem}"
    for package in ("cgan_tf", "beam_pipelines")
    for path in (ROOT / package).glob("*.py")
    if "run_program(" in path.read_text() and path.stem != "flags"
)


def imported(*arguments: str) -> tuple[set[str], int]:
    """Top-level packages that a Python command imports, and its exit code."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.split("|")[2].strip().partition(".")[0] for line in lines}, done.returncode


def test_every_program_is_looked_at():
    assert {"cgan_tf.train_gan", "cgan_tf.report", "beam_pipelines.make_patches"} <= set(PROGRAMS)
    assert len(PROGRAMS) >= 14


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy(program):
    packages, code = imported("-m", program, "--help")
    assert code == 0
    assert {"absl", "cgan_tf"} <= packages
    assert packages & HEAVY == set()


def test_a_wrong_flag_imports_nothing_heavy():
    packages, code = imported("-m", "cgan_tf.train_gan", "--no_such_flag")
    assert code == 2
    assert packages & HEAVY == set()


def test_a_heavy_import_is_seen():
    packages, code = imported("-c", "import cgan_tf.config, numpy")
    assert code == 0
    assert packages & HEAVY == {"numpy"}
