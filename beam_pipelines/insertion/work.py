"""The Beam work of insert_lesions: an image is prepared, given its lesions, and written.

The three steps are one stage for a runner: images go from one to the next within a worker and are
never shuffled. The result of an image is kept as a file, written after its other files, so that an
interrupted run finds what was done.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import cv2
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from beam_pipelines.insertion.draws import Answer, Request
from beam_pipelines.insertion.finish import compose, write_image
from beam_pipelines.insertion.generator import LesionModelHandler, Setup
from beam_pipelines.insertion.places import Prepared, prepare, prepare_both
from beam_pipelines.insertion.tables import MadeImage, made_image_from
from beam_pipelines.insertion.targets import ListedPlace
from beam_pipelines.jobs.work import ERROR
from beam_pipelines.patches.cutting import reject_whole
from beam_pipelines.rejections import Rejected, Rejection, rejection_from
from beam_pipelines.sources.base import Image
from beam_pipelines.sources.index import image_from
from beam_pipelines.storage import files
from cgan_tf.data.keyed import digest
from cgan_tf.runs.directory import Json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.machine import Threads

DIRECTORY = ".work"
_READY = "ready"


@dataclasses.dataclass(eq=False)
class Job:
    """One image, or both views of a breast, on the way through a worker.

    Attributes:
      name: of the file of its result. preview: whether pictures are wanted.
      wanted: places where a lesion was asked for.
    """

    name: str
    preview: bool
    wanted: int
    images: tuple[Image, ...]
    prepared: tuple[Prepared, ...]
    rejections: list[Rejection]


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of an image, or of both views of a breast.

    Attributes:
      name: of the file that keeps it. images: those that were made.
      tried: how many images there were. rejections: of images, or of marks on them.
      wanted: places that were asked for. places: where a lesion was tried.
      draws: made at all of them. rejected_draws: how many of them were rejected, by reason.
    """

    name: str
    images: tuple[MadeImage, ...]
    rejections: tuple[Rejection, ...]
    tried: int = 1
    wanted: int = 0
    places: int = 0
    draws: int = 0
    rejected_draws: dict[str, int] = dataclasses.field(default_factory=dict)


def result_from(values: Json) -> Result:
    """The inverse of `dataclasses.asdict` after JSON."""
    images = tuple(map(made_image_from, values["images"]))
    rejections = tuple(map(rejection_from, values["rejections"]))
    return Result(**{**values, "images": images, "rejections": rejections})


class InsertLesions(beam.PTransform):
    """Items of `work_item`, as JSON, to results that `result_from` reads."""

    def __init__(self, setup: Setup, threads: Threads):
        super().__init__()
        self.setup = setup
        self.handler = LesionModelHandler(setup.config, setup.card, threads)

    def expand(self, lines: beam.PCollection) -> beam.PCollection:
        prepared = lines | "Prepare" >> beam.ParDo(_Prepare(self.setup)).with_outputs(
            _READY, main="jobs"
        )
        made = (
            prepared["jobs"]
            | "DrawLesions" >> RunInference(KeyedModelHandler(self.handler))
            | "Finish" >> beam.ParDo(_Finish(self.setup))
        )
        return (made, prepared[_READY]) | beam.Flatten()


class _Prepare(beam.DoFn):
    """An item to a job with its request; what needs no generator is ready at once."""

    def __init__(self, settings: Setup):
        self.settings = settings

    def setup(self) -> None:
        cv2.setNumThreads(1)  # the last bit of its filters depends on the number of threads

    def process(self, line: str) -> Iterator[Any]:
        item = json.loads(line)
        name = item["name"]
        rejections: list[Rejection] = []
        try:
            done = read_result(self.settings, name)
            if done is not None:
                yield beam.pvalue.TaggedOutput(_READY, done)
                return
            images = tuple(map(image_from, item["images"]))
            listed = tuple([ListedPlace(**row) for row in rows] for rows in item["listed"])
            try:
                prepared, request = prepared_views(images, listed, self.settings, rejections)
            except Rejected as fault:
                result = Result(
                    name, (), _rejected_whole(images, fault, rejections), tried=len(images)
                )
                yield beam.pvalue.TaggedOutput(_READY, keep_result(self.settings, result))
                return
        except (OSError, UserError) as error:
            yield beam.pvalue.TaggedOutput(_READY, {ERROR: str(error)})
            return
        wanted = item["wanted"] or sum(len(each.places) for each in prepared)
        yield Job(name, item["preview"], wanted, images, prepared, rejections), request


def prepared_views(
    images: tuple[Image, ...],
    listed: tuple[list[ListedPlace], ...],
    setup: Setup,
    rejections: list[Rejection],
) -> tuple[tuple[Prepared, ...], Request]:
    """`prepare` for an image, `prepare_both` for two views."""
    if len(images) == 1:
        prepared, request = prepare(images[0], setup, rejections, listed[0])
        return (prepared,), request
    return prepare_both((images[0], images[1]), setup, rejections, (listed[0], listed[1]))


def _rejected_whole(
    images: tuple[Image, ...], fault: Rejected, rejections: list[Rejection]
) -> tuple[Rejection, ...]:
    """The rejections of an image, or of both views for a fault of one of them."""
    known = tuple(rejections)
    for image in images:
        known = reject_whole(image, fault, list(known))
    return known


class _Finish(beam.DoFn):
    """A job with its answer to the files of its images."""

    def __init__(self, settings: Setup):
        self.settings = settings

    def process(self, element: tuple[Job, Answer]) -> Iterator[Json]:
        job, answer = element
        made: tuple[MadeImage, ...] = ()
        try:
            try:
                made = tuple(self._finished(job, answer))
                rejections = tuple(job.rejections)
            except Rejected as fault:
                rejections = _rejected_whole(job.images, fault, job.rejections)
            yield keep_result(
                self.settings,
                Result(
                    job.name,
                    made,
                    rejections,
                    len(job.images),
                    job.wanted,
                    len(answer.draws),
                    sum(answer.draws),
                    answer.rejected,
                ),
            )
        except (OSError, UserError) as error:
            yield {ERROR: str(error)}

    def _finished(self, job: Job, answer: Answer) -> Iterator[MadeImage]:
        """The images, none of them written before all are made."""
        composed, first = [], 0
        for prepared in job.prepared:
            part = answer.part(slice(first, first + len(prepared.places)))
            first += len(prepared.places)
            composed.append(compose(prepared, part, self.settings, job.rejections))
        for made, prepared in zip(composed, job.prepared, strict=True):
            yield write_image(made, prepared, self.settings, job.preview)


def work_item(
    images: Sequence[Image],
    preview: bool,
    listed: Sequence[Sequence[ListedPlace]] = ((),),
    wanted: int = 0,
) -> Json:
    """What `InsertLesions` is given for an image or both views of a breast, ready for JSON.

    Args:
      listed: the places of a file, for each image. wanted: places asked for; 0: those that are
        found.
    """
    rows = [[dataclasses.asdict(place) for place in places] for places in listed]
    key = [image.sop_uid for image in images] + [json.dumps(rows)] * any(rows)
    return {
        "name": f"{digest('insertion', *key).hex()}.json",
        "images": [dataclasses.asdict(image) for image in images],
        "listed": rows,
        "wanted": wanted,
        "preview": preview,
    }


def read_result(setup: Setup, name: str) -> Json | None:
    """The result that an earlier run has kept, None without one."""
    path = _result_path(setup, name)
    return json.loads(files.read_bytes(path)) if files.exists(path) else None


def keep_result(setup: Setup, result: Result) -> Json:
    """Keeps the result of an image and returns it, ready for JSON."""
    content = dataclasses.asdict(result)
    files.write_atomically(_result_path(setup, result.name), json.dumps(content).encode())
    return content


def _result_path(setup: Setup, name: str) -> str:
    return os.path.join(setup.config.output_dir, DIRECTORY, "images", name)
