"""The file systems of this machine as a `Store`."""

import dataclasses
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from beam_pipelines.storage.retries import persist
from beam_pipelines.storage.store import is_temporary, temporary_path


class LocalFiles:
    """Files and directories of this machine, mounted ones too."""

    reads_at_once = 1

    def check_path(self, path: str) -> None:
        """Any local path will do."""

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_directory(self, path: str) -> bool:
        return os.path.isdir(path)

    def has_directories(self, path: str) -> bool:
        return bool(self.directories(path))

    def directory_named(self, path: str, lower: str) -> str:
        names = (name for name in self.directories(path) if name.lower() == lower)
        return next((os.path.join(path, name) for name in names), "")

    def directories(self, path: str) -> list[str]:
        return _names(path, want_directories=True)

    def file_names(self, path: str) -> list[str]:
        return _names(path, want_directories=False)

    def walk(self, path: str) -> Iterator[str]:
        return _walk(path, set())

    def listing(self, root: str) -> "LocalListing":
        return LocalListing(root)

    def relative(self, path: str, root: str) -> str:
        inside = os.path.relpath(path, root)
        return path if inside.startswith("..") or not os.path.isabs(path) else inside

    def size(self, path: str) -> int:
        return os.path.getsize(path)

    def read_bytes(self, path: str, largest: int) -> bytes:
        def read() -> bytes:
            with self.open_binary(path, largest) as file:
                if os.fstat(file.fileno()).st_size > largest:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
                return file.read()

        return persist(read, path)

    def open_binary(self, path: str, largest: int) -> BinaryIO:
        """The file opened, however large: it is read in pieces."""
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (the caller closes it)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "not a regular file", path)
        return file

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        def read() -> bytes:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(length)

        return persist(read, path)

    def write_atomically_from(self, path: str, parts: Iterable[bytes]) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = temporary_path(path)
        try:
            with open(temporary, "wb") as file:
                for part in parts:
                    file.write(part)
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)

    def remove_file(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def remove_directory(self, path: str) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def remove_temporary(self, path: str) -> None:
        for folder, _, names in os.walk(path):
            for name in filter(is_temporary, names):
                Path(folder, name).unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class LocalListing:
    """A `Listing` that looks anew each time: a look costs nothing here."""

    root: str

    def directories(self, path: str) -> list[str]:
        return _names(path, want_directories=True)

    def file_names(self, path: str) -> list[str]:
        return _names(path, want_directories=False)


def _walk(path: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(path)
    except OSError:
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in _names(path, want_directories=False):
        if not name.startswith("."):
            yield os.path.join(path, name)
    for name in _names(path, want_directories=True):
        if not name.startswith("."):
            yield from _walk(os.path.join(path, name), seen)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # without it, opening a pipe waits for a writer


def _names(path: str, want_directories: bool) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() == want_directories)
    except OSError:
        return []
