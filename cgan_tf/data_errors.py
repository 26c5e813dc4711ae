"""Errors that tf.data wraps in its own."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from cgan_tf.errors import UserError


@contextlib.contextmanager
def reading_errors() -> Iterator[None]:
    """Turns a damaged record, met by tf.data in mid-run, back into the `UserError` it was."""
    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"UserError: (.+)", str(error))
        if found is None:
            raise
        raise UserError(found[1]) from error
