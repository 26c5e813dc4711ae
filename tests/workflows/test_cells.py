"""What a sweep consists of: its runs, their flags, their places, the report's order."""

import dataclasses
from pathlib import Path

import pytest

from cgan_tf.config import ClassifierTrainingConfig, ExperimentConfig
from cgan_tf.runs.errors import UserError
from cgan_tf.workflows.cells import (
    Cell,
    PatchCounts,
    cell_steps,
    cells_of,
    paste_steps,
    quality_steps,
    report_step,
)
from tests.workflows.test_demo_steps import parsed

CONFIG = ExperimentConfig(
    patches_dir="P",
    synthetic_dirs=("M", "a,b"),
    scored_dirs=("R",),
    gan_dirs=("G",),
    output_dir="OUT",
    samples=500,
    validate_every=150,
    learning_rate=3e-4,
    batch_norm="batch",
)
ROOT = Path("OUT")


def steps_of(cell, config=CONFIG):
    return cell_steps(config, cell, "mixed_bfloat16", 3, PatchCounts(validation=40, scored=90))


def test_the_paper_has_six_runs():
    cells = cells_of(ExperimentConfig())
    assert [(cell.seed, cell.percent) for cell in cells] == [
        (0, 0), (0, 10), (0, 25), (0, 50), (0, 75), (0, 100)
    ]  # fmt: skip


def test_seed_by_seed_the_baseline_first():
    config = ExperimentConfig(seeds=("7", "0"), synthetic_fractions=("1", "0", "0.29"))
    cells = cells_of(config)
    assert [cell.name for cell in cells] == [
        "seed 7 0%", "seed 7 29%", "seed 7 100%", "seed 0 0%", "seed 0 29%", "seed 0 100%"
    ]  # fmt: skip
    assert cells[1].fraction == 0.29


@pytest.mark.parametrize(
    ("lists", "complaint"),
    [
        ({"seeds": ()}, "--seeds: expected values, each once, found none"),
        ({"seeds": ("1", "2", "1")}, "--seeds: expected values, each once, found 1,2,1"),
        ({"seeds": ("-1",)}, "--seeds: expected whole numbers of 0 or more, found '-1'"),
        ({"seeds": ("1.5",)}, "--seeds: expected whole numbers of 0 or more, found '1.5'"),
        ({"synthetic_fractions": ("0", "10")}, "expected 0 to 1 in whole per cents, found '10'"),
        ({"synthetic_fractions": ("0", "-0.1")}, "in whole per cents, found '-0.1'"),
        ({"synthetic_fractions": ("0", "0.333")}, "in whole per cents, found '0.333'"),
        ({"synthetic_fractions": ("0", "nan")}, "in whole per cents, found 'nan'"),
        ({"synthetic_fractions": ("0", "half")}, "in whole per cents, found 'half'"),
        ({"synthetic_fractions": ("0", "0.1", "0.10")}, "each once, found 0,0.1,0.10"),
        ({"synthetic_fractions": ("0.1", "0.5")}, "expected 0 among them"),
    ],
)
def test_lists_that_make_no_sweep(lists, complaint):
    with pytest.raises(UserError) as caught:
        cells_of(ExperimentConfig(**lists))
    assert complaint in str(caught.value)


def test_where_a_run_lies():
    assert Cell(3, 0).evaluation(ROOT) == Path("OUT/seed-3/fraction-00/evaluation")
    assert Cell(3, 100).classifier(ROOT) == Path("OUT/seed-3/fraction-100/classifier")


def test_a_training_has_the_flags_of_the_sweep_and_its_own():
    training = parsed(steps_of(Cell(4, 25))[0])
    assert (training.seed, training.synthetic_fraction) == (4, 0.25)
    assert training.output_dir == "OUT/seed-4/fraction-25/classifier"
    assert training.precision == "mixed_bfloat16"
    assert (training.intra_op_threads, training.inter_op_threads) == (3, 3)
    settled = {"precision", "intra_op_threads", "inter_op_threads"}
    for field in dataclasses.fields(ClassifierTrainingConfig):
        if field.name not in settled:
            assert getattr(training, field.name) == getattr(CONFIG, field.name), field.name


def test_trainings_of_a_seed_differ_in_nothing_but_the_share():
    one, other = (parsed(steps_of(Cell(4, percent))[0]) for percent in (0, 75))
    assert dataclasses.replace(one, output_dir=other.output_dir, synthetic_fraction=0.75) == other


def test_threads_that_the_user_wants_are_the_users():
    config = dataclasses.replace(CONFIG, intra_op_threads=5)
    training = parsed(steps_of(Cell(0, 0), config)[0])
    assert (training.intra_op_threads, training.inter_op_threads) == (5, 3)


def test_an_evaluation_follows_its_training():
    training, evaluation = steps_of(Cell(4, 25))
    assert evaluation.after == (training.name,)
    flags = parsed(evaluation)
    assert flags.classifier == parsed(training).output_dir
    assert training.result == Path(flags.classifier) / "manifest.json"
    assert evaluation.result == Path("OUT/seed-4/fraction-25/evaluation/manifest.json")
    assert flags.synthetic_dirs == ("M", "a,b", "R")
    assert flags.precision == "mixed_bfloat16"


def test_the_work_is_counted_in_forward_passes():
    training, evaluation = steps_of(Cell(0, 0))
    assert training.seconds == 3 * 500 + 4 * 40  # validated at 150, 300, 450 and 500
    assert evaluation.seconds == 90


def quality_of(config):
    return quality_steps(config, Cell(7, 0), PatchCounts(validation=40, scored=90))


def test_the_sets_are_measured_in_the_features_of_the_first_baseline(tmp_path):
    path = tmp_path / "quality.cfg"
    path.write_text("--splits=2\n--patches_dir=elsewhere\n")
    (step,) = quality_of(dataclasses.replace(CONFIG, quality_flagfile=str(path)))
    evaluation = steps_of(Cell(7, 0))[1]
    assert step.after == (evaluation.name,)
    quality = parsed(step)
    assert quality.classifier == parsed(evaluation).output_dir
    assert (quality.patches_dir, quality.synthetic_dirs) == ("P", ("M", "a,b"))
    assert (quality.splits, quality.output_dir) == (2, "OUT/quality")


@pytest.mark.parametrize("changes", [{"quality": False}, {"synthetic_dirs": ()}])
def test_nothing_is_measured_where_nothing_is_wanted_or_there(changes):
    assert quality_of(dataclasses.replace(CONFIG, **changes)) == []


def test_the_report_has_the_quality_that_was_measured(tmp_path):
    manifest = tmp_path / "quality" / "manifest.json"
    assert report_of((0, 0), output_dir=str(tmp_path)).quality_dir == ""
    manifest.parent.mkdir()
    manifest.touch()
    assert report_of((0, 0), output_dir=str(tmp_path)).quality_dir == str(manifest.parent)


def report_of(*cells, **settings):
    config = dataclasses.replace(CONFIG, **settings)
    return parsed(report_step(config, [Cell(*cell) for cell in cells], failed=False))


def test_the_report_is_on_what_has_finished():
    report = report_of((0, 0), (0, 50), (1, 0))
    assert report.evaluations == tuple(
        f"OUT/seed-{seed}/fraction-{percent}/evaluation"
        for seed, percent in ((0, "00"), (0, "50"), (1, "00"))
    )
    assert (report.patches_dir, report.synthetic_dirs) == ("P", ("M", "a,b"))
    assert (report.gan_dirs, report.output) == (("G",), "OUT/report.html")
    assert report.failed_runs == ""


def test_a_seed_without_its_baseline_comes_last():
    report = report_of((0, 10), (0, 50), (1, 0), (1, 50), (2, 10), (3, 0))
    assert [Path(name).parts[1:3] for name in report.evaluations] == [
        ("seed-1", "fraction-00"),
        ("seed-1", "fraction-50"),
        ("seed-3", "fraction-00"),
        ("seed-0", "fraction-10"),
        ("seed-0", "fraction-50"),
        ("seed-2", "fraction-10"),
    ]


@pytest.mark.parametrize("cells", [[], [(0, 10), (1, 50)]])
def test_no_report_without_a_baseline(cells):
    with pytest.raises(UserError, match="no report: no baseline has finished"):
        report_of(*cells)


def test_the_report_is_told_what_failed():
    report = parsed(report_step(CONFIG, [Cell(0, 0)], failed=True))
    assert report.failed_runs == "OUT/failed.json"


def test_the_reports_own_flags_stay(tmp_path):
    path = tmp_path / "report.cfg"
    path.write_text("--title=Ours\n--seed=3\n--output=elsewhere.html\n")
    report = report_of((0, 0), report_flagfile=str(path))
    assert (report.title, report.seed) == ("Ours", 3)
    assert report.output == "OUT/report.html"


# Arms


ARMS_CONFIG = dataclasses.replace(
    CONFIG, arms=("both_decayed", "pasted", "real_only", "only_lesions"), arm_share=0.25
)


def test_arms_seed_by_seed_the_baseline_first():
    cells = cells_of(dataclasses.replace(ARMS_CONFIG, seeds=("1", "0")))
    assert [cell.name for cell in cells[:4]] == [
        "seed 1 real_only", "seed 1 pasted", "seed 1 both_decayed", "seed 1 only_lesions"
    ]  # fmt: skip
    assert [cell.percent for cell in cells[:4]] == [0, 25, 25, 100]
    assert cells[1].classifier(ROOT) == ROOT / "seed-1" / "pasted" / "classifier"


@pytest.mark.parametrize(
    ("arm", "filling", "share", "decay"),
    [
        ("real_only", "both", 0.0, "constant"),
        ("pasted", "pasted", 0.25, "constant"),
        ("both_decayed", "both", 0.25, "multiplicative"),
        ("only_lesions", "lesions", 1.0, "constant"),
    ],
)
def test_what_an_arm_is_trained_with(arm, filling, share, decay):
    cell = next(cell for cell in cells_of(ARMS_CONFIG) if cell.arm == arm)
    training = parsed(steps_of(cell, ARMS_CONFIG)[0])
    assert (training.filling, training.synthetic_fraction, training.decay) == (
        filling, share, decay
    )  # fmt: skip


def test_lesions_are_pasted_before_they_are_trained_on():
    cells = cells_of(ARMS_CONFIG)
    (paste,) = paste_steps(ARMS_CONFIG, cells, synthetic=300)
    config = parsed(paste)
    assert (config.count, config.output_dir) == (300, str(ROOT / "pasted"))
    training = steps_of(cells[1], ARMS_CONFIG)[0]
    assert training.after == (paste.name,)
    assert parsed(training).pasted_dirs == (config.output_dir,)
    given = dataclasses.replace(ARMS_CONFIG, pasted_dirs=("Q",))
    assert paste_steps(given, cells, 300) == []
    assert steps_of(cells[1], given)[0].after == ()
    assert paste_steps(CONFIG, cells_of(CONFIG), 300) == []


def test_only_what_the_report_shows_is_scored():
    scored = {
        cell.arm: parsed(steps_of(cell, ARMS_CONFIG)[1]).synthetic_dirs
        for cell in cells_of(ARMS_CONFIG)
    }
    assert [arm for arm, sets in scored.items() if sets] == ["real_only", "both_decayed"]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"arms": ("real_only", "real_only")}, "--arms: expected values, each once"),
        ({"arms": ("real_only", "mixup")}, "found 'mixup'"),
        ({"arms": ("both",)}, "--arms: expected real_only among them"),
        ({"arm_share": 0.0}, "--arm_share: expected more than 0 and less than 1"),
        ({"arm_share": 1.0}, "--arm_share: expected more than 0 and less than 1"),
        ({"arm_share": 0.333}, "in whole per cents, found 0.333"),
        ({"decay": "constant"}, "--decay: expected multiplicative or subtractive"),
    ],
)
def test_arms_that_make_no_sweep(changes, complaint):
    with pytest.raises(UserError, match=complaint):
        cells_of(dataclasses.replace(ARMS_CONFIG, **changes))
