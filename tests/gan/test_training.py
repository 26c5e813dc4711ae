"""Training runs: phases, checkpoints, interruption, refusal, what stops them."""

import csv
import dataclasses
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.gan.data import training_batches
from cgan_tf.gan.training import Training, check_config, train_gan, variables_of
from cgan_tf.runs.directory import read_json, read_manifest
from cgan_tf.runs.errors import UserError
from tests.toys.patches import write_toy_patches
from tests.toys.small_gan import small_config


def checkpoint_values(directory):
    newest = max((directory / "checkpoints").iterdir())
    reader = tf.train.load_checkpoint(str(newest / "variables"))
    not_ours = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter")
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith(not_ours)]
    return {name: reader.get_tensor(name) for name in names}


def metric_rows(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class TestProgram:
    def test_a_run_to_its_end(self, gan_run):
        whole = gan_run.whole
        assert whole.code == 0, whole.err
        assert whole.out.splitlines()[-1].endswith("generator for calcification exported")
        rows = metric_rows(gan_run.finished)
        assert [row["phase"] for row in rows] == ["half"] * 3 + ["fade"] * 5 + ["full"] * 2
        assert [int(row["step"]) for row in rows] == list(range(1, 11))
        assert [float(row["alpha"]) for row in rows[3:9]] == [0, 0.2, 0.4, 0.6, 0.8, 1]
        manifest = read_manifest(gan_run.finished, "train_gan")
        assert manifest["steps"] == 10
        assert manifest["generator"]["task"] == "calcification"
        assert manifest["flags"]["size"] == 32
        assert manifest["threads"] == {"intra_op": 1, "inter_op": 1}
        assert 0 < manifest["checkpoint_share"] < 1
        assert read_json(gan_run.finished / "run.json")["threads"] == manifest["threads"]

    def test_it_is_quiet(self, gan_run):
        lines = [line for line in gan_run.whole.err.replace("\r", "\n").splitlines() if line]
        assert lines
        assert all(line.startswith("calcification GAN:") for line in lines), lines

    @pytest.mark.slow
    def test_ended_by_a_signal_it_saves_and_says_how_to_go_on(self, resumed_gan_run):
        killed = resumed_gan_run.killed
        assert killed.code == 130
        assert killed.err.splitlines()[-1] == (
            "train_gan: interrupted; run the same command again to go on"
        )
        assert "Traceback" not in killed.err
        assert 3 < resumed_gan_run.rows_when_killed < 10

    @pytest.mark.slow
    def test_run_again_it_ends_as_if_nothing_had_been(self, gan_run, resumed_gan_run):
        assert resumed_gan_run.again.code == 0, resumed_gan_run.again.err
        whole, resumed = gan_run.finished, resumed_gan_run.directory
        assert (whole / "metrics.csv").read_bytes() == (resumed / "metrics.csv").read_bytes()
        expected, found = checkpoint_values(whole), checkpoint_values(resumed)
        assert len(expected) > 200
        assert set(expected) == set(found)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)

    def test_the_grids(self, gan_run):
        grids = sorted(p.name for p in (gan_run.finished / "grids").iterdir())
        assert grids == [f"{step:07d}.png" for step in (3, 4, 8, 10)]

    @pytest.mark.slow
    def test_the_grids_of_both_runs_are_the_same(self, gan_run, resumed_gan_run):
        one, two = (
            {path.name: path.read_bytes() for path in (directory / "grids").iterdir()}
            for directory in (gan_run.finished, resumed_gan_run.directory)
        )
        assert one == two

    def test_finished_there_is_nothing_to_do(self, gan_run, capsys):
        before = read_json(gan_run.finished / "manifest.json")
        train_gan(gan_run.config)
        assert capsys.readouterr().out == (
            f"train_gan: {gan_run.finished} is finished; nothing to do\n"
        )
        assert read_json(gan_run.finished / "manifest.json") == before

    def test_other_flags_are_refused(self, gan_run):
        other = dataclasses.replace(gan_run.config, learning_rate=1e-4, checkpoint_minutes=1.0)
        with pytest.raises(UserError, match=r"--learning_rate was 0\.001, is 0\.0001; name"):
            train_gan(other)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("toy"), size=32, per_class=5)


@pytest.fixture
def config(patches, tmp_path):
    return small_config(patches_dir=str(patches), output_dir=str(tmp_path / "run"))


@pytest.fixture
def scripted(monkeypatch):
    """The step replaced by a script, and the export left out: a run is counting alone."""
    script = {"phases": [], "at": {}}

    def compile_step(self):
        script["phases"].append(self.model.phase)

        def step(batch):
            assert set(batch) == {"real", "source", "benign", "normal", "task"}
            number = int(self.model.step.assign_add(1))
            metrics = {"loss_d": tf.constant(float(number)), "alpha": self.model.alpha()}
            metrics["lesion_range"] = tf.constant(0.1)
            action = script["at"].get(number)
            return action(metrics) if action else metrics

        return step

    monkeypatch.setattr(Training, "_compile_step", compile_step)
    monkeypatch.setattr(Training, "_export", lambda self: script.update(exported=True))
    return script


def saved_steps(config):
    directory = os.path.join(config.output_dir, "checkpoints")
    return sorted(int(p[5:]) for p in os.listdir(directory))


class TestLoop:
    @pytest.fixture
    def config(self, config):
        """Of networks that are quickly built: none of them is run by the step."""
        return dataclasses.replace(config, spectral_norm="none", attention_size=-1)

    def test_phases_and_the_last_checkpoint(self, config, scripted):
        train_gan(config)
        assert scripted["phases"] == ["half", "fade", "full"]
        assert scripted["exported"]
        assert saved_steps(config) == [8]

    def test_checkpoints_come_with_time(self, config, scripted):
        train_gan(dataclasses.replace(config, checkpoint_minutes=0.0))
        assert saved_steps(config) == [7, 8]  # every step; the last two are kept

    def test_a_figure_that_is_not_finite_stops_the_run(self, config, scripted):
        """The row of step 5 is never written, and the checkpoint of step 4 is the last."""
        scripted["at"][5] = lambda metrics: metrics | {"loss_d": tf.constant(np.nan)}
        with pytest.raises(
            UserError, match="loss_d not finite at step 5; the checkpoint of step 4"
        ):
            train_gan(dataclasses.replace(config, checkpoint_minutes=0.0))
        assert saved_steps(config) == [3, 4]
        with open(os.path.join(config.output_dir, "metrics.csv")) as file:
            assert file.read().splitlines()[-1].startswith("4,")

    @pytest.mark.parametrize("log_every", [3, 100])
    def test_no_checkpoint_is_made_after_it(self, config, scripted, log_every):
        """Iterations 4 and 5 are examined at the row of step 6, or before the last checkpoint."""
        scripted["at"][4] = lambda metrics: metrics | {"loss_d": tf.constant(np.inf)}
        with pytest.raises(UserError, match="loss_d not finite at step 4; there is no earlier"):
            train_gan(dataclasses.replace(config, log_every=log_every))
        assert not os.path.exists(os.path.join(config.output_dir, "checkpoints"))
        assert "exported" not in scripted

    def test_a_lesion_channel_empty_for_long_stops_the_run(self, config, scripted):
        """The checkpoint of step 3, before it, outlives those of the empty iterations."""
        for step in (4, 5, 6, 7):
            scripted["at"][step] = lambda metrics: metrics | {"lesion_range": tf.constant(0.0)}
        flags = dataclasses.replace(config, checkpoint_minutes=0.0, collapse_steps=4)
        with pytest.raises(UserError, match=r"collapsed: lesion_range .* from step 4 to step 7; "):
            train_gan(flags)
        assert saved_steps(config) == [3, 5, 6]
        with pytest.raises(UserError, match="from step 4 to step 7"):  # the count was kept
            train_gan(flags)
        train_gan(dataclasses.replace(flags, collapse_steps=0))
        assert scripted["exported"]

    def test_a_full_disk_is_one_line(self, config, scripted, monkeypatch):
        write = tf.train.Checkpoint.write

        def refuse(self, path):
            if "step-0000005" in path:
                raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
            return write(self, path)

        monkeypatch.setattr(tf.train.Checkpoint, "write", refuse)
        flags = dataclasses.replace(config, checkpoint_minutes=0.0)
        message = r"step-0000005: cannot be written \(No space left on device\); .*step 4 is kept$"
        with pytest.raises(UserError, match=message):
            train_gan(flags)
        monkeypatch.undo()

    @pytest.mark.parametrize(
        "stop",
        [pytest.param(3, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow), 5],
    )
    def test_rows_of_a_resumed_run_are_means_over_all_their_iterations(
        self, config, scripted, stop
    ):
        """Rows at 3 and 6: 1 to 3 mean 2, 4 to 6 mean 5, wherever the run was stopped."""
        flags = dataclasses.replace(config, log_every=3)
        scripted["at"][stop] = lambda metrics: os.kill(os.getpid(), signal.SIGTERM) or metrics
        with pytest.raises(KeyboardInterrupt):
            train_gan(flags)
        scripted["at"].clear()
        train_gan(flags)
        with open(os.path.join(config.output_dir, "metrics.csv")) as file:
            rows = [line.split(",")[:3] for line in file.read().splitlines()[1:]]
        assert rows == [["3", "fade", "2"], ["6", "fade", "5"]]

    @pytest.mark.parametrize(
        "stop",
        [2, pytest.param(6, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)],
    )
    def test_stopped_at_a_phases_end_its_grid_is_there(self, config, scripted, stop):
        scripted["at"][stop] = lambda metrics: os.kill(os.getpid(), signal.SIGTERM) or metrics
        with pytest.raises(KeyboardInterrupt):
            train_gan(config)
        scripted["at"].clear()
        train_gan(config)
        grids = sorted(os.listdir(os.path.join(config.output_dir, "grids")))
        assert grids == ["0000002.png", "0000006.png", "0000008.png"]

    @pytest.mark.parametrize(
        "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
    )
    def test_a_signal_saves_and_the_same_command_goes_on(self, config, scripted, number):
        def interrupt(metrics):
            os.kill(os.getpid(), number)
            return metrics

        scripted["at"][3] = interrupt
        handlers = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
        with pytest.raises(KeyboardInterrupt):
            train_gan(config)
        assert saved_steps(config) == [3]
        assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == handlers
        scripted["at"].clear()
        scripted["phases"].clear()
        train_gan(config)
        assert scripted["phases"] == ["fade", "full"]
        with open(os.path.join(config.output_dir, "metrics.csv")) as file:
            rows = [line.split(",")[:3] for line in file.read().splitlines()[1:]]
        assert rows == [[str(n), phase_of(n), str(n)] for n in range(1, 9)]

    def test_stopped_after_its_last_step_only_the_export_is_left(self, config, scripted):
        scripted["at"][8] = lambda metrics: os.kill(os.getpid(), signal.SIGTERM) or metrics
        with pytest.raises(KeyboardInterrupt):
            train_gan(config)
        assert "exported" not in scripted
        scripted["phases"].clear()
        train_gan(config)
        assert scripted["exported"]
        assert scripted["phases"] == []

    def test_a_damaged_record_is_named(self, config, scripted, tmp_path):
        patches = write_toy_patches(tmp_path / "p", size=32, per_class=5)
        shard = next((patches / "train").glob("malignant_mass*"))
        content = bytearray(shard.read_bytes())
        content[-10] ^= 1  # of the last record; the first is looked at before the run
        shard.write_bytes(content)
        with pytest.raises(UserError, match=r"malignant_mass.*tfrecord: damaged record at byte"):
            train_gan(dataclasses.replace(config, patches_dir=str(patches)))


def phase_of(step):
    return "half" if step <= 2 else "fade" if step <= 6 else "full"


class TestCheckpoint:
    @pytest.fixture
    def config(self, config):
        """Of networks that are quickly built, with a u vector in every layer of one."""
        return dataclasses.replace(config, spectral_norm="discriminator", attention_size=-1)

    def test_everything_is_in_it_and_comes_back(self, config, scripted, tmp_path):
        training = Training(config, PatchSet(config.patches_dir), tmp_path)
        model = training.model
        variables = [
            *(
                w
                for net in (model.generator, model.discriminator, model.averaged)
                for w in net.weights
            ),
            *(v for optimizer in model.optimizers.values() for v in optimizer.variables),
        ]
        rng = np.random.default_rng(0)
        for variable in variables:
            if variable.dtype == "float32":
                variable.assign(rng.normal(size=variable.shape))
            else:
                variable.assign(7)
        model.step.assign(5)
        training.checkpoints.save(5, {})
        values = [variable.numpy() for variable in variables]
        for variable in variables:
            variable.assign(0 * variable.value)
        model.step.assign(0)
        training.checkpoints.restore()
        assert int(model.step) == 5
        for variable, value in zip(variables, values, strict=True):
            np.testing.assert_array_equal(variable, value, err_msg=variable.path)

    @pytest.mark.parametrize("deterministic", [True, pytest.param(False, marks=pytest.mark.slow)])
    def test_deterministic_operations_by_flag(self, config, tmp_path, monkeypatch, deterministic):
        asked = []
        monkeypatch.setattr(
            tf.config.experimental, "enable_op_determinism", lambda: asked.append(True)
        )
        flags = dataclasses.replace(config, deterministic=deterministic)
        Training(flags, PatchSet(config.patches_dir), tmp_path)
        assert asked == [True] * deterministic

    def test_the_seed_gives_the_first_weights(self, config, tmp_path):
        def fresh(seed, name):
            seeded = dataclasses.replace(config, seed=seed)
            return Training(seeded, PatchSet(config.patches_dir), tmp_path / name).model

        first, again, other = fresh(0, "a"), fresh(0, "b"), fresh(1, "c")
        for one, two in zip(first.weights, again.weights, strict=True):
            np.testing.assert_array_equal(one, two)
        kernel = first.discriminator.convs[1].kernel
        assert np.abs(kernel - other.discriminator.convs[1].kernel).max() > 0.01
        assert len(variables_of(first)) > 100


class TestRefusal:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"size": 48}, "--size: expected a power of two, 32 or more, found 48"),
            ({"size": 16}, "--size"),
            ({"attention_size": 12}, "--attention_size: expected a power of two from 8 to 64"),
            ({"attention_size": 128}, "--attention_size"),
            ({"attention_size": 4}, "--attention_size"),
            ({"batch_size": 0}, "--batch_size: expected 1 or more, found 0"),
            ({"full_steps": 0}, "--full_steps"),
            ({"log_every": 0}, "--log_every"),
            ({"grid_every": 0}, "--grid_every"),
            ({"generator_filters": 0}, "--generator_filters"),
            ({"bottleneck_filters": 0}, "--bottleneck_filters"),
            ({"embedding_channels": 0}, "--embedding_channels"),
            ({"discriminator_multiplier": 0}, "--discriminator_multiplier"),
            ({"half_steps": -1}, "--half_steps: expected 0 or more, found -1"),
            ({"fade_in_steps": -1}, "--fade_in_steps"),
            ({"generator_steps": -1}, "--generator_steps"),
            ({"border": -1}, "--border"),
            ({"border": 128}, "--border: expected less than half of the patch, found 128"),
            ({"seed": -1}, "--seed"),
            ({"ema": 1.0}, "--ema: expected 0 or more and below 1"),
        ],
        ids=str,
    )
    def test_values_that_make_no_network(self, changes, message):
        with pytest.raises(UserError) as caught:
            check_config(dataclasses.replace(GanConfig(), **changes))
        assert str(caught.value).startswith(message)

    def test_the_papers_are_accepted(self):
        check_config(GanConfig())
        check_config(GanConfig(size=32, attention_size=-1, half_steps=0, generator_steps=0))

    @pytest.mark.parametrize("missing", ["patches_dir", "output_dir"])
    def test_directories_are_asked_for(self, config, missing):
        with pytest.raises(UserError, match=f"--{missing} required"):
            train_gan(dataclasses.replace(config, **{missing: ""}))

    def test_patches_that_are_not_there(self, config, tmp_path):
        with pytest.raises(
            UserError, match=r"nowhere: expected an output directory .*no such directory"
        ):
            train_gan(dataclasses.replace(config, patches_dir=str(tmp_path / "nowhere")))
        assert not os.path.exists(config.output_dir)


def test_a_dry_run_makes_nothing(config, capsys):
    train_gan(dataclasses.replace(config, dry_run=True, patches_dir="", output_dir=""))
    out = capsys.readouterr().out
    for phase in ("half", "fade", "full"):
        assert f"generator, phase {phase}" in out
        assert f"discriminator, phase {phase}" in out


@pytest.mark.slow
def test_the_step_of_a_run_computes_its_convolutions_in_bfloat16(config, tmp_path):
    """Counted in the graph that a run executes, penalty and its second derivatives included."""

    def outputs(precision):
        flags = dataclasses.replace(config, precision=precision, attention_size=-1)
        training = Training(flags, PatchSet(config.patches_dir), tmp_path / precision)
        training.model.phase = "full"
        batch = next(iter(training_batches(flags, training.patches, 0)))
        graph = training._compile_step().get_concrete_function(batch).graph
        return [
            op.outputs[0].dtype for op in graph.get_operations() if op.type.startswith("Conv2D")
        ]

    single, mixed = outputs("float32"), outputs("mixed_bfloat16")
    assert set(single) == {tf.float32}
    assert len(single) > 100
    # What stays: the generator's to-grey head, which runs four times (for D's fakes, and for two
    # updates of G, each with two gradients).
    heads = sum(dtype == tf.float32 for dtype in mixed)
    assert heads == 1 + 2 * 3
    assert {d for d in mixed if d != tf.float32} == {tf.bfloat16}


@pytest.mark.slow
def test_keras_fit_trains_like_the_loop(config, tmp_path):
    """One process: three iterations by `fit` leave the weights of three by the run's own step."""
    config = dataclasses.replace(config, attention_size=-1, generator_steps=1)  # a smaller graph
    patches = PatchSet(config.patches_dir)
    ours, keras = (Training(config, patches, tmp_path / name) for name in ("a", "b"))
    for training in (ours, keras):
        training.model.phase = "fade"
    step = ours._compile_step()
    for batch in training_batches(config, patches, 0).take(3):
        metrics = step(batch)
    batches = training_batches(config, patches, 0).take(3)
    history = keras.model.fit(batches, verbose=0, shuffle=False).history
    assert int(keras.model.step) == 3
    assert history["loss_d"][-1] == pytest.approx(float(metrics["loss_d"]), rel=1e-5)
    for one, two in zip(ours.model.weights, keras.model.weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6, err_msg=one.path)
