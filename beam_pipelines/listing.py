"""The index as tables: what every image and mark is good for, or why not, without a pixel read.

`make_patches --list_only` writes them. A listing is no run: it may lie in the directory of a later
run, which neither needs nor changes it, but is not written into that of an earlier one.
"""

import collections
import csv
import io
import itertools
from collections.abc import Iterator
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.accounting import account_of_index, remarks
from beam_pipelines.index_work import DIRECTORY, index_of
from beam_pipelines.listing_rows import (
    FILE_COLUMNS,
    IMAGE_COLUMNS,
    MARK_COLUMNS,
    file_rows,
    good_for,
    image_rows,
    mark_rows,
)
from beam_pipelines.output import open_directory
from beam_pipelines.sources import UnitIndex, open_source, split_of
from cgan_tf import __version__
from cgan_tf.config import PatchesConfig
from cgan_tf.errors import UserError
from cgan_tf.flag_config import config_to_dict
from cgan_tf.run_directory import RUN_FILE

LISTING_FILE = "listing.json"
TABLES = {
    "images.csv": (IMAGE_COLUMNS, image_rows),
    "marks.csv": (MARK_COLUMNS, mark_rows),
    "files.csv": (FILE_COLUMNS, file_rows),
}
LISTING_FILES = (*TABLES, LISTING_FILE)
_CHUNK = 1000  # rows written at a time


def list_index(config: PatchesConfig, program: str, options: PipelineOptions) -> None:
    """Writes the listing of `program`; `listing.json` comes last and vouches for the tables.

    Raises `UserError` for a missing or empty input, and for a directory that holds a run.
    """
    source = open_source(config)
    with open_directory(config.output_dir, program, LISTING_FILES) as output:
        if output.exists(RUN_FILE):
            raise UserError(
                f"{output.directory}: holds a run; --list_only needs a directory without one"
            )
        index = index_of(source, config, output.path(DIRECTORY), options)
        output.remove(LISTING_FILE)  # of an earlier listing
        for name in TABLES:
            output.write(name, table(name, index, config))
        content = {
            "normals_from_lesion_images": any(image.normals_beside for image in index.images),
            "counts": index.counts,
            "ledger": account_of_index(index),
            "splits": usable_by_split(index, config),
        }
        header = {"format": 1, "program": program, "version": __version__}
        output.write_json(LISTING_FILE, header | content | {"flags": config_to_dict(config)})
        print(_summary(content, output.directory))


def usable_by_split(index: UnitIndex, config: PatchesConfig) -> dict[str, dict[str, Any]]:
    """By split and class: how many clients, images and marks there are to cut patches from."""
    clients: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    images: collections.Counter[tuple[str, str]] = collections.Counter()
    marks: collections.Counter[tuple[str, str]] = collections.Counter()
    for image in index.images:
        split = split_of(image.client_id, config, image.splits)
        for name in good_for(image, config):
            clients[split, name].add(image.client_id)
            images[split, name] += 1
        marks.update((split, mark.patch_class) for mark in image.marks)
    found: dict[str, dict[str, Any]] = {}
    for split, name in sorted(images):
        key = split, name
        row = {"clients": len(clients[key]), "images": images[key], "marks": marks[key]}
        found.setdefault(split, {})[name] = row
    return found


def table(name: str, index: UnitIndex, config: PatchesConfig) -> Iterator[bytes]:
    """One of `TABLES` as CSV, in parts; columns that a row does not have stay empty."""
    columns, rows_of = TABLES[name]
    heading = dict(zip(columns, columns, strict=True))
    rows = itertools.chain([heading], rows_of(index, config))
    while part := list(itertools.islice(rows, _CHUNK)):
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writerows(part)
        yield text.getvalue().encode(errors="backslashreplace")  # names of files need not be text


def _summary(content: dict[str, Any], directory: str) -> str:
    lines = [f"{'':<12}{'good for':<26}{'clients':>9}{'images':>9}{'marks':>9}"]
    for split, classes in content["splits"].items():
        for name, row in classes.items():
            numbers = "".join(f"{row[column]:>9}" for column in ("clients", "images", "marks"))
            lines.append(f"{split:<12}{name:<26}{numbers}")
    for kind, row in content["ledger"].items():
        if row["read"]:
            rejected = sum(row["rejected"].values())
            lines.append(
                f"{kind}: {row['read']} read = {row['usable']} usable + {rejected} rejected"
            )
    lines += remarks(content)
    lines.append(f"make_patches --list_only: {directory} ({', '.join(LISTING_FILES)})")
    return "\n".join(lines)
