"""The one exception that a user may cause."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


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
