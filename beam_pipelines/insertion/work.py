"""The Beam work of insert_lesions: an image is prepared, given its lesions, and written.

The three steps are one stage for a runner: images go from one to the next within a worker and are
never shuffled. An image's row is kept as a file, written after its other files, so that an
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
from beam_pipelines.jobs.work import ERROR
from beam_pipelines.patches.cutting import reject_whole
from beam_pipelines.rejections import Rejected, Rejection
from beam_pipelines.sources.base import Image
from beam_pipelines.sources.index import image_from
from beam_pipelines.storage import files
from cgan_tf.data.keyed import digest
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.machine import Threads

DIRECTORY = ".work"
_READY = "ready"


@dataclasses.dataclass(eq=False)
class Job:
    """One image on its way through a worker."""

    item: dict[str, Any]
    image: Image
    prepared: Prepared
    rejections: list[Rejection]


class InsertLesions(beam.PTransform):
    """Items of `work_item`, as JSON, to results: `row` (or None), `rejections`, `draws`."""

    def __init__(self, setup: Setup, card: dict[str, Any], threads: Threads):
        super().__init__()
        self.setup = setup
        self.handler = LesionModelHandler(setup.config, card, threads)

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
        rejections: list[Rejection] = []
        try:
            done = read_result(self.settings, item["name"])
            if done is not None:
                yield beam.pvalue.TaggedOutput(_READY, done)
                return
            image = image_from(item["image"])
            try:
                prepared, request = prepare(image, self.settings, rejections)
            except Rejected as fault:
                found = reject_whole(image, fault, rejections)
                result = keep_result(self.settings, item["name"], None, found, None)
                yield beam.pvalue.TaggedOutput(_READY, result)
                return
        except (OSError, UserError) as error:
            yield beam.pvalue.TaggedOutput(_READY, {ERROR: str(error)})
            return
        yield Job(item, image, prepared, rejections), request


class _Finish(beam.DoFn):
    """A job with its answer to the files of an image."""

    def __init__(self, settings: Setup):
        self.settings = settings

    def process(self, element: tuple[Job, Answer]) -> Iterator[dict[str, Any]]:
        job, answer = element
        name, rejections = job.item["name"], job.rejections
        try:
            try:
                row = finish(job.prepared, answer, self.settings, job.item["preview"], rejections)
                found = tuple(rejections)
            except Rejected as fault:
                row, found = None, reject_whole(job.image, fault, rejections)
            yield keep_result(self.settings, name, row, found, answer)
        except (OSError, UserError) as error:
            yield {ERROR: str(error)}


def work_item(image: Image, preview: bool) -> dict[str, Any]:
    """What `InsertLesions` is given for an image, ready for JSON."""
    name = f"{digest('insertion', image.sop_uid).hex()}.json"
    return {"name": name, "image": dataclasses.asdict(image), "preview": preview}


def read_result(setup: Setup, name: str) -> dict[str, Any] | None:
    """The result that an earlier run has kept, None without one."""
    path = _result_path(setup, name)
    return json.loads(files.read_bytes(path)) if files.exists(path) else None


def keep_result(
    setup: Setup,
    name: str,
    row: dict[str, Any] | None,
    rejections: tuple[Rejection, ...],
    answer: Answer | None,
) -> dict[str, Any]:
    """Keeps and returns the result of an image."""
    result = {
        "name": name,
        "row": row,
        "rejections": [(r.kind, r.name, r.reason, r.detail) for r in rejections],
        "draws": sum(answer.draws) if answer else 0,
        "rejected_draws": answer.rejected if answer else {},
        "places": len(answer.draws) if answer else 0,
    }
    files.write_atomically(_result_path(setup, name), json.dumps(result).encode())
    return result


def _result_path(setup: Setup, name: str) -> str:
    return os.path.join(setup.config.output_dir, DIRECTORY, "images", name)
