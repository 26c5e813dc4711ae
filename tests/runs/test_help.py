"""Help: what a program does, what it needs first, every flag once, in its group."""

import dataclasses
import re
import subprocess
import sys

import pytest

from cgan_tf import __version__, config
from cgan_tf.runs.help import GROUPS, REQUIRED, help_text, overview, programs_of
from tests.runs.test_flags import CONFIG_CLASSES

PROGRAMS = programs_of("beam_pipelines", "cgan_tf")


def test_every_flag_has_one_group_and_every_name_is_a_flags():
    flags = {field.name for c in CONFIG_CLASSES for field in dataclasses.fields(c)}
    grouped = [name for names in GROUPS.values() for name in names.split()]
    assert sorted(grouped) == sorted(flags)


def test_what_is_required_comes_first_then_the_groups_in_order():
    text = help_text("Does it.", config.GanConfig, ())
    headings = [line for line in text.splitlines() if line and not line.startswith(" ")]
    names = ["Input and output", "Task", "Data", "Networks", "Training", "Machine"]
    assert headings == ["Does it.", REQUIRED, *names, "Of every program"]
    first = text[text.index(REQUIRED) : text.index("Input and output")]
    assert re.findall(r"--(\w+)=", first) == ["patches_dir", "output_dir"]


@pytest.mark.parametrize("config_class", CONFIG_CLASSES, ids=lambda c: c.__name__)
def test_every_flag_once_with_default_and_range_and_no_old_name(config_class):
    text = help_text("x", config_class)
    for field in dataclasses.fields(config_class):
        assert len(re.findall(rf"^  --(?:\[no\])?{field.name}(?:=|$)", text, re.M)) == 1, field.name
    for alias in config.ALIASES.get(config_class, {}):
        assert not re.search(rf"--{alias}\b", text)
    assert max(map(len, text.splitlines())) <= 100


def test_a_number_shows_its_default_and_its_range():
    text = help_text("x", config.PatchesConfig)
    entry = text[text.index("--train_fraction") :].split("  --")[0]
    assert entry.startswith("--train_fraction=0.6\n")
    assert " ".join(entry.split()).endswith("Range: 0 to 1.")


def test_no_help_begins_with_the_papers_words():
    begins = {
        f"{c.__name__}.{field.name}"
        for c in CONFIG_CLASSES
        for field in dataclasses.fields(c)
        if field.metadata["help"].startswith(("'", "See "))
    }
    assert begins == set()


def test_every_program_has_a_line():
    text = overview("cgan", PROGRAMS)
    assert {"make_patches", "insert_lesions", "train_gan", "report", "demo"} <= set(PROGRAMS)
    for name, program in PROGRAMS.items():
        assert program.line.endswith("."), name
        assert any(line.split() and line.split()[0] == name for line in text.splitlines())


def run(*arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_a_package_lists_its_programs(arguments):
    done = run("-m", "beam_pipelines", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "make_phantom" in done.stdout
    assert "train_gan" not in done.stdout


def test_a_program_is_run_by_its_name():
    done = run("-m", "cgan_tf", "train_gan", "--no_such_flag")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("train_gan: Unknown command line flag")


def test_a_misspelt_program_is_told():
    done = run("-m", "cgan_tf", "train_classifer", "--size=3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "python -m cgan_tf: no program 'train_classifer'; did you mean train_classifier?\n"
    )


@pytest.mark.parametrize("module", ["cgan_tf", "cgan_tf.train_gan"])
def test_the_version(module):
    done = run("-m", module, "--version")
    assert (done.returncode, done.stdout) == (0, f"contextual-gan-mammography {__version__}\n")
