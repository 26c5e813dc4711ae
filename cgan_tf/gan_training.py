"""The training run of the GAN: phases, checkpoints, what is written, resuming.

A work directory holds run.json, checkpoints/, metrics.csv, tensorboard/, grids/, and at the end
generator/ (SavedModel with model.json) and manifest.json.
"""

import time
from pathlib import Path

import numpy as np

from cgan_tf import progress
from cgan_tf.config import PAPER_SIZE, GanConfig
from cgan_tf.errors import UserError
from cgan_tf.interruption import stop_signals
from cgan_tf.run_directory import finish_run, open_run
from cgan_tf.schedules import phase_at, phase_end, total_steps, work_units


def train_gan(config: GanConfig) -> None:
    """Runs or resumes a training; prints the layers instead with --dry_run."""
    check_config(config)
    progress.quiet_tensorflow()
    if config.dry_run:
        from cgan_tf.gan_summary import print_layers

        print_layers(config)
        return
    for name in ("patches_dir", "workdir"):
        if not getattr(config, name):
            raise UserError(f"--{name} is required; see --help")
    from cgan_tf.patch_sets import PatchSet

    patches = PatchSet(config.patches_dir)
    with open_run(config.workdir, "train_gan", config) as run:
        if run.finished:
            print(f"{run.directory}: training is finished; nothing to do")
            return
        Training(config, patches, run.directory).run()


def check_config(config: GanConfig) -> None:
    """Raises `UserError` for sizes and counts that no network can be built with."""
    size, attention = config.size, config.attention_size
    if size < 32 or size & (size - 1):
        raise UserError(f"--size: expected a power of two, 32 or more, found {size}")
    if attention > 0 and (attention & (attention - 1) or not 8 <= attention <= size // 4):
        raise UserError(
            f"--attention_size: expected a power of two from 8 to {size // 4}, found {attention}"
        )
    for name in (
        *("batch_size", "full_steps", "log_every", "grid_every", "generator_filters"),
        *("bottleneck_filters", "embedding_channels", "discriminator_multiplier"),
    ):
        if getattr(config, name) < 1:
            raise UserError(f"--{name}: expected 1 or more, found {getattr(config, name)}")
    for name in ("half_steps", "fade_in_steps", "border", "seed", "generator_steps"):
        if getattr(config, name) < 0:
            raise UserError(f"--{name}: expected 0 or more, found {getattr(config, name)}")
    if config.border >= PAPER_SIZE // 2:
        raise UserError(f"--border: expected less than half of the patch, found {config.border}")
    if not 0 <= config.ema < 1:
        raise UserError(f"--ema: expected 0 or more and below 1, found {config.ema}")


class Training:
    """One run: built, restored, stepped to its end, exported."""

    def __init__(self, config: GanConfig, patches, directory: Path):
        import keras
        import tensorflow as tf

        from cgan_tf.cgan import ContextualGan
        from cgan_tf.gan_data import streams

        self.config, self.patches, self.directory = config, patches, directory
        streams(config, patches)  # a missing class is named before minutes are spent
        if config.intra_op_threads:
            tf.config.threading.set_intra_op_parallelism_threads(config.intra_op_threads)
        if config.inter_op_threads:
            tf.config.threading.set_inter_op_parallelism_threads(config.inter_op_threads)
        self.strategy = choose_strategy(config)
        keras.utils.set_random_seed(config.seed)
        with self.strategy.scope():
            self.model = ContextualGan(config)
        self.manager = tf.train.CheckpointManager(
            checkpoint_of(self.model), str(directory / "checkpoints"), max_to_keep=2
        )
        self.stop_requested = False

    def run(self) -> None:
        """Trains from the last checkpoint to the end and exports."""
        from cgan_tf.gan_log import GanLog

        start = self._restore()
        log = GanLog(self.config, self.patches, self.directory, start)
        with stop_signals(self._request_stop):
            self._train(start, log)
        self._export()

    def _restore(self) -> int:
        if self.manager.latest_checkpoint:
            status = self.manager.checkpoint.restore(self.manager.latest_checkpoint)
            status.assert_consumed()
        return int(self.model.step.numpy())

    def _train(self, start: int, log) -> None:
        from cgan_tf.data_errors import reading_errors
        from cgan_tf.gan_data import training_batches

        config, end = self.config, total_steps(self.config)
        batches = training_batches(config, self.patches, start)
        iterator = iter(self.strategy.experimental_distribute_dataset(batches))
        self.saved_at = time.monotonic()
        bar = progress.progress_bar(
            work_units(end, config), f"{config.task} GAN", "units", work_units(start, config)
        )
        with bar, reading_errors():
            step = start
            while step < end:
                step = self._train_phase(step, iterator, log, bar)

    def _train_phase(self, start: int, iterator, log, bar) -> int:
        """Trains to the end of the phase that `start` is in; returns the step after it."""
        config = self.config
        phase, end = phase_at(start, config), phase_end(start, config)
        self.model.phase = phase
        step_function = self._compile_step()
        for step in range(start + 1, end + 1):
            metrics = step_function(next(iterator))
            log.add(step, phase, metrics, self.model)
            bar.set_postfix_str(f"step {step} ({phase})", refresh=False)
            bar.update(work_units(step, config) - work_units(step - 1, config))
            late = time.monotonic() - self.saved_at > 60 * config.checkpoint_minutes
            if late or self.stop_requested or step == total_steps(config):
                self._save(metrics)
            if self.stop_requested:
                raise KeyboardInterrupt
        log.add_grid(end, self.model, phase)
        return end

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

    def _save(self, metrics) -> None:
        step = int(self.model.step.numpy())
        wrong = [name for name, value in metrics.items() if not np.isfinite(float(value))]
        if wrong:
            raise UserError(
                f"{self.directory}: {', '.join(wrong)} not finite at step {step}; "
                "the last checkpoint before it is kept"
            )
        self.manager.save(checkpoint_number=step)
        self.saved_at = time.monotonic()

    def _export(self) -> None:
        from cgan_tf.export import export_generator

        model_card = export_generator(self.model, self.config, self.directory / "generator")
        finish_run(
            self.directory,
            "train_gan",
            {"steps": int(self.model.step.numpy()), "generator": model_card},
        )
        print(f"{self.directory / 'generator'}: generator for {self.config.task} exported")

    def _request_stop(self, _signal, _frame) -> None:
        self.stop_requested = True


def choose_strategy(config: GanConfig):
    """The tf.distribute strategy; refuses a batch that its replicas cannot share evenly."""
    import tensorflow as tf

    if config.strategy == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise UserError(
            f"--batch_size: expected a multiple of the {replicas} replicas, "
            f"found {config.batch_size}"
        )
    return strategy


def checkpoint_of(model):
    """Every variable of a run by its path: weights, averages, optimizer slots, the step."""
    import tensorflow as tf

    variables = {
        weight.path: weight.value
        for network in (model.generator, model.discriminator, model.averaged)
        for weight in network.weights
    }
    for name, optimizer in model.optimizers.items():
        for i, variable in enumerate(optimizer.variables):
            variables[f"{name}/{i}"] = variable.value
    return tf.train.Checkpoint(step=model.step, variables=variables)
