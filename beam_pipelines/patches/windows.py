"""Where a patch is cut and how it is turned: random draws, each from a stream of its own.

A draw is keyed by (seed, split, SOP instance uid, class, index), so that it does not depend on the
order of the work, the number of workers, or what became of other images.

"Then, the patch is randomly flipped (left/right), rotated (90, 180, or 270 degrees), and resized
(uniformly from 0.8 to 1.2x)": the resize comes first here, as the side of the window that is cut
(round(size / scale) pixels, resampled once to size x size); flip and rotation then move pixels
without changing them.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.patches.tissue import Integral, valid_windows, window_tissue
from beam_pipelines.sources.base import Box
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import digest, generator_of

_PROPOSALS = 256


def draw_key(seed: int, split: str, sop_uid: str, patch_class: str, index: int) -> bytes:
    """16 bytes that name a draw: the key of its stream and its place among other draws."""
    return digest(seed, split, sop_uid, patch_class, index)


def draw_stream(key: bytes) -> np.random.Generator:
    """The random numbers of one draw; only `random` is used, whose values NumPy keeps stable."""
    return generator_of(key, "big")


def lesion_window(
    generator: np.random.Generator,
    box: Box,
    shape: tuple[int, int],
    side: int,
    size: int,
    max_offset: int,
    pixels: np.ndarray | None = None,
) -> tuple[int, int]:
    """(left, top) of a window around a random pixel of a lesion.

    "A random pixel on the lesion is chosen, and then a random x and y offset is chosen between 0
    to 128 pixels in either direction."

    Args:
      box: of the lesion, inside an image of `shape` (H, W) that holds the window.
      side: of the window in image pixels. size: of the patch.
      max_offset: in patch pixels; the offset is a whole number below it either way, so that the
        chosen pixel stays in the window.
      pixels: int [N, 2], (x, y) of the lesion's pixels; without them, all those of the box are.

    Returns:
      The window moved inside the image where it would leave it; the chosen pixel is in it.
    """
    x_place, x_shift, y_place, y_shift = generator.random(4)
    if pixels is None:
        pixel_xy = box[0] + (box[2] - box[0]) * x_place, box[1] + (box[3] - box[1]) * y_place
    else:
        pixel_xy = tuple(pixels[int(x_place * len(pixels))])
    edges = []
    for place, shift, length in zip(pixel_xy, (x_shift, y_shift), shape[::-1], strict=True):
        pixel = min(int(place), length - 1)
        offset = int((2 * max_offset - 1) * shift) - (max_offset - 1)
        edge = round(pixel + offset * side / size - side / 2)
        edge = min(max(edge, pixel - side + 1), pixel)
        edge = min(max(edge, 0), length - side)
        assert edge <= pixel < edge + side
        edges.append(edge)
    return edges[0], edges[1]


def tissue_window(
    generator: np.random.Generator,
    integral: Integral,
    side: int,
    min_tissue: float,
    lesions: Sequence[Box] = (),
    distance: int = 0,
) -> tuple[int, int] | None:
    """(left, top) uniform among the windows with at least `min_tissue` breast tissue whose edges
    are at least `distance` pixels from the boxes of all `lesions`.

    A first batch of uniform proposals nearly always holds a valid one, which is then uniform over
    the valid windows; otherwise all of them are listed. None when there is none.
    """
    rows, columns = integral.shape[0] - side, integral.shape[1] - side
    if rows < 1 or columns < 1:
        return None
    proposals = generator.random((_PROPOSALS, 2))
    xs = (proposals[:, 0] * columns).astype(np.int64)
    ys = (proposals[:, 1] * rows).astype(np.int64)
    fit = window_tissue(integral, xs, ys, side) >= min_tissue - 1e-9
    for (first_x, end_x), (first_y, end_y) in _too_near(lesions, side, distance):
        fit &= (xs < first_x) | (xs >= end_x) | (ys < first_y) | (ys >= end_y)
    good = np.flatnonzero(fit)
    if len(good):
        return int(xs[good[0]]), int(ys[good[0]])
    valid = valid_windows(integral, side, min_tissue)
    for x_range, y_range in _too_near(lesions, side, distance):
        valid[slice(*y_range), slice(*x_range)] = False
    places = np.flatnonzero(valid)
    if not len(places):
        return None
    place = int(places[int(generator.random() * len(places))])
    return place % columns, place // columns


def _too_near(
    lesions: Sequence[Box], side: int, distance: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """For each lesion: (first, end) of the left edges and of the top edges of windows that are
    less than `distance` from it both ways."""
    for x0, y0, x1, y1 in lesions:
        x_range, y_range = (
            (max(0, math.floor(low - side - distance) + 1), max(0, math.ceil(high + distance)))
            for low, high in ((x0, x1), (y0, y1))
        )
        yield x_range, y_range


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The drawn values of one patch.

    Attributes:
      flip: mirrored left to right, before the rotation.
      rotation: 0, 90, 180 or 270 degrees counter-clockwise.
      side: of the window in pixels.
    """

    flip: bool
    rotation: int
    side: int


def draw_augmentation(generator: np.random.Generator, config: PatchesConfig, split: str):
    """Draws an `Augmentation`; always three numbers, so that later draws do not depend on flags."""
    flip, rotation, scale = generator.random(3)
    if split != "train" and not config.augment_eval:
        return Augmentation(False, 0, config.size)
    drawn = config.scale_min + (config.scale_max - config.scale_min) * scale
    return Augmentation(
        flip=bool(flip < config.flip_probability),
        rotation=90 * int(4 * rotation) if config.rotate else 0,
        side=max(1, round(config.size / drawn)),
    )


def cut_patch(
    grey: np.ndarray | GreyLevels, left: int, top: int, augmentation: Augmentation, size: int
) -> np.ndarray:
    """The window of `grey` [H, W] at (left, top), as float32 [size, size] in [-1, 1]."""
    side = augmentation.side
    window = grey[top : top + side, left : left + side]
    if window.shape != (side, side):
        raise ValueError(f"window {left},{top} of {side} px leaves the image {grey.shape}")
    if side != size:  # the cubic kernel overshoots, hence the clip
        way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        window = cv2.resize(window, (size, size), interpolation=way).clip(-1.0, 1.0)
    if augmentation.flip:
        window = window[:, ::-1]
    return np.ascontiguousarray(np.rot90(window, augmentation.rotation // 90), np.float32)


def box_in_patch(box: Box, left: int, top: int, augmentation: Augmentation, size: int) -> Box:
    """A box of the image in pixels of the patch that `cut_patch` gives, clipped to the patch."""
    scale = size / augmentation.side
    x0, y0, x1, y1 = (
        min(max((edge - origin) * scale, 0.0), float(size))
        for edge, origin in zip(box, (left, top, left, top), strict=True)
    )
    if augmentation.flip:
        x0, x1 = size - x1, size - x0
    for _ in range(augmentation.rotation // 90):  # (x, y) goes to (y, size - x)
        x0, y0, x1, y1 = y0, size - x1, y1, size - x0
    return x0, y0, x1, y1
