"""Patches as pictures: each real one before, its synthetic counterpart after."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.before_after import Comparison, embedded, middle_of
from cgan_tf.contact_sheet_figure import caption
from cgan_tf.display import enlarge, shown_factor, to_levels
from cgan_tf.evaluation_sources import find_sources, whole_sets
from cgan_tf.patch_pools import PatchPool
from cgan_tf.patch_sets import PatchSet
from cgan_tf.records import PatchRecord

GAP_PX = 4
PNG_EFFORT = 4  # 0 to 9: 9 takes eight times as long for 3% less


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


def pair_views(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """(real, synthetic) float [size, size] on one scale: 0 and 1 are the ends of the range of
    both without its outermost 0.2%."""
    both = np.stack([pair.source.patch, pair.synthetic.patch])
    low, high = np.quantile(both, [0.002, 0.998])
    before, after = (both - low) / max(high - low, 0.05)
    return before, after


def pair_comparison(pair: Pair, key: str) -> Comparison:
    """The pair before and after, its lesion's box, and the lesion channel alone.

    The channel has a scale of its own, with zero at mid-grey. The box is that of the added lesion,
    or the annotated one of a lesion that was removed.
    """
    source, synthetic = pair.source, pair.synthetic
    before, after = (embedded(encode([enlarge(to_levels(view))])) for view in pair_views(pair))
    box, what = (synthetic.box, "added lesion") if synthetic.box else (source.box, "lesion")
    factor = shown_factor(len(source.patch))
    layers = []
    if synthetic.lesion is not None:
        channel = 0.5 + synthetic.lesion / (2 * max(float(np.abs(synthetic.lesion).max()), 0.1))
        layers.append(("Lesion channel", embedded(encode([enlarge(to_levels(channel))]))))
    return Comparison(
        key=key,
        title=f"Patch {source.patch_id}",
        caption=" · ".join(filter(None, caption(synthetic))),
        before=before,
        after=after,
        labels=("real", "lesion removed" if synthetic.task == "removal" else "lesion added"),
        boxes=[(tuple(factor * edge for edge in box), what)] if box else (),
        boxes_label="Box",
        layers=layers,
        start=middle_of([box] if box else [], len(source.patch)),
    )


def encode(views: Sequence[np.ndarray]) -> bytes:
    """Views side by side on white, as a grey PNG."""
    gap = np.full((len(views[0]), GAP_PX), 255, np.uint8)
    parts = [views[0]]
    for view in views[1:]:
        parts += [gap, view]
    strip = np.concatenate(parts, axis=1)
    return cv2.imencode(".png", strip, [cv2.IMWRITE_PNG_COMPRESSION, PNG_EFFORT])[1].tobytes()
