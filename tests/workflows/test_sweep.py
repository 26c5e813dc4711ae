"""A sweep from its inputs to its report, with stubs for the programs; one with the real ones."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cgan_tf.config import ExperimentConfig
from cgan_tf.labels import Arm
from cgan_tf.reporting.comparisons import FailedRun, read_failed_runs
from cgan_tf.runs import machine
from cgan_tf.runs.directory import open_run, read_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import flags_text
from cgan_tf.runs.steps import Step
from cgan_tf.workflows import sweep as workflows_sweep
from cgan_tf.workflows.cells import cells_of
from cgan_tf.workflows.sweep import check_inputs, lanes_of, run_experiment
from tests.toys.patches import write_toy_patches, write_toy_synthetic

STUB = str(Path(__file__).parents[1] / "toys" / "stub_program.py")
TASKS = ("mass", "calcification", "removal")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_toy_patches(root / "patches", size=32, per_class=15)
    for task in TASKS:
        write_toy_synthetic(root / task, root / "patches", task, 8)
    return root


@pytest.fixture
def sweep(data, tmp_path, monkeypatch):
    """Config of a sweep of two seeds and two shares whose programs are stubs."""
    monkeypatch.setattr(
        Step, "command", lambda self: [sys.executable, STUB, self.module, *self.flags]
    )
    monkeypatch.setenv("STUB_EVENTS", str(tmp_path / "events"))
    monkeypatch.delenv("STUB_FAIL", raising=False)
    monkeypatch.setattr(machine, "gpu_names", list)
    return ExperimentConfig(
        patches_dir=str(data / "patches"),
        synthetic_dirs=tuple(str(data / task) for task in TASKS),
        output_dir=str(tmp_path / "out"),
        weights="none",
        seeds=("0", "1"),
        synthetic_fractions=("0", "0.5"),
        parallel=2,
    )


def started(tmp_path):
    """(module's last word, flags) of every program started, in the order of their starts."""
    lines = (tmp_path / "events").read_text().splitlines()
    return [(module.split(".")[1], flags) for module, flags, _ in map(json.loads, lines)]


def trainings(tmp_path):
    return sorted(
        (flags["seed"], flags["synthetic_fraction"])
        for program, flags in started(tmp_path)
        if program == "train_classifier"
    )


class TestASweep:
    def test_every_run_and_the_report_and_then_nothing_to_do(self, sweep, tmp_path, capsys):
        run_experiment(sweep)
        out = tmp_path / "out"
        assert trainings(tmp_path) == [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5)]
        assert started(tmp_path)[-1][0] == "report"
        evaluations = [Path(name) for name in read_json(out / "report.html")["evaluations"]]
        assert evaluations == [
            out / f"seed-{seed}" / f"fraction-{percent}" / "evaluation"
            for seed in (0, 1)
            for percent in ("00", "50")
        ]
        assert read_json(out / "report.html")["quality_dir"] == str(out / "quality")
        manifest = read_json(out / "manifest.json")
        assert [(r["seed"], r["synthetic_fraction"], r["auc"]) for r in manifest["runs"]] == [
            (0, 0.0, 0.5), (0, 0.5, 0.625), (1, 0.0, 0.5), (1, 0.5, 0.625)
        ]  # fmt: skip
        assert manifest["runs"][1]["evaluation"] == "seed-0/fraction-50/evaluation"
        assert not (out / "failed.json").exists()
        said = capsys.readouterr().out.splitlines()
        assert said[-1] == f"Report: {(out / 'report.html').resolve()}"

        before = started(tmp_path)
        run_experiment(sweep)
        assert started(tmp_path) == before
        said = capsys.readouterr().out
        assert said.startswith(
            f"experiment: {sweep.output_dir} is finished; nothing to do\nReport: "
        )

    def test_other_flags_are_refused(self, sweep):
        with open_run(sweep.output_dir, "experiment", sweep) as run:
            (run.directory / "seed-0").mkdir()
            (run.directory / "seed-0" / "run.json").write_text("{}")
        with pytest.raises(UserError, match="--samples was 500000, is 100"):
            run_experiment(dataclasses.replace(sweep, samples=100))

    def test_two_at_once_in_one_directory_are_refused(self, sweep):
        with (
            open_run(sweep.output_dir, "experiment", sweep),
            pytest.raises(UserError, match="another process is working in it"),
        ):
            run_experiment(sweep)


class TestArms:
    @pytest.fixture
    def arms(self, sweep):
        arms = ("both_decayed", "real_only", "pasted")
        return dataclasses.replace(sweep, seeds=("0",), arms=arms, arm_share=0.5, parallel=1)

    def test_are_trained_in_their_order_with_what_they_need(self, arms, tmp_path):
        run_experiment(arms)
        programs = [name for name, _ in started(tmp_path)]
        assert programs[0] == "paste_lesions"
        assert started(tmp_path)[0][1]["count"] == 16  # as many as synthetic lesions
        trained = [flags for name, flags in started(tmp_path) if name == "train_classifier"]
        assert [(t["filling"], t["synthetic_fraction"], t["decay"]) for t in trained] == [
            ("both", 0.0, "constant"), ("pasted", 0.5, "constant"), ("both", 0.5, "multiplicative")
        ]  # fmt: skip
        runs = read_json(tmp_path / "out" / "manifest.json")["runs"]
        assert [run["arm"] for run in runs] == ["real_only", "pasted", "both_decayed"]
        assert runs[1]["evaluation"] == "seed-0/pasted/evaluation"

    @pytest.mark.slow
    def test_a_failure_of_pasting_costs_its_arm_alone(self, arms, tmp_path, monkeypatch):
        monkeypatch.setenv("STUB_FAIL", "pasted")
        with pytest.raises(UserError, match=r"^pasted failed: paste_lesions: no lesion"):
            run_experiment(arms)
        report = read_json(tmp_path / "out" / "report.html")
        assert [Path(name).parent.name for name in report["evaluations"]] == [
            "real_only", "both_decayed"
        ]  # fmt: skip
        monkeypatch.delenv("STUB_FAIL")
        run_experiment(arms)
        assert len(read_json(tmp_path / "out" / "report.html")["evaluations"]) == 3

    @pytest.mark.slow
    def test_a_failed_arm_is_named(self, arms, tmp_path, monkeypatch):
        monkeypatch.setenv("STUB_FAIL", "0:0.5")
        with pytest.raises(UserError, match=r"2 of 3 runs failed: seed 0 pasted training"):
            run_experiment(arms)
        failed = read_failed_runs(tmp_path / "out" / "failed.json")
        assert [run.trained for run in failed] == [Arm("pasted", 0.5), Arm("both", 0.5, True)]

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"arms": ("real_only", "oracle")}, "--oracle_dirs names no set"),
            ({"arms": ("real_only", "lesions"), "synthetic_dirs": ()}, "synthetic positive stream"),
            ({"paste_flagfile": "nowhere.cfg"}, "nowhere.cfg: expected a flag file"),
        ],
    )
    def test_a_mistake_starts_nothing(self, arms, tmp_path, changes, complaint):
        with pytest.raises(UserError) as caught:
            run_experiment(dataclasses.replace(arms, **changes))
        assert complaint in str(caught.value)
        assert not (tmp_path / "out").exists()


class TestAFailure:
    def test_spoils_no_other_run(self, sweep, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("STUB_FAIL", "0:0.5")
        with pytest.raises(UserError) as caught:
            run_experiment(sweep)
        out = tmp_path / "out"
        reason = "train_classifier: the loss is not finite"
        assert str(caught.value) == (
            f"1 of 4 runs failed: seed 0 50% training: {reason} (see {out / 'failed.json'}); the "
            "same command tries again what failed"
        )
        assert read_failed_runs(out / "failed.json") == [
            FailedRun(0, 0.5, "training", reason, str(out / "logs" / "seed_0_50_training.log"))
        ]
        report = read_json(out / "report.html")
        assert len(report["evaluations"]) == 3
        assert report["failed_runs"] == str(out / "failed.json")
        assert not (out / "manifest.json").exists()
        said = capsys.readouterr()
        assert f"step 'seed 0 50% training' failed: {reason}" in said.err
        assert said.out.splitlines()[-1].startswith("Report: ")

    def test_is_tried_again_by_the_same_command(self, sweep, tmp_path, monkeypatch):
        """And nothing else is: what is done is not done again."""
        sweep = dataclasses.replace(sweep, seeds=("0",))
        monkeypatch.setenv("STUB_FAIL", "0:0.5")
        for _ in range(2):
            with pytest.raises(UserError, match="1 of 2 runs failed"):
                run_experiment(sweep)
        done = len(started(tmp_path))
        monkeypatch.delenv("STUB_FAIL")
        run_experiment(sweep)
        again = [program for program, _ in started(tmp_path)[done:]]
        assert again == ["train_classifier", "evaluate", "report"]
        assert trainings(tmp_path) == [(0, 0.0), (0, 0.5), (0, 0.5), (0, 0.5)]
        out = tmp_path / "out"
        report = read_json(out / "report.html")
        assert len(report["evaluations"]) == 2
        assert report["failed_runs"] == ""
        assert not (out / "failed.json").exists()
        assert (out / "manifest.json").exists()

    @pytest.mark.slow
    def test_of_a_baseline_leaves_another_first(self, sweep, tmp_path, monkeypatch):
        monkeypatch.setenv("STUB_FAIL", "0:0")
        with pytest.raises(UserError, match="seed 0 0% training"):
            run_experiment(sweep)
        evaluations = read_json(tmp_path / "out" / "report.html")["evaluations"]
        assert [Path(name).parts[-3:-1] for name in evaluations] == [
            ("seed-1", "fraction-00"), ("seed-1", "fraction-50"), ("seed-0", "fraction-50")
        ]  # fmt: skip

    @pytest.mark.slow
    def test_of_every_baseline_leaves_no_report(self, sweep, tmp_path, monkeypatch):
        monkeypatch.setenv("STUB_FAIL", "0:0,1:0")
        with pytest.raises(UserError, match=r"2 of 4 .* and 1 more .*no baseline has finished"):
            run_experiment(sweep)
        assert not (tmp_path / "out" / "report.html").exists()

    @pytest.mark.slow
    def test_of_the_report_is_no_failure_of_a_run(self, sweep, tmp_path, monkeypatch):
        sweep = dataclasses.replace(sweep, seeds=("0",))
        monkeypatch.setenv("STUB_FAIL", "report")
        with pytest.raises(UserError, match=r"^step 'report' failed: report: no paper"):
            run_experiment(sweep)
        assert not (tmp_path / "out" / "failed.json").exists()
        done = len(started(tmp_path))
        monkeypatch.delenv("STUB_FAIL")
        run_experiment(sweep)
        assert [program for program, _ in started(tmp_path)[done:]] == ["report"]

    @pytest.mark.slow
    def test_of_quality_costs_its_section_alone(self, sweep, tmp_path, monkeypatch):
        sweep = dataclasses.replace(sweep, seeds=("0",))
        monkeypatch.setenv("STUB_FAIL", "quality")
        with pytest.raises(UserError, match=r"^quality failed: quality: no lesions \(see .*; the"):
            run_experiment(sweep)
        report = read_json(tmp_path / "out" / "report.html")
        assert (len(report["evaluations"]), report["quality_dir"]) == (2, "")
        assert not (tmp_path / "out" / "failed.json").exists()
        done = len(started(tmp_path))
        monkeypatch.delenv("STUB_FAIL")
        run_experiment(sweep)
        assert [program for program, _ in started(tmp_path)[done:]] == ["quality", "report"]
        assert read_json(tmp_path / "out" / "report.html")["quality_dir"]


class TestMachine:
    @pytest.mark.slow
    def test_threads_are_divided_and_then_kept(self, sweep, tmp_path, monkeypatch):
        """Bits depend on the number of threads: going on with other lanes must not change it."""
        monkeypatch.setattr(workflows_sweep.os, "cpu_count", lambda: 8)
        monkeypatch.setenv("STUB_FAIL", "0:0.5")
        sweep = dataclasses.replace(sweep, seeds=("0",))
        with pytest.raises(UserError, match="1 of 2"):
            run_experiment(sweep)
        monkeypatch.delenv("STUB_FAIL")
        run_experiment(dataclasses.replace(sweep, parallel=1))
        threads = {
            (flags["intra_op_threads"], flags["inter_op_threads"])
            for program, flags in started(tmp_path)
            if program == "train_classifier"
        }
        assert threads == {(4, 4)}

    @pytest.mark.slow
    def test_auto_precision_is_probed_once(self, sweep, tmp_path, monkeypatch):
        probes = iter([{"float32": 0.02, "mixed_bfloat16": 0.01}])
        monkeypatch.setattr(machine, "probe_seconds", lambda: next(probes))
        sweep = dataclasses.replace(sweep, precision="auto", seeds=("0",))
        monkeypatch.setenv("STUB_FAIL", "0:0.5")
        with pytest.raises(UserError, match="1 of 2"):
            run_experiment(sweep)
        monkeypatch.delenv("STUB_FAIL")
        run_experiment(sweep)
        programs = [f for p, f in started(tmp_path) if p in ("train_classifier", "evaluate")]
        assert {flags["precision"] for flags in programs} == {"mixed_bfloat16"}

    @pytest.mark.slow
    def test_every_gpu_has_a_run_of_its_own(self, sweep, tmp_path, monkeypatch):
        monkeypatch.setattr(machine, "gpu_names", lambda: ["5", "7"])
        run_experiment(dataclasses.replace(sweep, parallel=0, seeds=("0",)))
        lines = (tmp_path / "events").read_text().splitlines()
        lanes = [lane for module, _, lane in map(json.loads, lines) if "train" in module]
        assert {lane["CUDA_VISIBLE_DEVICES"] for lane in lanes} == {"5", "7"}

    def test_lanes(self):
        threads = {"TF_NUM_INTRAOP_THREADS": "3", "TF_NUM_INTEROP_THREADS": "3"}
        assert lanes_of(2, [], 3) == [threads, threads]
        assert lanes_of(2, ["4", "GPU-1f"], 3) == [
            {**threads, "CUDA_VISIBLE_DEVICES": "4"},
            {**threads, "CUDA_VISIBLE_DEVICES": "GPU-1f"},
        ]
        shared = lanes_of(3, ["0", "1"], 3)
        assert [lane["CUDA_VISIBLE_DEVICES"] for lane in shared] == ["0", "1", "0"]
        assert {lane["TF_FORCE_GPU_ALLOW_GROWTH"] for lane in shared} == {"true"}

    def test_the_parent_never_starts_tensorflow(self):
        """It would hold memory, and a GPU, beside its runs."""
        code = (
            "import sys, cgan_tf.workflows.sweep; "
            "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestInputs:
    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"patches_dir": "nowhere"}, "nowhere: expected an output directory"),
            ({"synthetic_dirs": ("nowhere",)}, "nowhere: expected an output directory"),
            ({"synthetic_dirs": ()}, "the synthetic negative stream is empty; --synthetic_dirs"),
            ({"scored_dirs": ("nowhere",)}, "nowhere: expected an output directory"),
            ({"gan_dirs": ("nowhere",)}, "nowhere/run.json"),
            ({"report_flagfile": "nowhere.cfg"}, "nowhere.cfg: expected a flag file"),
            ({"quality_flagfile": "nowhere.cfg"}, "nowhere.cfg: expected a flag file"),
            ({"weights": "nowhere.h5"}, "--weights=nowhere.h5: no such file"),
            ({"parallel": -1}, "--parallel: expected 0 or more, found -1"),
            ({"samples": 0}, "--samples: expected 1 or more, found 0"),
            ({"seeds": ("x",)}, "--seeds: expected whole numbers"),
        ],
    )
    def test_a_mistake_starts_nothing(self, sweep, tmp_path, changes, complaint):
        with pytest.raises(UserError) as caught:
            run_experiment(dataclasses.replace(sweep, **changes))
        assert complaint in str(caught.value)
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "events").exists()

    @pytest.mark.parametrize(
        ("tasks", "missing"),
        [(("mass", "calcification"), "removal"), (("removal",), "mass or calcification")],
    )
    def test_each_label_needs_synthetic_patches(self, sweep, data, tasks, missing):
        config = dataclasses.replace(sweep, synthetic_dirs=tuple(str(data / t) for t in tasks))
        with pytest.raises(UserError, match=f"names no set of the {missing} task"):
            check_inputs(config, cells_of(config))

    def test_a_sweep_of_baselines_needs_none(self, sweep):
        config = dataclasses.replace(sweep, synthetic_dirs=(), synthetic_fractions=("0",))
        counts = check_inputs(config, cells_of(config))
        assert counts.validation == 3 * 15  # normals, masses, calcifications
        assert counts.scored == 2 * 3 * 15

    def test_patches_are_counted(self, sweep, data):
        config = dataclasses.replace(
            sweep, scored_dirs=(str(data / "removal"),), validation_patches=20
        )
        counts = check_inputs(config, cells_of(config))
        assert counts.validation == 20
        assert counts.scored == 2 * 3 * 15 + 2 * 4 * 8  # each synthetic one beside its source


@pytest.mark.slow
def test_arms_with_the_real_programs(data, tmp_path):
    """From pasted lesions to a report that answers in words."""
    config = ExperimentConfig(
        patches_dir=str(data / "patches"),
        synthetic_dirs=tuple(str(data / task) for task in TASKS),
        output_dir=str(tmp_path / "out"),
        arms=("real_only", "pasted", "both_decayed", "only_lesions"),
        network="small",
        weights="none",
        samples=32,
        validate_every=16,
        decay_every=8,
        batch_size=16,
        quality=False,
    )
    command = [sys.executable, "-m", "cgan_tf.experiment", *flags_text(config).splitlines()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = read_json(tmp_path / "out" / "manifest.json")["runs"]
    assert [run["arm"] for run in runs] == list(config.arms)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "50% w/ decay: " in page
    assert "Without a real lesion" in page
    plans = [np.load(tmp_path / f"out/seed-0/{arm}/classifier/plan.npy") for arm in config.arms]
    for plan in plans[1:3]:
        real = plan[:, 0] < 2
        np.testing.assert_array_equal(plan[real], plans[0][real])


@pytest.mark.slow
def test_with_the_real_programs(data, tmp_path):
    """Two short trainings, one of which cannot be; then what was in its way is taken away."""
    config = ExperimentConfig(
        patches_dir=str(data / "patches"),
        synthetic_dirs=tuple(str(data / task) for task in TASKS),
        output_dir=str(tmp_path / "out"),
        synthetic_fractions=("0", "0.5"),
        weights="none",
        samples=32,
        validate_every=16,
        decay_every=8,
        batch_size=16,
        batch_norm="batch",
        parallel=2,
    )
    with open_run(config.output_dir, "experiment", config):
        stranger = tmp_path / "out" / "seed-0" / "fraction-50" / "classifier" / "notes.txt"
        stranger.parent.mkdir(parents=True)
        stranger.touch()
    command = [sys.executable, "-m", "cgan_tf.experiment", *flags_text(config).splitlines()]

    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 1
    assert first.stderr.splitlines()[-1].startswith("experiment: 1 of 2 runs failed: seed 0 50%")
    assert "expected an empty directory" in first.stderr
    assert (tmp_path / "out" / "report.html").exists()

    stranger.unlink()
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    results = read_json(tmp_path / "out" / "manifest.json")["runs"]
    assert [run["synthetic_fraction"] for run in results] == [0.0, 0.5]

    third = subprocess.run(command, capture_output=True, text=True, check=False)
    assert third.returncode == 0
    assert third.stdout.startswith(f"experiment: {config.output_dir} is finished; nothing to do\n")
