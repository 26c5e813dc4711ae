"""The Beam work of insert_lesions: an image is prepared, given its lesions, and written.

The three steps are one stage for a runner: images go from one to the next within a worker and are
never shuffled. The result of an image is kept as a file, written after its other files, so that an
interrupted run finds what was done.
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import cv2
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference

from beam_pipelines.insertion.finish import finish
from beam_pipelines.insertion.generator import Answer, LesionModelHandler, Setup
from beam_pipelines.insertion.places import Prepared, prepare
from beam_pipelines.insertion.tables import MadeImage, made_image_from
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
    """One image on its way through a worker.

    Attributes:
      name: of the file of its result. preview: whether pictures of it are wanted.
    """

    name: str
    preview: bool
    image: Image
    prepared: Prepared
    rejections: list[Rejection]


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of an image.

    Attributes:
      name: of the file that keeps it. image: None where none was made.
      rejections: of the image, or of marks on it.
      places: where a lesion was wanted. draws: made at all of them.
      rejected_draws: how many of them were rejected, by reason.
    """

    name: str
    image: MadeImage | None
    rejections: tuple[Rejection, ...]
    places: int = 0
    draws: int = 0
    rejected_draws: dict[str, int] = dataclasses.field(default_factory=dict)


def result_from(values: Json) -> Result:
    """The inverse of `dataclasses.asdict` after JSON."""
    image = made_image_from(values["image"]) if values["image"] else None
    rejections = tuple(map(rejection_from, values["rejections"]))
    return Result(**{**values, "image": image, "rejections": rejections})


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
            image = image_from(item["image"])
            try:
                prepared, request = prepare(image, self.settings, rejections)
            except Rejected as fault:
                result = Result(name, None, reject_whole(image, fault, rejections))
                yield beam.pvalue.TaggedOutput(_READY, keep_result(self.settings, result))
                return
        except (OSError, UserError) as error:
            yield beam.pvalue.TaggedOutput(_READY, {ERROR: str(error)})
            return
        yield Job(name, item["preview"], image, prepared, rejections), request


class _Finish(beam.DoFn):
    """A job with its answer to the files of an image."""

    def __init__(self, settings: Setup):
        self.settings = settings

    def process(self, element: tuple[Job, Answer]) -> Iterator[Json]:
        job, answer = element
        made: MadeImage | None = None
        try:
            try:
                made = finish(job.prepared, answer, self.settings, job.preview, job.rejections)
                rejections = tuple(job.rejections)
            except Rejected as fault:
                rejections = reject_whole(job.image, fault, job.rejections)
            result = Result(
                job.name, made, rejections, len(answer.draws), sum(answer.draws), answer.rejected
            )
            yield keep_result(self.settings, result)
        except (OSError, UserError) as error:
            yield {ERROR: str(error)}


def work_item(image: Image, preview: bool) -> Json:
    """What `InsertLesions` is given for an image, ready for JSON."""
    name = f"{digest('insertion', image.sop_uid).hex()}.json"
    return {"name": name, "image": dataclasses.asdict(image), "preview": preview}


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
