"""Types of the names that __init__.py imports when they are used."""

from cgan_tf.api import *  # noqa: F403

__version__: str
