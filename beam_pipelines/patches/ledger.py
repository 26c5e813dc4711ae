"""The account of a run: what was read, used, left over and rejected, and where patches are from."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from beam_pipelines.patches.shards import Row
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Reason, Rejection, ledger
from beam_pipelines.sources.base import UnitIndex
from beam_pipelines.storage import files
from beam_pipelines.storage.tables import csv_parts


def account_of(
    index: UnitIndex, chosen: Sequence[Row], rejections: Sequence[Rejection]
) -> dict[str, Any]:
    """The ledger of the manifest, see `rejections.ledger`, with the marks' repairs."""
    used_images = {row.sop_uid for row in chosen}
    used_marks = {(row.sop_uid, row.mark_id) for row in chosen if row.mark_id}
    names = {item.name for item in rejections}
    eligible_images = {image.sop_uid for image in index.images if image.path not in names}
    eligible_marks = {
        (image.sop_uid, mark.mark_id)
        for image in index.images
        for mark in image.marks
        if mark.name_on(image) not in names
    }
    account = ledger(
        read=index.read,
        used={
            IMAGES: len(used_images),
            MARKS: len(used_marks),
            FILES: index.read.get(FILES, 0) - sum(item.kind == FILES for item in rejections),
        },
        not_needed={
            IMAGES: len(eligible_images - used_images),
            MARKS: len(eligible_marks - used_marks),
        },
        rejected=list(rejections),
    )
    account[MARKS]["repaired"] = dict(sorted(index.repairs.items()))
    return account


def account_of_index(index: UnitIndex) -> dict[str, dict[str, Any]]:
    """The ledger before anything is cut: read = usable + rejected."""
    account = account_of(index, (), index.rejections)
    return {
        kind: {"read": row.pop("read"), "usable": row.pop("used") + row.pop("not_needed"), **row}
        for kind, row in account.items()
    }


def rejections_csv(rejections: Iterable[Rejection], root: str) -> Iterator[bytes]:
    """Rejections as a sorted table, in parts; files are named from `root` of the input on."""
    shown = (
        dataclasses.replace(
            item, name=files.relative(item.name, root), detail=shown_detail(item, root)
        )
        for item in rejections
    )
    rows = (
        {"file": item.name, "kind": item.kind, "reason": item.reason.value, "detail": item.detail}
        for item in sorted(shown)
    )
    return csv_parts(("file", "kind", "reason", "detail"), rows)


def shown_detail(item: Rejection, root: str) -> str:
    """The detail of a rejection, with a file named from `root` of the input on."""
    if item.reason == Reason.DUPLICATE_IMAGE:  # its detail is the file that is used
        return files.relative(item.detail, root)
    return item.detail


def origins_of(chosen: Sequence[Row]) -> dict[str, dict[str, dict[str, int]]]:
    """By split and class: patches, and the images and clients that they are from."""
    groups: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in chosen:
        groups[row.split, row.patch_class].append(row)
    origins: dict[str, dict[str, dict[str, int]]] = {}
    for (split, name), rows in sorted(groups.items()):
        origins.setdefault(split, {})[name] = {
            "patches": len(rows),
            "images": len({row.sop_uid for row in rows}),
            "clients": len({row.client_id for row in rows}),
        }
    return origins


def remarks(content: dict[str, Any]) -> list[str]:
    """What is unusual about the data, a line each."""
    lines = [f"{name.replace('_', ' ')}: {count}" for name, count in content["counts"].items()]
    if content["normals_from_lesion_images"]:
        lines.append("normals are also cut from images with lesions, far from each of them")
    return lines


def summary(content: dict[str, Any], directory: str) -> str:
    """What a person wants to know at the end, in a few lines."""
    lines = [f"{'':<12}{'class':<26}{'patches':>9}{'images':>9}{'clients':>9}"]
    for split, classes in content["origins"].items():
        for name, row in classes.items():
            lines.append(
                f"{split:<12}{name:<26}{row['patches']:>9}{row['images']:>9}{row['clients']:>9}"
            )
    for kind, row in content["ledger"].items():
        rejected = sum(row["rejected"].values())
        if row["read"]:
            lines.append(
                f"{kind}: {row['read']} read = {row['used']} used + {row['not_needed']} not needed "
                f"+ {rejected} rejected"
            )
    lines += remarks(content)
    for row in content["shortfall"]:
        lines.append(f"short: {row['set']} has {row['found']} of {row['wanted']}")
    lines.append(f"make_patches: {directory} (manifest.json, rejections.csv)")
    return "\n".join(lines)
