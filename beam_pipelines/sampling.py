"""Where a patch is cut: random draws of windows, each from a stream of its own.

A draw is keyed by (seed, split, SOP instance uid, class, index), so that it does not depend on the
order of the work, the number of workers, or what became of other images.
"""

import numpy as np

from beam_pipelines.sources import digest
from beam_pipelines.tissue import valid_windows, window_tissue

_PROPOSALS = 256


def draw_key(seed: int, split: str, sop_uid: str, patch_class: str, index: int) -> bytes:
    """16 bytes that name a draw: the key of its stream and its place among other draws."""
    return digest(seed, split, sop_uid, patch_class, index)


def draw_stream(key: bytes) -> np.random.Generator:
    """The random numbers of one draw; only `random` is used, whose values NumPy keeps stable."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "big")))


def lesion_window(
    generator: np.random.Generator,
    box: tuple[float, float, float, float],
    shape: tuple[int, int],
    side: int,
    size: int,
    max_offset: int,
) -> tuple[int, int]:
    """(left, top) of a window around a random pixel of a lesion.

    "A random pixel on the lesion is chosen, and then a random x and y offset is chosen between 0
    to 128 pixels in either direction."

    Args:
      box: of the lesion, inside an image of `shape` (H, W) that holds the window.
      side: of the window in image pixels. size: of the patch.
      max_offset: in patch pixels; the offset is a whole number below it either way, so that the
        chosen pixel stays in the window.

    Returns:
      The window moved inside the image where it would leave it; the chosen pixel is in it.
    """
    edges = []
    for low, high, length in ((box[0], box[2], shape[1]), (box[1], box[3], shape[0])):
        place, shift = generator.random(2)
        pixel = min(int(low + (high - low) * place), length - 1)
        offset = int((2 * max_offset - 1) * shift) - (max_offset - 1)
        edge = round(pixel + offset * side / size - side / 2)
        edge = min(max(edge, pixel - side + 1), pixel)
        edge = min(max(edge, 0), length - side)
        assert edge <= pixel < edge + side
        edges.append(edge)
    return edges[0], edges[1]


def tissue_window(
    generator: np.random.Generator, integral: np.ndarray, side: int, min_tissue: float
) -> tuple[int, int] | None:
    """(left, top) uniform among the windows with at least `min_tissue` breast tissue.

    A first batch of uniform proposals nearly always holds a valid one, which is then uniform over
    the valid windows; otherwise all of them are listed. None when there is none.
    """
    rows, columns = integral.shape[0] - side, integral.shape[1] - side
    if rows < 1 or columns < 1:
        return None
    proposals = generator.random((_PROPOSALS, 2))
    xs = (proposals[:, 0] * columns).astype(np.int64)
    ys = (proposals[:, 1] * rows).astype(np.int64)
    good = np.flatnonzero(window_tissue(integral, xs, ys, side) >= min_tissue - 1e-9)
    if len(good):
        return int(xs[good[0]]), int(ys[good[0]])
    places = np.flatnonzero(valid_windows(integral, side, min_tissue))
    if not len(places):
        return None
    place = int(places[int(generator.random() * len(places))])
    return place % columns, place // columns
