"""Many small work items through Beam: one function, small results, nothing large in between.

Items and results are JSON. They travel by files under the run's own directory, and only places in
those files go through Beam: a pipeline stays small however many items there are, and the results
are there for the program that started it, whichever runner did the work.
"""

import argparse
import json
import os
import re
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import cv2
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)

from beam_pipelines import files, metrics, retries
from cgan_tf.errors import UserError

_CHUNK_BYTES = 1 << 16
_BUCKETS = 64
ERROR = "error of the work"  # in a result: what ends the run, in one line
_DEFAULTS = ("--runner=FnApiRunner",)
_OF_THIS_MACHINE = ("fnapirunner", "directrunner", "bundlebaseddirectrunner", "prismrunner")

Item = dict[str, Any]
# A function, or steps of their own: from items as JSON to what `bucketed` makes of results, a
# failure that ends the run being a result with the key `ERROR`.
Work = Callable[[Item], Item] | beam.PTransform


class _Strict(argparse.ArgumentParser):
    def error(self, message: str):  # type: ignore[no-untyped-def]
        raise UserError(f"--beam: {message}")


def beam_options(flags: Sequence[str]) -> PipelineOptions:
    """Beam's options from `--beam` flags, for the files in stores too.

    An option that Beam does not have is a `UserError` (Beam itself drops it with a warning), and so
    is one that its runner misses. Without a runner it is FnApiRunner: Beam's own default looks for
    a binary to download.
    """
    parser = _Strict(add_help=False, allow_abbrev=False)
    for options in _with_subclasses(PipelineOptions):
        if "_add_argparse_args" in vars(options):
            options._add_argparse_args(parser)
    found, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise UserError(f"--beam={unknown[0]}: Beam has no such option")
    chosen = PipelineOptions([*([] if found.runner else _DEFAULTS), *flags])
    # What workers do is in modules, not in the program's own; Dataflow would send that along.
    chosen.view_as(SetupOptions).save_main_session = False
    try:
        beam.Pipeline(options=chosen)
    except Exception as error:  # of a runner that is not there, of options, of a cloud's client
        raise UserError(f"--beam: {' '.join(str(error).split())[:1000]}") from error
    FileSystems.set_options(chosen)
    return chosen


def on_this_machine(options: PipelineOptions) -> bool:
    """Whether the workers are processes or threads of the program itself."""
    return _runner(options).lower().rpartition(".")[2] in _OF_THIS_MACHINE


def check_paths(options: PipelineOptions, **paths: str) -> None:
    """Raises `UserError` for paths, by flag, that the workers would not find."""
    for name, path in paths.items():
        if on_this_machine(options) or files.is_remote(path):
            continue
        if "dataflow" in _runner(options).lower():
            raise UserError(f"--{name}={path}: Dataflow's workers read and write gs:// only")
        if not os.path.isabs(path):
            raise UserError(
                f"--{name}={path}: expected an absolute path with {_runner(options)}, "
                "whose workers may start in another directory"
            )


def run_work(
    function: Work,
    items: Iterable[Item],
    directory: str,
    name: str,
    options: PipelineOptions,
    collected: metrics.Collected | None = None,
) -> list[Item]:
    """`work_results` as a list."""
    return list(work_results(function, items, directory, name, options, collected))


def work_results(
    function: Work,
    items: Iterable[Item],
    directory: str,
    name: str,
    options: PipelineOptions,
    collected: metrics.Collected | None = None,
) -> Iterator[Item]:
    """Applies a picklable function to every item; the results come in no particular order.

    Items and results are kept as `name`-* in `directory`. What the function raises as `OSError`
    or `UserError` (a full disk, say) comes out as one `UserError`. The metrics of the work are
    added to `collected`.
    """
    path = os.path.join(directory, f"{name}-items.jsonl")
    counted = _Counted(items)
    places = _write_items(path, counted)
    if not places:
        return
    # Where there is no lock, another process may do the same work: each has its own results.
    results = os.path.join(directory, f"{name}-results-{uuid.uuid4().hex}")
    _run(function, places, results, options, {} if collected is None else collected)
    for file in files.file_names(results):
        if file.startswith("."):
            continue
        for result in json.loads(files.read_bytes(os.path.join(results, file))):
            if ERROR in result:
                raise UserError(result[ERROR])
            counted.number -= 1
            yield result
    if counted.number:
        raise UserError(f"{results}: {counted.number} results are missing; run it again to go on")


class _Counted:
    """Items, counted as they are taken."""

    def __init__(self, items: Iterable[Item]):
        self.number = 0
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.number += 1
            yield item


def _run(
    function: Work,
    places: list[tuple[str, int, int]],
    results: str,
    options: PipelineOptions,
    collected: metrics.Collected,
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = beam.Pipeline(options=options)
            with pipeline:
                build_work(pipeline, function, places, results)
            metrics.add_results(pipeline.result, collected)
    except Exception as error:  # each runner has its own
        if "KeyboardInterrupt" in str(error):  # Beam wraps what stops its work
            raise KeyboardInterrupt from error
        if refused := re.search(r"OSError: \[Errno \d+\] (.+?)(?: \[while|\n|$)", str(error)):
            raise UserError(f"{results}: cannot be written: {refused[1]}") from error
        if on_this_machine(options):
            raise
        raise UserError(f"{_runner(options)}: {_last_line(error)}") from error


def build_work(
    pipeline: beam.Pipeline,
    work: Work,
    places: list[tuple[str, int, int]],
    results: str,
) -> None:
    """The stages of the work: only places and small results go through the runner's shuffle."""
    _ = (
        pipeline
        | "Places" >> beam.Create(places)
        | "SpreadPlaces" >> beam.Reshuffle()
        | "ReadItems" >> beam.FlatMap(_read_items)
        | "SpreadItems" >> beam.Reshuffle()
        | "Work" >> (work if isinstance(work, beam.PTransform) else beam.ParDo(_Work(work)))
        | "Collect" >> beam.GroupByKey()
        | "WriteResults" >> beam.MapTuple(_WriteResults(results))
    )


class _Work(beam.DoFn):
    def __init__(self, function: Callable[[Item], Item]):
        self.function = function

    def setup(self) -> None:
        cv2.setNumThreads(1)  # the last bit of its filters depends on the number of threads

    def process(self, line: str) -> Iterator[tuple[int, str]]:
        try:
            result = self.function(json.loads(line))
        except (OSError, UserError) as error:
            result = {ERROR: str(error)}
        metrics.count("retries", retries.take_count())
        yield bucketed(result)


def bucketed(result: Item) -> tuple[int, str]:
    """A result as work of several steps gives it to be kept."""
    text = json.dumps(result)
    return len(text) % _BUCKETS, text


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


def _runner(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner or ""


def _last_line(error: Exception) -> str:
    """The end of a runner's message, where the cause is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _with_subclasses(options: type) -> list[type]:
    found = [options]
    for subclass in options.__subclasses__():
        found += [item for item in _with_subclasses(subclass) if item not in found]
    return found
