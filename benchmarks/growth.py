"""How the cost of each program grows: nothing worse than linear in data.

python -m benchmarks.growth [--rounds=2] [--output_dir=benchmarks/growth]

For each program a few sizes of what it works on, in processor seconds on one thread, the exponent
p of a fit of seconds = c n^p, and one plot a program. Constant parts (TensorFlow's start, a graph's
trace) are outside the clock.
"""

import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import frame
from cgan_tf.config import GanConfig
from cgan_tf.runs import console

OPTIONS = {"rounds": 2, "output_dir": "benchmarks/growth", "size": 64, "data_sizes": 3}
QUICK = {"rounds": 1, "size": 32, "data_sizes": 2, "output_dir": "build/benchmarks/growth"}
MOST = 1.1  # exponent: sorting is a little worse than linear
WHY = {"quality": "overlap compares every pair of up to 2,000 patches"}


@dataclasses.dataclass(frozen=True)
class Growth:
    """Seconds of a program over one kind of size, and why they may grow faster than it."""

    program: str
    over: str
    seconds: Mapping[int, float]
    why: str = ""

    def exponent(self) -> float:
        """p of seconds = c n^p, by least squares of logarithms."""
        import numpy as np

        sizes, seconds = (np.log(list(x)) for x in (self.seconds, self.seconds.values()))
        return float(np.polyfit(sizes, seconds, 1)[0])

    def complaint(self) -> str:
        """What is wrong with the growth, empty when nothing is."""
        if self.exponent() <= MOST:
            return ""
        return ", ".join(filter(None, ("worse than linear", self.why)))


def growths(options: frame.Options) -> Iterator[Growth]:
    """Every measured growth."""
    console.quiet_tensorflow()
    yield from of_data(options)
    yield from of_statistics(options)
    yield from of_synthesis(options)
    yield from of_classifier(options)
    yield from of_gan(options)


def of_data(options: frame.Options) -> Iterator[Growth]:
    """The whole of make_patches, evaluate and quality over what they are given."""
    from benchmarks import growth_of_data

    sizes = (
        ("make_patches", "images", growth_of_data.cut_images, (32, 128, 512)),
        (
            "make_patches",
            "patches of the same images",
            growth_of_data.cut_patches,
            (192, 768, 3072),
        ),
        ("make_patches", "pixels of an image", growth_of_data.cut_pixels, (1024, 2048, 4096)),
        ("evaluate", "patches", growth_of_data.evaluate_patches, (30, 120, 480)),
        ("quality", "patches of a set", growth_of_data.compare_sets, (60, 240, 960)),
    )
    for program, over, works_of, chosen in sizes:
        with tempfile.TemporaryDirectory() as root:
            with contextlib.redirect_stdout(sys.stderr):  # training prints, too
                works = works_of(Path(root), chosen[: options.data_sizes])
            yield Growth(program, over, _seconds(works, options), WHY.get(program, ""))


def of_statistics(options: frame.Options) -> Iterator[Growth]:
    """delong_test over scores: what evaluate and report do with each comparison."""
    from benchmarks.auc_statistics import made_up_scores
    from cgan_tf.statistics.auc import delong_test

    data = {count: made_up_scores(count) for count in (20_000, 80_000, 320_000)}
    works = {count: lambda given=given: delong_test(*given) for count, given in data.items()}
    yield Growth("report", "scores of a comparison", _seconds(works, options))


def of_synthesis(options: frame.Options) -> Iterator[Growth]:
    """The whole of synthesize over patches."""
    from benchmarks import synthesis

    given = frame.Options(size=options.size, count=8, batch_size=8, rounds=options.rounds)
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        works = {}
        for count in (16, 64, 256):
            place = Path(root) / str(count)
            given.count = count
            runs = iter(synthesis.opened_runs(place, given, stack, options.rounds + 1))
            works[count] = lambda runs=runs: next(runs).run()
        yield Growth("synthesize", "patches", _seconds(works, options))


def of_classifier(options: frame.Options) -> Iterator[Growth]:
    """A training step over the batch and over the resolution."""
    from cgan_tf.models.fused import FusedAdam
    from cgan_tf.models.resnet import ResNetClassifier

    model = ResNetClassifier()
    optimizer = FusedAdam(1e-5)
    optimizer.build(model.trainable_variables)
    step = _classifier_step(model, optimizer)
    side = options.size
    works = {n: step(n, side) for n in (4, 8, 16)}
    yield Growth("train_classifier", "batch", _seconds(works, options))
    pixels = {size * size: step(2, size) for size in (side, 2 * side, 4 * side)}
    yield Growth("train_classifier", "pixels of a patch", _seconds(pixels, options))


def _classifier_step(model, optimizer) -> Callable[[int, int], Callable[[], None]]:
    import tensorflow as tf

    from cgan_tf.classifier.training import train_step

    state = {
        name: tf.Variable(0.0, dtype=tf.float64) for name in ("seen", "loss_sum", "loss_count")
    }
    traced = train_step(model, optimizer, state)

    def of(batch: int, side: int) -> Callable[[], None]:
        patches = tf.random.uniform([batch, side, side, 1], -1, 1)
        labels = tf.cast(tf.range(batch) % 2, tf.float32)
        return lambda: (traced(patches, labels), float(state["seen"]))

    return of


def of_gan(options: frame.Options) -> Iterator[Growth]:
    """A training step over batch, pixels and replicas (of one processor: the same work shared)."""
    works = {n: _gan_step(options.size, n) for n in (2, 4, 8)}
    yield Growth("train_gan", "batch", _seconds(works, options))
    pixels = {s * s: _gan_step(s, 2) for s in (options.size, 2 * options.size)}
    yield Growth("train_gan", "pixels of a patch", _seconds(pixels, options))
    replicas = {n: _gan_step(options.size, 4, n) for n in (1, 2, 4)}
    yield Growth("train_gan", "replicas, of one batch", _seconds(replicas, options))


def _gan_step(size: int, batch: int, replicas: int = 1) -> Callable[[], None]:
    """A step in the full phase; the networks keep their widths when the patch grows."""
    import tensorflow as tf

    from cgan_tf.gan.model import ContextualGan

    config = GanConfig(
        task="calcification", size=size, batch_size=batch, discriminator_multiplier=2
    )
    devices = tf.config.list_logical_devices("CPU")[:replicas]
    strategy = (
        # Collective operations know groups of one size in a process.
        tf.distribute.MirroredStrategy(
            [device.name for device in devices], tf.distribute.ReductionToOneDevice()
        )
        if replicas > 1
        else tf.distribute.get_strategy()
    )
    with strategy.scope():
        gan = ContextualGan(config)
    gan.phase = "full"
    patch = tf.random.uniform([batch // replicas, size, size, 1], -1, 1)
    roles = dict.fromkeys(("real", "source", "benign", "normal"), patch)
    share = {**roles, "task": tf.zeros([batch // replicas], tf.int64)}
    data = strategy.experimental_distribute_values_from_function(lambda _: share)
    step = tf.function(lambda batch: strategy.run(gan.train_step, args=(batch,))["alpha"])
    steps = strategy.experimental_local_results
    return lambda: (step(data), [int(done) for done in steps(gan.step)])


def _seconds(works: Mapping[int, Callable], options: frame.Options) -> dict[int, float]:
    """The least processor seconds of each size: what disturbs can only add."""
    named = {str(size): work for size, work in works.items()}
    seconds = frame.take_turns(named, options.rounds, clock=time.process_time)
    return {int(size): min(values) for size, values in seconds.items()}


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """A case for each growth; the plots are drawn at the end."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    found: dict[str, list[Growth]] = {}
    for growth in growths(options):
        found.setdefault(growth.program, []).append(growth)
        sizes, exponent = list(growth.seconds), growth.exponent()
        points = ", ".join(f"{n:,}: {1000 * s:.3g} ms" for n, s in growth.seconds.items())
        yield frame.Case(
            f"{growth.program} over {growth.over}, from {sizes[0]:,} to {sizes[-1]:,}",
            {frame.OURS: [growth.seconds[sizes[-1]]]},
            missed_because=growth.complaint(),
            note=f"{growth.program} over {growth.over}: exponent {exponent:.2f} ({points})",
        )
    for program, several in found.items():
        plot(Path(options.output_dir) / f"{program}.png", program, several)


def plot(path: Path, program: str, several: list[Growth]) -> None:
    """One picture: seconds over size, both relative to the smallest, and the line of n."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(4, 3), layout="constrained")
    for growth in several:
        sizes, seconds = list(growth.seconds), list(growth.seconds.values())
        label = f"{growth.over}: n^{growth.exponent():.2f}"
        axes.loglog(
            [n / sizes[0] for n in sizes], [s / seconds[0] for s in seconds], "o-", label=label
        )
    ends = axes.get_xlim()
    axes.loglog(ends, ends, ":", color="grey", label="linear")
    axes.set(title=program, xlabel="size, the smallest = 1", ylabel="time, the smallest = 1")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
