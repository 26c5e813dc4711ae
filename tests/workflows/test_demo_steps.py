"""The demo's steps: their flags are known, their inputs are made before."""

import sys
from pathlib import Path

import pytest
from absl import flags

from cgan_tf.runs.flags import config_from_flags, define_flags
from cgan_tf.workflows.demo import demo_steps, films_directory
from tests.contracts.test_configs import ROOT, config_class_of

DEMO = Path("demo-output")


def steps_by_name(films):
    steps = demo_steps(DEMO, "float32", 1, Path("films/cases") if films else None)
    assert len({step.name for step in steps}) == len(steps)
    return {step.name: step for step in steps}


@pytest.fixture(params=[True, False], ids=["films", "no films"])
def steps(request):
    return steps_by_name(request.param)


def parsed(step):
    """The step's config, as its program would see it."""
    values = flags.FlagValues()
    flags.DEFINE_flag(
        flags.Flag(flags.ArgumentParser(), None, "flagfile", "", "flag file"), flag_values=values
    )
    config_class = config_class_of(step.module)
    define_flags(config_class, values)
    assert values(["program", *step.flags]) == ["program"]
    return config_from_flags(config_class, values)


def output_of(step):
    """The directory or file that the step writes."""
    config = parsed(step)
    names = [n for n in ("output_dir", "output") if getattr(config, n, "")]
    assert len(names) == 1
    return Path(getattr(config, names[0]))


def ancestors(step, steps):
    found, left = set(), list(step.after)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += steps[name].after
    return found


def test_every_flag_is_known_to_its_program(steps, monkeypatch):
    monkeypatch.chdir(ROOT)  # flag files are relative, as in `make demo`
    for step in steps.values():
        parsed(step)
        assert step.command() == [sys.executable, "-m", step.module, *step.flags]


def test_a_step_is_done_when_its_output_is_there(steps, monkeypatch):
    monkeypatch.chdir(ROOT)
    outputs = {}
    for name, step in steps.items():
        output = output_of(step)
        assert step.result in (output, output / "manifest.json")
        outputs[name] = output
    assert len(set(outputs.values())) == len(outputs)


def test_what_a_step_reads_is_written_by_steps_before_it(steps, monkeypatch):
    monkeypatch.chdir(ROOT)
    outputs = {name: output_of(step) for name, step in steps.items()}
    reads = 0
    for name, step in steps.items():
        values = []
        for value in vars(parsed(step)).values():
            values += value if isinstance(value, tuple) else [value]
        inside = [v for v in values if isinstance(v, str) and v.startswith(str(DEMO))]
        for value in map(Path, inside):
            if value == outputs[name]:
                continue
            makers = {
                other
                for other, output in outputs.items()
                if output == value or output in value.parents
            }
            assert makers & ancestors(step, steps), f"{name} reads {value}"
            reads += 1
    assert reads > 20


def test_every_step_can_start_some_day(steps):
    for name, step in steps.items():
        assert set(step.after) <= set(steps)
        assert name not in ancestors(step, steps)


def test_the_last_step_is_the_report_of_everything(steps):
    *others, last = steps
    assert last == "report"
    assert ancestors(steps["report"], steps) == set(others)


def test_films_are_shown_and_never_trained_on():
    with_films, without = steps_by_name(True), steps_by_name(False)
    extra = set(with_films) - set(without)
    assert len(extra) == 4
    for name, step in with_films.items():
        if step.module in ("cgan_tf.train_gan", "cgan_tf.train_classifier"):
            assert not ancestors(step, with_films) & extra, name


def test_evaluation_patches_never_reach_a_training(steps, monkeypatch):
    monkeypatch.chdir(ROOT)
    outputs = {name: output_of(step) for name, step in steps.items()}
    leaking = {
        outputs[name]
        for name, step in steps.items()
        if step.module == "cgan_tf.synthesize" and parsed(step).source_split != "train"
    }
    assert leaking
    for step in steps.values():
        if step.module == "cgan_tf.train_classifier":
            assert not leaking & {Path(d) for d in parsed(step).synthetic_dirs}


def test_where_the_films_are(monkeypatch):
    found = films_directory()
    assert found is None or found.name == "cases"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert films_directory() is None
