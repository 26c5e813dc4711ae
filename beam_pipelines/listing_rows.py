"""Rows of a listing: one for each image, mark and left-out file that an index has met."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

from beam_pipelines import files
from beam_pipelines.accounting import shown_detail
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Origin, Rejection
from beam_pipelines.sources import HEALTHY, UNKNOWN, Image, Mark, UnitIndex, split_of
from cgan_tf.config import NORMAL, UNLABELLED, PatchesConfig

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

Row = dict[str, Any]


def image_rows(index: UnitIndex, config: PatchesConfig) -> Iterator[Row]:
    """The images in the order of their files."""
    usable = collections.Counter({image.path: len(image.marks) for image in index.images})
    rejected = collections.Counter(_file_of(item) for item in _of_kind(index, MARKS))
    for entry in sorted([*index.images, *_of_kind(index, IMAGES)], key=_path):
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
