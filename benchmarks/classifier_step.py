"""What the classifier's training loop costs beside its network: at most 5% of a step.

python -m benchmarks.classifier_step [--size=256] [--batch_size=1] [--rounds=6] [--steps=5]

Times training steps as train_classifier takes them (patches read and decoded from shards, mixed by
the plan, counted, shown on the bar) against Keras' `train_on_batch` of the same network and
optimizer on one batch in memory, without XLA, which is slower on processors. The two take turns in
one process; medians are compared.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cgan_tf import progress
from cgan_tf.config import ClassifierConfig

LARGEST_RATIO = 1.05


def main() -> None:
    """Prints the medians and their ratio; exit code 1 when it is too large."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("size", 256), ("batch_size", 1), ("rounds", 6), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    progress.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as root:
        ours, keras_own = measure(Path(root), arguments)
    print(f"step of train_classifier   {1000 * ours:8.1f} ms")
    print(f"train_on_batch in memory   {1000 * keras_own:8.1f} ms")
    print(f"ratio                      {ours / keras_own:8.3f}  (at most {LARGEST_RATIO})")
    raise SystemExit(ours > LARGEST_RATIO * keras_own)


def measure(root: Path, arguments: argparse.Namespace) -> tuple[float, float]:
    """Median seconds of one step: of the training loop, of train_on_batch."""
    from cgan_tf.classifier_training import open_training
    from tests.toy_patches import write_toy_patches

    config = ClassifierConfig(
        patches_dir=str(write_toy_patches(root / "patches", arguments.size, per_class=12)),
        workdir=str(root / "run"),
        weights="none",
        samples=2 * arguments.batch_size * (arguments.rounds + 1) * arguments.steps,
        batch_size=arguments.batch_size,
        precision=arguments.precision,
    )
    takes = (loop_step(open_training(config)), keras_step(config))
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(arguments.rounds + 1):
        for take, times in zip(takes, seconds, strict=True):
            for _ in range(arguments.steps):
                started = time.perf_counter()
                take()
                if number:  # the first round traces the graphs and fills the pipeline
                    times.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def loop_step(training) -> Callable[[], None]:
    """One turn of the training loop, its input pipeline and progress bar included."""
    from cgan_tf.classifier_plan import sampling_plan
    from cgan_tf.classifier_sets import schedule_of

    config = training.config
    counts = [len(pool) for pool in training.sets.streams]
    plan = sampling_plan(schedule_of(config), config.samples, counts, config.seed)
    bar = progress.progress_bar(config.samples, "steps", "samples")
    turns = training.steps(plan, bar.update)
    return lambda: (next(turns), float(training.state["loss_sum"]))  # waits for a GPU, too


def keras_step(config: ClassifierConfig) -> Callable[[], None]:
    """Keras' step on one batch that stays in memory."""
    import keras
    import numpy as np

    from cgan_tf.classifier_sets import open_sets
    from cgan_tf.models.fused import FusedAdam
    from cgan_tf.models.resnet import PatchClassifier

    model = PatchClassifier(config.batch_norm, config.precision)
    model.compile(
        FusedAdam(config.learning_rate, config.beta_1, config.beta_2, config.epsilon),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    pool = open_sets(config).validation
    patches = np.stack([pool.pixels(number) for number in range(config.batch_size)])[..., None]
    labels = np.arange(config.batch_size, dtype=np.float32) % 2
    return lambda: model.train_on_batch(patches, labels)


if __name__ == "__main__":
    main()
