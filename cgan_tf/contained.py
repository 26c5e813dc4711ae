"""Names of files that come from a manifest: none leads out of its directory."""

from pathlib import Path, PurePosixPath
from typing import Any

from cgan_tf.errors import UserError


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
