"""The job of insert_lesions: index, choose images, insert or remove, tables, manifest."""

import collections
import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.insertion.finish import INSERTED_IMAGES
from beam_pipelines.insertion.generator import Setup, setup_of
from beam_pipelines.insertion.omidb_tree import write_documents
from beam_pipelines.insertion.plan import Plan, Task, planned
from beam_pipelines.insertion.real_lesions import (
    MeasureLesions,
    real_lesions_from,
    with_real_lesions,
)
from beam_pipelines.insertion.structured_reports import check_possible, write_structured_reports
from beam_pipelines.insertion.tables import MadeImage, boxes_csv, coco
from beam_pipelines.insertion.work import (
    DIRECTORY,
    InsertLesions,
    Result,
    result_from,
    work_item,
)
from beam_pipelines.jobs.options import beam_options, check_paths
from beam_pipelines.jobs.work import files_bar, run_work, work_results
from beam_pipelines.patches.ledger import rejections_csv
from beam_pipelines.rejections import (
    FILES,
    IMAGES,
    MARKS,
    Rejection,
    Tally,
    ledger,
    left_out,
)
from beam_pipelines.sources import index as sources_index
from beam_pipelines.sources.base import Source, UnitIndex
from beam_pipelines.sources.index import index_of, open_source, source_config
from beam_pipelines.storage import files
from cgan_tf import __version__
from cgan_tf.config import InsertionConfig, PatchesConfig
from cgan_tf.data.provenance import is_drawn
from cgan_tf.gan.card import read_card
from cgan_tf.pages.viewer import write_viewer
from cgan_tf.runs.console import progress_bar
from cgan_tf.runs.directory import RUN_FILE, Json, Run, finish_run, run_to_the_end, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.machine import resolve_threads, save_threads


@dataclasses.dataclass(frozen=True)
class InsertionCounts:
    """How many images, lesions, places and draws a run had, and what became of them.

    A place is a patch that should get a lesion. It has none if no draw was accepted or, when
    lesions are inserted, if the image had no room for it.

    Attributes:
      images, lesions: made. wanted, tried: places, and those that the image had room for.
      draws: of the generator. rejected_draws: by reason, sorted.
      ledger: by kind.
    """

    images: int
    lesions: int
    wanted: int
    tried: int
    draws: int
    rejected_draws: dict[str, int]
    ledger: dict[str, Tally]

    @property
    def no_lesion_accepted(self) -> int:
        """Places where every draw was rejected."""
        return self.tried - self.lesions

    @property
    def no_valid_place(self) -> int:
        """Places that an image had no room for."""
        return self.wanted - self.tried

    def as_json(self) -> Json:
        """The manifest's numbers."""
        return {
            "images": self.images,
            "lesions": self.lesions,
            "places": {
                "wanted": self.wanted,
                "filled": self.lesions,
                "no_lesion_accepted": self.no_lesion_accepted,
                "no_valid_place": self.no_valid_place,
            },
            "draws": {
                "made": self.draws,
                "accepted": self.lesions,
                "rejected": self.rejected_draws,
            },
            "ledger": {kind: tally.as_json() for kind, tally in self.ledger.items()},
        }


def counts_of(
    index: UnitIndex,
    results: Sequence[Result],
    rejections: Sequence[Rejection],
    setup: Setup,
) -> InsertionCounts:
    """What a finished run counted."""
    images = _images(results)
    rejected: collections.Counter[str] = collections.Counter()
    for result in results:
        rejected.update(result.rejected_draws)
    return InsertionCounts(
        images=len(images),
        lesions=sum(len(image.lesions) for image in images),
        wanted=sum(result.wanted for result in results),
        tried=sum(result.places for result in results),
        draws=sum(result.draws for result in results),
        rejected_draws=dict(sorted(rejected.items())),
        ledger=_ledger(index, results, rejections, setup),
    )


def _ledger(
    index: UnitIndex,
    results: Sequence[Result],
    rejections: Sequence[Rejection],
    setup: Setup,
) -> dict[str, Tally]:
    """See `rejections.ledger`; what is fit, and was not asked for, is not needed."""
    kinds = collections.Counter(item.kind for item in rejections)
    new = kinds - collections.Counter(item.kind for item in index.rejections)
    images = _images(results)
    removed = sum(len(image.lesions) for image in images) if setup.removal else 0
    marks = sum(len(image.marks) for image in index.images)
    return ledger(
        read=index.read,
        used={
            IMAGES: len(images),
            MARKS: removed,
            FILES: index.read.get(FILES, 0) - kinds[FILES],
        },
        not_needed={
            IMAGES: len(index.images) - len(images) - new[IMAGES],
            MARKS: marks - removed - new[MARKS],
        },
        rejected=rejections,
    )


def summary(counts: InsertionCounts, setup: Setup, directory: Path) -> str:
    """The outcome in a few lines, for the console."""
    done = "removed from" if setup.removal else "inserted into"
    images = counts.ledger[IMAGES]
    lines = [
        f"{counts.lesions} lesions {done} {counts.images} images; {counts.wanted} "
        f"places wanted, {counts.no_valid_place} without room, "
        f"{counts.no_lesion_accepted} without an accepted lesion",
        f"draws: {counts.draws} made, {counts.lesions} accepted"
        + _in_brackets(counts.rejected_draws),
        images.line(IMAGES) + _in_brackets(images.rejected),
        f"insert_lesions: {directory} (images/, boxes.json, boxes.csv, masks/, viewer.html)",
    ]
    return "\n".join(lines)


def _in_brackets(reasons: Mapping[str, int]) -> str:
    """How many of each reason; empty without any."""
    counts = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    return f" ({counts})" if counts else ""


PROGRAM = "insert_lesions"
BOXES_JSON, BOXES_CSV, PREVIEWS_JSON = "boxes.json", "boxes.csv", "previews.json"
REJECTIONS_FILE, REAL_LESIONS = "rejections.csv", "real_lesions.csv"


def insert_lesions(config: InsertionConfig) -> None:
    """Makes the images that the config describes, or says that they are already there.

    Raises `UserError` for a missing or damaged generator, a missing or empty input, unknown Beam
    options, and when no image could be made.
    """
    options = beam_options(config.beam)
    if files.is_remote(config.output_dir):
        raise UserError(f"--output_dir={config.output_dir}: expected a local directory")
    check_paths(options, generator=config.generator, output_dir=config.output_dir)

    def open_inputs() -> tuple[Setup, PatchesConfig, Source]:
        setup, patches = setup_of(config, read_card(config.generator)), source_config(config)
        if config.structured_reports:
            check_possible(setup)
        return setup, patches, open_source(patches)

    def work(inputs: tuple[Setup, PatchesConfig, Source], run: Run) -> None:
        setup, patches, source = inputs
        try:
            index = index_of(source, patches, str(run.directory / sources_index.DIRECTORY), options)
            setup = _with_real_lesions(setup, index, run, options)
            plan = planned(index, setup)
        except UserError:
            if not files.is_directory(
                str(run.directory / DIRECTORY / "images")
            ):  # nothing was done
                files.remove_directory(str(run.directory / DIRECTORY))
                (run.directory / RUN_FILE).unlink()
            raise
        threads = resolve_threads(config, run.directory)
        save_threads(run.directory, threads)
        stages = InsertLesions(setup, threads)
        results = _until_enough(plan.tasks, setup, stages, str(run.directory / DIRECTORY), options)
        _finish(run.directory, setup, index, plan, results)

    scratch = str(Path(config.output_dir) / DIRECTORY)
    run_to_the_end(
        *(config.output_dir, PROGRAM, config, open_inputs, work),
        drop_scratch=lambda: files.remove_directory(scratch),
    )


def _with_real_lesions(setup: Setup, index: UnitIndex, run: Run, options: Any) -> Setup:
    """The setup with the real lesions of the index, where others are to be like them."""
    if not setup.needs_real:
        return setup
    config = setup.config
    measure = MeasureLesions(
        setup.task, setup.reduction, setup.spacing_mm, config.allow_synthetic, config.admit_special
    )
    images = with_real_lesions(index.images, setup.task, config.seed)
    items = [dataclasses.asdict(image) for image in images]
    directory = str(run.directory / DIRECTORY)
    with progress_bar(len(items), "Looking at real lesions", "images") as bar:
        results = []
        for result in work_results(measure, items, directory, "real", options):
            results.append(result)
            bar.update()
    return setup.with_real(real_lesions_from(results))


def _until_enough(
    tasks: Sequence[Task], setup: Setup, stages: InsertLesions, directory: str, options: Any
) -> list[Result]:
    """The results of the first tasks, in their order, that give as many images as are wanted.

    Each round tries as many images as should suffice at the rate so far; surplus ones are removed.
    """
    each = 2 if setup.config.both_views else 1  # images of a task
    wanted = setup.config.images or each * len(tasks)
    label = "Removing lesions" if setup.removal else "Inserting lesions"
    results: list[Result] = []
    for number in itertools.count():
        made, tried = len(_images(results)), len(results)
        if made >= wanted or tried == len(tasks):
            return _first(results, wanted, setup)
        tries = tried / max(made, 1) if tried else 1.0 / each  # for an image
        last = tried + math.ceil((wanted - made) * tries)
        shown = tried + math.ceil(max(setup.config.previews - made, 0) * tries)
        items = [
            work_item(task.images, place < shown, task.listed, task.wanted)
            for place, task in enumerate(tasks[tried:last], tried)
        ]
        names = {item["name"]: place for place, item in enumerate(items)}
        with files_bar(f"{directory}/images", set(names), label):
            done = run_work(stages, items, directory, f"round{number}", options)
        results += sorted(map(result_from, done), key=lambda result: names[result.name])
    raise AssertionError


def _images(results: Sequence[Result]) -> list[MadeImage]:
    return [image for result in results for image in result.images]


def _first(results: list[Result], wanted: int, setup: Setup) -> list[Result]:
    """The results up to the last image that is wanted.

    Removes the files of later images, and of previews beyond --previews.
    """
    made = list(itertools.accumulate(len(result.images) for result in results))
    last = next((place for place, count in enumerate(made, 1) if count >= wanted), len(results))
    for image in _images(results[last:]):
        _remove(image.files, setup)
    left = setup.config.previews
    kept = []
    for result in results[:last]:
        images = []
        for image in result.images:
            left -= image.preview is not None
            images.append(image if left >= 0 else _without_preview(image, setup))
        kept.append(dataclasses.replace(result, images=tuple(images)))
    return kept


def _without_preview(image: MadeImage, setup: Setup) -> MadeImage:
    if image.preview:
        _remove(image.preview.files, setup)
    return dataclasses.replace(image, preview=None)


def _remove(names: Sequence[str], setup: Setup) -> None:
    for name in names:
        path = Path(setup.config.output_dir, name)
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            os.removedirs(path.parent)


def _finish(
    directory: Path, setup: Setup, index: UnitIndex, plan: Plan, results: list[Result]
) -> None:
    """Writes tables and manifest, removes what only a run needs, and prints the outcome."""
    config = setup.config
    images = sorted(_images(results), key=lambda image: image.source_sop_uid)
    new = {rejection for result in results for rejection in result.rejections}
    new |= set(plan.rejections)
    if not images:
        raise UserError(f"{config.input_dir}: no image could be made{left_out(new)}")
    about = {
        "program": PROGRAM,
        "version": __version__,
        "task": setup.task,
        "generator_checksum": setup.card.checksum,
        "seed": config.seed,
    }
    write_json(directory / BOXES_JSON, coco(images, setup.task, about))
    files.write_atomically_from(str(directory / BOXES_CSV), boxes_csv(images, setup.task))
    previews = [image.preview.as_json() for image in images if image.preview]
    phantom = {"phantom": True} if is_drawn(config.input_dir) else {}
    if setup.card.phantom:
        phantom["generator_phantom"] = True
    learnt_from = {
        "generator_patients": setup.card.patients,
        "generator_patches_sha256": setup.card.patches_manifest_sha256,
    }
    content = {"format": 1, "task": setup.task, **phantom, "images": previews}
    write_json(directory / PREVIEWS_JSON, content)
    if previews:
        write_viewer(directory)
    if config.source == "optimam":
        write_documents(str(directory / INSERTED_IMAGES), images, setup.task, about)
    written = _written_on_demand(directory, setup, plan, images)
    rejections = [*index.rejections, *new]
    table = rejections_csv(rejections, config.input_dir)
    files.write_atomically_from(str(directory / REJECTIONS_FILE), table)
    counts = counts_of(index, results, rejections, setup)
    content = {**about, **learnt_from, **phantom, **counts.as_json(), **written}
    finish_run(directory, PROGRAM, content)
    print(summary(counts, setup, directory))


def _written_on_demand(
    directory: Path, setup: Setup, plan: Plan, images: Sequence[MadeImage]
) -> Json:
    """Writes what only some flags ask for; returns what the manifest says of it."""
    said: Json = {}
    if setup.config.structured_reports:
        said["structured_reports"] = write_structured_reports(str(directory), images, setup)
    if setup.listed:
        said["listed_places_left_out"] = dict(plan.left_out)
    if setup.real:
        files.write_atomically_from(str(directory / REAL_LESIONS), setup.real.csv())
        counts = {**setup.real.counts(), "left_out": dict(setup.real.left_out)}
        said["real_lesions"] = counts
    return said
