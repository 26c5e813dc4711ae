"""`UserError`, the one exception that a user may cause, and the file access that raises it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any


class UserError(Exception):
    """What the user can mend, in one line: the file, what was expected, what was found."""


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """A block that reads a file: what the disk refuses is a `UserError` that names the file."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A block that writes a file whole or not at all, under the temporary name that it is given.

    What the disk refuses is a `UserError` that names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # a disk that takes no file refuses this, too
            temporary.unlink(missing_ok=True)


def check_output(path: str | Path, suffix: str) -> None:
    """Raises `UserError` for an output file that could not be written after all the work: another
    suffix, a directory, a place where no file can be. Missing directories are made when it is."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"--output={path}: expected a {suffix} file, found a directory")
    if path.suffix != suffix:
        raise UserError(f"--output={path}: expected a name that ends with {suffix}")
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir():
        raise UserError(f"--output={path}: expected a directory {place}, found a file")
    if not os.access(place, os.W_OK):
        read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise UserError(f"--output={path}: the directory {place} cannot be written: {reason}")


def contained(directory: str | Path, name: Any) -> Path:
    """The file of a directory that a manifest names, relative to it.

    Raises `UserError` for what is no name of a file in it: an absolute path, one with "..", one
    with control characters.
    """
    if not isinstance(name, str) or not name.isprintable() or not _stays_inside(name):
        raise UserError(f"{directory}: expected the name of a file in it, found {name!r:.80}")
    return Path(directory) / name


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts
