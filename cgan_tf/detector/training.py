"""The training run of a detector, from its start or last checkpoint to its predictions.

A work directory holds run.json, checkpoints/ (while the run is unfinished), metrics.csv,
tensorboard/, best.weights.h5 and, at the end, the tables of `detection.predictions` for the images
of the validation and test split, and manifest.json.
"""

import dataclasses
import importlib.util
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.config import DetectorConfig
from cgan_tf.detection.predictions import ImagePrediction
from cgan_tf.detector.inputs import EXTRA, STREAMS, DetectorSets, open_sets, steps_of, training_plan
from cgan_tf.models.weights_file import save_weights
from cgan_tf.runs import console
from cgan_tf.runs.console import stop_signals
from cgan_tf.runs.directory import finish_run, run_to_the_end, sha256
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.runs.machine import Threads, resolve_threads, save_threads, set_threads

PROGRAM = "train_detector"
WEIGHTS_FILE = "best.weights.h5"
# By the names of a run, those of KerasHub.
LOSSES = {"loss": "loss", "class_loss": "cls_logits_loss", "box_loss": "bbox_regression_loss"}
COLUMNS = ("samples", *LOSSES, "froc_area", "image_auc", "best_area")


def train_detector(config: DetectorConfig) -> None:
    """Runs or resumes a training."""
    check_config(config)
    console.quiet_tensorflow()
    run_to_the_end(
        config.output_dir,
        PROGRAM,
        config,
        lambda: open_training(config),
        lambda training, run: training.run(run.directory),
        drop_scratch=lambda: shutil.rmtree(
            Path(config.output_dir) / "checkpoints", ignore_errors=True
        ),
    )


def check_config(config: DetectorConfig) -> None:
    """Raises `UserError` for values that no run can have."""
    check_ranges(config)
    for low, high in (("min_level", "max_level"), ("negative_iou", "positive_iou")):
        least, most = getattr(config, low), getattr(config, high)
        if most < least:
            raise UserError(f"--{high}: expected --{low}={least:g} or more, found {most:g}")
    if config.window % 2**config.max_level:
        raise UserError(
            f"--window: expected a multiple of {2**config.max_level}, the width of a place of "
            f"--max_level={config.max_level}, found {config.window}"
        )
    if config.rotate and not config.window:
        raise UserError("--rotate: expected --window, since whole mammograms stand upright")
    for ratio in config.aspect_ratios:
        try:
            sound = 0 < float(ratio) < math.inf
        except ValueError:
            sound = False
        if not sound:
            raise UserError(f"--aspect_ratios: expected numbers above 0, found {ratio!r}")


def open_training(config: DetectorConfig) -> "DetectorTraining":
    """The training, its inputs found; what is missing is named before TensorFlow is imported."""
    if importlib.util.find_spec("keras_hub") is None:
        raise UserError(EXTRA)
    sets = open_sets(config)
    return DetectorTraining(config, sets, resolve_threads(config, config.output_dir))


def title_of(config: DetectorConfig) -> str:
    """What tables call a detector trained so, whatever its seed."""
    share = config.inserted_fraction
    if share in (0, 1):
        return f"detector, {'inserted' if share else 'real'} lesions"
    return f"detector, {share:.0%} inserted lesions"


class DetectorTraining:
    """One run: built, restored, fitted to its end, its images scored."""

    def __init__(self, config: DetectorConfig, sets: DetectorSets, threads: Threads):
        import tensorflow as tf

        from cgan_tf.detector.model import build_detector, candidate_function, compile_detector
        from cgan_tf.models.keras_setup import keras

        self.config, self.sets, self.threads = config, sets, threads
        set_threads(threads)
        keras.utils.set_random_seed(config.seed)
        self.steps = steps_of(config)
        self.model = build_detector(config)
        compile_detector(self.model, config, self.steps)
        self.candidates = candidate_function(self.model, config, sets.canvas)
        self.state = {
            name: tf.Variable(value, dtype=tf.float64, name=name)
            for name, value in (
                ("step", 0), ("best_area", -1), ("best_step", 0),
                ("steps", 0), ("loss", 0), ("class_loss", 0), ("box_loss", 0),  # since a validation
            )
        }  # fmt: skip
        self.stop_requested = False

    def run(self, directory: Path) -> None:
        """Trains from the last checkpoint to the end, then scores validation and test images."""
        from cgan_tf.detector.batches import training_batches
        from cgan_tf.runs.training import MetricsTable, reading_errors, summary_writer

        self.directory = directory
        save_threads(directory, self.threads)
        plan = training_plan(self.config, [len(stream) for stream in self.sets.streams])
        self._restore()
        start = self._step()
        samples = start * self.config.batch_size
        self.table = MetricsTable(directory / "metrics.csv", samples)
        self.writer = summary_writer(directory, samples, self.config)
        if start < self.steps:
            batches = training_batches(self.sets, plan, self.config, start)
            with stop_signals(self._request_stop), reading_errors():
                self._fit(batches, start)
        self._finish(plan)

    def _restore(self) -> None:
        from cgan_tf.runs.training import Checkpoints

        variables = {
            f"{name}/{number}": variable.value
            for name, owned in (
                ("weights", self.model.weights),
                ("optimizer", self.model.optimizer.variables),
            )
            for number, variable in enumerate(owned)
        }
        self.checkpoints = Checkpoints(
            self.directory / "checkpoints",
            {**variables, **self.state},
            self.config.checkpoint_minutes,
        )
        self.checkpoints.restore()

    def _fit(self, batches: Any, start: int) -> None:
        from cgan_tf.models.keras_setup import keras

        label = f"detector, {self.config.inserted_fraction:.0%} inserted"
        total, before = self.config.samples, start * self.config.batch_size
        self.checkpoints.start_clock()
        with console.progress_bar(total, label, "images", before) as bar:
            after = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: self._after_step(logs, bar)
            )
            self.model.fit(batches, verbose=0, shuffle=False, callbacks=[after])

    def _after_step(self, losses: dict[str, float], bar: Any) -> None:
        """Keeps count of a step and its losses, validates and saves when it is time."""
        state, config = self.state, self.config
        self.model.reset_metrics()  # Keras tells means of all steps since then
        state["step"].assign_add(1)
        state["steps"].assign_add(1)
        for name, key in LOSSES.items():
            state[name].assign_add(losses[key])
        bar.update(config.batch_size)
        step, every = self._step(), max(1, config.validate_every // config.batch_size)
        if step % every == 0 or step == self.steps:
            self._validate()
            bar.set_postfix_str(f"best area {float(state['best_area']):.3f}")
        # At the end, too: a run that is stopped while it scores has nothing to train again.
        if self.stop_requested or self.checkpoints.due() or step == self.steps:
            self.checkpoints.save(step, {})
        if self.stop_requested:
            raise KeyboardInterrupt

    def _validate(self) -> None:
        """Scores the validation images; keeps the weights when they are the best so far."""
        import tensorflow as tf

        from cgan_tf.detector.scoring import validation_measures

        state, samples = self.state, self._step() * self.config.batch_size
        means = {name: float(state[name]) / float(state["steps"]) for name in LOSSES}
        if not math.isfinite(means["loss"]):
            raise UserError(f"{self.directory}: the loss is not finite before image {samples:,}")
        area, auc = validation_measures(list(self._predicted("validation")), "validation")
        if area > float(state["best_area"]):
            state["best_area"].assign(area)
            state["best_step"].assign(self._step())
            save_weights(self.model, self.directory / WEIGHTS_FILE)
        values = {**means, "froc_area": area, "image_auc": auc}
        values["best_area"] = float(state["best_area"])
        shown = {name: f"{values[name]:.8g}" for name in COLUMNS[1:]}
        self.table.add({"samples": str(samples), **shown})
        with self.writer.as_default(step=samples):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.writer.flush()
        for name in ("steps", *means):
            state[name].assign(0)

    def _predicted(self, split: str, advance: Callable[[int], Any] = lambda images: None) -> Any:
        from cgan_tf.detector.scoring import predictions_of

        pool = self.sets.validation if split == "validation" else self.sets.test
        return predictions_of(self.candidates, pool, split, self.sets.canvas, advance)

    def _load_best(self) -> None:
        path = self.directory / WEIGHTS_FILE
        try:
            self.model.load_weights(path)
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"{path}: expected the weights that this run kept, found a damaged file; --restart "
                "begins anew"
            ) from error

    def _finish(self, plan: np.ndarray) -> None:
        from cgan_tf.detector.scoring import validation_measures, write_tables
        from cgan_tf.models.keras_setup import settings

        config, sets, state = self.config, self.sets, self.state
        self._load_best()
        total = len(sets.validation) + len(sets.test)
        found: list[ImagePrediction] = []
        with console.progress_bar(total, "scoring", "images") as bar:
            for split in ("validation", "test"):
                found += self._predicted(split, bar.update)
        write_tables(self.directory, found)
        test = [item for item in found if item.image.split == "test"]
        area, auc = validation_measures(test, "test")
        drawn = np.bincount(plan[:, 0], minlength=len(STREAMS)).tolist()
        content = {
            "weights": WEIGHTS_FILE,
            "weights_sha256": sha256(self.directory / WEIGHTS_FILE),
            **({"phantom": True} if sets.phantom else {}),
            "model": {"name": title_of(config), "seed": config.seed},
            "canvas": list(sets.canvas),
            "samples": self.steps * config.batch_size,
            "best_samples": int(state["best_step"]) * config.batch_size,
            "best_validation_area": float(state["best_area"]),
            "images": dict(zip(STREAMS, map(len, sets.streams), strict=True)),
            "drawn": dict(zip(STREAMS, drawn, strict=True)),
            "scored": {"validation": len(sets.validation), "test": len(sets.test)},
            "overlap": [dataclasses.asdict(overlap) for overlap in sets.overlaps],
            "threads": dataclasses.asdict(self.threads),
            "keras": settings(),
        }
        finish_run(self.directory, PROGRAM, content)
        print(
            f"{self.directory}: area under the FROC up to 1 false positive an image {area:.3f}, "
            f"AUC of images {auc:.3f} on {len(test)} test images"
        )

    def _step(self) -> int:
        return int(self.state["step"])

    def _request_stop(self, _signal: Any, _frame: Any) -> None:
        self.stop_requested = True
