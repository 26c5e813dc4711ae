"""Devices and processes: refusals, shares of a batch, two workers on loopback."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan.data import training_batches
from cgan_tf.gan.distribution import check_agreement, choose_strategy, is_chief, lost_workers
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import flags_text
from tests.toys.gan_kills import last_row
from tests.toys.gan_runs import finish
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config
from tests.toys.waiting import wait_until

MULTI_WORKER = small_config(strategy="multi_worker")


def tf_config(ports, index):
    workers = [f"localhost:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


@pytest.mark.parametrize("name", ["mirrored", "none"])
def test_a_single_process(name):
    config = small_config(strategy=name)
    assert choose_strategy(config).num_replicas_in_sync == 1
    assert is_chief(config)


def test_a_batch_that_the_replicas_cannot_share(monkeypatch):
    class ThreeReplicas:
        num_replicas_in_sync = 3

    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: ThreeReplicas())
    with pytest.raises(
        UserError, match="--batch_size: expected a multiple of the 3 replicas, found 2"
    ):
        choose_strategy(small_config(strategy="mirrored"))


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "x"}}',
    ],
)
def test_a_tf_config_that_names_no_place_is_refused(monkeypatch, text):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r"--strategy=multi_worker: expected TF_CONFIG="):
        choose_strategy(MULTI_WORKER)


@pytest.mark.parametrize(("index", "chief"), [(0, True), (1, False)])
def test_the_first_worker_is_the_chief(monkeypatch, index, chief):
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2], index))
    assert is_chief(MULTI_WORKER) is chief


class TwoReplicas:
    """A strategy whose other worker brings its own numbers, one a question."""

    num_replicas_in_sync = 2

    def __init__(self, *others):
        self.others = list(others)
        self.asked = []

    def run(self, function):
        return function()

    def reduce(self, how, value, axis):
        self.asked.append(float(value))
        return value + self.others.pop(0)


def test_workers_that_disagree_are_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2], 1))

    def flags_of(config):
        strategy = TwoReplicas(0.0)
        with pytest.raises(UserError, match="expected the same flags on every worker"):
            check_agreement(strategy, config, 40)
        return strategy.asked[0]

    flags = flags_of(MULTI_WORKER)
    check_agreement(TwoReplicas(flags, 40.0), MULTI_WORKER, 40)
    with pytest.raises(UserError, match="expected every worker at the same step, found 0 on wor"):
        check_agreement(TwoReplicas(flags, 40.0), MULTI_WORKER, 0)
    elsewhere = {"output_dir": "/other", "patches_dir": "/mount", "checkpoint_minutes": 3.0}
    assert flags_of(dataclasses.replace(MULTI_WORKER, **elsewhere)) == flags
    assert flags_of(dataclasses.replace(MULTI_WORKER, seed=5)) != flags


def test_a_worker_that_is_gone_is_one_line():
    error = tf.errors.UnavailableError(None, None, "Connection reset by peer")
    with pytest.raises(UserError, match="another worker is gone"), lost_workers(MULTI_WORKER):
        raise error
    with pytest.raises(tf.errors.UnavailableError), lost_workers(small_config()):
        raise error


@pytest.fixture(scope="module")
def patches_dir(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("toy"), size=32, per_class=9)


@pytest.mark.parametrize(("workers", "here"), [(2, 1), (1, 2), (2, 2)])
def test_the_parts_of_the_replicas_are_the_global_batch(patches_dir, workers, here):
    """Whoever loads it: worker after worker, replica after replica, from any step on."""
    config = small_config(batch_size=4)
    patches = PatchSet(patches_dir)
    replicas = workers * here
    whole = training_batches(config, patches, 3).take(3)
    parts = [
        iter(training_batches(config, patches, 3, range(w * here, (w + 1) * here), replicas))
        for w in range(workers)
    ]
    for batch in whole:
        shares = [next(part) for part in parts for _ in range(here)]
        for role, expected in batch.items():
            found = np.concatenate([share[role] for share in shares])
            np.testing.assert_array_equal(found, expected)


@contextlib.contextmanager
def two_workers(config):
    """train_gan in two processes; both are gone afterwards."""
    sockets = [socket.socket() for _ in range(2)]
    for free in sockets:
        free.bind(("localhost", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    command = [sys.executable, "-m", "cgan_tf.train_gan", *flags_text(config).splitlines()]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | {"TF_CONFIG": tf_config(ports, index), "CUDA_VISIBLE_DEVICES": "-1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()  # closes its pipes


def wait_for_row(config, row, process):
    wait_until(lambda: last_row(Path(config.output_dir)) >= row, process)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_processes_train_are_killed_and_go_on(patches_dir, tmp_path):
    """One run whole; one whose second worker is killed and, later, told to stop by SIGTERM."""
    config = small_config(
        task="calcification",
        strategy="multi_worker",
        batch_size=4,
        half_steps=3,
        fade_in_steps=3,
        full_steps=4,
        intra_op_threads=1,
        inter_op_threads=1,
        checkpoint_minutes=0.0,
        patches_dir=str(patches_dir),
        output_dir=str(tmp_path / "whole"),
    )
    with two_workers(config) as processes:
        outcomes = [finish(process) for process in processes]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    other = dataclasses.replace(config, output_dir=str(tmp_path / "other"))
    with two_workers(other) as (chief, second):
        wait_for_row(other, 2, chief)
        second.kill()
        outcome = finish(chief)
    assert outcome.code == 1, outcome
    assert "another worker is gone" in outcome.err.splitlines()[-1]
    with two_workers(other) as (chief, second):
        wait_for_row(other, 7, chief)
        second.send_signal(signal.SIGTERM)
        outcomes = [finish(chief), finish(second)]
    assert [outcome.code for outcome in outcomes] == [130, 130], outcomes
    with two_workers(other) as processes:
        outcomes = [finish(process) for process in processes]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    rows, expected = (tmp_path / d / "metrics.csv" for d in ("other", "whole"))
    assert rows.read_text() == expected.read_text()
    assert len(expected.read_text().splitlines()) == 11
    one, two = (
        tf.train.load_checkpoint(str(tmp_path / d / "checkpoints" / "step-0000010" / "variables"))
        for d in ("whole", "other")
    )
    names = [n for n in one.get_variable_to_shape_map() if n.startswith("variables/")]
    assert len(names) > 200
    for name in names:
        np.testing.assert_array_equal(two.get_tensor(name), one.get_tensor(name), err_msg=name)


def test_every_choice_of_strategy_is_tested_here():
    field = next(f for f in dataclasses.fields(GanConfig) if f.name == "strategy")
    assert set(field.metadata["choices"]) == {"mirrored", "multi_worker", "none"}
