"""What a run read, used, did not need and rejected, and where its patches are from."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from beam_pipelines.patches.shards import Row
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Reason, Rejection, Tally, ledger
from beam_pipelines.sources.base import UnitIndex
from beam_pipelines.storage import files
from beam_pipelines.storage.files import csv_parts
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import Splits, splits_json
from cgan_tf.data.provenance import is_drawn
from cgan_tf.runs.directory import Json


def ledger_of(
    index: UnitIndex, chosen: Sequence[Row], rejections: Sequence[Rejection]
) -> dict[str, Tally]:
    """The ledger of a run, see `rejections.ledger`."""
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
    return ledger(
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
        rejected=rejections,
    )


def ledger_json(tallies: Mapping[str, Tally], index: UnitIndex) -> Json:
    """The ledger of the manifest, with the marks' repairs."""
    rows = {kind: tally.as_json() for kind, tally in tallies.items()}
    rows[MARKS]["repaired"] = dict(sorted(index.repairs.items()))
    return rows


def index_ledger_json(index: UnitIndex) -> Json:
    """The ledger before anything is cut: read = usable + rejected."""
    rows = ledger_json(ledger_of(index, (), index.rejections), index)
    return {
        kind: {"read": row.pop("read"), "usable": row.pop("used") + row.pop("not_needed"), **row}
        for kind, row in rows.items()
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


@dataclasses.dataclass(frozen=True)
class Origins:
    """How many images and patients the patches of a class are from."""

    patches: int
    images: int
    clients: int


def origins_of(chosen: Sequence[Row]) -> dict[str, dict[str, Origins]]:
    """Where the patches are from, by split and class."""
    groups: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in chosen:
        groups[row.split, row.patch_class].append(row)
    origins: dict[str, dict[str, Origins]] = {}
    for (split, name), rows in sorted(groups.items()):
        origins.setdefault(split, {})[name] = Origins(
            patches=len(rows),
            images=len({row.sop_uid for row in rows}),
            clients=len({row.client_id for row in rows}),
        )
    return origins


@dataclasses.dataclass(frozen=True)
class Shortfall:
    """A quota that is not met: its group, how many patches were wanted and found."""

    set: str
    wanted: int
    found: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run has made and from what.

    Attributes:
      ledger: by kind. splits: see `shards.splits_of`.
    """

    config: PatchesConfig
    index: UnitIndex
    ledger: dict[str, Tally]
    splits: Splits
    shortfall: tuple[Shortfall, ...]
    origins: dict[str, dict[str, Origins]]

    def as_json(self) -> Json:
        """What make_patches adds to the manifest."""
        return {
            "seed": self.config.seed,
            "normals_from_lesion_images": normals_beside(self.index),
            "counts": self.index.counts,
            "warnings": list(self.index.warnings),
            **({"phantom": True} if is_drawn(self.config.input_dir) else {}),
            "splits": splits_json(self.splits),
            "shortfall": [dataclasses.asdict(item) for item in self.shortfall],
            "origins": {
                split: {name: dataclasses.asdict(row) for name, row in classes.items()}
                for split, classes in self.origins.items()
            },
            "ledger": ledger_json(self.ledger, self.index),
        }


def normals_beside(index: UnitIndex) -> bool:
    """Whether normals may be cut from images with lesions."""
    return any(image.normals_beside for image in index.images)


def remarks(index: UnitIndex) -> list[str]:
    """Anything unusual about the data, one line each."""
    lines = [f"{name.replace('_', ' ')}: {count}" for name, count in index.counts.items()]
    if normals_beside(index):
        lines.append("normals are also cut from images with lesions, far from each of them")
    return [*lines, *(f"WARNING: {warning}" for warning in index.warnings)]


def summary(outcome: Outcome, directory: str) -> str:
    """The outcome in a few lines, for the console."""
    lines = [f"{'':<12}{'class':<26}{'patches':>9}{'images':>9}{'clients':>9}"]
    for split, classes in outcome.origins.items():
        for name, row in classes.items():
            lines.append(f"{split:<12}{name:<26}{row.patches:>9}{row.images:>9}{row.clients:>9}")
    lines += [tally.line(kind) for kind, tally in outcome.ledger.items() if tally.read]
    lines += remarks(outcome.index)
    for item in outcome.shortfall:
        lines.append(f"short: {item.set} has {item.found} of {item.wanted}")
    lines.append(f"make_patches: {directory} (manifest.json, rejections.csv)")
    return "\n".join(lines)
