"""The whole chain at smoke size, as a user runs it: every program in a process of its own.

The phantom is small, the networks are narrow and train for a handful of steps: what is tested is
that each program reads what the one before it wrote, says so in its manifest, and keeps quiet.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The first test waits for the whole chain.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PROGRAMS = {
    "make_phantom": "beam_pipelines.make_phantom",
    "make_patches": "beam_pipelines.make_patches",
    "train_gan": "cgan_tf.train_gan",
    "synthesize": "cgan_tf.synthesize",
    "train_classifier": "cgan_tf.train_classifier",
    "evaluate": "cgan_tf.evaluate",
    "report": "cgan_tf.report",
    "demo": "cgan_tf.demo",
}
# A bar as it is drawn: "Cutting patches:  50%|#####     | 4/8 [00:01<00:01, 3.1 images/s]".
# Where phases cost differently it counts nothing: "mass GAN:  50%|##  | [00:01<00:01, step 2]".
BAR = re.compile(r"[\w %,-]+: +\d+%\|.*\| *(\d+/\d+ )?\[.*\]")

GAN = (
    "--size=32", "--generator_filters=4", "--discriminator_multiplier=1",
    "--bottleneck_filters=16", "--batch_size=4", "--generator_steps=1", "--learning_rate=1e-3",
    "--log_every=1", "--grid_every=4", "--attention_size=-1",  # a smaller graph
)  # fmt: skip
# An untrained generator draws faintly: everything above zero counts, and hardly any size is asked.
SYNTHESIS = ("--count=8", "--batch_size=8", "--threshold=0", "--min_area_fraction=0.01")
CLASSIFIER = (
    "--weights=none", "--batch_norm=batch", "--batch_size=8", "--samples=32",
    "--validate_every=32", "--learning_rate=1e-3",
)  # fmt: skip

# Steps of one entry run side by side. Paths are relative to the directory of the experiment.
# --seed=11 puts malignant masses into the train and the test split; so few women cannot give every
# class to every split, hence --allow_shortfall.
CHAIN: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "phantom": (
            "make_phantom", "--output_dir=phantom", "--clients=16", "--seed=1",
            "--image_size=small",
        ),
    },
    {
        "patches": (
            "make_patches", "--input_dir=phantom", "--output_dir=patches", "--seed=11",
            "--size=32", "--resample_spacing_mm=0.8", "--max_offset=96", "--allow_shortfall",
            "--train_normal=24", "--train_malignant_mass=16", "--train_benign_mass=8",
            "--train_malignant_calcification=16", "--train_benign_calcification=8",
            "--train_source=16", "--eval_normal=12", "--eval_malignant_mass=6",
            "--eval_malignant_calcification=6", "--beam=--runner=FnApiRunner",
        ),
    },
    {
        "gan/mass": (
            "train_gan", "--task=mass", "--patches_dir=patches", "--output_dir=gan/mass", *GAN,
            "--half_steps=1", "--fade_in_steps=0", "--full_steps=1",
        ),
        "gan/removal": (
            "train_gan", "--task=removal", "--patches_dir=patches",
            "--output_dir=gan/removal", *GAN,
            "--grow=false", "--full_steps=2",
        ),
        "classifier/baseline": (
            "train_classifier", "--patches_dir=patches", "--output_dir=classifier/baseline",
            *CLASSIFIER,
        ),
    },
    {
        "synthetic/mass": (
            "synthesize", "--generator=gan/mass/generator", "--patches_dir=patches",
            "--output_dir=synthetic/mass", *SYNTHESIS,
        ),
        "synthetic/removal": (
            "synthesize", "--generator=gan/removal/generator", "--patches_dir=patches",
            "--output_dir=synthetic/removal", *SYNTHESIS,
        ),
    },
    {
        "classifier/mixed": (
            "train_classifier", "--patches_dir=patches", "--output_dir=classifier/mixed",
            "--synthetic_dirs=synthetic/mass,synthetic/removal", "--synthetic_fraction=0.5",
            *CLASSIFIER,
        ),
        "evaluation/baseline": (
            "evaluate", "--classifier=classifier/baseline", "--patches_dir=patches",
            "--synthetic_dirs=synthetic/mass,synthetic/removal",
            "--output_dir=evaluation/baseline",
        ),
    },
    {
        "evaluation/mixed": (
            "evaluate", "--classifier=classifier/mixed", "--patches_dir=patches",
            "--synthetic_dirs=synthetic/mass,synthetic/removal", "--output_dir=evaluation/mixed",
        ),
    },
    {
        "report.html": (
            "report", "--evaluations=evaluation/baseline,evaluation/mixed",
            "--patches_dir=patches", "--synthetic_dirs=synthetic/mass,synthetic/removal",
            "--gan_dirs=gan/mass,gan/removal", "--output=report.html",
        ),
    },
)  # fmt: skip
STEPS = {name: command for steps in CHAIN for name, command in steps.items()}


def start(directory: Path, program: str, *flags: str) -> subprocess.Popen:
    """A program as a user starts it, in `directory`."""
    return subprocess.Popen(
        [sys.executable, "-m", PROGRAMS[program], *flags],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_steps(directory: Path, steps: dict[str, tuple[str, ...]]) -> dict[str, tuple]:
    """(exit code, standard output, standard error) of steps run side by side."""
    started = {name: start(directory, *command) for name, command in steps.items()}
    return {name: (*process.communicate(), process.returncode) for name, process in started.items()}


def assert_clean(outcome: tuple) -> None:
    """Exit code 0, and nothing but bars on standard error."""
    output, errors, code = outcome
    assert code == 0, output + errors
    strangers = [line for line in re.split(r"[\r\n]+", errors) if line.strip()]
    assert [line for line in strangers if not BAR.fullmatch(line.strip())] == []


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """(directory, outcome of every step) of the finished chain."""
    directory = tmp_path_factory.mktemp("chain")
    outcomes: dict[str, tuple] = {}
    for steps in CHAIN:
        results = run_steps(directory, steps)
        outcomes |= results
        for name, (output, errors, code) in results.items():
            assert code == 0, f"{name}: {output}{errors}"
    return directory, outcomes


@pytest.fixture(scope="module")
def manifest(experiment):
    """The manifest of a step, by its name."""
    return lambda name: json.loads((experiment[0] / name / "manifest.json").read_text())


@pytest.mark.parametrize("name", STEPS)
def test_every_program_ends_well_and_quietly(experiment, name):
    assert_clean(experiment[1][name])


@pytest.mark.parametrize("name", [name for name in STEPS if name != "report.html"])
def test_every_manifest_names_its_program_and_its_flags(manifest, name):
    program, *flags = STEPS[name]
    content = manifest(name)
    assert content["program"] == program
    for flag in flags:
        key, _, value = flag.removeprefix("--").partition("=")
        saved = content["flags"][key]
        text = ",".join(saved) if isinstance(saved, list) else str(saved).lower()
        if isinstance(saved, float):
            assert saved == float(value)
        else:
            assert text == (value or "true").lower() or key == "beam"


def test_the_patches_are_what_was_asked_for(manifest):
    content = manifest("patches")
    wanted = content["flags"]
    short = {row["set"]: row for row in content["shortfall"]}
    asked = 0
    for split, prefix in (("train", "train"), ("validation", "eval"), ("test", "eval")):
        counts = {name: wanted[name] for name in wanted if name.startswith(f"{prefix}_")}
        for name, count in counts.items():
            if name in ("train_fraction", "train_lesion_clients"):
                continue
            patch_class = name.removeprefix(f"{prefix}_")
            found = content["splits"].get(split, {}).get(patch_class, {"count": 0})["count"]
            short_of = short.get(f"{split}/{patch_class}", {"wanted": count, "found": count})
            assert (short_of["wanted"], short_of["found"]) == (count, found)
            asked += 1
    assert asked == 6 + 3 + 3
    for split, patch_class in (
        ("train", "malignant_mass"), ("train", "normal"), ("train", "source"),
        ("train", "benign_mass"), ("validation", "normal"), ("test", "malignant_mass"),
    ):  # fmt: skip
        assert f"{split}/{patch_class}" not in short


def test_the_ledger_adds_up(manifest):
    for kind, row in manifest("patches")["ledger"].items():
        total = row["used"] + row["not_needed"] + sum(row["rejected"].values())
        assert row["read"] == total > 0, kind


def test_the_gans_went_to_their_end(manifest):
    assert manifest("gan/mass")["steps"] == 2  # one at 16 px, one at 32
    assert manifest("gan/removal")["steps"] == 2
    for task in ("mass", "removal"):
        card = manifest(f"gan/{task}")["generator"]
        assert (card["task"], card["size"]) == (task, 32)


@pytest.mark.parametrize(
    ("task", "patch_class"), [("mass", "malignant_mass"), ("removal", "normal")]
)
def test_the_synthetic_sets_hold_their_count(manifest, task, patch_class):
    content = manifest(f"synthetic/{task}")
    assert content["task"] == task
    assert content["accepted"] == content["splits"]["train"][patch_class]["count"] == 8
    assert content["candidates"] == 8 + sum(content["rejected"].values())
    assert content["generator_checksum"] == manifest(f"gan/{task}")["generator"]["checksum"]


def test_the_classifiers_drew_what_the_schedule_says(manifest):
    baseline, mixed = manifest("classifier/baseline"), manifest("classifier/mixed")
    for content in (baseline, mixed):
        assert content["samples"] == sum(content["drawn"].values()) == 32
    synthetic = [name for name in mixed["drawn"] if name.startswith("synthetic")]
    assert len(synthetic) == 2
    assert sum(baseline["drawn"][name] for name in synthetic) == 0
    assert sum(mixed["drawn"][name] for name in synthetic) > 0
    assert [mixed["patches"][name] for name in synthetic] == [8, 8]


@pytest.mark.parametrize("name", ["baseline", "mixed"])
def test_the_evaluations_scored_every_patch(experiment, manifest, name):
    directory = experiment[0] / "evaluation" / name
    test = manifest("patches")["splits"]["test"]
    rows = (directory / "scores.csv").read_text().splitlines()[1:]
    assert len(rows) == sum(entry["count"] for entry in test.values())
    assert len((directory / "synthetic_scores.csv").read_text().splitlines()[1:]) == 16
    metrics = json.loads((directory / "metrics.json").read_text())
    assert 0 <= metrics["auc"]["overall"]["auc"] <= 1


def test_the_report_has_its_sections_and_stands_alone(experiment):
    page = (experiment[0] / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h2>([^<]*)", page)
    for title in (
        "Figure 1.", "Acceptance", "Table 1.", "ROC curves", "Figure 4.", "Training", "Data",
        "Flags of every run",
    ):  # fmt: skip
        assert any(found.startswith(title) for found in titles), (title, titles)
    sources = re.findall(r'<(?:img|script|link)[^>]*(?:src|href)="([^"]{0,20})', page)
    assert sources
    assert all(source.startswith("data:") for source in sources)


@pytest.fixture(scope="module")
def again(experiment):
    """The outcome of every step run a second time, and the files before it."""
    directory = experiment[0]
    before = content_of(directory)
    outcomes: dict[str, tuple] = {}
    for steps in CHAIN:
        outcomes |= run_steps(directory, steps)
    return before, outcomes


def content_of(directory: Path) -> dict[str, bytes]:
    """The bytes of every result."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and "phantom" not in path.relative_to(directory).parts
    }


@pytest.mark.parametrize("name", STEPS)
def test_run_again_there_is_nothing_to_do(again, name):
    outcome = again[1][name]
    assert_clean(outcome)
    # The report is cheap and has no run directory: it is written anew.
    assert ("report written" if name == "report.html" else "nothing to do") in outcome[0]


def test_run_again_no_byte_changes(experiment, again):
    assert content_of(experiment[0]) == again[0]


def test_nothing_is_left_under_a_temporary_name(experiment):
    assert leftovers(experiment[0]) == []


def test_run_again_nothing_is_left_either(experiment, again):
    assert leftovers(experiment[0]) == []


def leftovers(directory: Path) -> list[str]:
    """Names of files that a finished program takes away."""
    return [
        path.name
        for path in directory.rglob("*")
        if path.name.endswith(".tmp") or path.name in ("accepted.tfrecord", "progress.json")
    ]
