"""What TensorBoard shows of a run's event files."""

from pathlib import Path

import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Every (step, value) in the files of a folder, by tag, sorted; none is purged or thinned."""
    found: dict[str, list[tuple[int, float]]] = {}
    for event in _events(directory):
        for value in event.summary.value:
            array = tf.make_ndarray(value.tensor)
            if array.dtype.kind == "f" and array.ndim == 0:
                found.setdefault(value.tag, []).append((event.step, float(array)))
    return {tag: sorted(points) for tag, points in found.items()}


def texts(directory: Path, tag: str) -> list[tuple[int, str]]:
    """Every (step, text) of a tag."""
    return [
        (event.step, tf.make_ndarray(value.tensor).item().decode())
        for event in _events(directory)
        for value in event.summary.value
        if value.tag == tag
    ]


def plugin_contents(directory: Path, plugin: str) -> list[bytes]:
    """What a plugin of TensorBoard stored with its summaries."""
    return [
        value.metadata.plugin_data.content
        for event in _events(directory)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == plugin
    ]


def _events(directory: Path) -> list:
    paths = sorted(directory.iterdir())
    return [event for path in paths for event in EventFileLoader(str(path)).Load()]
