"""Patches as eight-bit pictures, and pairs of a synthetic patch and its source."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources, whole_sets
from cgan_tf.data.records import PatchRecord
from cgan_tf.pages.html import Comparison, embedded, middle_of
from cgan_tf.runs.errors import UserError


def caption(record: PatchRecord) -> tuple[str, str]:
    """Two lines: client, view and width of the patch; size and evidence of its label."""
    first = [record.client_id, f"{record.laterality} {record.view}".strip()]
    if record.pixel_spacing_mm and record.window:
        first.append(f"{record.window[2] * record.pixel_spacing_mm:.0f} mm")
    second = [record.label_evidence.partition(" of lesion ")[0]]  # its number says nothing here
    if record.lesion_size_mm:
        second.insert(0, f"lesion {record.lesion_size_mm:.0f} mm")
    if record.lesion_area_px:
        second = [f"change: {record.lesion_area_px / record.patch.size:.0%} of the patch"]
    return _joined(first), _joined(second)


def _joined(parts: Sequence[str]) -> str:
    return " · ".join(
        "".join(c if c.isascii() and c.isprintable() else "?" for c in part)
        for part in parts
        if part
    )


SHOWN_PX = 192  # a smaller patch is enlarged by a whole factor up to about this side


def to_levels(view: np.ndarray) -> np.ndarray:
    """Values in [0, 1], of any shape, to uint8; out-of-range values are clipped."""
    return np.rint(np.clip(view, 0, 1) * 255).astype(np.uint8)


def patch_levels(patches: np.ndarray) -> np.ndarray:
    """Grey levels in [-1, 1], of any shape, to uint8; out-of-range values are clipped."""
    return to_levels((patches + 1.0) / 2.0)


def shown_factor(size: int) -> int:
    """The whole factor by which a patch of `size` pixels a side is enlarged for display."""
    return max(1, round(SHOWN_PX / size))


def enlarge(levels: np.ndarray) -> np.ndarray:
    """A small patch enlarged by a whole factor, smoothly: square pixels would look like noise."""
    factor = shown_factor(len(levels))
    if factor == 1:
        return levels
    return cv2.resize(levels, None, fx=factor, fy=factor, interpolation=cv2.INTER_LANCZOS4)


def mosaic(tiles: np.ndarray, columns: int, empty: int = 0) -> np.ndarray:
    """Tiles uint8 [n, h, w] in rows of `columns`; places left over have the level `empty`."""
    missing = -len(tiles) % columns
    tiles = np.pad(tiles, ((0, missing), (0, 0), (0, 0)), constant_values=empty)
    _, height, width = tiles.shape
    rows = len(tiles) // columns
    grid = tiles.reshape(rows, columns, height, width).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width)


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
    """`count` pairs drawn at random from a synthetic set by `seed`, in the order of the set."""
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
    """(real, synthetic) float [size, size] on one scale, where 0 and 1 are the 0.2% and 99.8%
    quantiles of both."""
    both = np.stack([pair.source.patch, pair.synthetic.patch])
    low, high = np.quantile(both, [0.002, 0.998])
    before, after = (both - low) / max(high - low, 0.05)
    return before, after


def _change(task: str, known: bool) -> str:
    """What was done; where no lesion is known, none can have been removed."""
    if task != "removal":
        return "lesion added"
    return "lesion removed" if known else "removal applied"


def pair_comparison(pair: Pair, key: str, title: str) -> Comparison:
    """The pair before and after, its lesion's box, and the lesion channel alone.

    The channel has a scale of its own, with zero at mid-grey. The box is that of the added lesion,
    or the annotated one of a lesion that was removed. `title` names the pair to screen readers,
    which would read an id digit by digit.
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
        title=title,
        source=source.patch_id,
        caption=" · ".join(filter(None, caption(synthetic))),
        before=before,
        after=after,
        labels=("original", _change(synthetic.task, known=bool(source.box))),
        boxes=[(tuple(factor * edge for edge in box), what)] if box else (),
        boxes_label="Box",
        layers=layers,
        start=middle_of([box] if box else [], len(source.patch)),
    )


def encode(views: Sequence[np.ndarray]) -> bytes:
    """Views uint8 [height, width] side by side on white, as a grey PNG."""
    gap = np.full((len(views[0]), GAP_PX), 255, np.uint8)
    parts = [views[0]]
    for view in views[1:]:
        parts += [gap, view]
    strip = np.concatenate(parts, axis=1)
    return cv2.imencode(".png", strip, [cv2.IMWRITE_PNG_COMPRESSION, PNG_EFFORT])[1].tobytes()


def decode(png: bytes, name: str, mode: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """A PNG as uint8 [height, width] in grey or [height, width, 3] in blue, green, red.

    Raises `UserError` with its name for anything but a picture.
    """
    levels = cv2.imdecode(np.frombuffer(png, np.uint8), mode) if png else None
    if levels is None:
        raise UserError(f"{name}: expected a PNG, found something else")
    return levels
