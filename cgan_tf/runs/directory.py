"""One run, one directory: its flags beside its output, resumed or refused, never half-written.

Layout: `run.json` (program, version, flags) is written when the run starts and `manifest.json`
when it has finished; a directory without `manifest.json` holds an unfinished run.
"""

import contextlib
import csv
import dataclasses
import fcntl
import glob
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from cgan_tf import __version__
from cgan_tf.runs.errors import UserError, writing
from cgan_tf.runs.flags import config_to_dict
from cgan_tf.runs.identity import differences, run_inputs

# A JSON object that is a document of its own: a file as it is read or written, or a part of it.
# What the program goes on with is a dataclass, made from it where it is read.
Json = dict[str, Any]
Inputs = TypeVar("Inputs")

RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.json"

# What a run may hold that has made nothing: neither a checkpoint, nor a shard, nor a table.
_NOTHING_YET = frozenset({"plan.json", "plan.npy", "progress.json", "setup.json", "tensorboard"})


@dataclasses.dataclass(frozen=True)
class Run:
    """An opened run directory."""

    directory: Path
    finished: bool


def run_to_the_end(
    directory: str | Path,
    program: str,
    config: Any,
    open_inputs: Callable[[], Inputs],
    work: Callable[[Inputs, Any], None],
    *,
    beside: Collection[str] = (),
    opened: Callable[..., AbstractContextManager[Any]] | None = None,
    drop_scratch: Callable[[], None] | None = None,
) -> bool:
    """The frame of a program: one run in `directory`, begun or resumed, until it is finished.

    The inputs are opened before `run.json` is written: a mistyped flag must not stay in a run
    directory, where the corrected one would be refused. A finished run opens nothing, unless
    `config.restart` asks for a new one.

    Args:
      open_inputs: gives what the work needs; its `UserError` leaves the directory as it was.
      work: does the work with the inputs and the opened run, and ends with `finish_run`.
      beside: files that the program may have written without a run.
      opened: opens the run in the place of `open_run`, in an object store say.
      drop_scratch: removes what only an unfinished run needs. It is called when the run is
        finished, also by the next call: a program may be killed between the two.

    Returns:
      Whether there was work; without any, a line on standard output says so.

    Raises:
      UserError: as `open_run` does.
    """
    run_file, manifest = Path(directory) / RUN_FILE, Path(directory) / MANIFEST_FILE
    if opened is None and run_file.exists():  # named before the inputs take their time
        with locked(directory):
            _check_or_clear(Path(directory), program, config, beside)
    inputs = None if manifest.exists() and not config.restart else open_inputs()
    with (opened or open_run)(directory, program, config, beside) as run:
        if inputs is None or run.finished:
            print(f"{program}: {run.directory} is finished; nothing to do")
            worked = False
        else:
            work(inputs, run)
            worked = True
        if drop_scratch:
            drop_scratch()
    return worked


@contextlib.contextmanager
def open_run(
    directory: str | Path, program: str, config: Any, beside: Collection[str] = ()
) -> Iterator[Run]:
    """Opens `directory` for `program`, for as long as the block lasts.

    Yields a `Run` whose `finished` says that there is nothing to do. With `config.restart` an
    earlier run is moved aside first. Raises `UserError` when the directory holds another program's
    run, or results of the same program's with other flags (naming the difference), and whatever
    `open_directory` raises.
    """
    if config.restart:
        move_aside(directory, program)
    with open_directory(directory, program, beside) as opened:
        _check_or_clear(opened, program, config, beside)
        if not (opened / RUN_FILE).exists():
            write_json(opened / RUN_FILE, run_content(program, config))
        yield Run(opened, (opened / MANIFEST_FILE).exists())


def move_aside(directory: str | Path, program: str) -> None:
    """Renames the run of `program` in `directory`, if there is one, to DIRECTORY.1, or the first
    number that is free.

    Raises `UserError` for another program's run, while a process works in it, and where the
    directory cannot be renamed.
    """
    place = Path(os.path.abspath(directory))  # "." has no name; a link is renamed, not followed
    if not (place / RUN_FILE).exists():
        return
    with locked(place):
        _check_program(place, read_json(place / RUN_FILE), program)
        free = next(n for n in itertools.count(1) if not os.path.lexists(f"{place}.{n}"))
        try:
            place.rename(f"{place}.{free}")
        except OSError as error:
            raise UserError(
                f"{directory}: cannot be moved aside: {error.strerror}; name another directory"
            ) from error
    print(f"{program}: the earlier run is now {place}.{free}")


@contextlib.contextmanager
def open_directory(
    directory: str | Path, program: str, beside: Collection[str] = ()
) -> Iterator[Path]:
    """Makes `directory` where it is missing and keeps other processes out of it, for as long as
    the block lasts.

    Raises `UserError` when another process is in it, and when it holds no run but files other than
    those named in `beside`, which `program` may write without a run.
    """
    with locked(directory) as directory:
        if not (directory / RUN_FILE).exists():
            names = (path.name for path in directory.iterdir())
            refuse_strangers(directory, names, program, beside)
        remove_leftovers(directory)
        yield directory


@contextlib.contextmanager
def locked(directory: str | Path) -> Iterator[Path]:
    """Makes `directory` where it is missing and holds its lock, for as long as the block lasts.

    Raises `UserError` when another process has it, or the directory cannot be written.
    """
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise UserError(f"{directory}: cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{directory}: another process is working in it") from error
        yield directory


def refuse_strangers(
    directory: str | Path, names: Iterable[str], program: str, beside: Collection[str]
) -> None:
    """Raises `UserError` for names in a directory without a run that are not in `beside`."""
    # Hidden files are ours: the lock, or what a killed process had under a temporary name.
    strangers = sorted(name for name in names if name not in beside and not _is_ours(name))
    if strangers:
        raise UserError(
            f"{directory}: expected an empty directory or a run of {program}, "
            f"found {', '.join(strangers[:3])}"
        )


def _check_or_clear(
    directory: Path, program: str, config: Any, beside: Collection[str] = ()
) -> None:
    """Refuses a run with other flags that has made something; clears one that has made nothing."""
    run_file = directory / RUN_FILE
    if not run_file.exists() or config.restart:
        return
    saved = read_json(run_file)
    if _has_results(directory, beside):
        check_run(directory, saved, program, config)
        return
    _check_program(directory, saved, program)
    if differences(saved, config):
        run_file.unlink()  # first: without it nothing else counts as a run's
        for name in _NOTHING_YET:
            shutil.rmtree(directory / name, ignore_errors=True)
            with contextlib.suppress(OSError):
                (directory / name).unlink()


def _has_results(directory: Path, beside: Collection[str]) -> bool:
    """Whether a run has made anything that other flags would make anew: a file that holds more
    than nothing, or a table that has rows."""
    for path in directory.iterdir():
        if path.name in {RUN_FILE, *_NOTHING_YET, *beside} or _is_ours(path.name):
            continue
        files = (p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)
        if any(_holds_rows(file) for file in files):
            return True
    return False


def _holds_rows(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline()
        return bool(first) and (path.suffix != ".csv" or bool(file.readline()))


def run_content(program: str, config: Any) -> Json:
    """What `run.json` holds."""
    return {
        "program": program,
        "version": __version__,
        "flags": config_to_dict(config),
        "inputs": run_inputs(config),
    }


def check_run(directory: str | Path, saved: Json, program: str, config: Any) -> None:
    """Raises `UserError` unless the content of `run.json` is of this program with these flags."""
    _check_program(directory, saved, program)
    different = differences(saved, config)
    if different:
        raise UserError(
            f"{directory}: holds a run with other flags: {'; '.join(different)}; name another "
            "directory, or say --restart to begin anew here (the old run is kept, moved aside)"
        )


def _check_program(directory: str | Path, saved: Json, program: str) -> None:
    if saved.get("program") != program:
        raise UserError(
            f"{directory}: holds a run of {saved.get('program')}, not of {program}; name another "
            "directory"
        )


def remove_leftovers(directory: Path, name: str = "") -> None:
    """Drops what killed processes left under temporary names in a directory, of one file or of
    all, and then in its folders too; the caller holds the lock.

    Folders with a lock of their own are left alone. Only Beam's workers write deeper than that;
    their files are removed when the run is finished.
    """
    below = [] if name else [path for path in _folders(directory) if not (path / ".lock").exists()]
    for folder in (directory, *below):
        for path in sorted(folder.glob(f".{glob.escape(name)}*.tmp")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _folders(directory: Path) -> list[Path]:
    with os.scandir(directory) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _is_ours(name: str) -> bool:
    return name == ".lock" or (name.startswith(".") and name.endswith(".tmp"))


def finish_run(directory: str | Path, program: str, content: Json) -> None:
    """Writes `manifest.json`, the mark of a finished run, with the flags beside the content."""
    flags = read_json(Path(directory) / RUN_FILE)["flags"]
    write_json(Path(directory) / MANIFEST_FILE, manifest_content(program, content, flags))


def manifest_content(program: str, content: Json, flags: Json) -> Json:
    """What `manifest.json` holds."""
    header = {"format": 1, "program": program, "version": __version__}
    return {**header, **content, "flags": flags}


def read_manifest(directory: str | Path, program: str | tuple[str, ...]) -> Json:
    """The manifest of a finished run of `program` (or one of several).

    Raises `UserError` naming the file when it is missing, unreadable or another program's.
    """
    path = Path(directory) / MANIFEST_FILE
    programs = (program,) if isinstance(program, str) else program
    if not path.exists():
        if not path.parent.is_dir():
            what = "a file" if path.parent.exists() else "no such directory"
            raise UserError(
                f"{directory}: expected an output directory of {' or '.join(programs)}, "
                f"found {what}"
            )
        reason = "unfinished run" if (path.parent / RUN_FILE).exists() else "no such file"
        raise UserError(f"{path}: expected the manifest of {' or '.join(programs)}: {reason}")
    manifest = read_json(path)
    if manifest.get("program") not in programs:
        raise UserError(
            f"{path}: expected a manifest of {' or '.join(programs)}, "
            f"found {manifest.get('program')!r}"
        )
    return manifest


def read_json(path: str | Path) -> Json:
    """A JSON object from a file; `UserError` when it is missing or broken."""
    try:
        return json_object(Path(path).read_bytes(), path)
    except OSError as error:
        raise UserError(f"{path}: expected a JSON object: {error}") from error


def json_object(data: bytes, path: str | Path) -> Json:
    """The JSON object that a file holds; `UserError` when it is broken."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected a JSON object: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def csv_bytes(rows: Iterable[Iterable[object]]) -> bytes:
    """Rows, the heading first, as CSV in UTF-8; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON under a temporary name and renames it."""
    write_bytes(path, json_bytes(content))


def json_bytes(content: Any) -> bytes:
    """Content as the JSON that is written."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes a file so that its final name never holds a part of it."""
    with writing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def path_without_patterns(directory: str | Path) -> Iterator[Path]:
    """A path to `directory` that TensorFlow can read checkpoints and SavedModels at.

    It takes their paths for patterns, in which [ ] * ? \\ mean other names (tensorflow issues 6082,
    35489). Such a directory is reached by a link in a temporary one.
    """
    if not re.search(r"[][*?\\]", str(directory)):
        yield Path(directory)
        return
    with tempfile.TemporaryDirectory(prefix="cgan_tf_") as folder:
        link = Path(folder, "link")
        link.symlink_to(Path(directory).absolute(), target_is_directory=True)
        yield link


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
