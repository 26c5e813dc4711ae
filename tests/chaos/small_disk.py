"""A program on a disk that is full or read-only, and again when it is not.

In a user and mount namespace of its own the program's output is a file system in memory of some
pages, read-only for 0. Where a user may not have one, a limit on the size of a file takes the place
of the full disk, and the read-only output is not tried.
"""

import ctypes
import dataclasses
import functools
import json
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any

from tests.chaos.chain import BY_NAME, Program
from tests.chaos.forks import Forks, OwnForks
from tests.chaos.processes import Ended, Running

PAGE = 4096
FULL, READ_ONLY = "No space left on device", "Read-only file system"
TOO_LARGE = "File too large"
_OUTCOME = "outcome.json"
_NEWUSER, _NEWNS = 0x10000000, 0x00020000  # CLONE_*, linux/sched.h
_RDONLY, _REMOUNT, _REC, _PRIVATE = 1, 32, 16384, 1 << 18  # MS_*, linux/mount.h


@functools.cache
def has_namespaces() -> bool:
    """Whether this machine lets a user mount a file system of her own."""
    child = os.fork()
    if not child:
        try:
            _enter_namespace()
            _mount("/mnt", 0, "size=4k")
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def pages_of(directory: Path) -> int:
    """Pages that a file system in memory needs for the files of a directory."""
    sizes = [path.stat().st_size for path in directory.rglob("*") if path.is_file()]
    return sum(-(-size // PAGE) for size in sizes)


def run_on_small_disk(
    program: Program, directory: Path, pages: int, forks: Forks
) -> tuple[Ended, Ended]:
    """How the program ended on the small disk and on the large one after it.

    `directory` gets `at_fault`, what the program left when it ended, and `final`, what it left when
    it was run again with all the space it wants.
    """
    process_id = forks.start(
        {
            "module": __name__,
            "function": "inside",
            "arguments": [program.name, str(directory), pages, has_namespaces()],
            "directory": str(directory),
            "environment": {},
            "err": str(directory / "inside.err"),
        }
    )
    while (code := forks.poll(process_id)) is None:
        time.sleep(0.02)
    if code:
        raise RuntimeError((directory / "inside.err").read_text())
    outcome = json.loads((directory / _OUTCOME).read_text())
    first, second = (Ended(**{**ended, "left": tuple(ended["left"])}) for ended in outcome)
    return first, second


def inside(name: str, trial: str, pages: int, namespaces: bool) -> None:
    """In a fork of its own: enters the namespace, runs the program twice."""
    program, directory = BY_NAME[name], Path(trial)
    output = directory / program.output
    output.mkdir(parents=True, exist_ok=True)
    if namespaces:
        _enter_namespace()
        _mount(str(output), 0 if pages else _RDONLY, f"size={max(1, pages) * PAGE}")
    else:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (pages * PAGE, hard))
    first = _run(program, directory, directory / "at_fault")
    if namespaces:
        _mount(str(output), _REMOUNT, "size=1g")
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    second = _run(program, directory, directory / "final")
    outcome = [dataclasses.asdict(ended) for ended in (first, second)]
    (directory / _OUTCOME).write_text(json.dumps(outcome))


def _run(program: Program, directory: Path, copy: Path) -> Ended:
    ended = Running(program, directory, OwnForks()).finish()
    shutil.copytree(directory / program.output, copy)
    return ended


def _enter_namespace() -> None:
    """Mounts of this process from here on are its own; its user is root in it."""
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEWUSER | _NEWNS)
    for file, content in (
        ("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1"),
    ):  # fmt: skip
        Path("/proc/self", file).write_text(content)
    _call("mount", b"none", b"/", None, _REC | _PRIVATE, None)


def _mount(place: str, flags: int, options: str) -> None:
    _call("mount", b"none", place.encode(), b"tmpfs", flags, options.encode())


def _call(function: str, *arguments: Any) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), function)
