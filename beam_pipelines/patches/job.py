"""The job of make_patches: index, plan, cut, choose, write shards and what became of it all."""

import collections
import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.jobs import work as jobs_work
from beam_pipelines.jobs.options import beam_options, check_paths
from beam_pipelines.jobs.work import files_bar, work_results
from beam_pipelines.patches import shards
from beam_pipelines.patches.ledger import (
    Outcome,
    Shortfall,
    ledger_of,
    origins_of,
    rejections_csv,
    summary,
)
from beam_pipelines.patches.listing import LISTING_FILES, list_index
from beam_pipelines.patches.plan import Draw, Quota, draws_of, lesion_clients, next_draws, quotas_of
from beam_pipelines.patches.shards import (
    CutToSpill,
    Row,
    WriteShard,
    by_image,
    chosen_rows,
    shard_plan,
    spill_name,
    spilled_from,
    splits_of,
    work_item,
    written_from,
)
from beam_pipelines.rejections import IMAGES, Rejection, counted_reasons
from beam_pipelines.sources import index as sources_index
from beam_pipelines.sources.base import Image, Source, UnitIndex
from beam_pipelines.sources.index import open_source
from beam_pipelines.storage import files
from beam_pipelines.storage.output import Output, open_run
from cgan_tf.config import PatchesConfig
from cgan_tf.data import tfds_files
from cgan_tf.data.patch_sets import Splits
from cgan_tf.runs.directory import RUN_FILE, Json, run_to_the_end
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

PROGRAM = "make_patches"
REJECTIONS_FILE = "rejections.csv"
_FRUITLESS_ROUNDS = 3


def make_patches(config: PatchesConfig) -> None:
    """Makes the patch set that the config describes, or with `list_only` the listing of its input;
    says so when the set is there already.

    Raises `UserError` for a missing or empty input, unknown Beam options, and counts that the
    data cannot give (unless `allow_shortfall`).
    """
    check_config(config)
    lesion_clients(config)
    options = beam_options(config.beam)
    inputs = {"input_dir": config.input_dir}
    if config.normals_dir:
        inputs["normals_dir"] = config.normals_dir
    check_paths(options, **inputs, output_dir=config.output_dir)
    for path in inputs.values():
        files.check_path(path)
    if config.list_only:
        list_index(config, PROGRAM, options)
        return

    def work(source: Source, run: Output) -> None:
        job = _Job(config, options, run.path(shards.DIRECTORY))
        try:
            index = job.index(source, run)
            quotas = quotas_of(index.images, config, source.labelled)
            hopeful = {quota.group: quota.count if quota.images else 0 for quota in quotas}
            _shortfall(hopeful, quotas, config, index.rejections)
        except UserError:
            if not files.is_directory(job.directory):  # nothing was done: no run to go on with
                run.remove(RUN_FILE)
            raise
        quotas, rows, rejections = _cut_until_settled(index.images, source.labelled, job)
        chosen = [row for quota in quotas for row in chosen_rows(rows, quota)]
        counts = collections.Counter(row.group for row in chosen)
        left_out = [*index.rejections, *rejections]
        shortfall = _shortfall(counts, quotas, config, left_out)
        splits = job.write_shards(chosen)
        run.write_json(tfds_files.FEATURES_FILE, tfds_files.features(config.size, synthetic=False))
        run.write_json(tfds_files.INFO_FILE, tfds_files.dataset_info(splits, synthetic=False))
        metrics = {step: collected.as_json() for step, collected in job.measured.items()}
        run.write_json(jobs_work.FILE, metrics)
        ledger = ledger_of(index, chosen, left_out)
        origins = origins_of(chosen)
        outcome = Outcome(config, index, ledger, splits, tuple(shortfall), origins)
        _finish(run, outcome, left_out)

    run_to_the_end(
        config.output_dir,
        PROGRAM,
        config,
        lambda: open_source(config),
        work,
        beside=LISTING_FILES,
        opened=open_run,
        drop_scratch=lambda: files.remove_directory(
            os.path.join(config.output_dir, shards.DIRECTORY)
        ),
    )


def check_config(config: PatchesConfig) -> None:
    """Raises `UserError` for values that no patch can be cut with."""
    check_ranges(config)
    if config.train_fraction + config.validation_fraction > 1:
        raise UserError(
            "--train_fraction and --validation_fraction: expected 1 or less in all, found "
            f"{config.train_fraction + config.validation_fraction:g}"
        )
    if config.scale_max < config.scale_min:
        raise UserError(
            f"--scale_max: expected --scale_min={config.scale_min:g} or more, found "
            f"{config.scale_max:g}"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    """The work of a run that Beam does.

    Attributes:
      directory: of the spill files.
      measured: the metrics of each step.
    """

    config: PatchesConfig
    options: PipelineOptions
    directory: str
    measured: dict[str, jobs_work.Collected] = dataclasses.field(default_factory=dict)

    def index(self, source: Source, run: Output) -> UnitIndex:
        """The images, marks and rejections of the input."""
        with self._measuring("index") as collected:
            directory = run.path(sources_index.DIRECTORY)
            return sources_index.index_of(source, self.config, directory, self.options, collected)

    def cut(self, batch: list[tuple[Image, Draw]], number: int) -> tuple[list[Row], set[Rejection]]:
        """The rows and the rejections of round `number`."""
        work = by_image(batch)
        names = {spill_name(image, draws) for image, draws in work}
        items = (work_item(image, draws) for image, draws in work)
        rows: list[Row] = []
        rejections: set[Rejection] = set()
        with (
            self._measuring("cut") as collected,
            files_bar(self.directory, names, "Cutting patches"),
        ):
            function = CutToSpill(self.config, self.directory)
            for result in self._run(function, items, f"round{number}", collected):
                spilled = spilled_from(result)
                rows += spilled.rows
                rejections.update(spilled.rejections)
        return rows, rejections

    def write_shards(self, chosen: list[Row]) -> Splits:
        """Writes the shards of the patch set."""
        plan = shard_plan(chosen, self.config.shard_megabytes * 1_000_000)
        items = (planned.as_item() for planned in plan)
        function = WriteShard(self.config.output_dir, self.directory)
        with self._measuring("shards") as collected:
            results = self._run(function, items, "shards", collected)
            return splits_of(list(map(written_from, results)))

    def _run(
        self, function: Any, items: Iterable[Json], name: str, collected: jobs_work.Collected
    ) -> Iterator[Json]:
        return work_results(function, items, self.directory, name, self.options, collected)

    @contextlib.contextmanager
    def _measuring(self, step: str) -> Iterator[jobs_work.Collected]:
        collected = self.measured.setdefault(step, jobs_work.Collected())
        start = time.monotonic()
        yield collected
        collected.seconds += time.monotonic() - start


def _cut_until_settled(
    images: Sequence[Image], labelled: bool, job: _Job
) -> tuple[list[Quota], list[Row], set[Rejection]]:
    """Cuts what the quotas of the fit images ask for; nearly always at the first attempt.

    Which images are set aside for a class may depend on the images that there are: those that
    turn out to be unfit shall count no more than if they were not there.
    """
    rejections: set[Rejection] = set()
    quotas = quotas_of(images, job.config, labelled)
    while True:
        rows, new = _cut_until_enough(quotas, job)
        rejections |= new
        dead = {item.name for item in rejections if item.kind == IMAGES}
        alive = [image for image in images if image.path not in dead]
        fit = quotas_of(alive, job.config, labelled)
        if all(
            [image for image in quota.images if image.path not in dead] == list(settled.images)
            for quota, settled in zip(quotas, fit, strict=True)
        ):
            return fit, rows, rejections
        quotas = fit


def _cut_until_enough(quotas: Sequence[Quota], job: _Job) -> tuple[list[Row], set[Rejection]]:
    """Rounds of cutting until every quota has its rows; nearly always one round."""
    orders = {quota.group: draws_of(quota, job.config) for quota in quotas}
    rows: list[Row] = []
    rejections: set[Rejection] = set()
    fruitless: collections.Counter[str] = collections.Counter()
    for number in itertools.count():
        counts = collections.Counter(row.group for row in rows)
        dead = {item.name for item in rejections if item.kind == IMAGES}
        batch = []
        for quota in quotas:
            missing = quota.count - counts[quota.group]
            if missing > 0 and fruitless[quota.group] < _FRUITLESS_ROUNDS:
                batch += next_draws(quota, orders[quota.group], missing, dead, number)
        if not batch:
            return rows, rejections
        new_rows, new_rejections = job.cut(batch, number)
        rows += new_rows
        rejections |= new_rejections
        gained = collections.Counter(row.group for row in new_rows)
        fruitless.update(quota.group for quota in quotas if not gained[quota.group])
    raise AssertionError


def _shortfall(
    found: Mapping[str, int],
    quotas: Sequence[Quota],
    config: PatchesConfig,
    rejections: Iterable[Rejection],
) -> list[Shortfall]:
    """The quotas that are not met; a `UserError` with them, and with the reasons for which things
    were left out, unless a shortfall is allowed."""
    short = [
        Shortfall(quota.group, quota.count, found[quota.group])
        for quota in quotas
        if found[quota.group] < quota.count
    ]
    if short and not config.allow_shortfall:
        reasons = counted_reasons(rejections)
        lines = [f"  {item.set:<36}{item.wanted:>10}{item.found:>10}" for item in short]
        raise UserError(
            f"{config.input_dir} cannot give these counts; lower them, or finish with fewer "
            "(the same command with --allow_shortfall):\n"
            + "\n".join([f"  {'set':<36}{'wanted':>10}{'found':>10}", *lines])
            + (f"\nleft out: {reasons}" if reasons else "")
        )
    return short


def _finish(run: Output, outcome: Outcome, rejections: Sequence[Rejection]) -> None:
    """Writes the rejections and the manifest, and prints what there is."""
    run.write(REJECTIONS_FILE, rejections_csv(rejections, outcome.config.input_dir))
    run.finish(outcome.as_json())
    print(summary(outcome, run.directory))
