"""TensorBoard's files of a run that goes on from a checkpoint."""

from pathlib import Path

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import api as hparams

from cgan_tf.flag_config import config_to_dict, flags_text


def summary_writer(directory: Path, start: int, config) -> tf.summary.SummaryWriter:
    """A writer in `directory`/tensorboard that goes on from step `start`.

    What was logged after that step is forgotten; a run's first writer logs its flags, as text and
    as hyperparameters.
    """
    folder = directory / "tensorboard"
    for path in sorted(folder.glob("*tfevents*")):
        _keep_until(path, start)
    writer = tf.summary.create_file_writer(str(folder))
    if start == 0:
        with writer.as_default(step=0):
            tf.summary.text("flags", f"```\n{flags_text(config)}```")
            hparams.hparams(_one_line_values(config))
    return writer


def _one_line_values(config) -> dict[str, bool | int | float | str]:
    """The flags as TensorBoard's hyperparameters: a list is one text."""
    return {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in config_to_dict(config).items()
    }


def _keep_until(path: Path, step: int) -> None:
    """Rewrites an event file without what comes after a step, or its torn end; nothing from 0."""
    if step == 0:
        path.unlink()
        return
    temporary = path.parent.parent / ".events.tmp"  # beside the folder: TensorBoard reads all in it
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        for event in EventFileLoader(str(path)).Load():
            if event.step <= step:
                writer.write(event.SerializeToString())
    temporary.replace(path)
