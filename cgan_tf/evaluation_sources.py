"""The patches that synthetic ones were made from, found by their ids."""

import itertools
from collections.abc import Sequence

import numpy as np

from cgan_tf.config import MALIGNANT_CLASSES, PATCH_CLASSES, SOURCE, SPLITS
from cgan_tf.errors import UserError
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchIndex, PatchSet
from cgan_tf.records import decode_text

# Where synthesize takes its patches from comes first: the search ends when all are found.
_LIKELY = (SOURCE, *MALIGNANT_CLASSES)
_ORDER = (*_LIKELY, *(name for name in PATCH_CLASSES if name not in _LIKELY))


def whole_sets(patch_sets: Sequence[PatchSet]) -> tuple[PatchPool, list[str]]:
    """(every patch of some directories, the split of each)."""
    indices, splits = [], []
    for patches, split, name in itertools.product(patch_sets, SPLITS, PATCH_CLASSES):
        if patches.count(split, name):
            indices.append(patches.index(split, name))
            splits += [split] * len(indices[-1])
    return PatchPool(tuple(indices)), splits


def find_sources(
    patches: PatchSet, source_ids: Sequence[str]
) -> tuple[tuple[PatchIndex, ...], list[int]]:
    """(indices of the sources, for each id its number among them).

    Every source is held once, however often it was used. Raises `UserError` when an id is not
    among the patches.
    """
    missing, numbers, indices = set(source_ids), {}, []
    for split, name in ((split, name) for split in SPLITS for name in _ORDER):
        if not missing:
            break
        if not patches.count(split, name):
            continue
        index = patches.index(split, name)
        ids = [decode_text(index.payload(i), "patch_id", index.name) for i in range(len(index))]
        chosen = [i for i, patch_id in enumerate(ids) if patch_id in missing]
        numbers.update({ids[i]: len(numbers) + order for order, i in enumerate(chosen)})
        missing -= numbers.keys()
        if chosen:
            indices.append(PatchIndex(index.name, index.paths, index.places[np.asarray(chosen)]))
    if missing:
        raise UserError(
            f"{patches.directory}: expected patch '{min(missing)}', which a synthetic patch was "
            f"made from, and {len(missing) - 1} more; were they made from other patches?"
        )
    return tuple(indices), [numbers[source_id] for source_id in source_ids]
