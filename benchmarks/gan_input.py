"""Whether a GAN iteration waits for its patches: at most 3% of the iteration, as a share.

python -m benchmarks.gan_input [--size=64] [--batch_size=16] [--iterations=20]

Trains on fabricated patches and times, in one loop, how long `next` on the input waits and how long
the whole iteration takes. Beside it, what a batch costs when nothing overlaps with it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from cgan_tf import progress
from cgan_tf.config import GanConfig

LARGEST_SHARE = 0.03


def main() -> None:
    """Prints the shares; exit code 1 when the wait is too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 64), ("batch_size", 16), ("iterations", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    progress.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as root:
        wait, iteration, batch = measure(Path(root), arguments)
    print(f"waiting for patches   {wait / iteration:6.2%} of an iteration of {iteration:.3f} s")
    print(f"a batch on its own    {batch / iteration:6.2%}")
    raise SystemExit(wait > LARGEST_SHARE * iteration)


def measure(root: Path, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds: median wait in an iteration, median iteration, mean batch made on its own."""
    from cgan_tf.gan_data import distributed_batches, training_batches
    from cgan_tf.gan_training import Training
    from cgan_tf.patch_sets import PatchSet
    from tests.toy_patches import write_toy_patches

    config = GanConfig(
        task="calcification",
        size=arguments.size,
        batch_size=arguments.batch_size,
        half_steps=0,
        fade_in_steps=0,
        patches_dir=str(write_toy_patches(root / "patches", arguments.size, per_class=64)),
        workdir=str(root / "run"),
        discriminator_multiplier=4,
    )
    patches = PatchSet(config.patches_dir)
    training = Training(config, patches, root / "run")
    training.model.phase = "full"
    step = training._compile_step()
    batches = iter(distributed_batches(training.strategy, config, patches, 0))
    float(step(next(batches))["loss_d"])  # traced, and the pipeline is full
    waits, iterations = [], []
    for _ in range(arguments.iterations):
        started = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - started)
        float(step(batch)["loss_d"])
        iterations.append(time.perf_counter() - started)
    alone = iter(training_batches(config, patches, 0))
    for _ in range(4):  # what was fetched ahead of time
        next(alone)
    started = time.perf_counter()
    for _ in range(arguments.iterations):
        next(alone)
    each = (time.perf_counter() - started) / arguments.iterations
    return statistics.median(waits), statistics.median(iterations), each


if __name__ == "__main__":
    main()
