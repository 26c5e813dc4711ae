"""Memory of a training iteration at the paper's size and a batch of one: at most 6 GB.

python -m benchmarks.gan_memory [--size=256] [--batch_size=1] [--iterations=2]

Trains the mass GAN, two generator updates an iteration, on fabricated patches, each phase in a
process of its own, and prints the peak of resident memory; exit code 1 when one is above the limit.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from cgan_tf.config import GanConfig
from cgan_tf.runs import console

MOST_GIGABYTES = 6.0
PHASES = ("half", "fade", "full")


def main() -> None:
    """Prints a line a phase."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 256), ("batch_size", 1), ("iterations", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--phase", choices=PHASES, help="in this process, for itself")
    arguments = parser.parse_args()
    if arguments.phase:
        train(arguments)
        print(f"{arguments.phase:<5}{_peak():>6.2f} GB  (at most {MOST_GIGABYTES:.0f})", flush=True)
        raise SystemExit(_peak() > MOST_GIGABYTES)
    command = [sys.executable, "-m", "benchmarks.gan_memory", *sys.argv[1:]]
    codes = [
        subprocess.run([*command, f"--phase={phase}"], check=False).returncode for phase in PHASES
    ]
    raise SystemExit(any(codes))


def train(arguments: argparse.Namespace) -> None:
    """Iterations of one phase, as train_gan runs them."""
    console.quiet_tensorflow()
    from cgan_tf.data.patch_sets import PatchSet
    from cgan_tf.gan.data import distributed_batches
    from cgan_tf.gan.training import Training
    from tests.toys.patches import write_toy_patches

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        config = GanConfig(
            task="mass",
            size=arguments.size,
            batch_size=arguments.batch_size,
            precision=arguments.precision,
            patches_dir=str(write_toy_patches(root / "patches", arguments.size, per_class=4)),
            output_dir=str(root / "run"),
        )
        patches = PatchSet(config.patches_dir)
        training = Training(config, patches, root / "run")
        training.model.phase = arguments.phase
        step = training._compile_step()
        batches = iter(distributed_batches(training.strategy, config, patches, 0))
        for _ in range(arguments.iterations):
            float(step(next(batches))["loss_g"])


def _peak() -> float:
    """GB of resident memory, at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
