"""Object stores (`gs://` and others that Beam knows) behind the functions of `files`.

A store has no directories, only objects with slashes in their names: a directory is there while an
object is below it. An object appears whole when it is closed, but Python may close one whose
writing failed. So it is written under a temporary name and then copied in the store, which happens
at once. There is no lock; what several workers write under one name is the same.
"""

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.storage.retries import persist
from beam_pipelines.storage.store import temporary_path
from cgan_tf.runs.errors import UserError

_PLAIN = CompressionTypes.UNCOMPRESSED  # Beam would unpack what is named .gz
_IN_MEMORY = 16 << 20  # bytes of a file that is being made; more goes to the local disk
_COPY_BYTES = 16 << 20


def check(path: str) -> None:
    """Raises `UserError` for a path in a store that Beam does not know, or cannot list in depth,
    and for characters that it takes for a pattern."""
    try:
        deep = not FileSystems.get_filesystem(path).has_dirs()
    except (ValueError, BeamIOError) as error:
        raise UserError(
            f"{path}: expected a local path or one of a store that Beam knows; "
            "gs:// wants the extra gcp, see docs/scaling.md"
        ) from error
    if not deep:
        raise UserError(f"{path}: expected an object store such as gs://, found a file system")
    if set(path) & set("*?["):
        raise UserError(f"{path}: expected a path without * ? [ in a store")


def below(path: str) -> list[str]:
    """The names of all objects below a directory, from it on, sorted."""
    return persist(lambda: sorted(_below(path)), path, remote=True)


def is_directory(path: str) -> bool:
    """Whether an object is below the path."""
    return persist(lambda: any(True for _ in _below(path)), path, remote=True)


def has_directories(path: str) -> bool:
    """Whether an object is two levels below the path."""
    return persist(lambda: any("/" in name for name in _below(path)), path, remote=True)


def names(path: str, want_directories: bool) -> list[str]:
    """Names of the sub-directories or of the files of a directory, sorted; every object below it
    is listed for it."""

    def found() -> list[str]:
        parts = (name.partition("/") for name in _below(path))
        return sorted({first for first, slash, _ in parts if bool(slash) == want_directories})

    return persist(found, path, remote=True)


def exists(path: str) -> bool:
    """Whether there is an object of this name."""
    return persist(lambda: FileSystems.exists(path), path, remote=True)


def size(path: str) -> int:
    """Bytes of an object."""
    system = FileSystems.get_filesystem(path)
    return persist(lambda: system.size(path), path, remote=True)


def read_bytes(path: str, largest: int) -> bytes:
    """The whole of an object; `OSError` when there is none or it has more than `largest` bytes."""
    content = read_range(path, 0, largest + 1)
    if len(content) > largest:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return content


def opened(path: str, largest: int) -> io.BytesIO:
    """An object as a file in memory: stores are read in pieces as large as most images."""
    return io.BytesIO(read_bytes(path, largest))


def read_range(path: str, offset: int, length: int) -> bytes:
    """A part of an object."""

    def read() -> bytes:
        with FileSystems.open(path, compression_type=_PLAIN) as file:
            if offset:
                file.seek(offset)
            return file.read(length)

    return persist(read, path, remote=True)


def write(path: str, parts: Iterable[bytes]) -> None:
    """Writes an object, whole or not at all.

    The parts are collected first: what fails while they are made leaves nothing in the store, and
    the transfer can be tried again.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as whole:
        for part in parts:
            whole.write(part)
        persist(lambda: _transfer(whole, path), path, remote=True)


def remove_directory(path: str) -> None:
    """Removes all objects below a path; nothing happens when there is none."""
    if is_directory(path):
        persist(lambda: FileSystems.delete([_prefix(path)]), path, remote=True)


def remove_files(paths: list[str]) -> None:
    """Removes objects."""
    if paths:
        persist(lambda: FileSystems.delete(paths), paths[0], remote=True)


def _below(path: str) -> Iterator[str]:
    # The public `match` would hold an entry for each of millions of objects in memory.
    prefix = _prefix(path)
    for item in FileSystems.get_filesystem(path)._list(prefix):
        name = item.path[len(prefix) :]
        if name and not name.endswith("/"):  # such objects are made to show an empty directory
            yield name


def _prefix(path: str) -> str:
    return path.rstrip("/") + "/"


def _transfer(whole: Any, path: str) -> None:
    temporary = temporary_path(path)
    whole.seek(0)
    with FileSystems.create(temporary, compression_type=_PLAIN) as file:
        shutil.copyfileobj(whole, file, _COPY_BYTES)
    FileSystems.rename([temporary], [path])
