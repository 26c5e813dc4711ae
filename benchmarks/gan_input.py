"""Whether a GAN iteration waits for its patches: at most 3% of the iteration.

python -m benchmarks.gan_input [--size=64] [--batch_size=16] [--rounds=15]

Trains on fabricated patches. The bound is the step on a batch that stays in memory; the alternative
is what tf.data's guide shows: TFRecords parsed by TensorFlow, shuffled in a buffer, one data set a
class.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import frame
from cgan_tf.config import GanConfig
from cgan_tf.runs import console

OPTIONS = {"size": 64, "batch_size": 16, "rounds": 15}
QUICK = {"size": 32, "batch_size": 4, "rounds": 5}
BOUND, TF_DATA = "the step, batch in memory", "tf.data with a shuffle buffer"
SMALLEST_SHARE = 0.97


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """One case: an iteration with its input."""
    console.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as root:
        training, patches = open_training(Path(root), options)
        step, ours = training._compile_step(), our_batches(training, patches)
        plain, kept = plain_batches(training.config, patches), next(ours)

        def iteration(batch) -> float:
            return float(step(batch)["loss_d"])  # waits for it

        works = {
            frame.OURS: lambda: iteration(next(ours)),
            TF_DATA: lambda: iteration(next(plain)),
            BOUND: lambda: iteration(kept),
        }
        yield frame.Case(
            f"batch {options.batch_size}, {options.size} px",
            frame.take_turns(works, options.rounds),
            BOUND,
            {BOUND: SMALLEST_SHARE},
        )


def open_training(root: Path, options: frame.Options):
    """A training in its full phase, and its patches."""
    from cgan_tf.data.patch_sets import PatchSet
    from cgan_tf.gan.training import Training
    from tests.toys.patches import write_toy_patches

    config = GanConfig(
        task="calcification",
        size=options.size,
        batch_size=options.batch_size,
        half_steps=0,
        fade_in_steps=0,
        patches_dir=str(write_toy_patches(root / "patches", options.size, per_class=64)),
        output_dir=str(root / "run"),
        discriminator_multiplier=4,
    )
    patches = PatchSet(config.patches_dir)
    training = Training(config, patches, root / "run")
    training.model.phase = "full"
    return training, patches


def our_batches(training, patches) -> Iterator:
    """The input of train_gan."""
    from cgan_tf.gan.data import distributed_batches

    return iter(distributed_batches(training.strategy, training.config, patches, 0))


def plain_batches(config: GanConfig, patches) -> Iterator:
    """The same classes by tf.data alone."""
    import tensorflow as tf

    from cgan_tf.gan.data import CLASSES
    from cgan_tf.labels import TASKS

    def pixels(serialised):
        png = tf.io.parse_single_example(
            serialised, {"patch": tf.io.FixedLenFeature([], tf.string)}
        )
        grey = tf.io.decode_png(png["patch"], channels=1, dtype=tf.uint16)
        grey = tf.ensure_shape(grey, [config.size, config.size, 1])
        return tf.cast(grey, tf.float32) / 32767.5 - 1.0

    def of_class(name: str) -> tf.data.Dataset:
        files = sorted(str(path) for path in patches.directory.glob(f"train/{name}-*"))
        records = tf.data.TFRecordDataset(files).shuffle(1000).repeat()
        return records.map(pixels, tf.data.AUTOTUNE).batch(config.batch_size, drop_remainder=True)

    batches = {role: of_class(names[0]) for role, names in CLASSES[config.task].items()}
    places = tf.fill([config.batch_size], tf.constant(TASKS.index(config.task), tf.int64))
    batches["task"] = tf.data.Dataset.from_tensors(places).repeat()
    return iter(tf.data.Dataset.zip(batches).prefetch(tf.data.AUTOTUNE))


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
