"""Whether synthesize keeps up with its generator: at least 80% of the patches a second.

python -m benchmarks.synthesis [--size=256] [--count=1024] [--batch_size=32] [--rounds=3]

Times the whole program once TensorFlow and the generator are loaded: patches read, generator,
post-processing, records written, shards made, contact sheet and gallery. The last two take half a
second whatever the count, so that the paper's 5,000 fare a little better than these 1,024.

The bound is the exported generator on patches that are in memory; the alternative is the loop that
one would write: generate, SciPy for the mask, a tf.train.Example, one after the other. The
generator has the paper's widths and no training. Every candidate is accepted, with a lesion that
fills the patch; a real run has less to do, for what is rejected is not written, and the empty part
of a lesion takes no time to compress.
"""

import contextlib
import itertools
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path

from benchmarks import frame
from cgan_tf.config import GanConfig, SynthesisConfig
from cgan_tf.runs import console

OPTIONS = {"size": 256, "count": 1024, "batch_size": 32, "rounds": 3}
QUICK = {"size": 64, "count": 16, "batch_size": 8, "rounds": 2}
BOUND, LOOP = "the bare generator", "a loop with SciPy and tf.train.Example"
SMALLEST_SHARE = 0.8
THRESHOLD = -0.99  # everything is a lesion


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """One case: `count` patches."""
    console.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        runs = opened_runs(Path(root), options, stack, options.rounds)
        own = runs[0].candidates
        for run in runs:  # the first batch of each prepares its graph
            generate_alone(run.candidates, options, options.batch_size)
        unused = iter(runs)
        numbers = itertools.count()
        works = {
            frame.OURS: lambda: next(unused).run(),
            LOOP: lambda: loop(own, options, Path(root) / f"loop_{next(numbers)}.tfrecord"),
            BOUND: lambda: generate_alone(own, options, options.count),
        }
        yield frame.Case(
            f"{options.count} patches of {options.size} px",
            frame.take_turns(works, options.rounds, warm_up=0),
            BOUND,
            {LOOP: 1.0, BOUND: SMALLEST_SHARE},
        )


def opened_runs(
    root: Path, options: frame.Options, stack: contextlib.ExitStack, count: int
) -> list:
    """So many Syntheses, each in a directory of its own."""
    from cgan_tf.data.patch_sets import PatchSet
    from cgan_tf.runs.directory import open_run
    from cgan_tf.synthesis.candidates import Candidates
    from cgan_tf.synthesis.run import Synthesis
    from tests.toys.patches import write_toy_patches

    patches = PatchSet(write_toy_patches(root / "patches", options.size, per_class=16))
    write_generator(root / "generator", options.size, patches)
    runs = []
    for number in range(count):
        config = SynthesisConfig(
            generator=str(root / "generator"),
            patches_dir=str(patches.directory),
            output_dir=str(root / f"set_{number}"),
            count=options.count,
            batch_size=options.batch_size,
            threshold=THRESHOLD,
        )
        run = stack.enter_context(open_run(config.output_dir, "synthesize", config))
        runs.append(Synthesis(config, Candidates(config, patches), run.directory))
    return runs


def generate_alone(own, options: frame.Options, count: int) -> None:
    """`count` lesion channels from patches and scalars that are in memory."""
    import numpy as np

    from cgan_tf.gan.export import generate

    batch, size, width = options.batch_size, own.card.size, own.card.z_width
    images, z = np.zeros((batch, size, size), np.float32), np.zeros((batch, width), np.float32)
    for _ in range(0, count, batch):
        generate(own.generator, own.card, own.task, images, z)


def loop(own, options: frame.Options, path: Path) -> None:
    """The same patches, lesions and masks, without a thread and without our modules."""
    import numpy as np
    import tensorflow as tf

    from cgan_tf.gan.export import generate

    rng = np.random.default_rng(0)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for first in range(0, options.count, options.batch_size):
            numbers = range(first, first + options.batch_size)
            images = np.stack([own.sources.record(n % len(own.sources)).patch for n in numbers])
            z = rng.uniform(-1, 1, (len(images), own.card.z_width)).astype(np.float32)
            channels = generate(own.generator, own.card, own.task, images, z)
            for image, channel in zip(images, channels, strict=True):
                writer.write(_example(image, channel))


def _example(image, channel) -> bytes:
    """One record of the loop: mask by SciPy, three images as 16-bit PNG."""
    import numpy as np
    import tensorflow as tf
    from scipy import ndimage

    labels, count = ndimage.label(channel > THRESHOLD, np.ones((3, 3)))
    areas = ndimage.sum_labels(np.ones_like(channel), labels, range(1, count + 1))
    reach = np.hypot(*np.mgrid[-5:6, -5:6]) <= 5
    largest = ndimage.binary_dilation(labels == 1 + np.argmax(areas), reach)
    mask = ndimage.gaussian_filter(largest.astype(np.float32), 10 * len(image) / 256)
    lesion = mask * channel
    feature = {}
    for name, value in (("patch", image + lesion), ("lesion", lesion), ("mask", 2 * mask - 1)):
        grey = np.round((np.clip(value, -1, 1) + 1) / 2 * 65535).astype(np.uint16)
        png = tf.io.encode_png(grey[..., None]).numpy()
        feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[png]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_generator(directory: Path, size: int, patches) -> None:
    """Exports a generator of the paper's widths with random lesions."""
    import numpy as np
    import tensorflow as tf

    from cgan_tf.gan.export import export_generator
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
    frame.main(__doc__, cases, OPTIONS, QUICK)
