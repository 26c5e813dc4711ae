"""An object store for tests: the scheme `fake://`, kept in a directory, with faults on demand.

It behaves as gs:// does: no directories, listing by prefix in all depth, an object that appears
when its writer is closed, and renaming as a copy and a removal. Worker processes find the directory
in the environment.
"""

import io
import os
import shutil
from pathlib import Path

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata, FileSystem

VARIABLE = "FAKE_STORE"
PREFIX = "fake://"

# (operation, part of the path) to the errors that the next calls raise.
FAULTS: dict[tuple[str, str], list[Exception]] = {}
CALLS: list[tuple[str, str]] = []


class StatusError(Exception):
    """As clients raise it: no OSError, with the status of HTTP."""

    def __init__(self, code: int):
        super().__init__(f"status {code}")
        self.code = code


def local(path: str) -> Path:
    """Where an object is kept."""
    return Path(os.environ[VARIABLE], path.removeprefix(PREFIX))


def objects() -> dict[str, bytes]:
    """All objects by their path."""
    root = Path(os.environ[VARIABLE])
    return {
        f"{PREFIX}{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def upload(directory: Path, path: str) -> None:
    """Copies a local directory into the store."""
    shutil.copytree(directory, local(path))


class FakeStore(FileSystem):
    @classmethod
    def scheme(cls):
        return "fake"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        _call("list", dir_or_prefix)
        for path, content in objects().items():
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(content))

    def create(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        _call("create", path)
        assert compression_type == CompressionTypes.UNCOMPRESSED
        return _Writer(path)

    def open(self, path, mime_type="", compression_type=CompressionTypes.AUTO):
        _call("open", path)
        assert compression_type == CompressionTypes.UNCOMPRESSED
        if not local(path).is_file():
            raise StatusError(404)
        return io.BytesIO(local(path).read_bytes())

    def copy(self, source_file_names, destination_file_names):
        raise NotImplementedError

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            _call("rename", destination)
            local(destination).write_bytes(local(source).read_bytes())
            local(source).unlink()

    def exists(self, path):
        _call("exists", path)
        return local(path).is_file()

    def size(self, path):
        if not local(path).is_file():
            raise BeamIOError("Size operation failed", {path: StatusError(404)})
        return local(path).stat().st_size

    def last_updated(self, path):
        raise NotImplementedError

    def metadata(self, path):
        return FileMetadata(path, self.size(path))

    def delete(self, paths):
        for path in paths:
            _call("delete", path)
            if path.endswith("/"):
                shutil.rmtree(local(path))
            else:
                local(path).unlink()


class _Writer(io.BytesIO):
    """What is closed is there, half or whole."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def write(self, data):
        _call("write", self.path)
        return super().write(data)

    def close(self):
        if not self.closed:
            local(self.path).parent.mkdir(parents=True, exist_ok=True)
            local(self.path).write_bytes(self.getvalue())
        super().close()


def _call(operation: str, path: str) -> None:
    CALLS.append((operation, path))
    for (kind, part), errors in FAULTS.items():
        if kind == operation and part in path and errors:
            raise errors.pop(0)
