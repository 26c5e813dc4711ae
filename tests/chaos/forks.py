"""Programs made by forking a process that has imported what they import.

Importing TensorFlow takes longer than all that a tiny run does; a program that is killed fifty
times would spend its life importing. `Forks` is that process, seen from outside; it forks before
anything has started a thread, so what comes out is an ordinary process of its own.

python -m tests.chaos.forks      reads requests and writes answers, a line of JSON each
"""

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    *("tensorflow", "keras", "h5py", "cv2", "scipy.stats", "scipy.ndimage", "sklearn.manifold"),
    *("sklearn.metrics", "sklearn.neighbors", "matplotlib.backends.backend_agg"),
    *(
        "matplotlib.backends.backend_pdf",
        "cgan_tf.gan.model",
        "cgan_tf.gan.log",
        "cgan_tf.gan.export",
    ),
    *(
        "cgan_tf.models.resnet",
        "cgan_tf.reporting.page",
        "cgan_tf.assessment.run",
        "cgan_tf.classifier.evaluation",
    ),
)
_ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    # Bits depend on the number of threads; evaluate has no flag for it.
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    "TF_CPP_MIN_LOG_LEVEL": "3",  # a fork says what its program would keep to itself
}


def environment() -> dict[str, str]:
    """One thread for everything, and this project's packages whatever the directory."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, **_ALONE, "PYTHONPATH": path}


class Forks:
    """The process that forks; any thread may ask it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            cwd=ROOT,
        )

    def start(self, request: dict[str, Any]) -> int:
        """The process id of a fork that does as `_run` says."""
        return self._ask(request)

    def poll(self, process_id: int) -> int | None:
        """The exit code of a fork that has ended, negative for a signal; None while it runs."""
        return self._ask({"poll": process_id})

    def wait(self, process_id: int) -> int:
        """The exit code of a fork, when it has ended; no other answer comes before."""
        return self._ask({"wait": process_id})

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> Any:
        with self._lock:
            assert self._process.stdin
            assert self._process.stdout
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())


class OwnForks:
    """Forks of this process, which has one thread: for what is itself a fork."""

    def __init__(self) -> None:
        self._ended: dict[int, int] = {}

    def start(self, request: dict[str, Any]) -> int:
        """As `Forks.start`."""
        return _fork(request)

    def poll(self, process_id: int) -> int | None:
        """As `Forks.poll`."""
        return _poll(process_id, self._ended)


def _fork(request: dict[str, Any]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    try:
        _run(request)
    except SystemExit as end:
        _leave(end)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        _leave(SystemExit(1))
    _leave(SystemExit(0))
    raise AssertionError


def _run(request: dict[str, Any]) -> None:
    """Runs a module as a program, or calls one of its functions, in a directory of its own."""
    for name, number in (("in", 0), ("out", 1), ("err", 2)):
        flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = os.open(request.get(name, os.devnull), flags, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["directory"])
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *request["arguments"]]
    if "function" in request:
        module = importlib.import_module(request["module"])
        getattr(module, request["function"])(*request["arguments"])
    else:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def _leave(end: SystemExit) -> None:
    """Ends the fork as an interpreter ends: threads, exit handlers, buffers."""
    code = end.code if isinstance(end.code, int) else int(end.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]
    import atexit

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _poll(process_id: int, ended: dict[int, int], options: int = os.WNOHANG) -> int | None:
    if process_id not in ended:
        found, status = os.waitpid(process_id, options)
        if not found:
            return None
        ended[process_id] = os.waitstatus_to_exitcode(status)
    return ended[process_id]


def main() -> None:
    """Answers until standard input ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    ended: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_answer(request, ended)), flush=True)


def _answer(request: dict[str, Any], ended: dict[int, int]) -> int | None:
    if "poll" in request:
        return _poll(request["poll"], ended)
    if "wait" in request:
        return _poll(request["wait"], ended, options=0)
    return _fork(request)


if __name__ == "__main__":
    main()
