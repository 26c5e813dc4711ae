"""Every access of the pipeline to the input and its own output goes through here.

A path is local, or names an object store as `gs://` does, see `storage.objects`. What may pass by
itself is tried again in both, see `retries`.
"""

import collections
import concurrent.futures
import dataclasses
import errno
import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from beam_pipelines.storage.retries import persist
from beam_pipelines.storage.store import Place, temporary_path

# A mammogram is 10 to 30 MB raw; a tomosynthesis stack, which nobody reads here, over 1 GB.
_LARGEST_FILE = 512 << 20
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_READ_AHEAD = 16  # parts of files that are under way from a store


def is_remote(path: str) -> bool:
    """Whether the path is of an object store; join such paths with `os.path.join`."""
    return _SCHEME.match(path) is not None


def check_path(path: str) -> None:
    """Raises `UserError` for a store that cannot be used; see `objects.check`."""
    if is_remote(path):
        _remote().check(path)


def is_directory(path: str) -> bool:
    """Whether the path is a directory; in a store, whether something is below it."""
    return _remote().is_directory(path) if is_remote(path) else os.path.isdir(path)


def exists(path: str) -> bool:
    """Whether the path exists; in a store, whether it is an object."""
    return _remote().exists(path) if is_remote(path) else os.path.exists(path)


def has_directories(path: str) -> bool:
    """Whether a directory has sub-directories."""
    return _remote().has_directories(path) if is_remote(path) else bool(directories(path))


def directory_named(path: str, lower: str) -> str:
    """The sub-directory whose name is `lower` in either case; empty when there is none.

    In a store, where a look at a directory lists all that is below it, only names in one case are
    found.
    """
    if is_remote(path):
        tried = [os.path.join(path, name) for name in (lower.upper(), lower)]
        return next((found for found in tried if is_directory(found)), "")
    names = (name for name in directories(path) if name.lower() == lower)
    return next((os.path.join(path, name) for name in names), "")


def directories(path: str) -> list[str]:
    """Names of the sub-directories of a directory, sorted; none when it does not exist."""
    return _names(path, want_directories=True)


def file_names(path: str) -> list[str]:
    """Names of the files in a directory, sorted; none when it does not exist."""
    return _names(path, want_directories=False)


def walk(path: str) -> Iterator[str]:
    """Every file under a directory, in sorted order; hidden names are left out.

    A directory that links lead to more than once is walked once: links may lead round in circles.
    """
    if is_remote(path):
        found = (name for name in _remote().below(path) if not re.search(r"(?:^|/)\.", name))
        yield from (os.path.join(path, name) for name in found)
        return
    yield from _walk(path, set())


@dataclasses.dataclass(frozen=True)
class Listing:
    """A small directory with all that is below it; in a store it is listed once for all looks.

    Attributes:
      names: of the objects, from `root` on; not used where it is local.
    """

    root: str
    names: tuple[str, ...] = ()

    def directories(self, path: str) -> list[str]:
        """`directories` of a path that is `root` or below it."""
        return self._names(path, True) if is_remote(path) else directories(path)

    def file_names(self, path: str) -> list[str]:
        """`file_names` of a path that is `root` or below it."""
        return self._names(path, False) if is_remote(path) else file_names(path)

    def _names(self, path: str, want_directories: bool) -> list[str]:
        start = "" if path == self.root else relative(path, self.root) + "/"
        inside = (name[len(start) :] for name in self.names if name.startswith(start))
        parts = (name.partition("/") for name in inside)
        return sorted({first for first, slash, _ in parts if bool(slash) == want_directories})


def listing(root: str) -> Listing:
    """What is below a directory now."""
    return Listing(root, tuple(_remote().below(root)) if is_remote(root) else ())


def relative(path: str, root: str) -> str:
    """The path from `root` on, where it is under it."""
    if is_remote(root):
        return path.removeprefix(root.rstrip("/") + "/")
    inside = os.path.relpath(path, root)
    return path if inside.startswith("..") or not os.path.isabs(path) else inside


def read_bytes(path: str, largest: int = _LARGEST_FILE) -> bytes:
    """The content of a file; `OSError` when it cannot be read or has more than `largest` bytes."""
    if is_remote(path):
        return _remote().read_bytes(path, largest)
    return persist(lambda: _read_local(path, largest), path)


def open_binary(path: str) -> BinaryIO:
    """A file opened for reading; `OSError` for what is no file, a pipe say: it would block."""
    if is_remote(path):
        return _remote().opened(path, _LARGEST_FILE)
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (the caller closes it)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", path)
    return file


def size(path: str) -> int:
    """Bytes in a file."""
    return _remote().size(path) if is_remote(path) else os.path.getsize(path)


def remove_directory(path: str) -> None:
    """Removes a directory and all in it; nothing happens when it does not exist."""
    if is_remote(path):
        _remote().remove_directory(path)
        return
    shutil.rmtree(path, ignore_errors=True)


def read_range(path: str, offset: int, length: int) -> bytes:
    """A part of a file."""
    if is_remote(path):
        return _remote().read_range(path, offset, length)
    return persist(lambda: _read_local_range(path, offset, length), path)


def read_ranges(places: Iterable[Place]) -> Iterator[bytes]:
    """`read_range` of each place, in their order; from a store, several are under way at once."""
    places = iter(places)
    first = next(places, None)
    if first is None:
        return
    places = itertools.chain((first,), places)
    if not is_remote(first[0]):
        yield from (read_range(*place) for place in places)
        return
    with concurrent.futures.ThreadPoolExecutor(_READ_AHEAD) as pool:
        ahead: collections.deque[concurrent.futures.Future[bytes]] = collections.deque()
        for place in places:
            ahead.append(pool.submit(read_range, *place))
            if len(ahead) == _READ_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def write_atomically(path: str, content: bytes) -> None:
    """Writes under a name that no other worker uses, then renames: whole or not at all."""
    write_atomically_from(path, (content,))


def write_atomically_from(path: str, parts: Iterable[bytes]) -> None:
    """`write_atomically` for a content that comes in parts."""
    if is_remote(path):
        _remote().write(path, parts)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = temporary_path(path)
    try:
        with open(temporary, "wb") as file:
            for part in parts:
                file.write(part)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def remove_file(path: str) -> None:
    """Removes a file; nothing happens when it does not exist."""
    if is_remote(path):
        _remote().remove_files([path] if exists(path) else [])
    else:
        Path(path).unlink(missing_ok=True)


def remove_temporary(path: str) -> None:
    """Removes what killed workers left under temporary names in a directory, in all its depth."""
    if is_remote(path):
        left = [os.path.join(path, name) for name in _remote().below(path) if _is_temporary(name)]
        _remote().remove_files(left)
        return
    for folder, _, names in os.walk(path):
        for name in filter(_is_temporary, names):
            Path(folder, name).unlink(missing_ok=True)


def _is_temporary(name: str) -> bool:
    name = os.path.basename(name)
    return name.startswith(".") and name.endswith(".tmp")


def _read_local(path: str, largest: int) -> bytes:
    with open_binary(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return file.read()


def _read_local_range(path: str, offset: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def _remote() -> ModuleType:
    from beam_pipelines.storage import objects

    return objects


def _walk(path: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        status = os.stat(path)
    except OSError:
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for name in file_names(path):
        if not name.startswith("."):
            yield os.path.join(path, name)
    for name in directories(path):
        if not name.startswith("."):
            yield from _walk(os.path.join(path, name), seen)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # without it, opening a pipe waits for a writer


def _names(path: str, want_directories: bool) -> list[str]:
    if is_remote(path):
        return _remote().names(path, want_directories)
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() == want_directories)
    except OSError:
        return []
