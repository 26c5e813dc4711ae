"""The one exception that a user may cause."""

import contextlib
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
