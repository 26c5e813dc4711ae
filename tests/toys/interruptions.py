"""A program that is interrupted at a chosen moment."""

import contextlib

import pytest


@contextlib.contextmanager
def interrupted_at(monkeypatch, owner, name, calls):
    """A block that call number `calls` (from 0) of a function ends by KeyboardInterrupt."""
    original, left = getattr(owner, name), iter(range(calls))

    def interrupted(*arguments, **settings):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            yield
