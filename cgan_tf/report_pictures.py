"""Patches as pictures: each real one on the left, its synthetic counterpart on the right."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.display import enlarge, to_levels
from cgan_tf.evaluation_sources import find_sources, whole_sets
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.records import PatchRecord

GAP_PX = 4
WIDE_GAP_PX = 16  # sets the lesion channel apart from the pair


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """A synthetic patch and the real one that it was made from."""

    synthetic: PatchRecord
    source: PatchRecord


def example_pairs(
    synthetic_dir: str | Path, patches: PatchSet, count: int, seed: int
) -> list[Pair]:
    """Pairs drawn at random from a synthetic set, in the order of the set; never hand-picked."""
    pool, _ = whole_sets([PatchSet(synthetic_dir)])
    generator = np.random.default_rng([seed, len(pool)])
    chosen = np.sort(generator.permutation(len(pool))[:count])
    records = [pool.record(int(number)) for number in chosen]
    indices, numbers = find_sources(patches, [record.source_patch_id for record in records])
    sources = PatchPool(indices)
    return [
        Pair(record, sources.record(number))
        for record, number in zip(records, numbers, strict=True)
    ]


def pair_png(pair: Pair) -> bytes:
    """real | synthetic | lesion channel as one PNG.

    Real and synthetic share one grey scale, the range of both without its outermost 0.2%; the
    lesion channel has its own, with zero at mid-grey.
    """
    both = np.stack([pair.source.patch, pair.synthetic.patch])
    low, high = np.quantile(both, [0.002, 0.998])
    views = [(view - low) / max(high - low, 0.05) for view in both]
    lesion = pair.synthetic.lesion
    if lesion is not None:
        views.append(0.5 + lesion / (2 * max(float(np.abs(lesion).max()), 0.1)))
    return encode([enlarge(to_levels(view)) for view in views])


def encode(views: Sequence[np.ndarray]) -> bytes:
    """Views side by side on white, as a grey PNG; a third one stands apart."""
    side = len(views[0])
    blank = [np.full((side, gap), 255, np.uint8) for gap in (GAP_PX, WIDE_GAP_PX)]
    parts = [views[0]]
    for gap, view in zip(blank, views[1:], strict=False):
        parts += [gap, view]
    strip = np.concatenate(parts, axis=1)
    return cv2.imencode(".png", strip, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
