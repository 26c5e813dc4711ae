"""TensorBoard's files: what was logged after the checkpoint is forgotten."""

import pytest
import tensorflow as tf
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from cgan_tf.config import ClassifierConfig, GanConfig
from cgan_tf.runs.flags import config_to_dict
from cgan_tf.runs.training import summary_writer
from tests.toys.event_files import plugin_contents, scalars, texts

CONFIG = GanConfig(size=64, output_dir="w", beta_2=0.5, grow=False)


def log(directory, start, steps):
    """What one process writes: the step number itself, at each step."""
    writer = summary_writer(directory, start, CONFIG)
    with writer.as_default():
        for step in steps:
            tf.summary.scalar("step", float(step), step=step)
    writer.close()


def points(directory):
    return [step for step, _ in scalars(directory / "tensorboard").get("step", [])]


def test_points_after_the_checkpoint_are_forgotten(tmp_path):
    log(tmp_path, 0, range(1, 8))
    log(tmp_path, 4, [])
    assert points(tmp_path) == [1, 2, 3, 4]
    log(tmp_path, 4, range(5, 10))
    assert points(tmp_path) == list(range(1, 10))
    assert scalars(tmp_path / "tensorboard")["step"][-1] == (9, 9.0)


def test_every_earlier_file_is_looked_at(tmp_path):
    log(tmp_path, 0, range(1, 6))
    log(tmp_path, 5, range(6, 9))
    log(tmp_path, 3, range(4, 6))
    assert points(tmp_path) == [1, 2, 3, 4, 5]


def test_from_the_start_nothing_is_kept(tmp_path):
    for _ in range(2):
        log(tmp_path, 0, [1, 2])
    assert points(tmp_path) == [1, 2]


def test_flags_are_there_once(tmp_path):
    for start in (0, 0, 2, 3):
        log(tmp_path, start, [start + 1])
    [(step, text)] = texts(tmp_path / "tensorboard", "flags")
    assert step == 0
    assert "--size=64\n" in text


def test_flags_are_hyperparameters_too(tmp_path):
    for start in (0, 2):
        log(tmp_path, start, [start + 1])
    [content] = plugin_contents(tmp_path / "tensorboard", metadata.PLUGIN_NAME)
    data = plugin_data_pb2.HParamsPluginData.FromString(content)
    found = {
        name: getattr(value, value.WhichOneof("kind"))
        for name, value in data.session_start_info.hparams.items()
    }
    flags = config_to_dict(CONFIG)
    lists = {name: ",".join(value) for name, value in flags.items() if isinstance(value, list)}
    assert found == flags | lists


def test_a_list_is_one_hyperparameter(tmp_path):
    summary_writer(tmp_path, 0, ClassifierConfig(synthetic_dirs=("a", "b"))).close()
    [content] = plugin_contents(tmp_path / "tensorboard", metadata.PLUGIN_NAME)
    data = plugin_data_pb2.HParamsPluginData.FromString(content)
    assert data.session_start_info.hparams["synthetic_dirs"].string_value == "a,b"


@pytest.mark.parametrize("lost", [1, 9, 30])
def test_a_torn_end_is_left_out(tmp_path, lost):
    log(tmp_path, 0, range(1, 8))
    [path] = (tmp_path / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-lost])
    log(tmp_path, 6, [7])
    assert points(tmp_path) == list(range(1, 8))
    assert path.stat().st_size > 0


def test_nothing_foreign_stays_in_the_directory(tmp_path):
    log(tmp_path, 0, range(1, 4))
    log(tmp_path, 2, [3])
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]
    assert all("tfevents" in path.name for path in (tmp_path / "tensorboard").iterdir())
