"""Tries again what may pass by itself: a busy store, a lost connection.

Tries are bounded and counted. A lasting fault, such as a missing file, is an `OSError` at once. A
passing fault that does not pass is a `UserError`: it must stop the run, which can be resumed later,
and not become a rejection that another run would not have.
"""

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cgan_tf.runs.errors import UserError

ATTEMPTS = 5
_FIRST_PAUSE = (
    0.5  # seconds; each pause is twice the one before it, and up to half longer by chance
)

# The network's, of a mounted file system; a bad disk (EIO) does not get better.
_PASSING = frozenset(
    {
        errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN,
        errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH, errno.ENOBUFS,
        errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip
_ERRNO_OF_STATUS = {
    401: errno.EACCES,
    403: errno.EACCES,
    404: errno.ENOENT,
    410: errno.ENOENT,
    413: errno.EFBIG,
    507: errno.ENOSPC,
}
_PASSING_STATUS = frozenset({408, 425, 429})  # beside the server's own errors

Result = TypeVar("Result")


def persist(action: Callable[[], Result], path: str, remote: bool = False) -> Result:
    """Calls `action` until it succeeds, `ATTEMPTS` times at most.

    Args:
      remote: whether the errors are those of an object store, of any class. Unknown errors
        count as passing.

    Raises `OSError` with an errno and `path` for what is wrong for good, `UserError` for what has
    not passed. Local errors that are no network's come as they are.
    """
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except UserError:
            raise
        except Exception as error:
            _raise_what_lasts(error, path, remote)
            if attempt == ATTEMPTS - 1:
                raise UserError(
                    f"{path}: failed {ATTEMPTS} times, and may work later: {_one_line(error)}"
                ) from error
        _COUNT.add()
        time.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(1.0, 1.5))
    raise AssertionError


def take_count() -> int:
    """How often something was tried again in this process since the last call."""
    return _COUNT.take()


class _Count:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._value = 0

    def add(self) -> None:
        with self._lock:
            self._value += 1

    def take(self) -> int:
        with self._lock:
            value, self._value = self._value, 0
        return value


_COUNT = _Count()


def _raise_what_lasts(error: Exception, path: str, remote: bool) -> None:
    if not remote and not isinstance(error, OSError):
        raise error
    lasting = _lasting_errno(error, remote)
    if lasting is None:
        return
    if not remote:
        raise error
    raise OSError(lasting, os.strerror(lasting), path) from error


def _lasting_errno(error: Exception, remote: bool) -> int | None:
    """The errno of an error that will not pass; None for one that may."""
    found = [_errno_of(fault, remote) for fault in _faults(error)]
    known = [number for number in found if number]
    if not known:
        return None if remote else errno.EIO
    return None if any(number in _PASSING for number in known) else known[0]


def _faults(error: Any) -> Iterator[Any]:
    """The error, and those of single files that one of Beam's holds."""
    details = getattr(error, "exception_details", None)
    if not details:
        yield error
        return
    for fault in details.values():
        yield from _faults(fault)


def _errno_of(fault: Any, remote: bool) -> int:
    """The errno that says the same; 0 where nothing is known."""
    if isinstance(fault, FileNotFoundError):
        return errno.ENOENT
    number = getattr(fault, "errno", None)
    if isinstance(number, int):
        return number
    status = getattr(fault, "code", fault)  # of clients; some results hold a bare status
    if isinstance(status, int):
        if status in _PASSING_STATUS or (status >= 500 and status not in _ERRNO_OF_STATUS):
            return errno.EAGAIN
        return _ERRNO_OF_STATUS.get(status, errno.EIO)
    if isinstance(fault, ValueError | TypeError | NotImplementedError):
        return errno.EINVAL
    return 0


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
