"""Thread counts: resolved once, kept with the run, set in TensorFlow."""

import os
import subprocess
import sys

import pytest

from cgan_tf.config import ClassifierConfig, GanConfig
from cgan_tf.runs.directory import open_run, read_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.runs.machine import Threads, resolve_threads, save_threads


@pytest.fixture
def cores(monkeypatch):
    """Sets the number of cores that this process seems to have."""
    return lambda count: monkeypatch.setattr(
        os, "sched_getaffinity", lambda _: set(range(count)), raising=True
    )


@pytest.mark.parametrize(
    ("intra", "inter", "expected"),
    [(0, 0, (6, 6)), (3, 0, (3, 6)), (0, 2, (6, 2)), (4, 1, (4, 1))],
)
@pytest.mark.parametrize("config_class", [GanConfig, ClassifierConfig])
def test_zero_is_every_core(cores, tmp_path, config_class, intra, inter, expected):
    cores(6)
    config = config_class(intra_op_threads=intra, inter_op_threads=inter)
    assert resolve_threads(config, tmp_path / "none") == Threads(*expected)


def test_a_run_keeps_its_counts_on_another_machine(cores, tmp_path):
    config = GanConfig(output_dir=str(tmp_path))
    for count in (6, 2):
        cores(count)
        with open_run(tmp_path, "train_gan", config):
            threads = resolve_threads(config, tmp_path)
            save_threads(tmp_path, threads)
        assert threads == Threads(6, 6)
    assert read_json(tmp_path / "run.json")["threads"] == {"intra_op": 6, "inter_op": 6}


def test_a_run_from_before_counts_were_kept_goes_on(cores, tmp_path):
    config = GanConfig(output_dir=str(tmp_path))
    with open_run(tmp_path, "train_gan", config):
        pass
    cores(5)
    assert resolve_threads(config, tmp_path) == Threads(5, 5)


@pytest.mark.parametrize("name", ["intra_op_threads", "inter_op_threads"])
def test_negative_counts_are_refused(name):
    with pytest.raises(UserError, match=f"--{name}: expected 0 or more, found -1"):
        check_ranges(GanConfig(**{name: -1}))


@pytest.mark.slow
def test_tensorflow_uses_them_and_refuses_others_once_it_runs():
    script = (
        "from cgan_tf.runs.errors import UserError\n"
        "from cgan_tf.runs.machine import Threads, set_threads\n"
        "import tensorflow as tf\n"
        "set_threads(Threads(3, 5))\n"
        "tf.constant(1) + 1\n"
        "threading = tf.config.threading\n"
        "print(threading.get_intra_op_parallelism_threads())\n"
        "print(threading.get_inter_op_parallelism_threads())\n"
        "set_threads(Threads(3, 5))\n"
        "try:\n"
        "    set_threads(Threads(3, 4))\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    lines = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert lines[:2] == ["3", "5"]
    assert lines[2] == (
        "--inter_op_threads: expected to run with 4, but this process has started TensorFlow "
        "with 5; use a process of its own"
    )
