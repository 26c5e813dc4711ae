"""The training run of the GAN, from its start or last checkpoint to the exported generator.

A work directory holds run.json, checkpoints/, metrics.csv, tensorboard/, grids/, and at the end
generator/ (SavedModel with model.json) and manifest.json.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cgan_tf.config import GanConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan.fine_tuning import load_networks, open_start
from cgan_tf.gan.schedules import phase_at, phase_end, total_steps, work_units
from cgan_tf.labels import AUGMENTATIONS, PAPER_SIZE
from cgan_tf.runs import console
from cgan_tf.runs.console import stop_signals
from cgan_tf.runs.directory import MANIFEST_FILE, Run, finish_run, open_run, run_to_the_end
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges, require
from cgan_tf.runs.machine import resolve_threads, save_threads, set_threads

# Half a grey level as patches are stored (65,535 levels over [-1, 1]): a lesion channel within it
# changes no patch.
EMPTY_LESION = 1 / 65535
VANISHED = {
    "loss_d": 1e-6,
    "loss_g": 1e-6,
    "gradient_d": 1e-9,
    "gradient_g": 1e-9,
    "lesion_range": EMPTY_LESION,
}


def train_gan(config: GanConfig) -> None:
    """Runs or resumes a training; prints the layers instead with --dry_run."""
    check_config(config)
    console.quiet_tensorflow()
    if config.dry_run:
        from cgan_tf.gan.log import print_layers

        if config.patches_dir:
            open_patches(config)
        print_layers(config)
        return
    require(config, ("patches_dir", "output_dir"))
    run_to_the_end(
        config.output_dir,
        "train_gan",
        config,
        lambda: open_patches(config),
        lambda patches, run: Training(config, patches, run.directory).run(),
        opened=_open_as_worker,
    )


def open_patches(config: GanConfig) -> PatchSet:
    """The training patches; `UserError` when a role of a step has none, they are not --size, or
    women of their held-out splits are behind --init_from."""
    patches = PatchSet(config.patches_dir)  # named before TensorFlow is imported
    from cgan_tf.gan.data import task_streams

    task_streams(config, patches)
    open_start(config, patches)
    return patches


@contextlib.contextmanager
def _open_as_worker(
    directory: str, program: str, config: GanConfig, beside: Collection[str]
) -> Iterator[Run]:
    """`open_run` for the process that writes; the others look at the directory and hold no lock."""
    from cgan_tf.gan.distribution import is_chief

    if is_chief(config):
        with open_run(directory, program, config, beside) as run:
            yield run
    else:
        yield Run(Path(directory), (Path(directory) / MANIFEST_FILE).exists())


def check_config(config: GanConfig) -> None:
    """Raises `UserError` for sizes and counts that no network can be built with."""
    check_ranges(config)
    size, attention = config.size, config.attention_size
    if size < 32 or size & (size - 1):
        raise UserError(f"--size: expected a power of two, 32 or more, found {size}")
    if attention > 0 and (attention & (attention - 1) or not 8 <= attention <= size // 4):
        raise UserError(
            f"--attention_size: expected a power of two from 8 to {size // 4}, found {attention}"
        )
    if config.border >= PAPER_SIZE // 2:
        raise UserError(f"--border: expected less than half of the patch, found {config.border}")
    if config.minibatch_deviation and config.batch_size == 1:
        raise UserError("--minibatch_deviation: expected a --batch_size of 2 or more, found 1")
    unknown = [name for name in config.augment if name not in AUGMENTATIONS]
    if unknown:
        raise UserError(
            f"--augment: expected some of {', '.join(AUGMENTATIONS)}, found {unknown[0]}"
        )


class Training:
    """One run: built, restored, stepped to its end, exported."""

    def __init__(self, config: GanConfig, patches: PatchSet, directory: Path):
        import tensorflow as tf

        from cgan_tf.gan.distribution import choose_strategy, is_chief
        from cgan_tf.gan.model import ContextualGan
        from cgan_tf.models.keras_setup import keras
        from cgan_tf.runs.training import Checkpoints

        self.config, self.patches, self.directory = config, patches, directory
        self.start = open_start(config, patches)
        self.threads = resolve_threads(config, directory)
        set_threads(self.threads)
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        self.strategy = choose_strategy(config)
        self.chief = is_chief(config)
        keras.utils.set_random_seed(config.seed)
        with self.strategy.scope():
            self.model = ContextualGan(config)
        self.checkpoints = Checkpoints(
            directory / "checkpoints", variables_of(self.model), config.checkpoint_minutes
        )
        self.stop_requested = False

    def run(self) -> None:
        """Trains from the last checkpoint to the end and exports."""
        if self.start and not self.checkpoints.steps():
            load_networks(self.start, self.model)
            if self.chief:
                print(self.start)
        state = self.checkpoints.restore()
        start = int(self.model.step.numpy())
        self.health = Health(self.config.collapse_steps, state.get("streaks"))
        self.unseen: list[tuple[int, dict]] = []  # metrics that were not examined yet
        self.log = self._open_log(start, state.get("pending", [])) if self.chief else None
        with stop_signals(self._request_stop):
            self._train(start)
        if self.chief:
            self._export()

    def _open_log(self, start: int, pending: list[dict[str, float]]):
        from cgan_tf.gan.log import GanLog

        save_threads(self.directory, self.threads)
        return GanLog(self.config, self.patches, self.directory, start, pending)

    def _train(self, start: int) -> None:
        from cgan_tf.gan.data import distributed_batches
        from cgan_tf.gan.distribution import check_agreement, lost_workers
        from cgan_tf.runs.training import reading_errors

        config, end = self.config, total_steps(self.config)
        bar = console.progress_bar(
            work_units(end, config),
            f"{config.model_name()} GAN",
            "",
            work_units(start, config),
        )
        self.started_at = time.monotonic()
        self.checkpoints.start_clock()
        with bar, reading_errors(), lost_workers(config):
            check_agreement(self.strategy, config, start)
            iterator = iter(distributed_batches(self.strategy, config, self.patches, start))
            step = start
            while step < end:
                step = self._train_phase(step, iterator, bar)

    def _train_phase(self, start: int, iterator, bar) -> int:
        """Trains to the end of the phase that `start` is in; returns the step after it."""
        config = self.config
        phase, end = phase_at(start, config), phase_end(start, config)
        self.model.phase = phase
        step_function = self._compile_step()
        for step in range(start + 1, end + 1):
            metrics = step_function(next(iterator))
            self._record(step, phase, end, metrics)
            bar.set_postfix_str(f"step {step} ({phase})", refresh=False)
            bar.update(work_units(step, config) - work_units(step - 1, config))
            stop = self._stop_agreed()
            last = step == total_steps(config)
            if self.chief and (stop or last or self.checkpoints.due()):
                self._save(step)
            if stop:
                raise KeyboardInterrupt
        return end

    def _record(self, step: int, phase: str, end: int, metrics) -> None:
        """Takes an iteration's metrics: everything due at its step is on disk afterwards."""
        self.unseen.append((step, metrics))
        if step % self.config.log_every == 0:
            self._examine()
        if not self.log:
            return
        self.log.add(step, phase, metrics, self.model)
        if step == end and step % self.config.grid_every:
            self.log.add_grid(step, self.model, phase)

    def _examine(self) -> None:
        """Stops the run when what it learnt since the last look is broken."""
        unseen, self.unseen = self.unseen, []
        for step, metrics in unseen:
            try:
                self.health.examine(step, {name: float(v) for name, v in metrics.items()})
            except UserError as error:
                raise UserError(f"{self.directory}: {error}; {self.checkpoints.kept()}") from error

    def _compile_step(self):
        """The step of the current phase as one graph; metrics averaged over replicas."""
        import tensorflow as tf

        strategy, model = self.strategy, self.model

        @tf.function
        def step(batch):
            metrics = strategy.run(model.train_step, args=(batch,))
            return {
                name: strategy.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                for name, value in metrics.items()
            }

        return step

    def _stop_agreed(self) -> bool:
        """Whether this process was asked to stop, or any worker: all leave after the same step."""
        if self.config.strategy != "multi_worker":
            return self.stop_requested
        from cgan_tf.gan.distribution import any_worker

        return any_worker(self.strategy, self.stop_requested)

    def _save(self, step: int) -> None:
        self._examine()
        state = {
            "sound": self.health.sound,
            "streaks": self.health.streaks,
            "pending": self.log.pending_values() if self.log else [],
        }
        self.checkpoints.save(step, state)

    def _export(self) -> None:
        from cgan_tf.gan.export import export_generator
        from cgan_tf.models.keras_setup import settings

        card = export_generator(self.model, self.config, self.directory / "generator", self.start)
        seconds = time.monotonic() - self.started_at
        content = {
            "steps": int(self.model.step.numpy()),
            "generator": card.summary(),
            **({"overlap": [*map(dataclasses.asdict, self.start.overlap)]} if self.start else {}),
            "threads": dataclasses.asdict(self.threads),
            "keras": settings(),
            # Of this process; the one before, if there was one, is not known.
            "seconds": round(seconds, 3),
            "checkpoint_share": round(self.checkpoints.seconds / seconds, 5),
        }
        finish_run(self.directory, "train_gan", content)
        print(f"{self.directory / 'generator'}: generator for {self.config.model_name()} exported")

    def _request_stop(self, _signal, _frame) -> None:
        self.stop_requested = True


def variables_of(model) -> dict:
    """Every variable of a run by its path: weights, averages, optimizer slots, the step."""
    variables = {
        weight.path: weight.value
        for network in (model.generator, model.discriminator, model.averaged)
        for weight in network.weights
    }
    for name, optimizer in model.optimizers.items():
        for i, variable in enumerate(optimizer.variables):
            variables[f"{name}/{i}"] = variable.value
    return {**variables, "step": model.step}


class Health:
    """Stops a GAN that no longer learns: metrics not finite, or zero for many iterations.

    Attributes:
      streaks: by metric, the iterations in a row up to the last one in which it had vanished.
    """

    def __init__(self, patience: int, streaks: Mapping[str, int] | None = None):
        """`patience`: how many iterations in a row stop the run; 0: none do."""
        self.patience = patience
        self.streaks = dict(streaks or {})

    @property
    def sound(self) -> bool:
        """Whether no metric had vanished at the last iteration."""
        return not any(self.streaks.values())

    def examine(self, step: int, metrics: Mapping[str, float]) -> None:
        """Raises `UserError` naming the metric and the step where training broke down."""
        wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
        if wrong:
            raise UserError(f"{', '.join(wrong)} not finite at step {step}")
        for name, least in VANISHED.items():
            gone = name in metrics and metrics[name] < least
            self.streaks[name] = self.streaks.get(name, 0) + 1 if gone else 0
            if self.patience and self.streaks[name] >= self.patience:
                raise UserError(
                    f"collapsed: {name} below {least:.2g} from step "
                    f"{step - self.streaks[name] + 1} to step {step}"
                )
