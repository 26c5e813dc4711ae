"""Config dataclasses as command-line flags and back, and `run_program`, which starts a program.

A program is::

    def main(config: PatchesConfig) -> None: ...

    if __name__ == "__main__":
        run_program(PatchesConfig, "beam_pipelines.make_patches:run")

Heavy imports happen after the flags are parsed, so that `--help` and a refused command are quick.
"""

import csv
import dataclasses
import importlib
import io
import os
import sys
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import app, flags

from cgan_tf.config import ALIASES, REPLACED_FLAGS
from cgan_tf.runs.console import separate_native_stderr
from cgan_tf.runs.errors import UserError, reading
from cgan_tf.runs.help import VERSION, help_text

Config = TypeVar("Config")

NOT_KEPT = frozenset({"restart"})  # how a command begins, not what its run is

flags.disclaim_key_flags()  # the flags are the program's own, so that its --help lists them


def define_flags(config_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for every field of a config dataclass, and its other names."""
    for name, kind, default, text, choices in _fields(config_class):
        if kind in (bool, bool | None):
            flags.DEFINE_boolean(name, default, text, flag_values=flag_values)
        elif kind is int:
            flags.DEFINE_integer(name, default, text, flag_values=flag_values)
        elif kind is float:
            flags.DEFINE_float(name, default, text, flag_values=flag_values)
        elif choices:
            flags.DEFINE_enum(name, default, list(choices), text, flag_values=flag_values)
        elif kind is str:
            flags.DEFINE_string(name, default, text, flag_values=flag_values)
        elif name == "beam":  # values hold commas and equals signs: one occurrence, one value
            flags.DEFINE_multi_string(name, list(default), text, flag_values=flag_values)
        else:
            flags.DEFINE_list(name, list(default), text, flag_values=flag_values)
    for alias, name in ALIASES.get(config_class, {}).items():
        flags.DEFINE_alias(alias, name, flag_values)


def renamed(config_class: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Saved flags of a program under the names that they have now."""
    names = ALIASES.get(config_class, {})
    return {names.get(name, name): value for name, value in values.items()}


def config_from_flags(
    config_class: type[Config], flag_values: flags.FlagValues = flags.FLAGS
) -> Config:
    """The parsed flags as the frozen dataclass they were defined from.

    Raises `UserError` for what cannot be written into run.json, or named as a file.
    """
    values: dict[str, Any] = {}
    for name, kind, *_ in _fields(config_class):
        value: Any = flag_values[name].value
        values[name] = tuple(value) if kind is tuple else value
        for text in values[name] if kind is tuple else (value,):
            if isinstance(text, str) and not _is_text(text):
                raise UserError(f"--{name}: expected text in UTF-8, found {text!r:.80}")
    return config_class(**values)


def config_from_file(config_class: type[Config], path: str | Path) -> Config:
    """The config that a flag file gives a program; `UserError` naming the file and the fault.

    For a program that passes the file on to another and wants to know beforehand.
    """
    arguments = expand_flagfiles([f"--flagfile={path}"])
    values = flags.FlagValues()
    define_flags(config_class, values)
    try:
        rest = values(["program", *arguments])[1:]
    except (flags.Error, ValueError) as error:
        raise UserError(f"{path}: {_flag_error(error)}") from error
    if rest:  # a line without dashes, or a comment that is indented
        raise UserError(f"{path}: expected --name=value on every line, found {rest[0]!r}")
    return config_from_flags(config_class, values)


def check_ranges(config: Any) -> None:
    """Raises `UserError` for the first number that is out of the range of its field."""
    for field in dataclasses.fields(config):
        bounds, value = field.metadata["range"], getattr(config, field.name)
        if bounds is not None and value not in bounds:
            raise UserError(f"--{field.name}: expected {bounds}, found {value:g}")


def expand_flagfiles(arguments: Sequence[str], within: tuple[str, ...] = ()) -> list[str]:
    """The arguments with the lines of flag files in the place of `--flagfile=FILE`.

    A file may name others. Raises `UserError` for a file that is missing, is no text, or includes
    itself.
    """
    expanded: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, path = argument.partition("=")
        if argument == "--":
            return [*expanded, argument, *rest]
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
            continue
        path = path.strip() if equals else next(rest, "")
        file = shipped(path)
        if file in within:
            raise UserError(f"{path}: includes itself")
        expanded += expand_flagfiles(_flag_lines(path, file), (*within, file))
    return expanded


def _flag_lines(path: str, file: str) -> list[str]:
    if not Path(file).is_file():
        what = "a directory" if Path(file).is_dir() else "none"
        raise UserError(f"--flagfile={path}: expected a flag file, found {what}")
    try:
        with reading(file):
            lines = Path(file).read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected a flag file in UTF-8") from error
    return [line.strip() for line in lines if not line.startswith(("#", "//")) and line.strip()]


def shipped(path: str) -> str:
    """The path of a file; one of `configs/` that is not in the current directory is the project's
    own, wherever that is installed."""
    expanded = os.path.expanduser(path)
    if not path.startswith("configs/") or os.path.exists(expanded):
        return expanded
    package = Path(__file__).parents[1]
    for place in (package, package.parent):  # a wheel's, a checkout's
        if (place / path).exists():
            return str(place / path)
    return expanded


def flags_text(config: Any) -> str:
    """The config as a flag file: one `--name=value` a line, every field that has a value."""
    lines = []
    for name, kind, *_ in _fields(type(config)):
        value = getattr(config, name)
        if value is None:
            continue  # as if it were not given
        if kind in (bool, bool | None):
            lines.append(f"--{name}={str(value).lower()}")
        elif name == "beam":
            lines += [f"--{name}={item}" for item in value]
        elif kind is tuple:
            lines.append(f"--{name}={_comma_list(value)}")
        else:
            lines.append(f"--{name}={value}")
    return "\n".join(lines) + "\n"


def config_to_dict(config: Any) -> dict[str, Any]:
    """The config as JSON-ready values (tuples become lists), without what is no part of a run."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
        if name not in NOT_KEPT
    }


def config_from_dict(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """The inverse of `config_to_dict`; an unknown or missing name is an error."""
    values = renamed(config_class, values)
    known = {name: kind for name, kind, *_ in _fields(config_class) if name not in NOT_KEPT}
    if set(values) != set(known):
        difference = ", ".join(sorted(set(values) ^ set(known)))
        raise UserError(f"{config_class.__name__}: names that do not match: {difference}")
    return config_class(
        **{name: tuple(v) if known[name] is tuple else v for name, v in values.items()}
    )


class WrongCommand(UserError):
    """A command line that no program can be run with; exit code 2."""


def run_program(
    config_class: type, target: str, required: tuple[str, ...], positional: str = ""
) -> None:
    """Parses the flags, then imports `module:function` and calls it with the config.

    `positional` names the flag that one argument without a name may stand for.
    A `UserError` becomes one line on standard error and exit code 1; a wrong flag, a positional
    argument or a missing required flag exits with code 2.
    """
    define_flags(config_class)
    program = Path(sys.argv[0]).stem

    def main(argv: list[str]) -> None:
        try:
            config: Any = config_of_command(config_class, argv[1:], required, positional)
            separate_native_stderr()
            run_target(target, config)
        except UserError as error:
            _exit(2 if isinstance(error, WrongCommand) else 1, f"{program}: {error}")
        except KeyboardInterrupt:
            _exit(130, f"{program}: interrupted; run the same command again to go on")

    def parse(argv: list[str]) -> list[str]:
        asked = set(argv[1:]) & {"-h", "--help", "--version"}
        if asked:
            doc = sys.modules["__main__"].__doc__ or ""
            text = help_text(doc, config_class, required)
            _print_and_exit(VERSION + "\n" if asked == {"--version"} else text)
        try:
            return [argv[0], *parse_arguments(argv[1:])]
        except WrongCommand as error:
            _exit(2, f"{program}: {error}")
        except (SystemExit, BrokenPipeError):  # absl has printed its --helpfull and leaves with 1,
            _print_and_exit("")  # or was cut off by a pager that has seen enough

    app.run(main, flags_parser=parse)


def parse_arguments(
    arguments: Sequence[str], flag_values: flags.FlagValues = flags.FLAGS
) -> list[str]:
    """Sets the flags; returns the arguments that are none. Raises `WrongCommand`."""
    try:
        return flag_values(["program", *expand_flagfiles(arguments)])[1:]
    except UserError as error:
        raise WrongCommand(str(error)) from error
    except (flags.Error, ValueError) as error:
        raise WrongCommand(f"{_flag_error(error)}; see --help") from error


def config_of_command(
    config_class: type[Config],
    unnamed: Sequence[str],
    required: Collection[str],
    positional: str = "",
    flag_values: flags.FlagValues = flags.FLAGS,
) -> Config:
    """The config that parsed flags and arguments without a name make. Raises `WrongCommand`."""
    try:
        config: Any = config_from_flags(config_class, flag_values)
    except UserError as error:
        raise WrongCommand(str(error)) from error
    unnamed = list(unnamed)
    if positional and unnamed and not getattr(config, positional):
        config = dataclasses.replace(config, **{positional: unnamed.pop(0)})
    if unnamed:
        raise WrongCommand(f"unexpected argument '{unnamed[0]}'; every option is a --flag=value")
    require(config, required)
    return config


def require(config: Any, names: Collection[str]) -> None:
    """Raises `WrongCommand` for flags that were not given."""
    missing = [f"--{name}" for name in names if not getattr(config, name)]
    if missing:
        raise WrongCommand(f"{' and '.join(missing)} required; see --help")


def run_target(target: str, config: Any) -> None:
    """Calls `module:function` with a config whose numbers are in their ranges."""
    check_ranges(config)
    module, function = target.split(":")
    getattr(importlib.import_module(module), function)(config)


def _comma_list(values: tuple[str, ...]) -> str:
    """Values as absl's list flags read them: a value that holds a comma is quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def _is_text(value: str) -> bool:
    """Whether it is UTF-8 without a zero byte; other bytes of a command line are surrogates."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def _flag_error(error: flags.Error | ValueError) -> str:
    """absl's message in one line; a flag of an earlier version names what takes its place."""
    name = getattr(error, "flagname", "")
    if name in REPLACED_FLAGS:
        return f"--{name} was replaced by {REPLACED_FLAGS[name]}"
    return " ".join(str(error).split())


def _exit(code: int, message: str) -> typing.NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


def _print_and_exit(text: str) -> typing.NoReturn:
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    sys.exit(0)


def _fields(config_class: type) -> list[tuple[str, Any, Any, str, tuple[str, ...]]]:
    rows = []
    for field in dataclasses.fields(config_class):
        kind = (
            typing.get_origin(field.type)
            if isinstance(field.type, types.GenericAlias)
            else field.type
        )
        rows.append(
            (field.name, kind, field.default, field.metadata["help"], field.metadata["choices"])
        )
    return rows
