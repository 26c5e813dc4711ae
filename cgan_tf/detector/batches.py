"""Mammograms and boxes as a network takes them: augmented, on a canvas, in batches."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import tensorflow as tf

from cgan_tf.config import DetectorConfig
from cgan_tf.data.keyed import keyed_generator
from cgan_tf.detector.inputs import DetectorSets, ImagePool, training_canvas

READERS = 2  # batches made side by side
BACKGROUND = -1.0
_LEAST_VISIBLE = 0.25  # of a box's area, below which it is left out
# What fills up the boxes of an image. It touches no anchor, and it is no point: the logarithm of
# its sides stays finite.
NO_BOX = (-2000.0, -2000.0, -1999.0, -1999.0)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where an image lies on the canvas: x = scale * x + left of what is mirrored first.

    Attributes:
      turns: quarter turns of the canvas at the end, which is a square then; anticlockwise.
      contrast: what grey levels above the background are multiplied by.
    """

    flip: bool = False
    scale: float = 1.0
    left: float = 0.0
    top: float = 0.0
    contrast: float = 1.0
    turns: int = 0


def drawn_placement(
    config: DetectorConfig,
    sample: int,
    shape: tuple[int, int],
    canvas: tuple[int, int],
    focus: tuple[float, float] | None = None,
) -> Placement:
    """The placement of training sample number `sample`, of an image of shape (H, W).

    It lies anywhere that keeps it on the canvas; an image that is larger lies so that none of the
    canvas is left empty along that side, and so that `focus`, a place (x, y) of the image, is in
    the middle half of the canvas where the image's edges allow it.
    """
    draw = keyed_generator(config.seed, "placement", sample).random(6)
    flip = bool(draw[0] < config.flip_probability)
    scale = float(1 + config.augment_scale * (2 * draw[1] - 1))
    room = np.array([canvas[1] - scale * shape[1], canvas[0] - scale * shape[0]])
    corner = draw[2:4] * room
    if focus:
        x, y = shape[1] - focus[0] if flip else focus[0], focus[1]
        wanted = (0.25 + draw[2:4] / 2) * canvas[::-1] - scale * np.array([x, y])
        corner = np.where(room < 0, np.clip(wanted, room, 0), corner)
    return Placement(
        flip=flip,
        scale=scale,
        left=float(corner[0]),
        top=float(corner[1]),
        contrast=float(1 + config.augment_contrast * (2 * draw[4] - 1)),
        turns=int(4 * draw[5]) if config.rotate else 0,
    )


def drawn_focus(
    config: DetectorConfig, sample: int, pixels: np.ndarray, boxes: np.ndarray
) -> tuple[float, float]:
    """What a window shows, (x, y) in an image's pixels: the middle of one of `boxes`, [n, 4] with
    x0, y0, x1, y1, or where there is none any place that is not background."""
    draw = keyed_generator(config.seed, "focus", sample).random()
    if len(boxes):
        x0, y0, x1, y1 = boxes[int(draw * len(boxes))].tolist()
        return (x0 + x1) / 2, (y0 + y1) / 2
    places = np.flatnonzero(pixels > BACKGROUND)
    place = int(places[int(draw * len(places))]) if len(places) else 0
    row, column = divmod(place, pixels.shape[1])
    return float(column), float(row)


def placed_pixels(pixels: np.ndarray, placement: Placement, canvas: tuple[int, int]) -> np.ndarray:
    """float32 [H, W] canvas with an image on it, in [-1, 1]."""
    if placement == Placement():  # nothing to resample
        whole = np.full(canvas, BACKGROUND, np.float32)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        return whole
    scale, width = placement.scale, pixels.shape[1]
    # Pixel centres: x of the image is (x + 0.5) of a length, in boxes as on the canvas.
    mirror = -scale if placement.flip else scale
    left = placement.left + (scale * width if placement.flip else 0)
    matrix = np.array(
        [
            [mirror, 0, left + 0.5 * mirror - 0.5],
            [0, scale, placement.top + 0.5 * scale - 0.5],
        ]
    )
    placed = cv2.warpAffine(
        pixels, matrix, canvas[::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=BACKGROUND
    )
    placed = ((placed - BACKGROUND) * placement.contrast + BACKGROUND).clip(-1, 1)
    return np.rot90(placed, placement.turns)


def placed_boxes(
    boxes: np.ndarray, placement: Placement, width: int, canvas: tuple[int, int]
) -> np.ndarray:
    """Boxes [n, 4] of an image, `width` pixels wide, on the canvas, clipped to it.

    Those of which little is left are left out.
    """
    x0, y0, x1, y1 = boxes.T
    if placement.flip:
        x0, x1 = width - x1, width - x0
    moved = np.stack([x0, y0, x1, y1], axis=1) * placement.scale
    moved += np.tile([placement.left, placement.top], 2)
    inside = np.clip(moved, 0, np.tile(canvas[::-1], 2))
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (inside, moved)]
    kept = inside[areas[0] > _LEAST_VISIBLE * areas[1]]
    for _ in range(placement.turns):  # (x, y) comes to (y, side - x)
        x0, y0, x1, y1 = kept.T
        kept = np.stack([y0, canvas[1] - x1, y1, canvas[1] - x0], axis=1)
    return kept


def filled_up(boxes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(boxes float32 [B, n, 4], labels float32 [B, n]) of the boxes of B images, n > 0.

    The label of a malignant lesion is 0, the first and only class; that of `NO_BOX` is -1.
    """
    most = max(1, *map(len, boxes))
    filled = np.full((len(boxes), most, 4), NO_BOX, np.float32)
    labels = np.full((len(boxes), most), -1, np.float32)
    for number, own in enumerate(boxes):
        filled[number, : len(own)] = own
        labels[number, : len(own)] = 0
    return filled, labels


def training_batches(
    sets: DetectorSets, plan: np.ndarray, config: DetectorConfig, start: int
) -> tf.data.Dataset:
    """Batches (images [B, H, W, 1], {"boxes": [B, n, 4], "labels": [B, n]}) from step `start` on.

    Boxes are x0, y0, x1, y1 in pixels of the canvas.
    """
    canvas = training_canvas(config, sets.canvas)

    def read(rows: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        images, boxes = [], []
        for (stream, number), sample in zip(rows.tolist(), samples.tolist(), strict=True):
            record = sets.streams[stream].record(number)
            shape, own = record.pixels.shape, record.reduced(record.boxes)[record.malignant]
            focus = drawn_focus(config, sample, record.pixels, own) if config.window else None
            placement = drawn_placement(config, sample, shape, canvas, focus)
            images.append(placed_pixels(record.pixels, placement, canvas))
            boxes.append(placed_boxes(own, placement, shape[1], canvas))
        return np.stack(images)[..., None], *filled_up(boxes)

    def fetch(rows: tf.Tensor, samples: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        images, boxes, labels = tf.numpy_function(read, [rows, samples], (tf.float32,) * 3)
        size = config.batch_size
        return tf.ensure_shape(images, [size, *canvas, 1]), {
            "boxes": tf.ensure_shape(boxes, [size, None, 4]),
            "labels": tf.ensure_shape(labels, [size, None]),
        }

    first = start * config.batch_size
    numbered = (plan[first:], np.arange(first, len(plan)))
    rows = tf.data.Dataset.from_tensor_slices(numbered).batch(config.batch_size)
    return rows.map(fetch, num_parallel_calls=READERS).prefetch(2 * READERS)


def pool_batches(pool: ImagePool, canvas: tuple[int, int], batch_size: int) -> tf.data.Dataset:
    """Batches [B, H, W, 1] of a pool in its order, each image in the canvas' upper left corner."""

    def read(numbers: np.ndarray) -> np.ndarray:
        images = (pool.record(int(number)).pixels for number in numbers)
        return np.stack([placed_pixels(image, Placement(), canvas) for image in images])[..., None]

    def fetch(numbers: tf.Tensor) -> tf.Tensor:
        images = tf.numpy_function(read, [numbers], tf.float32)
        return tf.ensure_shape(images, [None, *canvas, 1])

    numbers = tf.data.Dataset.range(len(pool)).batch(batch_size)
    return numbers.map(fetch, num_parallel_calls=READERS).prefetch(READERS)
