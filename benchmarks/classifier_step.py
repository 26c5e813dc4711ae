"""What the classifier's training loop costs beside its network: at most 5% of a step.

python -m benchmarks.classifier_step [--size=256] [--batch_size=1] [--rounds=10]

Times training steps as train_classifier takes them (patches read and decoded from shards, mixed by
the plan, counted, shown on the bar). The bound is Keras' `train_on_batch` of the same network and
optimizer on one batch in memory; the alternative is the same with Keras' own ResNet-50 and Adam as
they come. All without XLA, which is slower on processors.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import frame
from cgan_tf.config import ClassifierConfig
from cgan_tf.runs import console

OPTIONS = {"size": 256, "batch_size": 1, "rounds": 10, "precision": "float32"}
QUICK = {"size": 64, "rounds": 3}
BOUND, PLAIN = "train_on_batch, batch in memory", "Keras' ResNet-50 and Adam, batch in memory"
SMALLEST_SHARE = 1 / 1.05
WARM_UP = 2  # the graphs are traced and the pipeline is full


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """One case: a training step."""
    from cgan_tf.classifier.training import open_training
    from tests.toys.patches import write_toy_patches

    console.quiet_tensorflow()
    with tempfile.TemporaryDirectory() as root:
        patches = write_toy_patches(Path(root) / "patches", options.size, per_class=12)
        config = ClassifierConfig(
            patches_dir=str(patches),
            output_dir=str(Path(root) / "run"),
            weights="none",
            samples=2 * options.batch_size * (options.rounds + WARM_UP),
            batch_size=options.batch_size,
            precision=options.precision,
        )
        works = {
            frame.OURS: loop_step(open_training(config)),
            PLAIN: plain_step(config),
            BOUND: own_step(config),
        }
        yield frame.Case(
            f"ResNet-50, {options.size} px, batch {options.batch_size}, {options.precision}",
            frame.take_turns(works, options.rounds, WARM_UP),
            BOUND,
            {PLAIN: 1.0, BOUND: SMALLEST_SHARE},
        )


def loop_step(training) -> Callable[[], None]:
    """One turn of the training loop, its input pipeline and progress bar included."""
    from cgan_tf.classifier.inputs import schedule_of
    from cgan_tf.classifier.pipeline import sampling_plan

    config = training.config
    counts = [len(pool) for pool in training.sets.streams]
    plan = sampling_plan(schedule_of(config), config.samples, counts, config.seed)
    bar = console.progress_bar(config.samples, "steps", "samples")
    turns = training.steps(plan, bar.update)
    return lambda: (next(turns), float(training.state["loss_sum"]))  # waits for a GPU, too


def own_step(config: ClassifierConfig) -> Callable[[], None]:
    """Our network and optimizer."""
    from cgan_tf.models.fused import FusedAdam
    from cgan_tf.models.resnet import ResNetClassifier

    settings = (config.learning_rate, config.beta_1, config.beta_2, config.epsilon)
    return _step(
        ResNetClassifier(config.batch_norm, config.precision), FusedAdam(*settings), config
    )


def plain_step(config: ClassifierConfig) -> Callable[[], None]:
    """Keras' network, of float32 whatever the precision, and Keras' optimizer."""
    import keras

    from cgan_tf.models.resnet import keras_resnet

    patch = keras.Input((None, None, 1))
    features = keras_resnet()(keras.layers.Concatenate()([patch] * 3))
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    model = keras.Model(patch, keras.layers.Dense(1)(pooled))
    return _step(model, keras.optimizers.Adam(config.learning_rate), config)


def _step(model, optimizer, config: ClassifierConfig) -> Callable[[], None]:
    """train_on_batch of one batch that stays in memory."""
    import keras
    import numpy as np

    from cgan_tf.classifier.inputs import open_sets

    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    pool = open_sets(config).validation
    patches = np.stack([pool.pixels(number) for number in range(config.batch_size)])[..., None]
    labels = np.arange(config.batch_size, dtype=np.float32) % 2
    return lambda: model.train_on_batch(patches, labels)


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
