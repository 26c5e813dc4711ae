"""The sources by name, and reading all units of one: in a loop, or as a Beam job."""

import dataclasses
import functools
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.dicom.header import SPECIAL_IMAGES
from beam_pipelines.jobs import work
from beam_pipelines.jobs.options import on_this_machine
from beam_pipelines.jobs.work import work_results
from beam_pipelines.rejections import rejection_from
from beam_pipelines.sources.base import FileFacts, Image, Mark, Source, UnitIndex, merge
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig, RunConfig
from cgan_tf.runs.console import progress_bar
from cgan_tf.runs.directory import Json
from cgan_tf.runs.errors import UserError


def image_from(values: Json) -> Image:
    """The image of a work item."""
    marks = tuple(
        Mark(**{**mark, "box": tuple(mark["box"]), "outline": tuple(mark["outline"])})
        for mark in values["marks"]
    )
    facts = _facts(**values["facts"])
    return Image(**{**values, "marks": marks, "splits": tuple(values["splits"]), "facts": facts})


@functools.lru_cache(maxsize=256)
def _facts(**values: Any) -> FileFacts:
    """One object for the millions of images that have the same facts."""
    return FileFacts(**values)


# The names that --source takes, and the functions of a `PatchesConfig` that open them.
SOURCES = {
    "optimam": "beam_pipelines.sources.optimam:open_source",
    "cbis_ddsm": "beam_pipelines.sources.cbis_ddsm:open_source",
    "folder": "beam_pipelines.sources.folder:open_source",
    "table": "beam_pipelines.sources.table:open_source",
}


# The flags that say what is read, in every program that reads a source.
_WHAT_IS_READ = (
    *("source", "input_dir", "mapping", "table", "bits", "inverted", "split_by"),
    *("normals_from_cases", "normal_follow_up", "allow_synthetic", "admit_special"),
)


def source_config(config: RunConfig) -> PatchesConfig:
    """What `config`, of any program that reads a source, says of it, as `open_source` expects."""
    flags = (name for name in _WHAT_IS_READ if hasattr(config, name))
    return PatchesConfig(**{name: getattr(config, name) for name in flags})


def open_source(config: PatchesConfig) -> Source:
    """The source that `--source` names: one of `SOURCES`, or any `module:function`.

    Raises `UserError` for a name that leads to no function, and what the function raises.
    """
    module, _, function = SOURCES.get(config.source, config.source).partition(":")
    if not module or not function:
        raise UserError(
            f"--source={config.source}: expected {', '.join(SOURCES)}, or module:function"
        )
    try:
        opener = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"--source={config.source}: cannot be imported: {error}") from error
    unknown = sorted(set(config.admit_special) - set(SPECIAL_IMAGES))
    if unknown:
        raise UserError(
            f"--admit_special={unknown[0]}: expected some of {', '.join(SPECIAL_IMAGES)}"
        )
    source: Source = opener(config)
    if not config.normals_dir:
        return source
    from beam_pipelines.sources.folder import with_normals

    return with_normals(source, config)


def read_index(source: Source) -> UnitIndex:
    """Every unit of a source as one index."""
    units = source.units()
    with progress_bar(len(units), "Reading the index", "units") as bar:

        def read(unit: str) -> UnitIndex:
            bar.update()
            return source.read_unit(unit)

        return merge(map(read, units))


DIRECTORY = ".index"  # in the output, while the index is read


@dataclasses.dataclass(frozen=True)
class ReadUnit:
    """Reads one unit of a source, as JSON."""

    source: Source

    def __call__(self, item: Json) -> Json:
        """Returns `UnitIndex` as a dictionary."""
        return dataclasses.asdict(self.source.read_unit(item["unit"]))


def index_of(
    source: Source,
    config: PatchesConfig,
    directory: str,
    options: PipelineOptions,
    collected: work.Collected | None = None,
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


def _shown(results: Iterator[Json], bar: Any) -> Iterator[UnitIndex]:
    for result in results:
        bar.update()
        yield index_from(result)


def index_from(values: Json) -> UnitIndex:
    """The inverse of `dataclasses.asdict` after JSON."""
    images = tuple(_shared(image_from(image)) for image in values["images"])
    rejections = tuple(map(rejection_from, values["rejections"]))
    warnings = tuple(values["warnings"])
    return UnitIndex(images, rejections, values["read"], values["counts"], warnings)


def _shared(image: Image) -> Image:
    """The image with the words that millions of images share."""
    return dataclasses.replace(
        image,
        client_id=sys.intern(image.client_id),
        laterality=sys.intern(image.laterality),
        view=sys.intern(image.view),
        use=sys.intern(image.use),
        evidence=sys.intern(image.evidence),
    )
