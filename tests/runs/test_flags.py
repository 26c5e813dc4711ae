"""Dataclass to flags to dataclass, and what a program says when it is called wrongly."""

import dataclasses
import functools
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from absl import flags

from cgan_tf import config
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import (
    config_from_dict,
    config_from_file,
    config_from_flags,
    config_to_dict,
    define_flags,
    expand_flagfiles,
    flags_text,
)

CONFIG_CLASSES = tuple(
    value
    for value in vars(config).values()
    if isinstance(value, type) and value.__name__.endswith("Config")
)


def parse(config_class, *arguments):
    values = flags.FlagValues()
    flags.DEFINE_flag(  # define_flags leaves absl's own flag files alone
        flags.Flag(flags.ArgumentParser(), None, "flagfile", "", "flag file"), flag_values=values
    )
    define_flags(config_class, values)
    rest = values(["program", *arguments])
    assert rest == ["program"]
    return config_from_flags(config_class, values)


def other_values(config_class):
    """An instance in which every field differs from its default."""
    changed = {}
    for field in dataclasses.fields(config_class):
        default, choices = field.default, field.metadata["choices"]
        if default is None or isinstance(default, bool):
            changed[field.name] = not default
        elif isinstance(default, int):
            changed[field.name] = default + 3
        elif isinstance(default, float):
            changed[field.name] = default / 3 + 1e-7
        elif isinstance(default, tuple):
            changed[field.name] = ("--runner=A,B=c", "a path/with blanks", "second")
        elif choices:
            changed[field.name] = next(choice for choice in choices if choice != default)
        else:
            changed[field.name] = f"{default} some/path = here"
    return config_class(**changed)


def test_there_is_a_config_for_every_program():
    names = {c.__name__ for c in CONFIG_CLASSES}
    assert {"PhantomConfig", "PatchesConfig", "GanConfig", "SynthesisConfig"} <= names
    assert {"ClassifierConfig", "EvaluateConfig", "ReportConfig", "DemoConfig"} <= names


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ([], None),
        (["--normals_from_lesion_images"], True),
        (["--nonormals_from_lesion_images"], False),
        (["--normals_from_lesion_images=false"], False),
    ],
)
def test_a_switch_that_need_not_be_set(arguments, value, tmp_path):
    parsed = parse(config.PatchesConfig, *arguments)
    assert parsed.normals_from_lesion_images is value
    (tmp_path / "run.cfg").write_text(flags_text(parsed))
    assert parse(config.PatchesConfig, f"--flagfile={tmp_path}/run.cfg") == parsed


@pytest.mark.parametrize("config_class", CONFIG_CLASSES, ids=lambda c: c.__name__)
class TestRoundTrips:
    def test_no_flags_give_the_defaults(self, config_class):
        assert parse(config_class) == config_class()

    def test_a_flag_for_every_field(self, config_class):
        changed = other_values(config_class)
        for field in dataclasses.fields(config_class):
            assert getattr(changed, field.name) != field.default
        assert parse(config_class, *flags_text(changed).splitlines()) == changed

    def test_a_saved_flag_file(self, config_class, tmp_path):
        changed = other_values(config_class)
        path = tmp_path / "run.cfg"
        path.write_text("# saved\n\n" + flags_text(changed))
        assert parse(config_class, f"--flagfile={path}") == changed

    def test_json_values(self, config_class):
        changed = other_values(config_class)
        values = config_to_dict(changed)
        assert not any(isinstance(value, tuple) for value in values.values())
        kept = (
            dataclasses.replace(changed, restart=False) if "restart" in vars(changed) else changed
        )
        assert config_from_dict(config_class, values) == kept


def test_the_last_value_wins_and_beam_options_add_up(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text("--size=64\n--beam=--runner=FnApiRunner\n")
    parsed = parse(
        config.PatchesConfig, f"--flagfile={path}", "--size=128", "--beam=--labels=a,b=c"
    )
    assert parsed.size == 128
    assert parsed.beam == ("--runner=FnApiRunner", "--labels=a,b=c")


def test_lists_are_split_at_commas():
    parsed = parse(config.ClassifierConfig, "--synthetic_dirs=a,b c,d")
    assert parsed.synthetic_dirs == ("a", "b c", "d")


def test_a_file_that_is_passed_on_is_read_as_its_program_would(tmp_path):
    (tmp_path / "common.cfg").write_text("--title=Ours\n")
    path = tmp_path / "x.cfg"
    path.write_text(f"# a report\n--flagfile={tmp_path / 'common.cfg'}\n--seed=3\n")
    assert config_from_file(config.ReportConfig, path) == config.ReportConfig(title="Ours", seed=3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("--samples=3\n", r"x\.cfg: Unknown command line flag 'samples'"),
        ("--seed=three\n", r"x\.cfg: flag --seed=three"),
        ("title=Ours\n", r"x\.cfg: expected --name=value on every line, found 'title=Ours'"),
        ("  # indented\n", r"x\.cfg: expected --name=value on every line, found '# indented'"),
        (None, r"x\.cfg: expected a flag file, found none"),
        ("--flagfile=missing.cfg\n", r"--flagfile=missing\.cfg: expected a flag file, found none"),
        ("--flagfile=/\n", r"--flagfile=/: expected a flag file, found a directory"),
    ],
)
def test_what_is_wrong_in_it_is_one_line(tmp_path, text, complaint):
    path = tmp_path / "x.cfg"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=complaint) as caught:
        config_from_file(config.ReportConfig, path)
    assert "\n" not in str(caught.value)


def test_a_file_that_includes_itself_is_refused(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(f"--flagfile={path}\n")
    with pytest.raises(UserError, match=r"x\.cfg: includes itself"):
        config_from_file(config.ReportConfig, path)


def test_the_projects_own_files_are_found_from_anywhere(tmp_path, monkeypatch):
    """demo_mass.cfg includes demo_gan.cfg: both are read as in a checkout."""
    monkeypatch.chdir(Path(__file__).parents[2])
    here = config_from_file(config.GanConfig, "configs/demo_mass.cfg")
    monkeypatch.chdir(tmp_path)
    assert config_from_file(config.GanConfig, "configs/demo_mass.cfg") == here
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo_gan.cfg").write_text("--size=32\n")  # the user's comes first
    assert config_from_file(config.GanConfig, "configs/demo_mass.cfg").size == 32


def test_flag_files_keep_their_place_among_the_arguments(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text("# a note\n\n// another\n--size=64  \n")
    for form in ([f"--flagfile={path}"], ["--flagfile", str(path)], [f"-flagfile={path}"]):
        arguments = expand_flagfiles(["--seed=1", *form, "--size=32", "--", "--flagfile=x"])
        assert arguments == ["--seed=1", "--size=64", "--size=32", "--", "--flagfile=x"]


def test_a_flag_of_an_earlier_version_names_its_successors(tmp_path, monkeypatch):
    monkeypatch.setitem(config.REPLACED_FLAGS, "plots", "--corrections and --tsne_normal")
    path = tmp_path / "old.cfg"
    path.write_text("--plots=300\n")
    with pytest.raises(UserError, match="--plots was replaced by --corrections and --tsne_normal"):
        config_from_file(config.ReportConfig, path)


def test_replaced_flags_are_gone_and_their_successors_exist():
    known = {f.name for c in CONFIG_CLASSES for f in dataclasses.fields(c)}
    for name, successors in config.REPLACED_FLAGS.items():
        assert name not in known
        assert set(re.findall(r"--(\w+)", successors)) <= known


@pytest.mark.parametrize(
    ("config_class", "arguments", "expected"),
    [
        (config.GanConfig, ["--workdir=w"], {"output_dir": "w"}),
        (config.ClassifierConfig, ["--workdir=w"], {"output_dir": "w"}),
        (
            config.QualityConfig,
            ["--real=p", "--synthetic=a,b"],
            {"patches_dir": "p", "synthetic_dirs": ("a", "b")},
        ),
        (config.CurvesConfig, ["--runs=a,b"], {"gan_dirs": ("a", "b")}),
    ],
)
def test_old_names_of_flags_still_work(config_class, arguments, expected, tmp_path):
    wanted = config_class(**expected)
    assert parse(config_class, *arguments) == wanted
    (tmp_path / "x.cfg").write_text("\n".join(arguments))
    assert config_from_file(config_class, tmp_path / "x.cfg") == wanted
    old = {alias: name for alias, name in config.ALIASES[config_class].items() if name in expected}
    saved = config_to_dict(wanted)
    saved |= {alias: saved.pop(name) for alias, name in old.items()}
    assert config_from_dict(config_class, saved) == wanted  # a card, say


def test_the_last_of_two_names_wins():
    arguments = ("--workdir=a", "--output_dir=b")
    assert parse(config.GanConfig, *arguments).output_dir == "b"
    assert parse(config.GanConfig, *reversed(arguments)).output_dir == "a"


def test_json_names_must_match():
    values = config_to_dict(config.DemoConfig())
    with pytest.raises(UserError, match="DemoConfig: names that do not match: colour, precision"):
        config_from_dict(config.DemoConfig, {"output_dir": values["output_dir"], "colour": "green"})


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Runs a small program, as a user would, and returns (exit code, stdout, stderr)."""
    directory = tmp_path_factory.mktemp("program")
    (directory / "work_of_it.py").write_text(
        textwrap.dedent("""
        import os
        from cgan_tf.runs.errors import UserError
        def work(config):
            os.write(2, b"chatter of a C++ library")
            if config.count == 1:
                raise UserError("patches/manifest.json: expected this, found that")
            if config.count == 2:
                raise KeyboardInterrupt
            if config.count == 3:
                raise ValueError("a defect")
            print("working on", config.count)
        """)
    )
    path = directory / "paint.py"
    path.write_text(
        textwrap.dedent("""
        from cgan_tf.config import SynthesisConfig
        from cgan_tf.runs.flags import run_program
        if __name__ == "__main__":
            run_program(SynthesisConfig, "work_of_it:work", required=("generator", "output_dir"))
        """)
    )
    return functools.partial(run, path)


@pytest.fixture(scope="module")
def naming_program(tmp_path_factory):
    """The same for a program that takes one argument without a name."""
    path = tmp_path_factory.mktemp("naming") / "name.py"
    path.write_text(
        textwrap.dedent("""
        from cgan_tf.config import SynthesisConfig
        from cgan_tf.runs.flags import run_program
        def work(config):
            print(config.generator, config.count)
        if __name__ == "__main__":
            run_program(
                SynthesisConfig, "__main__:work", required=("generator",), positional="generator"
            )
        """)
    )
    return functools.partial(run, path)


def run(path, *arguments):
    """(exit code, stdout, stderr) of a program."""
    done = subprocess.run(
        [sys.executable, path, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


GIVEN = ("--generator=g", "--output_dir=o")


def test_a_program_runs_without_chatter(program):
    assert program(*GIVEN, "--count=7") == (0, "working on 7\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("stray",), 2, "paint: unexpected argument 'stray'; every option is a --flag=value\n"),
        (("--cuont=3",), 2, "Unknown command line flag 'cuont'"),
        (("--count=many",), 2, "flag --count=many: invalid literal"),
        (("--source_split=tset",), 2, "value should be one of <train|validation|test>"),
        (("--flagfile=missing.cfg",), 2, "missing.cfg"),
        ((), 2, "paint: --generator and --output_dir required; see --help\n"),
        (("--generator=g",), 2, "paint: --output_dir required; see --help\n"),
        ((*GIVEN, "--count=1"), 1, "paint: patches/manifest.json: expected this, found that\n"),
        ((*GIVEN, "--count=2"), 130, "run the same command again to go on"),
    ],
    ids=str,
)
def test_a_mistake_gives_one_line_and_an_exit_code(program, arguments, code, message):
    found, out, err = program(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert err.startswith("paint: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("g", "--count=7"), ("--count=7", "g"), ("--generator=g", "--count=7")], ids=str
)
def test_an_argument_may_stand_for_a_flag(naming_program, arguments):
    assert naming_program(*arguments) == (0, "g 7\n", "")


@pytest.mark.parametrize("arguments", [("g", "h"), ("h", "--generator=g")], ids=str)
def test_one_argument_too_many_is_refused(naming_program, arguments):
    message = "name: unexpected argument 'h'; every option is a --flag=value\n"
    assert naming_program(*arguments) == (2, "", message)


def test_without_the_argument_its_flag_is_asked_for(naming_program):
    assert naming_program() == (2, "", "name: --generator required; see --help\n")


def test_an_indented_comment_in_a_flag_file_is_refused(program, tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text("--generator=g\n  # a note\n--output_dir=o\n")
    code, out, err = program(f"--flagfile={path}")
    assert (code, out) == (2, "")
    assert "# a note" in err


def test_a_defect_of_ours_is_not_hidden(program):
    code, out, err = program(*GIVEN, "--count=3")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("ValueError: a defect\n")


def test_help_names_every_flag(program):
    code, out, err = program("--help")
    assert (code, err) == (0, "")
    for field in dataclasses.fields(config.SynthesisConfig):
        assert f"--{field.name}=" in out or f"--[no]{field.name}" in out


def test_help_cut_off_by_a_pager_is_no_failure():
    command = [sys.executable, "-m", "cgan_tf.train_gan", "--help"]
    read, write = os.pipe()
    os.close(read)  # the pager has gone before the first line
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
