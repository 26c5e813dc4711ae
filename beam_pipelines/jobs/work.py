"""Runs many small work items through Beam: one function, small results, nothing large in between.

Items and results are JSON. They travel by files under the run's own directory, and only places in
those files go through Beam: a pipeline stays small however many items there are, and so does the
runner, which would hold ten times the size of what goes through its shuffle. The program that
started the work finds the results there, whichever runner did it.

Metrics are those of one execution: times differ from run to run, and a run that goes on does not
count again what an interrupted one had done. So they are kept apart from the manifest.
"""

import contextlib
import dataclasses
import json
import os
import re
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator

import apache_beam as beam
import cv2
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricResult
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from beam_pipelines.jobs.options import on_this_machine, runner_name
from beam_pipelines.storage import files, retries
from beam_pipelines.storage.store import Place
from cgan_tf.runs.console import progress_bar
from cgan_tf.runs.directory import Json
from cgan_tf.runs.errors import UserError

FILE = "metrics.json"
_NAMESPACE = "beam_pipelines"


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Observed values, each rounded to a whole number."""

    count: int
    sum: int
    min: int
    max: int

    @property
    def mean(self) -> float | None:
        """None without values."""
        return round(self.sum / self.count, 3) if self.count else None

    def joined(self, other: "Distribution") -> "Distribution":
        """Both together."""
        return Distribution(
            self.count + other.count,
            self.sum + other.sum,
            min(self.min, other.min),
            max(self.max, other.max),
        )


@dataclasses.dataclass
class Collected:
    """The metrics of the pipelines of one step, by name, and how long the step took."""

    counters: dict[str, int] = dataclasses.field(default_factory=dict)
    distributions: dict[str, Distribution] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def add_results(self, result: PipelineResult) -> None:
        """Adds our metrics of a finished pipeline."""
        metrics = result.metrics().query()
        for item in _ours(metrics["counters"]):
            name = item.key.metric.name
            self.counters[name] = self.counters.get(name, 0) + item.result
        for item in _ours(metrics["distributions"]):
            name, values = item.key.metric.name, item.result
            new = Distribution(values.count, values.sum, values.min, values.max)
            known = self.distributions.get(name)
            self.distributions[name] = known.joined(new) if known else new

    def as_json(self) -> Json:
        """The step's entry in `metrics.json`."""
        distributions = {
            name: {**vars(values), "mean": values.mean}
            for name, values in sorted(self.distributions.items())
        }
        return {
            "counters": dict(sorted(self.counters.items())),
            "distributions": distributions,
            "seconds": round(self.seconds, 3),
        }


def _ours(items: Iterable[MetricResult]) -> list[MetricResult]:
    return [item for item in items if item.key.metric.namespace == _NAMESPACE and item.result]


def count(name: str, number: int = 1) -> None:
    """Adds to a counter; outside of a pipeline nothing happens."""
    if number:
        Metrics.counter(_NAMESPACE, name).inc(number)


def observe(name: str, value: float) -> None:
    """Adds a value, rounded to a whole number, to a distribution."""
    Metrics.distribution(_NAMESPACE, name).update(round(value))


_CHUNK_BYTES = 1 << 16
_PART_BYTES = 1 << 20  # of the results that a worker keeps before it writes them
_BUCKETS = 64
ERROR = "error of the work"  # in a result: what ends the run, in one line

# A function, or steps of their own from items as JSON to results, a failure that ends the run being
# a result with the key `ERROR`.
Work = Callable[[Json], Json] | beam.PTransform


def run_work(
    function: Work,
    items: Iterable[Json],
    directory: str,
    name: str,
    options: PipelineOptions,
    collected: Collected | None = None,
) -> list[Json]:
    """`work_results` as a list."""
    return list(work_results(function, items, directory, name, options, collected))


def work_results(
    function: Work,
    items: Iterable[Json],
    directory: str,
    name: str,
    options: PipelineOptions,
    collected: Collected | None = None,
) -> Iterator[Json]:
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
    # A store has no lock, so another process may do the same work: each has its own results.
    results = os.path.join(directory, f"{name}-results-{uuid.uuid4().hex}")
    _run(function, places, results, options, collected or Collected())
    for file in files.file_names(results):
        if file.startswith("."):
            continue
        for line in files.read_bytes(os.path.join(results, file)).splitlines():
            result = json.loads(line)
            if ERROR in result:
                raise UserError(result[ERROR])
            counted.number -= 1
            yield result
    if counted.number:
        raise UserError(f"{results}: {counted.number} results are missing; run it again to go on")


class _Counted:
    """Items, counted as they are taken."""

    def __init__(self, items: Iterable[Json]):
        self.number = 0
        self._items = items

    def __iter__(self) -> Iterator[Json]:
        for item in self._items:
            self.number += 1
            yield item


def _run(
    function: Work,
    places: list[Place],
    results: str,
    options: PipelineOptions,
    collected: Collected,
) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = beam.Pipeline(options=options)
            with pipeline:
                build_work(pipeline, function, places, results)
            collected.add_results(pipeline.result)
    except Exception as error:  # each runner has its own
        if "KeyboardInterrupt" in str(error):  # Beam wraps what stops its work
            raise KeyboardInterrupt from error
        if refused := re.search(r"OSError: \[Errno \d+\] (.+?)(?: \[while|\n|$)", str(error)):
            raise UserError(f"{results}: cannot be written: {refused[1]}") from error
        if on_this_machine(options):
            raise
        raise UserError(f"{runner_name(options)}: {_last_line(error)}") from error


def build_work(
    pipeline: beam.Pipeline,
    work: Work,
    places: list[Place],
    results: str,
) -> None:
    """The stages of the work: only places go through the runner's shuffle."""
    _ = (
        pipeline
        | "Places" >> beam.Create(places)
        | "SpreadPlaces" >> beam.Reshuffle()
        | "FindItems" >> beam.FlatMap(_places_of_items)
        | "SpreadItems" >> beam.Reshuffle()
        | "ReadItems" >> beam.Map(_read_item)
        | "Work" >> (work if isinstance(work, beam.PTransform) else beam.ParDo(_Work(work)))
        | "KeepResults" >> beam.ParDo(_KeepResults(results))
        | "Collect" >> beam.GroupByKey()
        | "JoinResults" >> beam.MapTuple(_JoinResults(results))
    )


class _Work(beam.DoFn):
    def __init__(self, function: Callable[[Json], Json]):
        self.function = function

    def setup(self) -> None:
        cv2.setNumThreads(1)  # the last bit of its filters depends on the number of threads

    def process(self, line: str) -> Iterator[Json]:
        try:
            result = self.function(json.loads(line))
        except (OSError, UserError) as error:
            result = {ERROR: str(error)}
        count("retries", retries.take_count())
        yield result


class _KeepResults(beam.DoFn):
    """Results to (bucket, file of many of them): one line a result.

    Only files that the runner got to know of count: those of an attempt that failed do not.
    """

    def __init__(self, directory: str):
        self.directory = f"{directory}-parts"

    def start_bundle(self) -> None:
        self.lines: list[bytes] = []
        self.length = 0

    def process(self, result: Json) -> Iterator[tuple[int, str]]:
        line = json.dumps(result).encode() + b"\n"
        self.lines.append(line)
        self.length += len(line)
        if self.length >= _PART_BYTES:
            yield self._write()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self.lines:
            yield GlobalWindows.windowed_value(self._write())

    def _write(self) -> tuple[int, str]:
        name = uuid.uuid4()
        path = os.path.join(self.directory, f"{name.hex}.jsonl")
        files.write_atomically_from(path, self.lines)
        self.start_bundle()
        return name.int % _BUCKETS, path


class _JoinResults:
    """The files of a bucket to one, so that few are left to be read by one process."""

    def __init__(self, directory: str):
        self.directory = directory

    def __call__(self, bucket: int, parts: Iterable[str]) -> None:
        path = os.path.join(self.directory, f"{bucket:02d}.jsonl")
        files.write_atomically_from(path, map(files.read_bytes, parts))


def _write_items(path: str, items: Iterable[Json]) -> list[Place]:
    """One line an item; returns (path, offset, length) of chunks of whole lines."""
    places: list[Place] = []
    files.write_atomically_from(path, _chunks(path, items, places))
    return places


def _chunks(path: str, items: Iterable[Json], places: list[Place]) -> Iterator[bytes]:
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


def _places_of_items(chunk: Place) -> Iterator[Place]:
    path, offset, _ = chunk
    for line in files.read_range(*chunk).splitlines(keepends=True):
        yield path, offset, len(line)
        offset += len(line)


def _read_item(place: Place) -> str:
    return files.read_range(*place).decode()


def _last_line(error: Exception) -> str:
    """The end of a runner's message, where the cause is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


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
