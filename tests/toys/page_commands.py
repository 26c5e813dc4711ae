"""The commands of a page in docs/, and a program run in this process as its command says."""

import dataclasses
import importlib
import re
import runpy
import shlex
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from absl import flags

from cgan_tf.runs import flags as programs

ROOT = Path(__file__).parents[2]


def commands_of(page: str) -> list[str]:
    """The indented `python -m ...` of a page in docs/, a continued line as one."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    return re.findall(r"^    (python -m .*)$", text, re.M)


def run_command(command: str, more: Sequence[str] = ()) -> None:
    """Runs `python -m MODULE ...` without the start of a process; `more` are flags that win."""
    module, *arguments = shlex.split(command)[2:]
    with mock.patch.object(programs, "run_program") as program:
        runpy.run_path(str(ROOT / f"{module.replace('.', '/')}.py"), run_name="__main__")
    config_class, target = program.call_args.args
    values = flags.FlagValues()
    programs.define_flags(config_class, values)
    unnamed = values(["program", *values.read_flags_from_files([*arguments, *more])])[1:]
    config = programs.config_from_flags(config_class, values)
    if unnamed:
        name = program.call_args.kwargs["positional"]
        config = dataclasses.replace(config, **{name: unnamed.pop(0)})
    assert not unnamed
    module, function = target.split(":")
    getattr(importlib.import_module(module), function)(config)
