"""The index as tables: what every image and mark is good for, or why not, without a pixel read.

`make_patches --list_only` writes them. A listing is not a run: it may be in the directory of a
later run, which neither needs nor changes it, but it is not written into that of an earlier one.
"""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from beam_pipelines.patches.ledger import index_ledger_json, normals_beside, remarks, shown_detail
from beam_pipelines.rejections import (
    FILES,
    IMAGES,
    MARKS,
    Origin,
    Rejection,
    counted_reasons,
)
from beam_pipelines.sources.base import HEALTHY, UNKNOWN, Image, Mark, UnitIndex, split_of
from beam_pipelines.sources.index import DIRECTORY, index_of, open_source
from beam_pipelines.storage import files
from beam_pipelines.storage.files import csv_parts
from beam_pipelines.storage.output import open_directory
from cgan_tf import __version__
from cgan_tf.config import PatchesConfig
from cgan_tf.labels import NORMAL, UNLABELLED
from cgan_tf.runs.directory import RUN_FILE, Json
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import config_to_dict

IMAGE_COLUMNS = (
    "file", "client_id", "study_uid", "sop_uid", "laterality", "view", "split", "good_for",
    "evidence", "marks", "usable_marks", "reason", "detail",
)  # fmt: skip
MARK_COLUMNS = (
    "file", "mark_id", "client_id", "study_uid", "sop_uid", "laterality", "view", "split",
    "patch_class", "has_mass", "has_calcification", "x0", "y0", "x1", "y1", "repairs",
    "conspicuity", "evidence", "reason", "detail",
)  # fmt: skip
FILE_COLUMNS = ("file", "reason", "detail")

Row = dict[str, Any]  # of a CSV table, by column


def image_rows(index: UnitIndex, config: PatchesConfig) -> Iterator[Row]:
    """The images in the order of their files."""
    usable = collections.Counter({image.path: len(image.marks) for image in index.images})
    rejected = collections.Counter(_file_of(item) for item in _of_kind(index, MARKS))
    entries: list[Image | Rejection] = [*index.images, *_of_kind(index, IMAGES)]
    for entry in sorted(entries, key=_path):
        path = _path(entry)
        counts = {"marks": usable[path] + rejected[path], "usable_marks": usable[path]}
        if isinstance(entry, Rejection):
            yield _rejected(entry, path, config) | counts
            continue
        evidence = dict.fromkeys(mark.evidence for mark in entry.marks) or [entry.evidence]
        what = {"good_for": " ".join(good_for(entry, config)), "evidence": "; ".join(evidence)}
        yield _place(path, entry.origin(), config) | what | counts


def mark_rows(index: UnitIndex, config: PatchesConfig) -> Iterator[Row]:
    """The marks in the order of their files and keys."""
    rows = [
        _place(image.path, image.origin(mark.mark_id), config) | _description(mark)
        for image in index.images
        for mark in image.marks
    ]
    rows += [_rejected(item, _file_of(item), config) for item in _of_kind(index, MARKS)]
    yield from sorted(rows, key=lambda row: (row["file"], row["mark_id"]))


def file_rows(index: UnitIndex, config: PatchesConfig) -> Iterator[Row]:
    """The other files that were left out."""
    for item in _of_kind(index, FILES):
        yield _reason(item, item.name, config)


def good_for(image: Image, config: PatchesConfig) -> list[str]:
    """The classes of the patches that an image can give; `source` counts as normal."""
    if image.use == UNKNOWN:
        return [NORMAL if config.assume_normal else UNLABELLED]
    normal = image.use == HEALTHY or image.normals_beside
    return sorted({mark.patch_class for mark in image.marks} | ({NORMAL} if normal else set()))


def _of_kind(index: UnitIndex, kind: str) -> list[Rejection]:
    return [item for item in index.rejections if item.kind == kind]


def _path(entry: Image | Rejection) -> str:
    return entry.name if isinstance(entry, Rejection) else entry.path


def _file_of(item: Rejection) -> str:
    """The file of a rejected mark."""
    assert item.origin
    return item.name.removesuffix(f"#{item.origin.mark_id}")


def _place(path: str, origin: Origin, config: PatchesConfig) -> Row:
    return {
        "file": files.relative(path, config.input_dir),
        **dataclasses.asdict(origin),
        "split": split_of(origin.client_id, config, origin.splits),
    }


def _rejected(item: Rejection, path: str, config: PatchesConfig) -> Row:
    assert item.origin
    return _place(path, item.origin, config) | _reason(item, path, config)


def _reason(item: Rejection, path: str, config: PatchesConfig) -> Row:
    return {
        "file": files.relative(path, config.input_dir),
        "reason": item.reason.value,
        "detail": shown_detail(item, config.input_dir),
    }


def _description(mark: Mark) -> Row:
    edges = zip(("x0", "y0", "x1", "y1"), mark.box, strict=bool(mark.box))
    return {
        "patch_class": mark.patch_class,
        "has_mass": mark.has_mass,
        "has_calcification": mark.has_calcification,
        **{name: int(edge) if edge.is_integer() else edge for name, edge in edges},
        "repairs": mark.repairs,
        "conspicuity": mark.conspicuity,
        "evidence": mark.evidence,
    }


LISTING_FILE = "listing.json"
TABLES = {
    "images.csv": (IMAGE_COLUMNS, image_rows),
    "marks.csv": (MARK_COLUMNS, mark_rows),
    "files.csv": (FILE_COLUMNS, file_rows),
}
LISTING_FILES = (*TABLES, LISTING_FILE)


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
        usable, ledger = usable_by_split(index, config), index_ledger_json(index)
        content = {
            "normals_from_lesion_images": normals_beside(index),
            "counts": index.counts,
            "warnings": list(index.warnings),
            "ledger": ledger,
            "splits": {
                split: {name: dataclasses.asdict(row) for name, row in classes.items()}
                for split, classes in usable.items()
            },
        }
        header = {"format": 1, "program": program, "version": __version__}
        output.write_json(LISTING_FILE, header | content | {"flags": config_to_dict(config)})
        print(_summary(index, usable, ledger, output.directory))


@dataclasses.dataclass(frozen=True)
class Usable:
    """How many patients, images and marks there are to cut the patches of a class from."""

    clients: int
    images: int
    marks: int


def usable_by_split(index: UnitIndex, config: PatchesConfig) -> dict[str, dict[str, Usable]]:
    """By split and class: how many patients, images and marks there are to cut patches from."""
    patients: dict[tuple[str, str], set[str]] = collections.defaultdict(set)
    images: collections.Counter[tuple[str, str]] = collections.Counter()
    marks: collections.Counter[tuple[str, str]] = collections.Counter()
    for image in index.images:
        split = split_of(image.client_id, config, image.splits)
        for name in good_for(image, config):
            patients[split, name].add(image.client_id)
            images[split, name] += 1
        marks.update((split, mark.patch_class) for mark in image.marks)
    usable: dict[str, dict[str, Usable]] = {}
    for split, name in sorted(images):
        key = split, name
        row = Usable(len(patients[key]), images[key], marks[key])
        usable.setdefault(split, {})[name] = row
    return usable


def table(name: str, index: UnitIndex, config: PatchesConfig) -> Iterator[bytes]:
    """One of `TABLES` as CSV, in parts; columns that a row does not have stay empty."""
    columns, rows_of = TABLES[name]
    return csv_parts(columns, rows_of(index, config))


def _summary(
    index: UnitIndex, usable: Mapping[str, Mapping[str, Usable]], ledger: Json, directory: str
) -> str:
    lines = [f"{'':<12}{'good for':<26}{'clients':>9}{'images':>9}{'marks':>9}"]
    for split, classes in usable.items():
        for name, row in classes.items():
            lines.append(f"{split:<12}{name:<26}{row.clients:>9}{row.images:>9}{row.marks:>9}")
    for kind, row in ledger.items():
        if row["read"]:
            rejected = sum(row["rejected"].values())
            reasons = counted_reasons(_of_kind(index, kind))
            lines.append(
                f"{kind}: {row['read']} read = {row['usable']} usable + {rejected} rejected"
                + (f" ({reasons})" if reasons else "")
            )
    lines += remarks(index)
    lines.append(f"make_patches --list_only: {directory} ({', '.join(LISTING_FILES)})")
    return "\n".join(lines)
