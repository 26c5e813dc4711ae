"""Types of the names that __init__.py imports when they are used."""

from beam_pipelines.api import *  # noqa: F403
