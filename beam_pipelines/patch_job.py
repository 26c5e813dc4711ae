"""The patch job: index, plan, cut, choose, write shards, account."""

import collections
import contextlib
import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines import files, spills
from beam_pipelines.accounting import account_of, origins_of, shown_rejections, summary
from beam_pipelines.beam_work import beam_options, run_work
from beam_pipelines.image_work import CutToSpill, by_image, spill_name, work_item
from beam_pipelines.listing import LISTING_FILES, list_index
from beam_pipelines.plan import Draw, Quota, draws_of, next_draws, quotas_of
from beam_pipelines.rejections import IMAGES, Rejection, rejections_csv
from beam_pipelines.shards import WriteShard, chosen_rows, shard_plan, splits_of
from beam_pipelines.sources import Image, UnitIndex, open_source, read_index
from beam_pipelines.spills import Row
from cgan_tf.config import PatchesConfig
from cgan_tf.errors import UserError
from cgan_tf.progress import progress_bar
from cgan_tf.run_directory import RUN_FILE, finish_run, open_run
from cgan_tf.tfds_files import write_tfds_files

PROGRAM = "make_patches"
REJECTIONS_FILE = "rejections.csv"
_FRUITLESS_ROUNDS = 3


def make_patches(config: PatchesConfig) -> None:
    """Makes the patch set that the config describes, or with `list_only` the listing of its input;
    says so when the set is there already.

    Raises `UserError` for a missing or empty input, unknown Beam options, and counts that the
    data cannot give (unless `allow_shortfall`).
    """
    options = beam_options(config.beam)
    if config.list_only:
        list_index(config, PROGRAM)
        return
    source = open_source(config)
    with open_run(config.output_dir, PROGRAM, config, beside=LISTING_FILES) as run:
        if run.finished:
            print(f"make_patches: {run.directory} is finished, nothing to do")
            return
        spill_directory = str(run.directory / spills.DIRECTORY)
        try:
            index = read_index(source)
            quotas = quotas_of(index.images, config, source.labelled)
            hopeful = {quota.group: quota.count if quota.images else 0 for quota in quotas}
            _shortfall(hopeful, quotas, config)
        except UserError:
            if not files.is_directory(spill_directory):  # nothing was done: no run to go on with
                (run.directory / RUN_FILE).unlink()
            raise
        rows, rejections = _cut_until_enough(quotas, config, spill_directory, options)
        chosen = [row for quota in quotas for row in chosen_rows(rows, quota)]
        found = collections.Counter(row.group for row in chosen)
        shortfall = _shortfall(found, quotas, config)
        splits = _write_shards(chosen, config, spill_directory, options)
        write_tfds_files(run.directory, splits, config.size, synthetic=False)
        content = {"splits": splits, "shortfall": shortfall}
        _finish(run.directory, config, index, chosen, rejections, content)


def _cut_until_enough(
    quotas: Sequence[Quota], config: PatchesConfig, directory: str, options: Any
) -> tuple[list[Row], set[Rejection]]:
    """Rounds of cutting until every quota has its rows; nearly always one round."""
    orders = {quota.group: draws_of(quota, config) for quota in quotas}
    rows: list[Row] = []
    rejections: set[Rejection] = set()
    fruitless: collections.Counter[str] = collections.Counter()
    for number in itertools.count():
        found = collections.Counter(row.group for row in rows)
        dead = {item.name for item in rejections if item.kind == IMAGES}
        batch = []
        for quota in quotas:
            missing = quota.count - found[quota.group]
            if missing > 0 and fruitless[quota.group] < _FRUITLESS_ROUNDS:
                batch += next_draws(quota, orders[quota.group], missing, dead, number)
        if not batch:
            return rows, rejections
        new_rows, new_rejections = _cut_round(batch, config, directory, number, options)
        rows += new_rows
        rejections |= new_rejections
        gained = collections.Counter(row.group for row in new_rows)
        fruitless.update(quota.group for quota in quotas if not gained[quota.group])
    raise AssertionError


def _cut_round(
    batch: list[tuple[Image, Draw]],
    config: PatchesConfig,
    directory: str,
    number: int,
    options: Any,
) -> tuple[list[Row], set[Rejection]]:
    work = by_image(batch)
    names = {spill_name(image, draws) for image, draws in work}
    items = (work_item(image, draws) for image, draws in work)
    with _spill_bar(directory, names):
        results = run_work(
            CutToSpill(config, directory), items, directory, f"round{number}", options
        )
    rows = [Row(*values) for result in results for values in result["rows"]]
    rejections = {
        spills.rejection_from(values) for result in results for values in result["rejections"]
    }
    return rows, rejections


@contextlib.contextmanager
def _spill_bar(directory: str, names: set[str]) -> Iterator[None]:
    """A bar that counts spill files, which any number of workers write."""
    stop = threading.Event()
    with progress_bar(len(names), "Cutting patches", "images") as bar:

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


def _write_shards(
    chosen: list[Row], config: PatchesConfig, directory: str, options: Any
) -> dict[str, Any]:
    items = shard_plan(chosen, config.shard_megabytes * 1_000_000)
    work = WriteShard(config.output_dir, directory)
    return splits_of(run_work(work, items, directory, "shards", options))


def _shortfall(
    found: Mapping[str, int], quotas: Sequence[Quota], config: PatchesConfig
) -> list[dict[str, Any]]:
    """The quotas that are not met; a `UserError` with them unless a shortfall is allowed."""
    short = [
        {"set": quota.group, "wanted": quota.count, "found": found[quota.group]}
        for quota in quotas
        if found[quota.group] < quota.count
    ]
    if short and not config.allow_shortfall:
        lines = [f"  {row['set']:<36}{row['wanted']:>10}{row['found']:>10}" for row in short]
        raise UserError(
            f"{config.input_dir} cannot give these counts; lower them, or finish with fewer "
            "(--allow_shortfall):\n"
            + "\n".join([f"  {'set':<36}{'wanted':>10}{'found':>10}", *lines])
        )
    return short


def _finish(
    directory: Path,
    config: PatchesConfig,
    index: UnitIndex,
    chosen: list[Row],
    cut_rejections: set[Rejection],
    content: dict[str, Any],
) -> None:
    """Writes the rejections and the manifest, removes the spills, and prints what there is."""
    rejections = [*index.rejections, *cut_rejections]
    account = account_of(index, chosen, rejections)
    shown = shown_rejections(rejections, config.input_dir)
    files.write_atomically(str(directory / REJECTIONS_FILE), rejections_csv(shown))
    content = {
        "seed": config.seed,
        "normals_from_lesion_images": any(image.normals_beside for image in index.images),
        "counts": index.counts,
        **content,
        "origins": origins_of(chosen),
        "ledger": account,
    }
    finish_run(directory, PROGRAM, content)
    files.remove_directory(str(directory / spills.DIRECTORY))
    print(summary(content, directory))
