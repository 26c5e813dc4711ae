"""Training runs: phases, checkpoints, interruption, refusal, what stops them."""

import csv
import dataclasses
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.errors import UserError
from cgan_tf.gan_training import Training, check_config, checkpoint_of, choose_strategy, train_gan
from cgan_tf.patch_sets import PatchSet
from cgan_tf.run_directory import read_json, read_manifest
from tests.small_gan import small_config
from tests.toy_patches import write_toy_patches


def checkpoint_values(directory):
    reader = tf.train.load_checkpoint(str(directory / "checkpoints"))
    not_ours = ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter")
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith(not_ours)]
    return {name: reader.get_tensor(name) for name in names}


def metric_rows(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class TestProgram:
    def test_a_run_to_its_end(self, gan_runs):
        whole = gan_runs.whole
        assert whole.code == 0, whole.err
        assert whole.out.splitlines()[-1].endswith("generator for calcification exported")
        rows = metric_rows(gan_runs.finished)
        assert [row["phase"] for row in rows] == ["half"] * 3 + ["fade"] * 5 + ["full"] * 2
        assert [int(row["step"]) for row in rows] == list(range(1, 11))
        assert [float(row["alpha"]) for row in rows[3:9]] == [0, 0.2, 0.4, 0.6, 0.8, 1]
        manifest = read_manifest(gan_runs.finished, "train_gan")
        assert manifest["steps"] == 10
        assert manifest["generator"]["task"] == "calcification"
        assert manifest["flags"]["size"] == 32

    def test_it_is_quiet(self, gan_runs):
        lines = [line for line in gan_runs.whole.err.replace("\r", "\n").splitlines() if line]
        assert lines
        assert all(line.startswith("calcification GAN:") for line in lines), lines

    def test_ended_by_a_signal_it_saves_and_says_how_to_go_on(self, gan_runs):
        killed = gan_runs.killed
        assert killed.code == 130
        assert killed.err.splitlines()[-1] == (
            "train_gan: interrupted; run the same command again to go on"
        )
        assert "Traceback" not in killed.err
        assert 3 < gan_runs.rows_when_killed < 10

    def test_run_again_it_ends_as_if_nothing_had_been(self, gan_runs):
        assert gan_runs.again.code == 0, gan_runs.again.err
        whole, resumed = gan_runs.finished, gan_runs.resumed
        assert (whole / "metrics.csv").read_bytes() == (resumed / "metrics.csv").read_bytes()
        expected, found = checkpoint_values(whole), checkpoint_values(resumed)
        assert len(expected) > 200
        assert set(expected) == set(found)
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)

    def test_the_grids_of_both_runs_are_the_same(self, gan_runs):
        grids = sorted(p.name for p in (gan_runs.finished / "grids").iterdir())
        assert grids == [f"{step:07d}.png" for step in (3, 4, 8, 10)]
        for name in grids:
            one, two = (d / "grids" / name for d in (gan_runs.finished, gan_runs.resumed))
            assert one.read_bytes() == two.read_bytes()

    def test_finished_there_is_nothing_to_do(self, gan_runs, capsys):
        before = read_json(gan_runs.finished / "manifest.json")
        train_gan(gan_runs.config)
        assert capsys.readouterr().out == (
            f"{gan_runs.finished}: training is finished; nothing to do\n"
        )
        assert read_json(gan_runs.finished / "manifest.json") == before

    def test_other_flags_are_refused(self, gan_runs):
        other = dataclasses.replace(gan_runs.config, learning_rate=1e-4, checkpoint_minutes=1.0)
        with pytest.raises(UserError, match=r"--learning_rate was 0\.001, is 0\.0001$"):
            train_gan(other)


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    return write_toy_patches(tmp_path_factory.mktemp("toy"), size=32, per_class=5)


@pytest.fixture
def config(patches, tmp_path):
    return small_config(patches_dir=str(patches), workdir=str(tmp_path / "run"))


@pytest.fixture
def scripted(monkeypatch):
    """The step replaced by a script, and the export left out: a run is counting alone."""
    script = {"phases": [], "at": {}}

    def compile_step(self):
        script["phases"].append(self.model.phase)

        def step(batch):
            assert set(batch) == {"real", "source", "benign", "normal"}
            number = int(self.model.step.assign_add(1))
            metrics = {"loss_d": tf.constant(float(number)), "alpha": self.model.alpha()}
            action = script["at"].get(number)
            return action(metrics) if action else metrics

        return step

    monkeypatch.setattr(Training, "_compile_step", compile_step)
    monkeypatch.setattr(Training, "_export", lambda self: script.update(exported=True))
    return script


def saved_steps(config):
    directory = os.path.join(config.workdir, "checkpoints")
    return sorted(int(p[5:-6]) for p in os.listdir(directory) if p.endswith(".index"))


class TestLoop:
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
        with pytest.raises(UserError, match="loss_d not finite near step 5; the last checkpoint"):
            train_gan(dataclasses.replace(config, checkpoint_minutes=0.0))
        assert saved_steps(config) == [3, 4]
        with open(os.path.join(config.workdir, "metrics.csv")) as file:
            assert file.read().splitlines()[-1].startswith("4,")

    def test_a_checkpoint_is_not_made_of_it_either(self, config, scripted):
        scripted["at"][5] = lambda metrics: metrics | {"loss_d": tf.constant(np.inf)}
        with pytest.raises(UserError, match="loss_d not finite at step 5; the last checkpoint"):
            train_gan(dataclasses.replace(config, checkpoint_minutes=0.0, log_every=100))
        assert saved_steps(config) == [3, 4]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
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
        with open(os.path.join(config.workdir, "metrics.csv")) as file:
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
        training.manager.save(checkpoint_number=5)
        values = [variable.numpy() for variable in variables]
        for variable in variables:
            variable.assign(0 * variable.value)
        model.step.assign(0)
        assert training._restore() == 5
        for variable, value in zip(variables, values, strict=True):
            np.testing.assert_array_equal(variable, value, err_msg=variable.path)

    def test_the_seed_gives_the_first_weights(self, config, tmp_path):
        def fresh(seed, name):
            seeded = dataclasses.replace(config, seed=seed)
            return Training(seeded, PatchSet(config.patches_dir), tmp_path / name).model

        first, again, other = fresh(0, "a"), fresh(0, "b"), fresh(1, "c")
        for one, two in zip(first.weights, again.weights, strict=True):
            np.testing.assert_array_equal(one, two)
        kernel = first.discriminator.convs[1].kernel
        assert np.abs(kernel - other.discriminator.convs[1].kernel).max() > 0.01
        assert len(checkpoint_of(first).variables) > 100


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

    @pytest.mark.parametrize("missing", ["patches_dir", "workdir"])
    def test_directories_are_asked_for(self, config, missing):
        with pytest.raises(UserError, match=f"--{missing} is required"):
            train_gan(dataclasses.replace(config, **{missing: ""}))

    def test_patches_that_are_not_there(self, config, tmp_path):
        with pytest.raises(UserError, match=r"nowhere/manifest\.json: .*no such file"):
            train_gan(dataclasses.replace(config, patches_dir=str(tmp_path / "nowhere")))
        assert not os.path.exists(config.workdir)

    def test_a_batch_that_the_replicas_cannot_share(self, config, monkeypatch):
        class ThreeReplicas:
            num_replicas_in_sync = 3

        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: ThreeReplicas())
        with pytest.raises(
            UserError, match="--batch_size: expected a multiple of the 3 replicas, found 2"
        ):
            choose_strategy(dataclasses.replace(config, strategy="mirrored"))


def test_a_dry_run_makes_nothing(config, capsys):
    train_gan(dataclasses.replace(config, dry_run=True, patches_dir="", workdir=""))
    out = capsys.readouterr().out
    for phase in ("half", "fade", "full"):
        assert f"generator, phase {phase}" in out
        assert f"discriminator, phase {phase}" in out


def test_every_choice_of_strategy_is_known():
    field = next(f for f in dataclasses.fields(GanConfig) if f.name == "strategy")
    for name in field.metadata["choices"]:
        strategy = choose_strategy(small_config(strategy=name))
        assert strategy.num_replicas_in_sync == 1
