"""Object stores (`gs://` and others that Beam knows) as a `Store`.

A store has no directories, only objects with slashes in their names: a directory is there while an
object is below it. An object appears whole when it is closed, but Python may close one whose
writing failed. So it is written under a temporary name and then copied in the store, which happens
at once. There is no lock; several workers write the same content under one name.
"""

import dataclasses
import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.storage.retries import persist
from beam_pipelines.storage.store import is_temporary, temporary_path
from cgan_tf.runs.errors import UserError

_PLAIN = CompressionTypes.UNCOMPRESSED  # Beam would unpack what is named .gz
_IN_MEMORY = 16 << 20  # bytes of a file that is being made; more goes to the local disk
_COPY_BYTES = 16 << 20
_HIDDEN = re.compile(r"(?:^|/)\.")


class ObjectStore:
    """Every store that Beam can list by prefix; its errors are tried again, see `retries`."""

    reads_at_once = 16

    def check_path(self, path: str) -> None:
        try:
            deep = not FileSystems.get_filesystem(path).has_dirs()
        except (ValueError, BeamIOError) as error:
            raise UserError(
                f"{path}: expected a local path or one of a store that Beam knows; "
                "gs:// wants the extra gcp, see docs/scaling.md"
            ) from error
        if not deep:
            raise UserError(f"{path}: expected an object store such as gs://, found a file system")
        if set(path) & set("*?["):  # Beam takes them for a pattern
            raise UserError(f"{path}: expected a path without * ? [ in a store")

    def exists(self, path: str) -> bool:
        return persist(lambda: FileSystems.exists(path), path, remote=True)

    def is_directory(self, path: str) -> bool:
        return persist(lambda: any(True for _ in _below(path)), path, remote=True)

    def has_directories(self, path: str) -> bool:
        return persist(lambda: any("/" in name for name in _below(path)), path, remote=True)

    def directory_named(self, path: str, lower: str) -> str:
        tried = [os.path.join(path, name) for name in (lower.upper(), lower)]
        return next((found for found in tried if self.is_directory(found)), "")

    def directories(self, path: str) -> list[str]:
        return persist(lambda: _names(_below(path), want_directories=True), path, remote=True)

    def file_names(self, path: str) -> list[str]:
        return persist(lambda: _names(_below(path), want_directories=False), path, remote=True)

    def walk(self, path: str) -> Iterator[str]:
        for name in _all_below(path):
            if not _HIDDEN.search(name):
                yield os.path.join(path, name)

    def listing(self, root: str) -> "ObjectListing":
        return ObjectListing(root, tuple(_all_below(root)))

    def relative(self, path: str, root: str) -> str:
        return path.removeprefix(_prefix(root))

    def size(self, path: str) -> int:
        system = FileSystems.get_filesystem(path)
        return persist(lambda: system.size(path), path, remote=True)

    def read_bytes(self, path: str, largest: int) -> bytes:
        content = self.read_range(path, 0, largest + 1)
        if len(content) > largest:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return content

    def open_binary(self, path: str, largest: int) -> BinaryIO:
        """The object in memory: stores are read in pieces as large as most images."""
        return io.BytesIO(self.read_bytes(path, largest))

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        def read() -> bytes:
            with FileSystems.open(path, compression_type=_PLAIN) as file:
                if offset:
                    file.seek(offset)
                return file.read(length)

        return persist(read, path, remote=True)

    def write_atomically_from(self, path: str, parts: Iterable[bytes]) -> None:
        """Writes an object from parts that are collected first: what fails while they are made
        leaves nothing in the store, and the transfer can be tried again."""
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as whole:
            for part in parts:
                whole.write(part)
            persist(lambda: _transfer(whole, path), path, remote=True)

    def remove_file(self, path: str) -> None:
        _remove([path] if self.exists(path) else [])

    def remove_directory(self, path: str) -> None:
        if self.is_directory(path):
            persist(lambda: FileSystems.delete([_prefix(path)]), path, remote=True)

    def remove_temporary(self, path: str) -> None:
        _remove([os.path.join(path, name) for name in _all_below(path) if is_temporary(name)])


@dataclasses.dataclass(frozen=True)
class ObjectListing:
    """A `Listing` of the objects that were there when it was made.

    Attributes:
      names: of the objects, from `root` on.
    """

    root: str
    names: tuple[str, ...]

    def directories(self, path: str) -> list[str]:
        return _names(self._below(path), want_directories=True)

    def file_names(self, path: str) -> list[str]:
        return _names(self._below(path), want_directories=False)

    def _below(self, path: str) -> Iterator[str]:
        start = "" if path == self.root else path.removeprefix(_prefix(self.root)) + "/"
        return (name[len(start) :] for name in self.names if name.startswith(start))


def _below(path: str) -> Iterator[str]:
    # The public `match` would hold an entry for each of millions of objects in memory.
    prefix = _prefix(path)
    for item in FileSystems.get_filesystem(path)._list(prefix):
        name = item.path[len(prefix) :]
        if name and not name.endswith("/"):  # such objects are made to show an empty directory
            yield name


def _all_below(path: str) -> list[str]:
    """The names of all objects below a directory, from it on, sorted."""
    return persist(lambda: sorted(_below(path)), path, remote=True)


def _names(below: Iterable[str], want_directories: bool) -> list[str]:
    parts = (name.partition("/") for name in below)
    return sorted({first for first, slash, _ in parts if bool(slash) == want_directories})


def _prefix(path: str) -> str:
    return path.rstrip("/") + "/"


def _remove(paths: list[str]) -> None:
    if paths:
        persist(lambda: FileSystems.delete(paths), paths[0], remote=True)


def _transfer(whole: IO[bytes], path: str) -> None:
    temporary = temporary_path(path)
    whole.seek(0)
    with FileSystems.create(temporary, compression_type=_PLAIN) as file:
        shutil.copyfileobj(whole, file, _COPY_BYTES)
    FileSystems.rename([temporary], [path])
