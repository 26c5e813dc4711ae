"""One training step of the GAN at the paper's size, batch 1, against plain Keras and eager PyTorch.

python -m benchmarks.gan_step [--size=256] [--batch_size=1] [--rounds=2] [--threads=1]

The step of masses (one discriminator update with its penalty, two generator updates) in the half
phase (128 px) and the full one (256 px). The bound is the time of the step's own convolutions, each
forward, input-gradient and filter-gradient operation as TensorFlow's own, back to back. PyTorch
takes part where it is installed. In processor seconds on one thread, which a busy machine changes
little. Beside each case stands how fast the thread multiplies large matrices: nothing that computes
all of the step's convolutions can be much faster than that.
"""

import gc
import importlib.util
import statistics
import time
from collections.abc import Iterator
from unittest import mock

from benchmarks import frame
from cgan_tf.config import GanConfig
from cgan_tf.runs import console

OPTIONS = {
    "size": 256,
    "batch_size": 1,
    "rounds": 2,
    "multiplier": 8,
    "threads": 1,
    "phases": "half,full",
    "precisions": "float32,mixed_bfloat16",
}
QUICK = {"size": 64, "rounds": 2, "multiplier": 2}
BOUND, KERAS, TORCH = "its convolutions alone", "plain Keras", "eager PyTorch"
SMALLEST_SHARE = {"float32": 0.85, "mixed_bfloat16": 0.65}  # of the bound, at the full size
ROLES = ("real", "source", "benign", "normal")


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """A case for each phase and precision."""
    from cgan_tf.runs.machine import Threads, core_count, set_threads

    console.quiet_tensorflow()
    count = options.threads or core_count()
    set_threads(Threads(count, count))
    for phase in options.phases.split(","):
        for precision in options.precisions.split(","):
            yield case(options, phase, precision, count)
            gc.collect()


def case(options: frame.Options, phase: str, precision: str, threads: int) -> frame.Case:
    """Our step, its bound and the alternatives, in turns."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.gan_shape import GanShape
    from benchmarks.plain_keras_gan import PlainKerasGan

    config = GanConfig(
        size=options.size,
        batch_size=options.batch_size,
        discriminator_multiplier=options.multiplier,
        precision=precision,
    )
    shape = GanShape.of(config, phase)
    rng = np.random.default_rng(0)
    whole, own = (
        {k: rng.uniform(-0.8, 0.8, (config.batch_size, side, side, 1)).astype("f4") for k in ROLES}
        for side in (config.size, shape.side)
    )
    works, flops = our_works(config, phase, {k: tf.constant(v) for k, v in whole.items()})
    keras_gan, tensors = (
        PlainKerasGan(shape, precision),
        {k: tf.constant(v) for k, v in own.items()},
    )
    works[KERAS] = lambda: float(keras_gan.step(tensors))
    if importlib.util.find_spec("torch"):
        works[TORCH] = torch_work(shape, precision, own, threads)
    full = phase == "full" and config.size == GanConfig.size
    promised = {KERAS: 1.0, TORCH: 3.0, BOUND: SMALLEST_SHARE[precision]} if full else {}
    name = f"{shape.side} px, {precision}"
    seconds = frame.take_turns(works, options.rounds, clock=time.process_time)
    rates = rates_note(flops, seconds, matrix_rate(precision))
    return frame.Case(name, seconds, BOUND, promised, note=f"{name}: {rates}")


def rates_note(flops: int, seconds: dict[str, list[float]], fastest: float) -> str:
    """Rates, for what is possible: `fastest` are the operations a second of a matrix product."""
    ours = flops / statistics.median(seconds[frame.OURS])
    note = (
        f"{flops / 1e9:,.0f} GFLOP of convolutions per step, {ours / 1e9:,.0f} GFLOP/s in ours; "
        f"a product of two large matrices reaches {fastest / 1e9:,.0f} GFLOP/s"
    )
    if TORCH not in seconds:
        return note
    torch = flops / statistics.median(seconds[TORCH])
    return f"{note}, {fastest / torch:.2f} times the rate of PyTorch's step"


def matrix_rate(precision: str, side: int = 4096, tries: int = 3) -> float:
    """Floating-point operations a processor second of TensorFlow's matrix product."""
    import tensorflow as tf

    kind = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    matrix = tf.cast(tf.random.uniform([side, side]), kind)

    def seconds() -> float:
        start = time.process_time()
        tf.reduce_sum(tf.matmul(matrix, matrix)).numpy()
        return time.process_time() - start

    return 2 * side**3 / min(seconds() for _ in range(tries))


def our_works(config: GanConfig, phase: str, batch: dict) -> tuple[dict, float]:
    """Our step and its convolutions alone; their floating-point operations."""
    import tensorflow as tf

    from benchmarks.convolutions import back_to_back, convolutions_of
    from cgan_tf.gan.model import ContextualGan
    from cgan_tf.models import layers

    gan = ContextualGan(config)
    gan.phase = phase
    batch = {**batch, "task": tf.zeros([config.batch_size], tf.int64)}
    step = tf.function(gan.train_step)
    # The deepest blocks multiply matrices instead (cgan_tf/models/layers.py): the bound is of
    # the network's convolutions as TensorFlow has them, so that more than 100% of it is possible.
    with mock.patch.object(layers, "convolve", tf.nn.conv2d):
        graph = tf.function(gan.train_step).get_concrete_function(batch).graph
    convolutions = convolutions_of(graph)
    flops = sum(count * convolution.flops() for convolution, count in convolutions.items())
    works = {
        frame.OURS: lambda: float(step(batch)["loss_d"]),
        BOUND: back_to_back(convolutions),
    }
    return works, flops


def torch_work(shape, precision: str, batch: dict, threads: int):
    """PyTorch's step, on the same number of threads."""
    import torch

    from benchmarks.eager_torch_gan import EagerTorchGan

    torch.set_num_threads(threads)
    gan = EagerTorchGan(shape, precision)
    return lambda: gan.step(batch)


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
