"""A bar for work that any number of workers do: it counts the files that they write."""

import contextlib
import threading
import time
from collections.abc import Iterator

from beam_pipelines import files
from cgan_tf.progress import progress_bar


@contextlib.contextmanager
def files_bar(directory: str, names: set[str], label: str) -> Iterator[None]:
    """Shows how many of the named files, one an image, are in the directory."""
    stop = threading.Event()
    with progress_bar(len(names), label, "images") as bar:

        def count() -> None:
            pause = 0.5
            while not stop.wait(pause):
                start = time.monotonic()
                bar.update(len(names.intersection(files.file_names(directory))) - bar.n)
                pause = max(0.5, 10 * (time.monotonic() - start))

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        try:
            yield
            bar.update(len(names) - bar.n)
        finally:
            stop.set()
            thread.join()
