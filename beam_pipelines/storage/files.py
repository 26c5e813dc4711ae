"""Every access of the pipelines to their input and output, by path.

A path is local, or names an object store as `gs://` does; it chooses the `Store`. Both stores try
again what may pass by itself, see `retries`.
"""

import collections
import concurrent.futures
import csv
import functools
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from beam_pipelines.storage.local import LocalFiles
from beam_pipelines.storage.store import Listing, Place, Store

# A mammogram is 10 to 30 MB raw; a tomosynthesis stack, which nobody reads here, over 1 GB.
_LARGEST_FILE = 512 << 20
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOCAL = LocalFiles()


def is_remote(path: str) -> bool:
    """Whether the path is in an object store; join such paths with `os.path.join`."""
    return _SCHEME.match(path) is not None


def store_of(path: str) -> Store:
    """The store that the path is in."""
    return _object_store() if is_remote(path) else _LOCAL


@functools.cache
def _object_store() -> Store:
    from beam_pipelines.storage.objects import ObjectStore  # and with it much of Beam

    return ObjectStore()


def check_path(path: str) -> None:
    """Raises `UserError` for a path in a store that Beam does not know, or cannot list in depth,
    and for characters that it takes for a pattern."""
    store_of(path).check_path(path)


def exists(path: str) -> bool:
    """Whether the path exists; in a store, whether it is an object."""
    return store_of(path).exists(path)


def is_directory(path: str) -> bool:
    """Whether the path is a directory; in a store, whether something is below it."""
    return store_of(path).is_directory(path)


def has_directories(path: str) -> bool:
    """Whether a directory has sub-directories."""
    return store_of(path).has_directories(path)


def directory_named(path: str, lower: str) -> str:
    """The sub-directory whose name is `lower` in either case; empty when there is none.

    In a store, where a look at a directory lists all that is below it, only names in one case are
    found.
    """
    return store_of(path).directory_named(path, lower)


def directories(path: str) -> list[str]:
    """Sorted names of the sub-directories of a directory; none when it does not exist."""
    return store_of(path).directories(path)


def file_names(path: str) -> list[str]:
    """Sorted names of the files in a directory; none when it does not exist."""
    return store_of(path).file_names(path)


def walk(path: str) -> Iterator[str]:
    """Every file under a directory, in sorted order; hidden names are left out.

    A directory that links lead to more than once is walked once: links may lead round in circles.
    """
    return store_of(path).walk(path)


def listing(root: str) -> Listing:
    """What is below a small directory; in a store it is listed now, once for all looks."""
    return store_of(root).listing(root)


def relative(path: str, root: str) -> str:
    """The path from `root` on, where it is under it."""
    return store_of(root).relative(path, root)


def size(path: str) -> int:
    """Bytes in a file."""
    return store_of(path).size(path)


def read_bytes(path: str, largest: int = _LARGEST_FILE) -> bytes:
    """The content of a file; `OSError` when it cannot be read or has more than `largest` bytes."""
    return store_of(path).read_bytes(path, largest)


def open_binary(path: str) -> BinaryIO:
    """A file opened for reading; `OSError` for anything but a regular file: a pipe could block."""
    return store_of(path).open_binary(path, _LARGEST_FILE)


def read_range(path: str, offset: int, length: int) -> bytes:
    """A part of a file."""
    return store_of(path).read_range(path, offset, length)


def read_ranges(places: Iterable[Place]) -> Iterator[bytes]:
    """`read_range` of each place, in their order, all in the store of the first; from an object
    store several are under way at once."""
    places = iter(places)
    first = next(places, None)
    if first is None:
        return
    store = store_of(first[0])
    places = itertools.chain((first,), places)
    if store.reads_at_once == 1:
        yield from itertools.starmap(store.read_range, places)
        return
    with concurrent.futures.ThreadPoolExecutor(store.reads_at_once) as pool:
        ahead: collections.deque[concurrent.futures.Future[bytes]] = collections.deque()
        for place in places:
            ahead.append(pool.submit(store.read_range, *place))
            if len(ahead) == store.reads_at_once:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def write_atomically(path: str, content: bytes) -> None:
    """Writes under a name that no other worker uses, then renames: whole or not at all."""
    write_atomically_from(path, (content,))


def write_atomically_from(path: str, parts: Iterable[bytes]) -> None:
    """`write_atomically` for a content that comes in parts."""
    store_of(path).write_atomically_from(path, parts)


def remove_file(path: str) -> None:
    """Removes a file; nothing happens when it does not exist."""
    store_of(path).remove_file(path)


def remove_directory(path: str) -> None:
    """Removes a directory and all in it; nothing happens when it does not exist."""
    store_of(path).remove_directory(path)


def remove_temporary(path: str) -> None:
    """Removes what killed workers left under temporary names in a directory, in all its depth."""
    store_of(path).remove_temporary(path)


_ROWS = 1000  # a part


def csv_parts(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[bytes]:
    """The heading and the rows as UTF-8, some rows at a time.

    Columns that a row does not have stay empty; what has no column is left out.
    """
    heading = dict(zip(columns, columns, strict=True))
    rest = itertools.chain([heading], rows)
    while part := list(itertools.islice(rest, _ROWS)):
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writerows(part)
        yield text.getvalue().encode(errors="backslashreplace")  # names of files need not be text
