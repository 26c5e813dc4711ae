"""From the patches that exist to the shards of a patch set: which, in which file, in which order.

Everything follows from the keys of the draws, so the shards are the same whatever order, worker or
runner cut the patches.
"""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from beam_pipelines import files, metrics
from beam_pipelines.plan import Quota
from beam_pipelines.spills import Row, read_payloads
from cgan_tf.patch_sets import shard_count, shard_path
from cgan_tf.tfrecords import frame


def chosen_rows(rows: Iterable[Row], quota: Quota) -> list[Row]:
    """The first `quota.count` rows of the quota, in the order of its draws."""
    found = {row.key: row for row in rows if row.group == quota.group}
    return sorted(found.values(), key=lambda row: (row.place, row.key))[: quota.count]


def shard_plan(rows: Iterable[Row], shard_bytes: int) -> list[dict[str, Any]]:
    """One work item a shard: its file, its split and class, its rows in the order of their keys.

    Sizes are those of `patch_sets.shard_count`; the keys are hashes, so each shard is a random
    part.
    """
    groups: dict[tuple[str, str], list[Row]] = collections.defaultdict(list)
    for row in rows:
        groups[row.split, row.patch_class].append(row)
    items = []
    for (split, name), members in sorted(groups.items()):
        members.sort(key=lambda row: row.key)
        total = shard_count(sum(row.length for row in members), shard_bytes)
        for index in range(total):
            part = members[index * len(members) // total : (index + 1) * len(members) // total]
            items.append(
                {
                    "split": split,
                    "class": name,
                    "file": shard_path(split, name, index, total),
                    "rows": [dataclasses.astuple(row) for row in part],
                }
            )
    return items


@dataclasses.dataclass(frozen=True)
class WriteShard:
    """Copies the patches of one work item of `shard_plan` into its shard.

    Attributes:
      directory: of the patch set. spills: of the spill files.
    """

    directory: str
    spills: str

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Returns the shard's entry of the manifest, with its split and class."""
        rows = [Row(*values) for values in item["rows"]]
        frames = _Summed(map(frame, read_payloads(self.spills, rows)))
        files.write_atomically_from(os.path.join(self.directory, item["file"]), frames)
        entry = {
            "file": item["file"],
            "records": len(rows),
            "bytes": frames.bytes,
            "sha256": frames.digest.hexdigest(),
        }
        metrics.observe("shard_bytes", frames.bytes)
        return {"split": item["split"], "class": item["class"], "shard": entry}


class _Summed:
    """Parts of a file, with their bytes and their SHA-256 once they are taken."""

    def __init__(self, parts: Iterable[bytes]):
        self.bytes = 0
        self.digest = hashlib.sha256()
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self.bytes += len(part)
            self.digest.update(part)
            yield part


def splits_of(entries: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The `splits` of the manifest from the results of `WriteShard`."""
    splits: dict[str, dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: entry["shard"]["file"]):
        group = splits.setdefault(entry["split"], {}).setdefault(
            entry["class"], {"count": 0, "shards": []}
        )
        group["count"] += entry["shard"]["records"]
        group["shards"].append(entry["shard"])
    return splits
