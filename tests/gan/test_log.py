"""metrics.csv, TensorBoard and the picture grids of a training run."""

import csv
import dataclasses

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan.data import streams
from cgan_tf.gan.log import GRID_COLUMNS, GRID_TAG, GanLog, tag_of
from cgan_tf.labels import TASKS
from cgan_tf.runs.errors import UserError
from tests.toys.event_files import scalars
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config


class StandIn:
    """A model whose averaged generator adds the first random scalar everywhere."""

    calls: list

    def __init__(self):
        self.calls = []

    def averaged(self, image, z, phase, alpha, category=None):
        self.calls.append((image.shape, phase, float(alpha)))
        return tf.ones_like(image) * z[:, None, None, :1]

    def alpha(self):
        return tf.constant(0.25)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return PatchSet(write_toy_patches(tmp_path_factory.mktemp("toy"), size=32, per_class=5))


@pytest.fixture
def config(patches):
    return small_config(patches_dir=str(patches.directory), log_every=2, grid_every=3)


def rows(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.reader(file))


def add(log, step, value, phase="half"):
    log.add(step, phase, {"loss_d": tf.constant(value), "alpha": tf.constant(0.0)}, StandIn())


def test_a_row_is_the_mean_since_the_last(config, patches, tmp_path):
    log = GanLog(config, patches, tmp_path, 0)
    for step, value in enumerate([1.0, 2.0, 5.0, 7.0, 100.0], 1):
        add(log, step, value, "half" if step <= 2 else "fade")
    assert rows(tmp_path) == [
        ["step", "phase", "loss_d", "alpha"],
        ["2", "half", "1.5", "0"],
        ["4", "fade", "6", "0"],
    ]


def test_going_on_from_a_checkpoint_forgets_what_came_after_it(config, patches, tmp_path):
    log = GanLog(config, patches, tmp_path, 0)
    for step in range(1, 9):
        add(log, step, float(step))
    before = rows(tmp_path)
    log = GanLog(config, patches, tmp_path, 4)
    assert rows(tmp_path) == before[:3]
    for step in range(5, 9):
        add(log, step, float(step))
    assert rows(tmp_path) == before
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(
    ("torn", "kept"),
    [
        ("12", [2, 4]),  # of 1250,half,...: not a row of step 12
        ("6,half,0.123", [2, 4]),  # perhaps of 0.1234
        ("6,half,0.5,0\r\n", [2, 4, 6]),
        ("", [2, 4]),
    ],
)
def test_a_torn_last_row_is_no_row(config, patches, tmp_path, torn, kept):
    log = GanLog(config, patches, tmp_path, 0)
    for step in range(1, 5):
        add(log, step, float(step))
    with (tmp_path / "metrics.csv").open("a", newline="") as file:
        file.write(torn)
    GanLog(config, patches, tmp_path, 20)
    assert [int(row[0]) for row in rows(tmp_path)[1:]] == kept


@pytest.mark.parametrize("content", ["", "step,pha", "step,phase,loss_d,alpha\r\n"])
def test_a_table_without_a_row_starts_anew(config, patches, tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content, newline="")
    log = GanLog(config, patches, tmp_path, 1)
    add(log, 2, 3.0)
    assert rows(tmp_path) == [["step", "phase", "loss_d", "alpha"], ["2", "half", "3", "0"]]


def test_speed_is_shown_and_not_tabled(config, patches, tmp_path, monkeypatch):
    """Two patches an iteration, two iterations a row; the clock stands until the first is done."""
    clock = iter([10.0, 10.5, 14.5])
    monkeypatch.setattr("cgan_tf.gan.log.time.monotonic", lambda: next(clock))
    log = GanLog(config, patches, tmp_path, 0)
    for step in range(1, 5):
        add(log, step, 1.0)
    log.writer.close()
    found = scalars(tmp_path / "tensorboard")["run/images_per_second"]
    assert found == [(2, 2 * 1 / 0.5), (4, 2 * 2 / 4)]
    assert "images_per_second" not in (tmp_path / "metrics.csv").read_text()


def test_a_mean_that_is_no_number_stops_the_run(config, patches, tmp_path):
    log = GanLog(config, patches, tmp_path, 0)
    add(log, 1, float("nan"))
    with pytest.raises(UserError, match=f"{tmp_path}: loss_d not finite near step 2"):
        add(log, 2, 1.0)
    assert not (tmp_path / "metrics.csv").exists()


def tiles(path):
    grid = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert grid.dtype == np.uint8
    side = grid.shape[1] // GRID_COLUMNS
    rows = grid.reshape(-1, side, GRID_COLUMNS, side).swapaxes(1, 2)
    frame = np.ones((side, side), bool)
    frame[1:-1, 1:-1] = False
    assert (rows[:, :, frame] == 0).all()
    return rows[:, :, 1:-1, 1:-1]


def levels(images):
    return np.rint((np.asarray(images, np.float64) + 1) * 127.5)


@pytest.mark.parametrize("phase", ["half", "fade"])
def test_a_grid(config, patches, tmp_path, phase):
    log = GanLog(config, patches, tmp_path, 0)
    model = StandIn()
    log.add(3, phase, {}, model)
    found = tiles(tmp_path / "grids" / "0000003.png")
    assert found.shape == (6, GRID_COLUMNS, 32, 32)  # input, 2 x (lesion, combined), real
    side = 16 if phase == "half" else 32
    assert model.calls == [((GRID_COLUMNS, side, side, 1), phase, 0.25)] * 2
    indexes = streams(config, patches, config.task)
    source, real = (
        np.stack([indexes[role].pixels(i * 4 // 7) for i in range(GRID_COLUMNS)])
        for role in ("source", "real")
    )
    if phase == "half":
        small = source.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
        source = small.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(found[0], levels(source), atol=1)
    np.testing.assert_allclose(found[5], levels(real), atol=0)
    for draw in range(2):
        lesion = log.z[draw, :, 0].reshape(-1, 1, 1) * np.ones((1, 32, 32))
        combined = np.clip(source + lesion, -1, 1)
        np.testing.assert_allclose(found[1 + 2 * draw], levels(lesion), atol=1)
        np.testing.assert_allclose(found[2 + 2 * draw], levels(combined), atol=1)
    assert np.abs(found[1].astype(int) - found[3]).max() > 10  # two draws


def test_the_columns_of_a_conditional_grid_take_turns(config, patches, tmp_path):
    """Column i shows category i mod 3, with that task's own inputs and real patches."""
    config = dataclasses.replace(config, conditional=True)
    log = GanLog(config, patches, tmp_path, 0)
    asked = []

    class Conditional(StandIn):
        def averaged(self, image, condition, phase, alpha):
            asked.append(np.asarray(condition)[:, 6:])
            return tf.zeros_like(image)

    log.add(3, "full", {}, Conditional())
    assert len(asked) == 2
    for category in asked:
        np.testing.assert_array_equal(category, np.eye(len(TASKS))[np.arange(GRID_COLUMNS) % 3])
    found = tiles(tmp_path / "grids" / "0000003.png")
    for column in range(GRID_COLUMNS):
        indexes = streams(config, patches, TASKS[column % 3])
        for row, role in ((0, "source"), (5, "real")):
            known = [levels(indexes[role].pixels(i)) for i in range(len(indexes[role]))]
            assert any(np.array_equal(found[row, column], image) for image in known), (row, column)


def test_grids_come_at_their_steps(config, patches, tmp_path):
    log = GanLog(config, patches, tmp_path, 0)
    for step in range(1, 8):
        add(log, step, 1.0)
    assert sorted(p.name for p in (tmp_path / "grids").iterdir()) == ["0000003.png", "0000006.png"]


def test_the_same_examples_in_every_grid(config, patches, tmp_path):
    first, again = (GanLog(config, patches, tmp_path / name, 0) for name in ("a", "b"))
    np.testing.assert_array_equal(first.z, again.z)
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert np.abs(first.z).max() <= 1
    other = GanLog(dataclasses.replace(config, seed=1), patches, tmp_path / "c", 0)
    assert np.abs(first.z - other.z).max() > 0.1


def test_tensorboard_shows_what_the_table_says(gan_run):
    events = EventAccumulator(str(gan_run.finished / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    header, *table = rows(gan_run.finished)
    column = header.index("loss_d")
    written = {e.step: tf.make_ndarray(e.tensor_proto) for e in events.Tensors("losses/loss_d")}
    assert sorted(written) == [int(row[0]) for row in table]
    for row in table:
        assert float(written[int(row[0])]) == pytest.approx(float(row[column]), rel=1e-4)
    text = tf.make_ndarray(events.Tensors("flags")[0].tensor_proto).item().decode()
    assert "--task=calcification\n" in text
    tags = events.Tags()["tensors"]
    assert {tag_of(name) for name in [*header[2:], "images_per_second"]} <= set(tags)


@pytest.mark.parametrize(
    "tag",
    [
        *("losses/penalty", "losses/mode_seeking", "cross-entropy/ce_real", "lesions/lesion_area"),
        *("probabilities/p_real_on_fake", "largest sigma/sigma_g", "run/alpha"),
    ],
)
def test_sections(tag):
    assert tag_of(tag.partition("/")[2]) == tag


def test_tensorboard_shows_the_grids(gan_run):
    events = EventAccumulator(str(gan_run.finished / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    shown = {e.step: tf.make_ndarray(e.tensor_proto) for e in events.Tensors(GRID_TAG)}
    paths = {int(path.stem): path for path in (gan_run.finished / "grids").iterdir()}
    assert sorted(shown) == sorted(paths)
    assert len(paths) > 2
    for step, path in paths.items():
        _, _, png = shown[step]  # after its width and height
        image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_tensorboard_forgets_what_came_after_the_checkpoint_too(config, patches, tmp_path):
    log = GanLog(config, patches, tmp_path, 0)
    for step in range(1, 9):
        add(log, step, float(step))
    log.writer.close()
    log = GanLog(config, patches, tmp_path, 4)
    assert [step for step, _ in scalars(tmp_path / "tensorboard")["losses/loss_d"]] == [2, 4]
    for step in range(5, 9):
        add(log, step, float(step))
    log.writer.close()
    found = scalars(tmp_path / "tensorboard")["losses/loss_d"]
    assert found == [(2, 1.5), (4, 3.5), (6, 5.5), (8, 7.5)]
