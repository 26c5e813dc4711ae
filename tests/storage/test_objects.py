"""Object stores behind `files`: the same answers as for local directories, never a half object."""

import errno
import os
import random
from pathlib import Path

import pytest

from beam_pipelines.storage import files, retries
from cgan_tf.runs.errors import UserError
from tests.toys import fake_store
from tests.toys.fake_store import StatusError

NAMES = (
    "DATA/c1/IMAGEDB_c1.json",
    "DATA/c1/s1/a.dcm.json",
    "DATA/c1/s1/deep/b.txt",
    "DATA/c10/x.json",
    "DATA/c2/.hidden/y",
    "DATA/c2/.z",
    "top.txt",
)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty store, without pauses between tries."""
    root = tmp_path / "store"
    root.mkdir()
    monkeypatch.setenv(fake_store.VARIABLE, str(root))
    monkeypatch.setattr(fake_store, "FAULTS", {})
    monkeypatch.setattr(fake_store, "CALLS", [])
    monkeypatch.setattr(retries.time, "sleep", lambda seconds: None)
    retries.take_count()
    return "fake://bucket"


@pytest.fixture
def trees(tmp_path, store):
    """The same files in a directory and in the store."""
    for name in NAMES:
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    fake_store.upload(tmp_path / "local", f"{store}/tree")
    return str(tmp_path / "local"), f"{store}/tree"


PLACES = ("", "DATA", "DATA/c1", "DATA/c1/s1", "DATA/c1/s1/deep", "DATA/c2", "DATA/c3", "top.txt")


@pytest.mark.parametrize("place", PLACES)
def test_a_store_looks_like_a_directory(trees, place):
    answers = []
    for root in trees:
        path = os.path.join(root, place) if place else root
        answers.append(
            {
                "directories": files.directories(path),
                "files": files.file_names(path),
                "walk": sorted(files.relative(found, root) for found in files.walk(path)),
                "is_directory": files.is_directory(path),
                "has_directories": files.has_directories(path),
                "listed": files.listing(root).directories(path),
                "listed_files": files.listing(path).file_names(path),
                "data": files.directory_named(path, "data").removeprefix(root),
            }
        )
    assert answers[0] == answers[1]


def test_a_store_holds_what_a_directory_holds(trees):
    for root in trees:
        path = os.path.join(root, NAMES[0])
        assert files.read_bytes(path) == NAMES[0].encode()
        assert files.read_range(path, 5, 2) == b"c1"
        assert files.size(path) == len(NAMES[0])
        with files.open_binary(path) as file:
            assert file.read(4) == b"DATA"
        assert files.exists(path)
        with pytest.raises(FileNotFoundError) as fault:
            files.read_bytes(os.path.join(root, "none"))
        assert fault.value.filename == os.path.join(root, "none")
        with pytest.raises(OSError, match="File too large"):
            files.read_bytes(path, largest=3)
        places = [(os.path.join(root, name), 0, len(name)) for name in NAMES] * 9
        random.Random(0).shuffle(places)
        found = list(files.read_ranges(places))
        assert found == [files.relative(place[0], root).encode() for place in places]
        assert list(files.read_ranges([])) == []


def test_a_removed_directory_leaves_its_neighbours(trees):
    for root in trees:
        files.remove_directory(os.path.join(root, "DATA", "c1"))
        files.remove_directory(os.path.join(root, "none"))
        assert files.directories(os.path.join(root, "DATA")) == ["c10", "c2"]
        files.remove_file(os.path.join(root, "top.txt"))
        files.remove_file(os.path.join(root, "top.txt"))
        assert files.file_names(root) == []


def test_what_killed_workers_left_is_removed(trees):
    for root in trees:
        files.write_atomically(os.path.join(root, "train", ".x.tmp"), b"half")
        files.write_atomically(os.path.join(root, "train", "x.tmp"), b"whole")
        files.remove_temporary(root)
        assert files.file_names(os.path.join(root, "train")) == ["x.tmp"]


def test_an_object_is_whole_or_not_there(store):
    path = f"{store}/a.gz"
    files.write_atomically_from(path, (b"one ", b"two"))
    assert fake_store.objects() == {path: b"one two"}

    def parts():
        yield b"half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.write_atomically_from(path, parts())
    assert fake_store.objects() == {path: b"one two"}


@pytest.mark.parametrize("operation", ["create", "write", "rename"])
def test_a_transfer_that_fails_is_tried_again(store, operation):
    path = f"{store}/a"
    fake_store.FAULTS[operation, ""] = [StatusError(503), ConnectionResetError()]
    files.write_atomically(path, b"whole")
    assert fake_store.objects()[path] == b"whole"
    assert retries.take_count() == 2
    files.remove_temporary(store)
    assert list(fake_store.objects()) == [path]


@pytest.mark.parametrize("operation", ["write", "rename"])
def test_a_transfer_that_never_works_leaves_the_old_object(store, operation):
    path = f"{store}/a"
    files.write_atomically(path, b"old")
    fake_store.FAULTS[operation, ""] = [StatusError(503)] * 9
    with pytest.raises(UserError, match=r"fake://bucket/a: failed 5 times.*status 503"):
        files.write_atomically(path, b"new")
    assert fake_store.objects()[path] == b"old"


def test_reading_is_tried_again_as_often_as_it_may_help(store):
    path = f"{store}/a"
    files.write_atomically(path, b"content")
    fake_store.FAULTS["open", "a"] = [StatusError(429), TimeoutError(), Exception("odd"), OSError()]
    assert files.read_bytes(path) == b"content"
    assert retries.take_count() == 4
    fake_store.FAULTS["open", "a"] = [StatusError(500)] * 5
    with pytest.raises(UserError, match="failed 5 times"):
        files.read_bytes(path)
    fake_store.CALLS.clear()
    fake_store.FAULTS["open", "a"] = [StatusError(403)]
    with pytest.raises(PermissionError):
        files.read_bytes(path)
    assert len(fake_store.CALLS) == 1
    assert retries.take_count() == 4


def test_a_mounted_file_system_is_tried_again_too(tmp_path, store, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"content")
    errors = [OSError(errno.ESTALE, "Stale file handle"), OSError(errno.ETIMEDOUT, "Timed out")]
    real = os.open

    def flaky(*arguments, **more):
        if arguments[0] == str(path) and errors:
            raise errors.pop()
        return real(*arguments, **more)

    monkeypatch.setattr(os, "open", flaky)
    assert files.read_bytes(str(path)) == b"content"
    assert retries.take_count() == 2
    errors.append(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error"):
        files.read_bytes(str(path))
    assert retries.take_count() == 0


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("gone://bucket/x", "gone://bucket/x: expected a local path or one of a store"),
        ("fake://bucket/x*", r"without \* \? \["),
        ("hdfs://host/x", "hdfs://host/x: expected a local path or one of a store"),
    ],
)
def test_paths_that_no_store_takes_are_refused(store, path, complaint):
    with pytest.raises(UserError, match=complaint):
        files.check_path(path)
    files.check_path(f"{store}/x")
    files.check_path("/some/local[1]")


def test_schemes_are_told_from_names():
    assert files.is_remote("gs://bucket/a")
    assert not files.is_remote("/data/gs://a")
    assert not files.is_remote("data")
    assert not files.is_remote("")


def test_paths_in_a_store_are_relative_to_its_roots():
    assert files.relative("gs://b/in/a/c.dcm", "gs://b/in") == "a/c.dcm"
    assert files.relative("gs://b/in/a/c.dcm", "gs://b/in/") == "a/c.dcm"
    assert files.relative("gs://b/inner/c.dcm", "gs://b/in") == "gs://b/inner/c.dcm"
    assert files.relative(str(Path("/x/y")), "/x") == "y"
