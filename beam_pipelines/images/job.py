"""The job of make_images: index, choose images, reduce them, write shards and a manifest."""

import collections
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from beam_pipelines.images.reduction import (
    ReduceAndKeep,
    Result,
    kept_name,
    result_from,
    work_item,
)
from beam_pipelines.jobs.options import beam_options, check_paths
from beam_pipelines.jobs.work import files_bar, run_work
from beam_pipelines.patches.job import REJECTIONS_FILE, check_config
from beam_pipelines.patches.ledger import rejections_csv
from beam_pipelines.patches.plan import lesion_clients, of_lesion_clients
from beam_pipelines.patches.shards import WriteShard, shard_plan, splits_of, written_from
from beam_pipelines.rejections import (
    FILES,
    IMAGES,
    KINDS,
    MARKS,
    Reason,
    Rejection,
    Tally,
    ledger,
    left_out,
)
from beam_pipelines.sources import index as sources_index
from beam_pipelines.sources.base import (
    UNKNOWN,
    Image,
    Source,
    UnitIndex,
    reject_image,
    split_of,
)
from beam_pipelines.sources.index import index_of, open_source
from beam_pipelines.storage import files
from beam_pipelines.storage.output import Output, open_run
from cgan_tf.config import ImagesConfig, PatchesConfig
from cgan_tf.data.images import KINDS as IMAGE_KINDS
from cgan_tf.data.images import PROGRAM
from cgan_tf.data.patch_sets import Splits, splits_json
from cgan_tf.data.provenance import is_drawn, manifest_of_images, patient_digest
from cgan_tf.labels import SPLITS
from cgan_tf.runs.directory import RUN_FILE, Json, run_to_the_end
from cgan_tf.runs.errors import UserError

SCRATCH = ".images"  # in the output, while the run is unfinished
_INSERTION = ("task", "generator_checksum", "generator_patients", "generator_patches_sha256")


def make_images(config: ImagesConfig) -> None:
    """Makes the set of images that the config describes, or says that it is already there.

    Raises `UserError` for a missing or empty input, a source that does not know what its images
    show, and unknown Beam options.
    """
    patches = as_patches(config)
    check_config(patches)
    lesion_clients(patches)
    options = beam_options(config.beam)
    check_paths(options, input_dir=config.input_dir, output_dir=config.output_dir)
    files.check_path(config.input_dir)

    def work(source: Source, run: Output) -> None:
        scratch = run.path(SCRATCH)
        try:
            index = index_of(source, patches, run.path(sources_index.DIRECTORY), options)
            index = without_unusable_marks(index)
            chosen = chosen_images(index, patches)
        except UserError:
            if not files.is_directory(scratch):  # nothing was done: no run to go on with
                run.remove(RUN_FILE)
            raise
        items = [work_item(image, split) for image, split in chosen]
        names = {kept_name(image) for image, _ in chosen}
        with files_bar(scratch, names, "Reducing images"):
            done = run_work(ReduceAndKeep(patches, scratch), items, scratch, "images", options)
        _finish(run, config, index, sorted(map(result_from, done), key=_order), options)

    run_to_the_end(
        config.output_dir,
        PROGRAM,
        config,
        lambda: open_source(patches),
        work,
        opened=open_run,
        drop_scratch=lambda: files.remove_directory(os.path.join(config.output_dir, SCRATCH)),
    )


def as_patches(config: ImagesConfig) -> PatchesConfig:
    """The flags that say what is read, as sources expect them."""
    known = {field.name for field in dataclasses.fields(PatchesConfig)}
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return PatchesConfig(**{name: value for name, value in values.items() if name in known})


def without_unusable_marks(index: UnitIndex) -> UnitIndex:
    """The index without images that have a mark which cannot be used, whatever else is on them.

    A detector would learn, or be told by the test, that there is nothing in its place.
    """
    unusable = {
        item.origin.sop_uid
        for item in index.rejections
        if item.kind == MARKS and item.origin and item.reason != Reason.DUPLICATE_MARK
    }
    out = [image for image in index.images if image.sop_uid in unusable]
    new = [item for image in out for item in reject_image(image, Reason.UNUSABLE_MARK)]
    return dataclasses.replace(
        index,
        images=tuple(image for image in index.images if image.sop_uid not in unusable),
        rejections=(*index.rejections, *new),
    )


def chosen_images(index: UnitIndex, config: PatchesConfig) -> list[tuple[Image, str]]:
    """(image, split) of all images of which it is known what they show.

    Training images with lesions of clients that --train_lesion_clients leaves out are not among
    them. Raises `UserError` where no image is left.
    """
    by_split: dict[str, list[Image]] = {split: [] for split in SPLITS}
    for image in index.images:
        if image.use != UNKNOWN:
            by_split[split_of(image.client_id, config, image.splits)].append(image)
    by_split["train"] = of_lesion_clients(by_split["train"], config)
    chosen = [(image, split) for split, images in by_split.items() for image in images]
    if not chosen:
        raise UserError(
            f"{config.input_dir}: expected images with lesions or healthy ones, found none"
            f"{left_out(index.rejections)}"
        )
    return chosen


def _order(result: Result) -> tuple[str, str]:
    return (result.row.sop_uid, "") if result.row else ("", result.rejections[0].name)


def _finish(
    run: Output, config: ImagesConfig, index: UnitIndex, results: list[Result], options: Any
) -> None:
    """Writes shards, rejections and the manifest, and prints the outcome."""
    new = [item for result in results for item in result.rejections]
    made = [result for result in results if result.row]
    if not made:
        raise UserError(f"{config.input_dir}: no image could be read{left_out(new)}")
    rows = [result.row for result in made if result.row]
    plan = shard_plan(rows, config.shard_megabytes * 1_000_000)
    scratch = run.path(SCRATCH)
    items = (planned.as_item() for planned in plan)
    written = run_work(WriteShard(run.directory, scratch), items, scratch, "shards", options)
    splits = splits_of(list(map(written_from, written)))
    rejections = [*index.rejections, *new]
    run.write(REJECTIONS_FILE, rejections_csv(rejections, config.input_dir))
    tallies = _ledger(index, made, rejections)
    made_by = manifest_of_images(config.input_dir)
    inserted = made_by if made_by.get("program") == "insert_lesions" else {}
    content: Json = {
        "seed": config.seed,
        **({"phantom": True} if is_drawn(config.input_dir) else {}),
        "largest": [max(result.shape[axis] for result in made) for axis in (0, 1)],
        "splits": splits_json(splits),
        "patients": _patients(made),
        **({"inserted": {key: inserted.get(key, "") for key in _INSERTION}} if inserted else {}),
        "ledger": {kind: tally.as_json() for kind, tally in tallies.items()},
    }
    run.finish(content)
    print(_summary(splits, made, tallies, run.directory))


def _patients(made: Sequence[Result]) -> dict[str, list[str]]:
    """The women of each split, as digests."""
    found = collections.defaultdict(set)
    for result in made:
        if result.row:
            found[result.row.split].add(patient_digest(result.row.client_id))
    return {split: sorted(found[split]) for split in SPLITS if split in found}


def _ledger(
    index: UnitIndex, made: Sequence[Result], rejections: Sequence[Rejection]
) -> dict[str, Tally]:
    """See `rejections.ledger`; images that nobody asked for are not needed."""
    kinds = collections.Counter(item.kind for item in rejections)
    used = {
        IMAGES: len(made),
        MARKS: sum(result.marks for result in made),
        FILES: index.read.get(FILES, 0) - kinds[FILES],
    }
    return ledger(
        read=index.read,
        used=used,
        not_needed={kind: index.read.get(kind, 0) - used[kind] - kinds[kind] for kind in KINDS},
        rejected=rejections,
    )


def _summary(
    splits: Splits, made: Sequence[Result], tallies: dict[str, Tally], directory: str
) -> str:
    """The outcome in a few lines, for the console."""
    patients = collections.defaultdict(set)
    for result in made:
        if result.row:
            patients[result.row.group].add(result.row.client_id)
    lines = [f"{'':<12}{'kind':<14}{'images':>9}{'clients':>9}"]
    for split in SPLITS:
        for kind in IMAGE_KINDS:
            if kind in splits.get(split, {}):
                count, clients = splits[split][kind].count, len(patients[f"{split}/{kind}"])
                lines.append(f"{split:<12}{kind:<14}{count:>9}{clients:>9}")
    lines += [tally.line(kind) for kind, tally in tallies.items() if tally.read]
    lines.append(f"{PROGRAM}: {directory} (manifest.json, rejections.csv)")
    return "\n".join(lines)
