"""Many small work items through Beam: one function, small results, nothing large in between.

Items and results are JSON. They travel by files under the run's own directory, and only places in
those files go through Beam: a pipeline stays small however many items there are, and the results
are there for the program that started it, whichever runner did the work.
"""

import argparse
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

logging.getLogger().setLevel(logging.ERROR)  # before Beam is imported: it warns while it is

import apache_beam as beam  # noqa: E402
import cv2  # noqa: E402
from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402

from beam_pipelines import files  # noqa: E402
from cgan_tf.errors import UserError  # noqa: E402

_CHUNK_BYTES = 1 << 16
_BUCKETS = 16
_ERROR = "error of the work"
_DEFAULTS = ("--runner=FnApiRunner",)

Item = dict[str, Any]


class _Strict(argparse.ArgumentParser):
    def error(self, message: str):  # type: ignore[no-untyped-def]
        raise UserError(f"--beam: {message}")


def beam_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options from `--beam` flags; an option that Beam does not have is a `UserError`.

    Beam itself drops what it does not know with a warning. Without a runner it is FnApiRunner:
    Beam's own default looks for a binary to download.
    """
    parser = _Strict(add_help=False, allow_abbrev=False)
    for options in _with_subclasses(PipelineOptions):
        if "_add_argparse_args" in vars(options):
            options._add_argparse_args(parser)
    found, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise UserError(f"--beam={unknown[0]}: Beam has no such option")
    chosen = [] if found.runner else list(_DEFAULTS)
    return PipelineOptions([*chosen, *flags])


def run_work(
    function: Callable[[Item], Item],
    items: Iterable[Item],
    directory: str,
    name: str,
    options: PipelineOptions,
) -> list[Item]:
    """Applies a picklable function to every item; the results come in no particular order.

    Items and results are kept as `name`-* in `directory`. What the function raises as `OSError`
    or `UserError` (a full disk, say) comes out as one `UserError`.
    """
    path = os.path.join(directory, f"{name}-items.jsonl")
    places = _write_items(path, items)
    if not places:
        return []
    results = os.path.join(directory, f"{name}-results")
    _run(function, places, results, options)
    found = []
    for file in files.file_names(results):
        if not file.startswith("."):
            found += json.loads(files.read_bytes(os.path.join(results, file)))
    errors = [result[_ERROR] for result in found if _ERROR in result]
    if errors:
        raise UserError(errors[0])
    return found


def _run(
    function: Callable[[Item], Item],
    places: list[tuple[str, int, int]],
    results: str,
    options: PipelineOptions,
) -> None:
    files.remove_directory(results)  # of an earlier, interrupted run
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with beam.Pipeline(options=options) as pipeline:
                _ = (
                    pipeline
                    | "Places" >> beam.Create(places)
                    | "SpreadPlaces" >> beam.Reshuffle()
                    | "ReadItems" >> beam.FlatMap(_read_items)
                    | "SpreadItems" >> beam.Reshuffle()
                    | "Work" >> beam.ParDo(_Work(function))
                    | "Collect" >> beam.GroupByKey()
                    | "WriteResults" >> beam.MapTuple(_WriteResults(results))
                )
    except RuntimeError as error:
        if "KeyboardInterrupt" in str(error):  # Beam wraps what stops its work
            raise KeyboardInterrupt from error
        raise


class _Work(beam.DoFn):
    def __init__(self, function: Callable[[Item], Item]):
        self.function = function

    def setup(self) -> None:
        cv2.setNumThreads(1)  # the last bit of its filters depends on the number of threads

    def process(self, line: str) -> Iterator[tuple[int, str]]:
        try:
            result = self.function(json.loads(line))
        except (OSError, UserError) as error:
            result = {_ERROR: str(error)}
        yield len(line) % _BUCKETS, json.dumps(result)


class _WriteResults:
    def __init__(self, directory: str):
        self.directory = directory

    def __call__(self, bucket: int, results: Iterable[str]) -> None:
        content = "[" + ",".join(results) + "]"
        files.write_atomically(os.path.join(self.directory, f"{bucket:02d}.json"), content.encode())


def _write_items(path: str, items: Iterable[Item]) -> list[tuple[str, int, int]]:
    """One line an item; returns (path, offset, length) of chunks of whole lines."""
    places: list[tuple[str, int, int]] = []
    files.write_atomically_from(path, _chunks(path, items, places))
    return places


def _chunks(
    path: str, items: Iterable[Item], places: list[tuple[str, int, int]]
) -> Iterator[bytes]:
    """The lines of the items in chunks, whose places are noted."""
    lines: list[bytes] = []
    start, length = 0, 0
    for line in (json.dumps(item).encode() + b"\n" for item in items):
        lines.append(line)
        length += len(line)
        if length >= _CHUNK_BYTES:
            places.append((path, start, length))
            yield b"".join(lines)
            lines, start, length = [], start + length, 0
    if lines:
        places.append((path, start, length))
        yield b"".join(lines)


def _read_items(place: tuple[str, int, int]) -> list[str]:
    return files.read_range(*place).decode().splitlines()


def _with_subclasses(options: type) -> list[type]:
    found = [options]
    for subclass in options.__subclasses__():
        found += [item for item in _with_subclasses(subclass) if item not in found]
    return found
