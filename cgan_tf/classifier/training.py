"""The training run of the classifier, from its start or last checkpoint to its best weights.

A work directory holds run.json, plan.npy (the order of the samples) with plan.json (its checksum
and those of the patches), checkpoints/ (while the run is unfinished), metrics.csv, tensorboard/,
validation/ (the scores of every validation), best.weights.h5 and, at the end, manifest.json.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.classifier.inputs import ClassifierSets, open_sets
from cgan_tf.classifier.sampling import SYNTHETIC, plan_checksum
from cgan_tf.config import ClassifierConfig
from cgan_tf.data.patch_sets import PatchSet, resolution_of
from cgan_tf.data.provenance import are_drawn
from cgan_tf.models.weights_file import find_weights, save_weights
from cgan_tf.runs import console
from cgan_tf.runs.console import stop_signals
from cgan_tf.runs.directory import finish_run, run_to_the_end, sha256
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.runs.machine import Threads, resolve_threads, save_threads, set_threads

WEIGHTS_FILE = "best.weights.h5"
VALIDATION_BATCH = 64


def train_classifier(config: ClassifierConfig) -> None:
    """Runs or resumes a training."""
    check_config(config)
    console.quiet_tensorflow()
    run_to_the_end(
        config.output_dir,
        "train_classifier",
        config,
        lambda: open_training(config),
        lambda training, run: training.run(run.directory),
        drop_scratch=lambda: shutil.rmtree(
            Path(config.output_dir) / "checkpoints", ignore_errors=True
        ),
    )


def open_training(config: ClassifierConfig) -> "ClassifierTraining":
    """The training, its inputs found; what is missing is named before TensorFlow is imported."""
    sets = open_sets(config)
    find_weights(config.weights)
    threads = resolve_threads(config, config.output_dir)
    return ClassifierTraining(config, sets, threads)


def check_config(config: ClassifierConfig) -> None:
    """Raises `UserError` for numbers that no run can have."""
    check_ranges(config)
    if config.network != "resnet50" and config.weights == "imagenet":
        raise UserError(
            f"--network={config.network}: expected --weights=none or the best.weights.h5 of such a "
            "run; imagenet's are ResNet-50's"
        )


class ClassifierTraining:
    """One run: built, restored, stepped to its end."""

    def __init__(self, config: ClassifierConfig, sets: ClassifierSets, threads: Threads):
        import tensorflow as tf

        from cgan_tf.models.fused import FusedAdam
        from cgan_tf.models.keras_setup import keras
        from cgan_tf.models.networks import build_classifier, load_weights

        self.config, self.sets, self.threads = config, sets, threads
        set_threads(threads)
        keras.utils.set_random_seed(config.seed)
        self.model = build_classifier(
            config.network, config.batch_norm, config.precision, config.batch_norm_momentum
        )
        load_weights(self.model, config.weights)
        self.optimizer = FusedAdam(
            config.learning_rate, config.beta_1, config.beta_2, config.epsilon
        )
        self.optimizer.build(self.model.trainable_variables)
        # float64 counts exactly and sums the losses of 5,000 samples without drift.
        self.state = {
            name: tf.Variable(value, dtype=tf.float64, name=name)
            for name, value in (
                ("seen", 0), ("loss_sum", 0), ("loss_count", 0), ("best_auc", -1), ("best_seen", 0),
                ("stale", 0),  # validations since the best
            )
        }  # fmt: skip
        self.stop_requested = False

    def run(self, directory: Path) -> None:
        """Trains from the last checkpoint to the end."""
        from cgan_tf.classifier.log import ClassifierLog
        from cgan_tf.classifier.pipeline import keep_plan

        self.directory = directory
        save_threads(directory, self.threads)
        plan = keep_plan(directory, self.config, self.sets)
        self._restore()
        log = ClassifierLog(directory, self.config, self._seen())
        with stop_signals(self._request_stop):
            if not self._is_stale():  # a signal may have come with the last validation
                self._train(plan, log)
        self._finish(plan, log)

    def _restore(self) -> None:
        from cgan_tf.runs.training import Checkpoints

        variables = {weight.path: weight.value for weight in self.model.weights}
        for number, variable in enumerate(self.optimizer.variables):
            variables[f"optimizer/{number}"] = variable.value
        self.checkpoints = Checkpoints(
            self.directory / "checkpoints",
            {**variables, **self.state},
            self.config.checkpoint_minutes,
        )
        self.checkpoints.restore()

    def _train(self, plan: np.ndarray, log) -> None:
        config, before = self.config, self._seen()
        word = "synthetic" if config.filling in SYNTHETIC else config.filling
        label = f"classifier, {config.synthetic_fraction:.0%} {word}"
        bar = console.progress_bar(config.samples, label, "samples", before)
        self.checkpoints.start_clock()
        with bar, contextlib.closing(self.steps(plan, bar.update)) as steps:
            for seen in steps:
                crossed = seen // config.validate_every > before // config.validate_every
                before, validated = seen, crossed or seen == config.samples
                if validated:
                    self._validate(log)
                    bar.set_postfix_str(f"best AUC {float(self.state['best_auc']):.3f}")
                self._save_when_due(seen)
                if validated and self._is_stale():
                    return

    def steps(self, plan: np.ndarray, advance: Callable[[int], Any]) -> Generator[int]:
        """Takes a training step for each next batch of the plan; yields the samples seen so far.

        `advance` is told the samples of each step, for a progress bar.
        """
        from cgan_tf.classifier.pipeline import training_batches
        from cgan_tf.runs.training import reading_errors

        seen = self._seen()
        step = train_step(self.model, self.optimizer, self.state)
        with reading_errors():
            for patches, labels in training_batches(
                self.sets.streams, plan, seen, self.config.batch_size, self.sets.changes
            ):
                step(patches, labels)
                seen += len(labels)
                advance(len(labels))
                yield seen

    def _save_when_due(self, seen: int) -> None:
        if self.stop_requested or self.checkpoints.due():
            self.checkpoints.save(seen, {})
        if self.stop_requested:
            raise KeyboardInterrupt

    def _is_stale(self) -> bool:
        """Whether --early_stopping_validations in a row have brought no new best."""
        limit = self.config.early_stopping_validations
        return 0 < limit <= int(self.state["stale"])

    def _validate(self, log) -> None:
        """Scores the validation set; keeps the weights when they are the best so far."""
        from cgan_tf.classifier.scoring import score
        from cgan_tf.statistics.auc import exact_auc

        seen, state = self._seen(), self.state
        logits = score(self.model, self.sets.validation, VALIDATION_BATCH)[0]
        loss = float(state["loss_sum"]) / max(1.0, float(state["loss_count"]))
        if not np.isfinite(loss) or not np.isfinite(logits).all():
            raise UserError(f"{self.directory}: the loss is not finite before sample {seen:,}")
        auc = exact_auc(self.sets.labels, logits)
        state["stale"].assign_add(1)
        if auc > float(state["best_auc"]):
            for name, value in (("best_auc", auc), ("best_seen", seen), ("stale", 0)):
                state[name].assign(value)
            save_weights(self.model, self.directory / WEIGHTS_FILE)
        log.add_validation(seen, loss, auc, float(state["best_auc"]), logits, self.sets.labels)
        state["loss_sum"].assign(0)
        state["loss_count"].assign(0)

    def _finish(self, plan: np.ndarray, log) -> None:
        from cgan_tf.models.keras_setup import settings

        config, state = self.config, self.state
        seen = self._seen()
        drawn = np.bincount(plan[:seen, 0], minlength=len(self.sets.streams))
        content = {
            "weights": WEIGHTS_FILE,
            "weights_sha256": sha256(self.directory / WEIGHTS_FILE),
            "samples": seen,
            "stopped_early": seen < config.samples,
            "best_samples": int(state["best_seen"]),
            "best_validation_auc": float(state["best_auc"]),
            "validations": log.validations(),
            "patches": dict(zip(self.sets.names, map(len, self.sets.streams), strict=True)),
            "drawn": dict(zip(self.sets.names, drawn.tolist(), strict=True)),
            "plan_sha256": plan_checksum(plan),
            "overlap": [dataclasses.asdict(overlap) for overlap in self.sets.overlaps],
            "patch_size": len(self.sets.validation.pixels(0)),
            "resolution": resolution_of(config.patches_dir),
            **({"phantom": True} if are_drawn(PatchSet(config.patches_dir)) else {}),
            "threads": dataclasses.asdict(self.threads),
            "keras": settings(),
        }
        finish_run(self.directory, "train_classifier", content)
        print(
            f"{self.directory / WEIGHTS_FILE}: validation AUC {float(state['best_auc']):.3f} "
            f"after {int(state['best_seen']):,} of {seen:,} samples"
        )

    def _seen(self) -> int:
        return int(self.state["seen"])

    def _request_stop(self, _signal, _frame) -> None:
        self.stop_requested = True


def train_step(model, optimizer, state):
    """One Adam step on the mean binary cross-entropy, as a graph; counts into `state`."""
    import tensorflow as tf

    variables = model.trainable_variables

    @tf.function
    def step(patches, labels):
        with tf.GradientTape() as tape:
            logits = model(patches, training=True)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, variables), variables)
        count = tf.cast(tf.shape(labels)[0], tf.float64)
        state["seen"].assign_add(count)
        state["loss_count"].assign_add(count)
        state["loss_sum"].assign_add(tf.reduce_sum(tf.cast(losses, tf.float64)))

    return step
