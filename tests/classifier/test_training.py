"""Training runs of the classifier: what they leave, resuming, early stopping, refusals."""

import contextlib
import csv
import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.classifier import training as classifier_training
from cgan_tf.classifier.scoring import load_classifier, score
from cgan_tf.classifier.training import open_training, train_classifier
from cgan_tf.data import tfrecords
from cgan_tf.data.patch_sets import PatchSet, evaluation_pool
from cgan_tf.models.weights_file import save_weights
from cgan_tf.runs import machine
from cgan_tf.runs.directory import open_run, read_json, read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import exact_auc
from tests.toys.classifier import toy_config
from tests.toys.event_files import scalars
from tests.toys.patches import write_toy_patches


def values(model):
    return [weight.numpy().tobytes() for weight in model.weights]


def rows_of(workdir):
    with (workdir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def run_in(config, training):
    """Runs a training in its directory, as train_classifier does."""
    with open_run(config.output_dir, "train_classifier", config) as run:
        training.run(run.directory)


class TestRun:
    def test_it_leaves_what_it_promises(self, toy_sets, tmp_path, tiny, capsys):
        config = toy_config(toy_sets, tmp_path / "w")
        train_classifier(config)
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        rows = rows_of(tmp_path / "w")
        assert [int(row["samples"]) for row in rows] == [32, 64, 96]
        assert sum(manifest["drawn"].values()) == manifest["samples"] == 96
        assert not manifest["stopped_early"]
        plan = read_json(tmp_path / "w" / "plan.json")
        assert manifest["plan_sha256"] == plan["sha256"]
        assert manifest["threads"] == read_json(tmp_path / "w" / "run.json")["threads"]
        assert not (tmp_path / "w" / "checkpoints").exists()
        pool, labels = evaluation_pool(PatchSet(config.patches_dir), "validation")
        for row in rows:  # every validation's scores are kept and give its AUC
            file = tmp_path / "w" / "validation" / f"{int(row['samples']):08d}.npz"
            with np.load(file) as kept:
                assert kept["labels"].tolist() == labels.tolist()
                auc = exact_auc(kept["labels"], kept["logits"])
                assert auc == pytest.approx(float(row["validation_auc"]))
                if int(row["samples"]) == manifest["best_samples"]:
                    best = kept["logits"]
        assert manifest["best_validation_auc"] == pytest.approx(
            max(float(row["validation_auc"]) for row in rows)
        )
        model = load_classifier(tmp_path / "w", manifest)
        assert np.allclose(score(model, pool, 16)[0], best, atol=1e-5)
        capsys.readouterr()
        train_classifier(config)
        assert capsys.readouterr().out.count("\n") == 1
        with pytest.raises(UserError, match="--samples was 96, is 64"):
            train_classifier(dataclasses.replace(config, samples=64))

    def test_fewer_validation_patches(self, toy_sets, tmp_path, tiny):
        train_classifier(toy_config(toy_sets, tmp_path / "w", validation_patches=12))
        for file in (tmp_path / "w" / "validation").iterdir():
            with np.load(file) as kept:
                assert len(kept["logits"]) == len(kept["labels"]) == 12
                assert kept["labels"].sum() == 8

    @pytest.mark.parametrize(
        "precision", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
    )
    def test_with_a_batch_of_one(self, toy_sets, tmp_path, tiny, precision):
        """The paper's batch, in its default batch normalisation."""
        config = toy_config(
            toy_sets, tmp_path / "w", batch_size=1, samples=20, validate_every=8,
            precision=precision,
        )  # fmt: skip
        first = values(open_training(config).model)
        train_classifier(config)
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        assert manifest["samples"] == 20
        assert [int(row["samples"]) for row in rows_of(tmp_path / "w")] == [8, 16, 20]
        model = load_classifier(tmp_path / "w", manifest)
        changed = {
            weight.path.split("/")[-1]: weight.numpy().tobytes() != before
            for weight, before in zip(model.weights, first, strict=True)
        }
        assert changed == {
            "kernel": True, "bias": True, "gamma": True, "beta": True,
            "moving_mean": False, "moving_variance": False,
        }  # fmt: skip

    def test_it_learns_to_see_bright_circles(self, tmp_path, tiny):
        write_toy_patches(tmp_path / "patches", size=32, per_class=60)
        config = toy_config(
            tmp_path, tmp_path / "w", synthetic_dirs=(), synthetic_fraction=0.0,
            batch_norm="batch", samples=3200, validate_every=1600, batch_size=16,
            learning_rate=3e-3,
        )  # fmt: skip
        train_classifier(config)
        assert read_manifest(tmp_path / "w", "train_classifier")["best_validation_auc"] > 0.8

    @pytest.mark.slow
    def test_runs_of_one_seed_see_the_same_patches(self, toy_sets, tmp_path, tiny):
        plans = []
        for name, fraction in (("baseline", 0.0), ("mixed", 0.5)):
            config = toy_config(toy_sets, tmp_path / name, synthetic_fraction=fraction)
            train_classifier(config)
            plans.append(np.load(tmp_path / name / "plan.npy"))
        real = plans[1][:, 0] < 2
        assert 0 < real.sum() < 96
        assert np.array_equal(plans[0][real], plans[1][real])
        assert np.array_equal(plans[0][:, 0], plans[1][:, 0] % 2)


MOMENTS = ("plan", "step", "without checkpoint", "validation", "checkpoint", "manifest")


@pytest.fixture(scope="module")
def killed_runs(toy_sets, tmp_path_factory):
    """One run to its end, and one killed at every moment; their directories."""
    root = tmp_path_factory.mktemp("killed")
    for name, moments in (("whole", ()), ("killed", MOMENTS)):
        command = [
            sys.executable,
            "-m",
            "tests.toys.killed_classifier",
            toy_sets,
            root / name,
            *moments,
        ]
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert process.returncode == 0, process.stderr
    return root / "whole", root / "killed"


@pytest.mark.slow
class TestKilled:
    """SIGKILL at six moments, and the same command again."""

    def test_the_samples_come_in_the_same_order(self, killed_runs):
        steps = [path.with_suffix(".steps").read_text().splitlines() for path in killed_runs]
        assert len(steps[0]) == 12
        assert len(steps[1]) > 12  # some are done again, and none differs
        assert set(steps[1]) == set(steps[0])
        plans = [(path / "plan.npy").read_bytes() for path in killed_runs]
        assert plans[0] == plans[1]

    def test_weights_and_moments_end_bit_for_bit_the_same(self, killed_runs):
        with (
            np.load(killed_runs[0].with_suffix(".npz")) as whole,
            np.load(killed_runs[1].with_suffix(".npz")) as killed,
        ):
            assert whole.files == killed.files
            assert len(whole.files) > 20
            for name in whole.files:
                np.testing.assert_array_equal(whole[name], killed[name])

    def test_the_best_weights_are_the_same(self, killed_runs, tiny):
        models = [
            load_classifier(path, read_manifest(path, "train_classifier")) for path in killed_runs
        ]
        assert values(models[0]) == values(models[1])

    @pytest.mark.parametrize("name", ["metrics.csv", "plan.json", *(
        f"validation/{samples:08d}.npz" for samples in (32, 64, 96)
    )])  # fmt: skip
    def test_what_is_left_is_the_same(self, killed_runs, name):
        whole, killed = killed_runs
        assert (whole / name).read_bytes() == (killed / name).read_bytes()

    def test_tensorboard_shows_every_validation_once(self, killed_runs):
        whole, killed = (scalars(path / "tensorboard") for path in killed_runs)
        assert whole == killed
        assert [step for step, _ in killed["validation_auc"]] == [32, 64, 96]

    def test_nothing_else_is_left(self, killed_runs):
        whole, killed = (sorted(p.name for p in path.iterdir()) for path in killed_runs)
        assert [name for name in killed if not name.endswith(".tmp")] == whole

    def test_the_manifests_agree_but_for_names(self, killed_runs):
        whole, killed = (read_manifest(path, "train_classifier") for path in killed_runs)
        for manifest in (whole, killed):
            del manifest["flags"], manifest["weights_sha256"]
        assert whole == killed


def test_a_signal_between_and_at_a_validation(toy_sets, tmp_path, tiny, monkeypatch):
    train_classifier(toy_config(toy_sets, tmp_path / "whole"))
    steps = []
    original = classifier_training.train_step

    def counted(model, optimizer, state):
        step = original(model, optimizer, state)

        def run(patches, labels):
            step(patches, labels)
            steps.append(len(labels))
            if len(steps) in (6, 8, 12):  # inside an interval, at its end, at the run's
                training.stop_requested = True

        return run

    monkeypatch.setattr(classifier_training, "train_step", counted)
    config = toy_config(toy_sets, tmp_path / "parts")
    for attempt in range(4):
        training = open_training(config)
        interrupted = attempt < 3
        with pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext():
            run_in(config, training)
    assert sum(steps) == 96  # nothing was done twice
    whole, parts = (read_manifest(tmp_path / n, "train_classifier") for n in ("whole", "parts"))
    models = [load_classifier(tmp_path / n, m) for n, m in (("whole", whole), ("parts", parts))]
    assert values(models[0]) == values(models[1])
    for name in ("metrics.csv", "validation/00000096.npz"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class TestThreads:
    def test_another_number_of_cores_is_not_taken(self, toy_sets, tmp_path, tiny, monkeypatch):
        """A run begun on one machine goes on with its threads on another."""
        config = toy_config(toy_sets, tmp_path / "w")
        with open_run(config.output_dir, "train_classifier", config):
            pass
        began = machine.resolve_threads(config, config.output_dir)
        machine.save_threads(config.output_dir, began)
        monkeypatch.setattr(machine, "core_count", lambda: 3 * began.intra_op)
        asked = []
        monkeypatch.setattr(classifier_training, "set_threads", asked.append)
        train_classifier(config)
        assert asked == [began]
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        assert manifest["threads"] == dataclasses.asdict(began)


class TestEarlyStopping:
    @pytest.fixture
    def scripted(self, monkeypatch, tiny):
        """Validation AUCs from a list, whatever the network says."""
        aucs = []
        monkeypatch.setattr("cgan_tf.statistics.auc.exact_auc", lambda labels, logits: aucs.pop(0))
        return aucs

    def config(self, toy_sets, tmp_path, **changes):
        return toy_config(
            toy_sets, tmp_path / "w", samples=80, validate_every=8,
            **{"early_stopping_validations": 2, **changes},
        )  # fmt: skip

    def test_it_stops_after_so_many_without_a_new_best(self, toy_sets, tmp_path, scripted, capsys):
        scripted += [0.5, 0.6, 0.55, 0.7, 0.7, 0.6, 0.9]
        train_classifier(self.config(toy_sets, tmp_path))
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        assert manifest["samples"] == sum(manifest["drawn"].values()) == 48
        assert manifest["stopped_early"]
        assert (manifest["best_samples"], manifest["best_validation_auc"]) == (32, 0.7)
        assert len(manifest["validations"]) == 6
        assert "after 32 of 48 samples" in capsys.readouterr().out

    def test_it_is_off_by_default(self, toy_sets, tmp_path, scripted):
        scripted += [0.9] + 9 * [0.5]
        train_classifier(self.config(toy_sets, tmp_path, early_stopping_validations=0))
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        assert (manifest["samples"], manifest["stopped_early"]) == (80, False)

    @pytest.mark.parametrize(
        "stops",
        [
            (3,),
            pytest.param((5,), marks=pytest.mark.slow),
            pytest.param((6,), marks=pytest.mark.slow),
        ],
    )
    def test_it_counts_on_after_an_interruption(
        self, toy_sets, tmp_path, scripted, monkeypatch, stops
    ):
        """Before, between and together with the validation that is the last."""
        scripted += [0.5, 0.6, 0.55, 0.7, 0.7, 0.6, 0.9]
        config = self.config(toy_sets, tmp_path)
        training = open_training(config)
        validate = training._validate

        def interrupted(log):
            validate(log)
            training.stop_requested = len(log.table.rows) in stops

        monkeypatch.setattr(training, "_validate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_in(config, training)
        train_classifier(config)
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        assert (manifest["samples"], manifest["best_samples"]) == (48, 32)
        assert scripted == [0.9]


class TestRefusal:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"samples": 0}, "--samples: expected 1 or more"),
            ({"synthetic_fraction": 1.5}, "--synthetic_fraction: expected 0 to 1"),
            ({"learning_rate": 0.0}, "--learning_rate"),
            ({"seed": -1}, "--seed: expected 0 or more"),
            ({"validation_patches": -1}, "--validation_patches: expected 0 or more"),
            ({"early_stopping_validations": -1}, "--early_stopping_validations: expected 0 or"),
            ({"patches_dir": "nowhere"}, "nowhere: expected an output directory"),
            ({"weights": "nowhere.keras"}, "nowhere.keras"),
        ],
        ids=str,
    )
    def test_mistakes_are_one_line_and_leave_nothing(
        self, toy_sets, tmp_path, tiny, changes, words
    ):
        with pytest.raises(UserError, match=words) as caught:
            train_classifier(toy_config(toy_sets, tmp_path / "w", **changes))
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "w").exists()

    def test_damaged_weights_leave_nothing_either(self, toy_sets, tmp_path, tiny):
        (tmp_path / "bad.weights.h5").write_bytes(b"no weights")
        config = toy_config(toy_sets, tmp_path / "w", weights=str(tmp_path / "bad.weights.h5"))
        with pytest.raises(UserError, match=r"bad\.weights\.h5: expected weights of ResNet-50"):
            train_classifier(config)
        assert not (tmp_path / "w").exists()

    def test_patches_made_anew_under_a_run(self, toy_sets, tmp_path, tiny):
        """One more patch of a class in the directory that an unfinished run began with."""
        write_toy_patches(tmp_path / "patches", per_class=20)
        config = toy_config(tmp_path, tmp_path / "w", synthetic_fraction=0.0, synthetic_dirs=())
        training = open_training(config)
        training.stop_requested = True
        with pytest.raises(KeyboardInterrupt):
            run_in(config, training)
        for path in sorted((tmp_path / "patches").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        write_toy_patches(tmp_path / "patches", per_class=21)
        with pytest.raises(UserError, match="patches holds something else than when the run began"):
            train_classifier(config)

    def test_a_record_damaged_in_the_middle_is_one_line(self, tmp_path, tiny):
        write_toy_patches(tmp_path / "patches", per_class=20)
        shard = next((tmp_path / "patches" / "train").glob("malignant_mass*"))
        content = bytearray(shard.read_bytes())
        offset, length = tfrecords.shard_index(shard)[5]
        content[offset + length // 2] ^= 1
        shard.write_bytes(content)
        config = toy_config(tmp_path, tmp_path / "w", synthetic_fraction=0.0, synthetic_dirs=())
        with pytest.raises(UserError, match=r"malignant_mass.*does not match$"):
            train_classifier(config)

    def test_a_loss_that_is_not_finite_stops_the_run(self, toy_sets, tmp_path, tiny):
        config = toy_config(toy_sets, tmp_path / "w", learning_rate=1e38)
        with pytest.raises(UserError, match=r"the loss is not finite before sample 32$"):
            train_classifier(config)
        assert not (tmp_path / "w" / "best.weights.h5").exists()

    def test_foreign_weights_are_not_scored(self, toy_sets, tmp_path, tiny):
        train_classifier(toy_config(toy_sets, tmp_path / "w", samples=16, validate_every=16))
        manifest = read_manifest(tmp_path / "w", "train_classifier")
        path = tmp_path / "w" / manifest["weights"]
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"best.weights.h5: expected the weights"):
            load_classifier(tmp_path / "w", manifest)


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before(toy_sets, tmp_path, tiny, capfd):
    config = toy_config(toy_sets, tmp_path / "w", checkpoint_minutes=0.0)
    training = open_training(config)
    validate = training._validate

    def interrupted(log):
        validate(log)
        training.stop_requested = True

    training._validate = interrupted
    with pytest.raises(KeyboardInterrupt):
        run_in(config, training)
    folder = tmp_path / "w" / "checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["step-0000024", "step-0000032"]
    data = next((folder / "step-0000032").glob("variables.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    train_classifier(config)
    assert "step-0000032: damaged" in capfd.readouterr().err
    train_classifier(toy_config(toy_sets, tmp_path / "whole"))
    for name in ("metrics.csv", "validation/00000096.npz"):
        assert (tmp_path / "w" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_checkpoint_holds_everything_that_moves(toy_sets, tmp_path, tiny):
    config = toy_config(toy_sets, tmp_path / "w")
    training = open_training(config)
    training.directory = tmp_path
    training._restore()
    variables = [*training.model.weights, *training.optimizer.variables, *training.state.values()]
    rng = np.random.default_rng(0)
    for variable in variables:
        number = rng.normal(size=variable.shape) if "float" in str(variable.dtype) else 7
        variable.assign(tf.cast(number, variable.dtype))
    expected = [np.asarray(variable) for variable in variables]
    training.checkpoints.save(5, {})
    for variable in variables:
        variable.assign(tf.zeros(variable.shape, variable.dtype))
    training._restore()
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_disk_that_is_full_of_weights_is_a_line(tmp_path):
    (tmp_path / f".best.weights.h5.{os.getpid()}.tmp").symlink_to("/dev/full")
    model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(3000)])
    with pytest.raises(UserError, match=r"weights\.h5: cannot be written: No space left on device"):
        save_weights(model, tmp_path / "best.weights.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_weights_that_cannot_be_written_do_not_kill_the_process(tmp_path):
    """HDF5 would, with a segmentation fault when the process ends."""
    code = f"""
import resource, keras
from pathlib import Path
from cgan_tf.models.weights_file import save_weights
from cgan_tf.runs.errors import UserError
directory = Path({str(tmp_path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
model = keras.Sequential([keras.Input((300,)), keras.layers.Dense(3000)])
try:
    save_weights(model, directory / "best.weights.h5")
except UserError:
    raise SystemExit(3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
