"""kill -9 at any moment: the same command ends with the bits of an uninterrupted run."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.toys.gan_kills import Moment, moments_of_every_kind, train_through
from tests.toys.gan_runs import finish, start
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config

ROWS = 22


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Twenty-four iterations; a row every second one, so that half of the sums are pending."""
    root = tmp_path_factory.mktemp("kills")
    return small_config(
        task="calcification",
        spectral_norm="both",  # the paper's: its vectors must come back too
        half_steps=8,
        fade_in_steps=9,
        full_steps=7,
        log_every=2,
        grid_every=5,
        deterministic=True,
        intra_op_threads=1,
        inter_op_threads=1,
        patches_dir=str(write_toy_patches(root / "patches", size=32, per_class=9)),
        output_dir=str(root / "whole"),
    )


@pytest.fixture(scope="module")
def whole(config):
    outcome = finish(start(config))
    assert outcome.code == 0, outcome.err
    return Path(config.output_dir)


def values(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith("_CHECKPOINTABLE")]
    return {name: reader.get_tensor(name) for name in names if not name.startswith("save_counter")}


def assert_same_run(one, two):
    """Weights, optimizer states, averages, exported weights, rows and pictures, bit for bit."""
    assert files(one) == files(two)
    first, second = (values(run / "checkpoints/step-0000024/variables") for run in (one, two))
    assert len(first) > 200
    assert set(first) == set(second)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value, err_msg=name)
    # Keras numbers the variables of an export in the order of a set: any order.
    exported = [
        sorted(
            (v.shape, v.tobytes()) for v in values(run / "generator/variables/variables").values()
        )
        for run in (one, two)
    ]
    assert len(exported[0]) > 100
    assert exported[0] == exported[1]
    grids = [f"grids/{step:07d}.png" for step in (5, 8, 10, 15, 17, 20, 24)]
    for name in ["metrics.csv", *grids]:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def files(directory):
    """Every file, but for those that are named after processes or hold what is dropped in time."""
    paths = (p.relative_to(directory) for p in directory.rglob("*") if p.is_file())
    return {str(p) for p in paths if p.parts[0] not in ("tensorboard", "checkpoints")}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_every_kind_of_moment_with_short_intervals(config, whole, tmp_path, capsys):
    moments = moments_of_every_kind(seed=1, row_count=ROWS)
    other = dataclasses.replace(config, output_dir=str(tmp_path / "r"), checkpoint_minutes=0.0)
    rows = train_through(other, moments)
    with capsys.disabled():
        print("\nkilled after rows", list(zip((m.place for m in moments), rows, strict=True)))
    assert len(moments) >= 20
    in_phase = [row for row, m in zip(rows, moments, strict=True) if m.place == "step"]
    assert min(in_phase) < 8 < max(in_phase)  # half
    assert any(8 < row < 17 for row in in_phase)  # fade
    assert max(in_phase) > 17  # full
    assert_same_run(whole, tmp_path / "r")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_with_the_default_interval(config, whole, tmp_path):
    """The run starts over each time, but for the last: its end is a checkpoint."""
    other = dataclasses.replace(config, output_dir=str(tmp_path / "r"))
    assert other.checkpoint_minutes == 10
    moments = [
        Moment("start", delay=1.0),
        *(Moment("step", row, 0.05) for row in (4, 12, 20)),
        Moment("checkpoint"),
        Moment("export"),
    ]
    train_through(other, moments)
    assert_same_run(whole, tmp_path / "r")
