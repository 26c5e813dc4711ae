"""Whether synthesize keeps up with its generator: at least 80% of the patches a second.

python -m benchmarks.synthesis [--size=256] [--count=512] [--batch_size=32] [--rounds=3]

Times the whole program (patches read, generator, post-processing, records written, shards made,
contact sheet and gallery, which take a second or two whatever the count; the paper's is 5,000)
against the exported generator on patches that are in memory, turn about in one process; medians are
compared. The generator has the paper's widths and no training. Every candidate is accepted: what
is rejected is not written, so that a real run has less to do.
"""

import argparse
import statistics
import tempfile
import time
import types
from pathlib import Path

from cgan_tf import progress
from cgan_tf.config import GanConfig, SynthesisConfig

SMALLEST_RATIO = 0.8


def main() -> None:
    """Prints both rates and their ratio; exit code 1 when it is too small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 256), ("count", 512), ("batch_size", 32), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    progress.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as root:
        program, bare = measure(Path(root), arguments)
    print(f"synthesize          {arguments.count / program:8.1f} patches a second")
    print(f"the bare generator  {arguments.count / bare:8.1f}")
    print(f"ratio               {bare / program:8.3f}  (at least {SMALLEST_RATIO})")
    raise SystemExit(bare < SMALLEST_RATIO * program)


def measure(root: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Median seconds for `count` patches: of the program, of the generator."""
    from cgan_tf.patch_sets import PatchSet
    from cgan_tf.run_directory import open_run
    from cgan_tf.synthesis import Synthesis
    from tests.toy_patches import write_toy_patches

    patches = PatchSet(write_toy_patches(root / "patches", arguments.size, per_class=16))
    write_generator(root / "generator", arguments.size, patches)
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(arguments.rounds):
        config = SynthesisConfig(
            generator=str(root / "generator"),
            patches_dir=str(patches.directory),
            output_dir=str(root / f"set_{number}"),
            count=arguments.count,
            batch_size=arguments.batch_size,
            threshold=-0.99,
        )
        with open_run(config.output_dir, "synthesize", config) as run:
            synthesis = Synthesis(config, patches, run.directory)
            generate_alone(synthesis, arguments.batch_size)  # traced
            for work, times in zip(
                (synthesis.run, lambda s=synthesis: generate_alone(s, arguments.count)),
                seconds,
                strict=True,
            ):
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def generate_alone(synthesis, count: int) -> None:
    """`count` lesion channels from patches and scalars that are in memory."""
    import numpy as np

    from cgan_tf.export import generate

    own, batch = synthesis.candidates, synthesis.config.batch_size
    size, width = own.card["size"], own.card["z_width"]
    images, z = np.zeros((batch, size, size), np.float32), np.zeros((batch, width), np.float32)
    for _ in range(0, count, batch):
        generate(own.generator, own.card, own.task, images, z)


def write_generator(directory: Path, size: int, patches) -> None:
    """Exports a generator of the paper's widths with random lesions."""
    import numpy as np
    import tensorflow as tf

    from cgan_tf.export import export_generator
    from cgan_tf.models.generator import Generator, scalar_count

    config = GanConfig(size=size, patches_dir=str(patches.directory))
    network = Generator(config)
    for phase, side in (("half", size // 2), ("full", size)):
        network(tf.zeros([1, side, side, 1]), tf.zeros([1, scalar_count(size)]), phase=phase)
    kernel = network.full_head.kernel
    kernel.assign(np.random.default_rng(0).normal(0, 1, kernel.shape))
    model = types.SimpleNamespace(averaged=network, step=tf.constant(0))
    export_generator(model, config, directory)


if __name__ == "__main__":
    main()
