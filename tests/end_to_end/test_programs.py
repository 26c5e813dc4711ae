"""Every program started as a user starts it: its help, a missing input, a missing flag."""

import re

import pytest

from tests.contracts.test_configs import config_class_of
from tests.end_to_end.test_chain import PROGRAMS, run_steps


def test_every_program_has_help(tmp_path):
    helped = run_steps(tmp_path, {name: (name, "--help") for name in PROGRAMS})
    for name, (output, errors, _) in helped.items():
        assert errors == ""
        for field in vars(config_class_of(PROGRAMS[name])()):
            assert re.search(rf"--(\[no\])?{field}\b", output), (name, field)


MISSING = {
    "make_patches": ("--input_dir=none", "--output_dir=out1"),
    "train_gan": ("--patches_dir=none", "--output_dir=out2"),
    "synthesize": ("--generator=none", "--patches_dir=none", "--output_dir=out3"),
    "train_classifier": ("--patches_dir=none", "--output_dir=out4"),
    "evaluate": ("--classifier=none", "--patches_dir=none", "--output_dir=out5"),
    "report": ("--evaluations=none", "--patches_dir=none", "--output=out6.html"),
}


@pytest.mark.slow
def test_a_missing_input_is_one_line(tmp_path):
    steps = {name: (name, *flags) for name, flags in MISSING.items()}
    for name, (output, errors, code) in run_steps(tmp_path, steps).items():
        assert (code, output) == (1, ""), name
        assert len(errors.splitlines()) == 1, errors
        assert errors.startswith(f"{name}: ")
        assert "none" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_missing_flag_is_one_line(tmp_path):
    steps = {name: (name,) for name in PROGRAMS if name not in ("demo", "train_gan")}
    for name, (output, errors, code) in run_steps(tmp_path, steps).items():
        assert (code, output) == (2, ""), name
        assert len(errors.splitlines()) == 1, errors
        assert "required" in errors
