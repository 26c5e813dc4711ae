"""Checkpoints: whole or absent, checked before they are read, within their share of the time."""

import contextlib
import os
import resource

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.runs import training
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.training import Checkpoints


@pytest.fixture
def variables():
    return {"a/kernel": tf.Variable(tf.zeros([64, 64])), "step": tf.Variable(0, dtype=tf.int64)}


@pytest.fixture
def checkpoints(tmp_path, variables):
    return Checkpoints(tmp_path / "c", variables, 10.0)


def save(checkpoints, variables, step, **state):
    variables["a/kernel"].assign(tf.fill([64, 64], float(step)))
    variables["step"].assign(step)
    checkpoints.save(step, state)


def test_what_was_saved_comes_back_with_its_state(checkpoints, variables):
    save(checkpoints, variables, 7, pending=[{"loss": 0.1}], sound=True)
    variables["a/kernel"].assign(tf.zeros([64, 64]))
    assert checkpoints.restore() == {"pending": [{"loss": 0.1}], "sound": True}
    assert (variables["a/kernel"].numpy() == 7).all()


@pytest.mark.parametrize("name", ["run [1]", "x=[1,2]", "a*b?"])
def test_a_directory_whose_name_is_a_pattern(tmp_path, variables, name):
    """TensorFlow takes the path of a checkpoint for a pattern that such a name does not match."""
    checkpoints = Checkpoints(tmp_path / name / "c", variables, 10.0)
    save(checkpoints, variables, 7)
    variables["a/kernel"].assign(tf.zeros([64, 64]))
    assert checkpoints.restore() == {}
    assert (variables["a/kernel"].numpy() == 7).all()


def test_nothing_saved_is_a_fresh_start(checkpoints):
    assert checkpoints.restore() == {}
    assert checkpoints.steps() == []


def test_the_last_two_are_kept(checkpoints, variables):
    for step in (1, 2, 3, 12):
        save(checkpoints, variables, step)
    assert checkpoints.steps() == [3, 12]


def test_the_last_sound_one_outlives_those_of_a_collapse(checkpoints, variables):
    for step, sound in ((1, True), (2, True), (3, False), (4, False), (5, False)):
        save(checkpoints, variables, step, sound=sound)
    assert checkpoints.steps() == [2, 4, 5]
    save(checkpoints, variables, 6, sound=True)
    save(checkpoints, variables, 7, sound=True)
    assert checkpoints.steps() == [6, 7]


@pytest.mark.parametrize("name", ["data-00000-of-00001", "index", "state", "checksums"])
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "gone"])
def test_a_damaged_checkpoint_costs_only_itself(checkpoints, variables, capsys, name, damage):
    for step in (3, 5):
        save(checkpoints, variables, step, sound=True)
    newest = checkpoints.directory / "step-0000005"
    path = newest / (f"{name}.json" if name in ("state", "checksums") else f"variables.{name}")
    spoil(path, damage)
    assert checkpoints.restore() == {"sound": True}
    assert int(variables["step"]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(str(newest))
    assert lines[0].endswith("going on from the one before it")


def spoil(path, damage):
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
        return
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(b"" if damage == "empty" else content[: -9 if damage == "cut" else None])


def test_when_all_are_damaged_it_does_not_start_over_in_silence(checkpoints, variables):
    for step in (3, 5):
        save(checkpoints, variables, step)
        spoil(checkpoints.directory / f"step-{step:07d}" / "variables.index", "cut")
    with pytest.raises(UserError, match="every checkpoint is damaged; start anew with --restart"):
        checkpoints.restore()


@pytest.mark.parametrize(
    "others",
    [
        {"a/kernel": (64, 32)},
        {"a/kernel": (64, 64), "b": (1,)},
        {"b": (64, 64)},
    ],
    ids=["shape", "more", "other"],
)
def test_other_networks_are_refused(checkpoints, variables, others):
    save(checkpoints, variables, 5)
    other = {name: tf.Variable(tf.zeros(shape)) for name, shape in others.items()}
    with pytest.raises(UserError, match="expected the variables of this version's networks"):
        Checkpoints(checkpoints.directory, other, 10.0).restore()


def test_what_a_killed_process_left_is_dropped_at_the_next_save(checkpoints, variables):
    left = checkpoints.directory / ".step-0000004.99999.tmp"
    left.mkdir(parents=True)
    (left / "variables.index").write_bytes(b"half")
    assert checkpoints.restore() == {}
    save(checkpoints, variables, 6)
    assert [path.name for path in checkpoints.directory.iterdir()] == ["step-0000006"]


@contextlib.contextmanager
def room_in_a_file(size):
    """No file of this process may grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [0, 100, 8192])
def test_a_disk_that_is_full_costs_nothing_but_the_new_one(tmp_path, room):
    """No room at all, room for the index alone, and room for half of the data."""
    kernel = tf.Variable(tf.zeros([64, 64]))  # 16 KiB
    checkpoints = Checkpoints(tmp_path / "c", {"kernel": kernel}, 10.0)
    checkpoints.save(4, {})
    kernel.assign_add(tf.ones([64, 64]))
    with pytest.raises(UserError) as caught, room_in_a_file(room):
        checkpoints.save(5, {})
    line = str(caught.value)
    assert line.startswith(f"{tmp_path}/c/step-0000005: cannot be written (")
    assert "File too large" in line
    assert line.endswith("; the checkpoint of step 4 is kept")
    assert "\n" not in line
    assert os.listdir(tmp_path / "c") == ["step-0000004"]
    Checkpoints(tmp_path / "c", {"kernel": kernel}, 10.0).restore()
    np.testing.assert_array_equal(kernel, np.zeros([64, 64]))


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("minutes", "cost", "interval"),
    [(10.0, 1.0, 600.0), (10.0, 60.0, 1940.0), (1.0, 0.5, 60.0), (1.0, 3.0, 97.0)],
)
def test_saving_takes_three_percent_at_most(tmp_path, variables, clock, minutes, cost, interval):
    """60 s of saving need 1,940 s without: 60 / 2,000 = 3%."""
    checkpoints = Checkpoints(tmp_path / "c", variables, minutes)

    class SlowDisk:
        def write(self, path):
            clock.now += cost

    checkpoints.checkpoint = SlowDisk()
    clock.now = 5.0
    checkpoints.start_clock()
    checkpoints.save(1, {})
    clock.now += interval - 0.01
    assert not checkpoints.due()
    clock.now += 0.02
    assert checkpoints.due()
    assert checkpoints.seconds == pytest.approx(cost)


def test_zero_minutes_is_after_every_iteration(tmp_path, variables):
    assert Checkpoints(tmp_path / "c", variables, 0.0).due()
