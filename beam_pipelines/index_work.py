"""The index by many workers: for stores, where a look takes a while, and for clusters."""

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines import files, metrics
from beam_pipelines.beam_flags import on_this_machine
from beam_pipelines.beam_work import work_results
from beam_pipelines.image_work import image_from
from beam_pipelines.rejections import Origin, Reason, Rejection
from beam_pipelines.sources import Image, Source, UnitIndex, merge, read_index
from cgan_tf.config import PatchesConfig
from cgan_tf.progress import progress_bar

DIRECTORY = ".index"  # in the output, while the index is read


@dataclasses.dataclass(frozen=True)
class ReadUnit:
    """Reads one unit of a source, as JSON."""

    source: Source

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Returns `UnitIndex` as a dictionary."""
        return dataclasses.asdict(self.source.read_unit(item["unit"]))


def index_of(
    source: Source,
    config: PatchesConfig,
    directory: str,
    options: PipelineOptions,
    collected: metrics.Collected | None = None,
) -> UnitIndex:
    """Every unit of a source as one index.

    Read by this process where the input is on this machine, else by Beam's workers, which keep what
    they exchange in `directory` for as long as it lasts.
    """
    if on_this_machine(options) and not files.is_remote(config.input_dir):
        return read_index(source)
    units = source.units()
    items = ({"unit": unit} for unit in units)
    try:
        results = work_results(ReadUnit(source), items, directory, "index", options, collected)
        with progress_bar(len(units), "Reading the index", "units") as bar:
            return merge(_shown(results, bar))
    finally:
        files.remove_directory(directory)


def _shown(results: Iterator[dict[str, Any]], bar: Any) -> Iterator[UnitIndex]:
    for result in results:
        bar.update()
        yield index_from(result)


def index_from(values: dict[str, Any]) -> UnitIndex:
    """The inverse of `dataclasses.asdict` after JSON."""
    images = tuple(_shared(image_from(image)) for image in values["images"])
    rejections = tuple(map(_rejection_from, values["rejections"]))
    return UnitIndex(images, rejections, values["read"], values["counts"])


def _shared(image: Image) -> Image:
    """The image with the words that millions of images share."""
    words = ("use", "laterality", "view", "evidence", "client_id")
    return dataclasses.replace(image, **{name: sys.intern(getattr(image, name)) for name in words})


def _rejection_from(values: dict[str, Any]) -> Rejection:
    origin = values["origin"]
    if origin:
        origin = Origin(**{**origin, "splits": tuple(origin["splits"])})
    return Rejection(**{**values, "reason": Reason(values["reason"]), "origin": origin})
