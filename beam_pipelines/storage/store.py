"""What the pipelines ask of a store of files: `files` picks the store by the path."""

import os
import uuid
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

Place = tuple[str, int, int]  # path, offset, length


class Listing(Protocol):
    """What is below a small directory, listed at most once for all looks.

    Attributes:
      root: the directory.
    """

    @property
    def root(self) -> str: ...

    def directories(self, path: str) -> list[str]:
        """Sorted names of the sub-directories of `root`, or of a directory below it."""

    def file_names(self, path: str) -> list[str]:
        """Sorted names of the files in `root`, or in a directory below it."""


class Store(Protocol):
    """Where files are kept: a file system or an object store.

    The functions of `files` with the same names say what each method returns and raises.

    Attributes:
      reads_at_once: how many ranges are worth reading at the same time.
    """

    reads_at_once: int

    def check_path(self, path: str) -> None: ...

    def exists(self, path: str) -> bool: ...

    def is_directory(self, path: str) -> bool: ...

    def has_directories(self, path: str) -> bool: ...

    def directory_named(self, path: str, lower: str) -> str: ...

    def directories(self, path: str) -> list[str]: ...

    def file_names(self, path: str) -> list[str]: ...

    def walk(self, path: str) -> Iterator[str]: ...

    def listing(self, root: str) -> Listing: ...

    def relative(self, path: str, root: str) -> str: ...

    def size(self, path: str) -> int: ...

    def read_bytes(self, path: str, largest: int) -> bytes: ...

    def open_binary(self, path: str, largest: int) -> BinaryIO: ...

    def read_range(self, path: str, offset: int, length: int) -> bytes: ...

    def write_atomically_from(self, path: str, parts: Iterable[bytes]) -> None: ...

    def remove_file(self, path: str) -> None: ...

    def remove_directory(self, path: str) -> None: ...

    def remove_temporary(self, path: str) -> None: ...


def temporary_path(path: str) -> str:
    """A hidden name beside `path` that no other process or attempt uses."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")


def is_temporary(path: str) -> bool:
    """Whether `temporary_path` may have made the name."""
    name = os.path.basename(path)
    return name.startswith(".") and name.endswith(".tmp")
