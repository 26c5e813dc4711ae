"""Pictures of a synthetic set: its nearest, median and farthest patches, and likely copies."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import pairwise_distances_chunked

from cgan_tf.assessment.base import Pair
from cgan_tf.assessment.features import Points
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources
from cgan_tf.data.records import PatchRecord
from cgan_tf.pages.patches import encode, enlarge, shown_factor, to_levels
from cgan_tf.runs.directory import write_bytes

EXAMPLES = 2  # of each kind
COPIES = 4
KINDS = ("best", "median", "worst")


@dataclasses.dataclass(frozen=True)
class Picture:
    """The picture of a pair.

    Attributes:
      file: its name in the directory of pictures. The rest: see `base.Pair`.
    """

    file: str
    kind: str
    synthetic: str
    real: str
    value: float


def nearest_real(synthetic: Points, real: Points) -> list[Pair]:
    """Each synthetic patch and the real one of another patient with the nearest features.

    In the order of distance, without those that have no other patient; the kind is empty.
    """
    pairs: list[Pair] = []
    start = 0
    for block in pairwise_distances_chunked(synthetic.features, real.features):
        patients = synthetic.patients[start : start + len(block), None]
        block[patients == real.patients] = np.inf
        places = block.argmin(axis=1)
        pairs += [
            Pair("", str(synthetic.patch_ids[start + row]), str(real.patch_ids[place]), distance)
            for row, place in enumerate(places)
            if np.isfinite(distance := float(block[row, place]))
        ]
        start += len(block)
    return sorted(pairs, key=lambda pair: pair.value)


def examples(ordered: Sequence[Pair], count: int = EXAMPLES) -> list[Pair]:
    """The best, the middle and the worst of pairs in the order of distance, `count` of each."""
    middle = max(0, (len(ordered) - count) // 2)
    parts = (ordered[:count], ordered[middle : middle + count], ordered[-count:])
    return [
        dataclasses.replace(pair, kind=kind)
        for kind, part in zip(KINDS, parts, strict=True)
        for pair in part
    ]


def likely_copies(nearest: Sequence[tuple[str, str, float]]) -> list[Pair]:
    """Lesions beside the training lesions most alike, from `Memorisation.nearest`."""
    pairs = [Pair("copy", *pair) for pair in nearest]
    by_training_lesion = {pair.real: pair for pair in reversed(pairs)}  # the likeliest of each
    likeliest = sorted(by_training_lesion.values(), key=lambda pair: -pair.value)
    return likeliest[:COPIES]


def write_pictures(
    pairs: Sequence[Pair], synthetic: PatchSet, patches: PatchSet, directory: Path, name: str
) -> list[Picture]:
    """Writes NAME_NUMBER_KIND.png for each pair."""
    if not pairs:
        return []
    directory.mkdir(exist_ok=True)
    ours, theirs = (
        _records(each, ids)
        for each, ids in (
            (synthetic, [pair.synthetic for pair in pairs]),
            (patches, [pair.real for pair in pairs]),
        )
    )
    pictures = []
    for number, (pair, left, right) in enumerate(zip(pairs, ours, theirs, strict=True), 1):
        file = f"{name}_{number:02d}_{pair.kind}.png"
        write_bytes(directory / file, beside_png(left, right))
        pictures.append(Picture(file, **dataclasses.asdict(pair)))
    return pictures


def _records(patches: PatchSet, ids: Sequence[str]) -> list[PatchRecord]:
    indices, numbers = find_sources(patches, ids)
    pool = PatchPool(indices)
    return [pool.record(number) for number in numbers]


def beside_png(left: PatchRecord, right: PatchRecord) -> bytes:
    """Two patches side by side on one grey scale, each with the box of its lesion.

    The scale is the range of both without its outermost 0.2%.
    """
    low, high = np.quantile([left.patch, right.patch], [0.002, 0.998])
    return encode(
        [
            _boxed(enlarge(to_levels((record.patch - low) / max(high - low, 0.05))), record)
            for record in (left, right)
        ]
    )


def _boxed(levels: np.ndarray, record: PatchRecord) -> np.ndarray:
    if not record.box:
        return levels
    x0, y0, x1, y1 = np.rint(np.multiply(record.box, shown_factor(len(record.patch)))).astype(int)
    return cv2.rectangle(levels.copy(), (x0, y0), (x1 - 1, y1 - 1), 255, 1)
