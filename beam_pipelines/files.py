"""Every access of the pipeline to the input and its own output goes through here.

Only local paths today; another file system needs a change in this file alone.
"""

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

# A mammogram is 10 to 30 MB raw; a tomosynthesis stack, which nobody reads here, over 1 GB.
_LARGEST_FILE = 512 << 20


def is_directory(path: str) -> bool:
    """Whether the path is a directory."""
    return os.path.isdir(path)


def exists(path: str) -> bool:
    """Whether the path exists."""
    return os.path.exists(path)


def directories(path: str) -> list[str]:
    """Names of the sub-directories of a directory, sorted; none when it does not exist."""
    return _names(path, want_directories=True)


def file_names(path: str) -> list[str]:
    """Names of the files in a directory, sorted; none when it does not exist."""
    return _names(path, want_directories=False)


def walk(path: str) -> Iterator[str]:
    """Every file under a directory, in sorted order; hidden names are left out."""
    for name in file_names(path):
        if not name.startswith("."):
            yield os.path.join(path, name)
    for name in directories(path):
        if not name.startswith("."):
            yield from walk(os.path.join(path, name))


def relative(path: str, root: str) -> str:
    """The path from `root` on, where it is under it."""
    inside = os.path.relpath(path, root)
    return path if inside.startswith("..") or not os.path.isabs(path) else inside


def read_bytes(path: str, largest: int = _LARGEST_FILE) -> bytes:
    """The content of a file; `OSError` when it cannot be read or has more than `largest` bytes."""
    with open_binary(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return file.read()


def open_binary(path: str) -> BinaryIO:
    """A file opened for reading; `OSError` for what is no file, a pipe say: it would block."""
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def size(path: str) -> int:
    """Bytes in a file."""
    return os.path.getsize(path)


def remove_directory(path: str) -> None:
    """Removes a directory and all in it; nothing happens when it does not exist."""
    shutil.rmtree(path, ignore_errors=True)


def read_range(path: str, offset: int, length: int) -> bytes:
    """A part of a file."""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def write_atomically(path: str, content: bytes) -> None:
    """Writes under a name that no other worker uses, then renames: whole or not at all."""
    write_atomically_from(path, (content,))


def write_atomically_from(path: str, parts: Iterable[bytes]) -> None:
    """`write_atomically` for a content that comes in parts."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = temporary_path(path)
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def temporary_path(path: str) -> str:
    """A hidden name beside `path` that no other process or attempt uses."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # without it, opening a pipe waits for a writer


def _names(path: str, want_directories: bool) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() == want_directories)
    except OSError:
        return []
