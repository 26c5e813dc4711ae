"""What a training shows: metrics.csv, TensorBoard, image grids, and the layers of --dry_run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan.data import task_streams
from cgan_tf.labels import TASKS
from cgan_tf.models.discriminator import Discriminator, discriminator_scalars
from cgan_tf.models.generator import Generator, combine, condition_of, z_width
from cgan_tf.models.layers import double, halve, record_layers
from cgan_tf.pages.patches import patch_levels
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.training import MetricsTable, summary_writer

GRID_COLUMNS = 8
# TensorBoard shows what is before the stroke as a section.
SECTIONS = {
    "ce": "cross-entropy",
    "gradient": "gradient norms",
    "lesion": "lesions",
    "loss": "losses",
    "mode": "losses",
    "p": "probabilities",
    "penalty": "losses",
    "sigma": "largest sigma",
}
GRID_TAG = "rows: input, lesion and sum for two z, real lesions"


class GanLog:
    """Collects the metrics of each step and writes their means every --log_every steps."""

    def __init__(
        self,
        config: GanConfig,
        patches: PatchSet,
        directory: Path,
        start_step: int,
        pending: Sequence[Mapping[str, float]] = (),
    ):
        """`pending`: metrics since the last row, of the run that `start_step` goes on from."""
        self.config, self.directory = config, directory
        self.table = MetricsTable(directory / "metrics.csv", start_step, line_end="\r\n")
        self.writer = summary_writer(directory, start_step, config)
        (directory / "grids").mkdir(exist_ok=True)
        self.pending: list[Mapping[str, tf.Tensor | float]] = list(pending)
        self.timed_from: tuple[int, float] | None = None  # step, seconds of a clock
        indexes = list(task_streams(config, patches).values())
        self.inputs = _spread([index["source"] for index in indexes])
        self.real = _spread([index["real"] for index in indexes])
        turns = [TASKS.index(task) for task in config.tasks()]
        self.task = tf.constant(np.resize(turns, GRID_COLUMNS))  # of each column
        z = np.random.Generator(np.random.Philox(key=config.seed))
        shape = (2, GRID_COLUMNS, z_width(config))
        self.z = z.uniform(-1, 1, shape).astype(np.float32)

    def add(self, step: int, phase: str, metrics: dict[str, tf.Tensor], model) -> None:
        """Takes the metrics of the iteration that made `step` iterations complete."""
        self.pending.append(metrics)
        if self.timed_from is None:  # what comes before is the making of the graph
            self.timed_from = step, time.monotonic()
        if step % self.config.log_every == 0:
            self._write_metrics(step, phase)
        if step % self.config.grid_every == 0:
            self.add_grid(step, model, phase)

    def pending_values(self) -> list[dict[str, float]]:
        """The metrics that no row holds yet, for the checkpoint."""
        return [{name: float(value) for name, value in m.items()} for m in self.pending]

    def _write_metrics(self, step: int, phase: str) -> None:
        means = {
            name: float(np.mean([float(m[name]) for m in self.pending]))
            for name in self.pending[-1]
        }
        self.pending = []
        if not all(np.isfinite(list(means.values()))):
            wrong = ", ".join(name for name, value in means.items() if not np.isfinite(value))
            raise UserError(
                f"{self.directory}: {wrong} not finite near step {step}; the last checkpoint "
                "before it is kept"
            )
        shown = {name: f"{value:.6g}" for name, value in means.items()}
        self.table.add({"step": str(step), "phase": phase, **shown})
        with self.writer.as_default(step=step):
            for name, value in means.items():
                tf.summary.scalar(tag_of(name), value)
            self._write_speed(step)
        self.writer.flush()

    def _write_speed(self, step: int) -> None:
        """Iterations times --batch_size a second since the last row, to TensorBoard alone:
        metrics.csv is the same whenever the run is repeated."""
        now = time.monotonic()
        if self.timed_from and step > self.timed_from[0]:
            before, since = self.timed_from
            speed = (step - before) * self.config.batch_size / (now - since)
            tf.summary.scalar(tag_of("images_per_second"), speed)
        self.timed_from = step, now

    def add_grid(self, step: int, model, phase: str) -> None:
        """Rows: input, then lesion and combined for two draws of z, then real patches."""
        image = tf.constant(self.inputs)
        image = halve(image) if phase == "half" else image
        rows = [image]
        for z in map(tf.constant, self.z):
            condition = condition_of(self.config, z, self.task)
            lesion = model.averaged(image, condition, phase=phase, alpha=model.alpha())
            rows += [lesion, combine(image, lesion)]
        if phase == "half":
            rows = [double(row) for row in rows]
        grid = np.concatenate([_strip(np.asarray(row)) for row in [*rows, self.real]])
        cv2.imwrite(str(self.directory / "grids" / f"{step:07d}.png"), grid)
        with self.writer.as_default(step=step):
            tf.summary.image(GRID_TAG, grid[None, ..., None])
        self.writer.flush()


def tag_of(name: str) -> str:
    """The name of a metric in TensorBoard, e.g. "losses/loss_d"."""
    return f"{SECTIONS.get(name.partition('_')[0], 'run')}/{name}"


def _strip(images: np.ndarray) -> np.ndarray:
    """[n, s, s, 1] in [-1, 1] to one uint8 row."""
    return np.concatenate([np.pad(image, 1) for image in patch_levels(images[..., 0])], axis=1)


def _spread(indexes) -> np.ndarray:
    """Patches spread evenly over indexes that take turns, float32 [GRID_COLUMNS, s, s, 1]."""
    patches = []
    for column in range(GRID_COLUMNS):
        index = indexes[column % len(indexes)]
        places = np.linspace(0, len(index) - 1, GRID_COLUMNS).astype(int)
        patches.append(index.pixels(places[column]))
    return np.stack(patches)[..., None]


Rows = list[tuple[str, tuple[int, ...], int]]


def layer_tables(config: GanConfig) -> dict[str, dict[str, Rows]]:
    """For each phase and network: (layer, output shape without batch, parameters), as called."""
    generator, discriminator = Generator(config), Discriminator(config)
    channels = 3 if config.discriminator_input == "triplet" else 1
    told, told_d = (
        condition_of(config, tf.zeros([1, count]), tf.zeros([1], tf.int64))
        for count in (z_width(config), discriminator_scalars(config))
    )
    tables: dict[str, dict[str, Rows]] = {}
    for phase in ("half", "fade", "full") if config.grow else ("full",):
        size = config.size // 2 if phase == "half" else config.size
        alpha = tf.constant(0.5)
        with record_layers() as generator_rows:
            image = tf.zeros([1, size, size, 1])
            generator(image, told, phase=phase, alpha=alpha)
        with record_layers() as discriminator_rows:
            images = tf.zeros([1, size, size, channels])
            discriminator(images, told_d, phase=phase, alpha=alpha)
        tables[phase] = {"generator": generator_rows, "discriminator": discriminator_rows}
    return tables


def print_layers(config: GanConfig) -> None:
    """Prints the tables, with the parameters of each phase added up."""
    for phase, networks in layer_tables(config).items():
        for network, rows in networks.items():
            print(f"\n{network}, phase {phase}")
            for path, shape, count in rows:
                name = path.split("/", 1)[1]
                print(f"  {name:<24} {'x'.join(map(str, shape)):>14} {count:>14,}")
            print(f"  {'total':<24} {'':>14} {sum(row[2] for row in rows):>14,}")
