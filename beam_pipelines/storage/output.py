"""The directory that a Beam program writes: a local one, or one in an object store.

Local directories are those of `cgan_tf.runs.directory`, with its lock. The same rules hold in a
store, except for the lock, which stores do not have. There the program that started last owns the
directory: it leaves its mark in `.lock`, and a program that no longer finds its own mark stops
before it marks the run as finished. Until then both write the same files with the same content.
"""

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from beam_pipelines.storage import files
from cgan_tf.runs import directory as runs_directory
from cgan_tf.runs.directory import MANIFEST_FILE, RUN_FILE, Json
from cgan_tf.runs.errors import UserError

_LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class Output:
    """An opened output directory.

    Attributes:
      directory: a path for `files`.
      program: that writes it.
      finished: whether there is nothing to do.
      mark: of this process; empty where the directory is locked.
    """

    directory: str
    program: str
    finished: bool = False
    mark: str = ""

    def path(self, name: str) -> str:
        """The path of a file in the directory."""
        return os.path.join(self.directory, name)

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return files.exists(self.path(name))

    def write(self, name: str, parts: Iterable[bytes]) -> None:
        """Writes a file whole or not at all."""
        files.write_atomically_from(self.path(name), parts)

    def write_json(self, name: str, content: Any) -> None:
        """Writes JSON whole or not at all; local files survive a loss of power."""
        if self.mark:
            self.write(name, (runs_directory.json_bytes(content),))
        else:
            runs_directory.write_json(self.path(name), content)

    def remove(self, name: str) -> None:
        """Removes a file; nothing happens when it does not exist."""
        files.remove_file(self.path(name))

    def finish(self, content: Json) -> None:
        """Writes `manifest.json`, the mark of a finished run, and removes what was left over."""
        self.check_mark()
        flags = _read_json(self.path(RUN_FILE))["flags"]
        files.remove_temporary(self.directory)
        manifest = runs_directory.manifest_content(self.program, content, flags)
        self.write_json(MANIFEST_FILE, manifest)

    def check_mark(self) -> None:
        """Raises `UserError` when another process has taken the directory over."""
        if self.mark and files.read_bytes(self.path(_LOCK)).decode() != self.mark:
            raise UserError(f"{self.directory}: another process has begun to work in it")


@contextlib.contextmanager
def open_run(
    directory: str, program: str, config: Any, beside: Collection[str] = ()
) -> Iterator[Output]:
    """Opens `directory` for a run of `program`, as `runs.directory.open_run` does."""
    with _told_errors():
        if not files.is_remote(directory):
            with runs_directory.open_run(directory, program, config, beside) as run:
                yield Output(str(run.directory), program, run.finished)
            return
        files.check_path(directory)
        if config.restart:
            raise UserError(f"--restart: expected a local directory, found {directory}")
        run_file = os.path.join(directory, RUN_FILE)
        started = files.exists(run_file)
        if started:
            runs_directory.check_run(directory, _read_json(run_file), program, config)
        if started and files.exists(os.path.join(directory, MANIFEST_FILE)):
            yield Output(directory, program, finished=True, mark="-")
            return
        output = _claimed(directory, program, beside, started)
        if not started:
            output.write_json(RUN_FILE, runs_directory.run_content(program, config))
        yield output


@contextlib.contextmanager
def open_directory(directory: str, program: str, beside: Collection[str] = ()) -> Iterator[Output]:
    """Opens `directory` for files of `program` outside a run, as `runs.directory` does."""
    with _told_errors():
        if not files.is_remote(directory):
            with runs_directory.open_directory(directory, program, beside) as opened:
                yield Output(str(opened), program)
            return
        files.check_path(directory)
        started = files.exists(os.path.join(directory, RUN_FILE))
        yield _claimed(directory, program, beside, started)


def _claimed(directory: str, program: str, beside: Collection[str], started: bool) -> Output:
    if not started:
        names = [*files.file_names(directory), *files.directories(directory)]
        runs_directory.refuse_strangers(directory, names, program, beside)
    output = Output(directory, program, mark=uuid.uuid4().hex)
    output.write(_LOCK, (output.mark.encode(),))
    return output


def _read_json(path: str) -> Json:
    return runs_directory.json_object(files.read_bytes(path), path)


@contextlib.contextmanager
def _told_errors() -> Iterator[None]:
    """Tells in one line what a disk or a store refuses."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or 'the files'}: {error.strerror or error}") from error
