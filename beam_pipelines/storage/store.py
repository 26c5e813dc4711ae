"""A place for files."""

import os
import uuid

Place = tuple[str, int, int]  # path, offset, length


def temporary_path(path: str) -> str:
    """A hidden name beside `path` that no other process or attempt uses."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
