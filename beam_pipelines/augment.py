"""Flip, rotation and resize of a patch and of the box in it: pure functions.

"Then, the patch is randomly flipped (left/right), rotated (90, 180, or 270 degrees), and resized
(uniformly from 0.8 to 1.2x)": the resize comes first here, as the side of the window that is cut
(round(size / scale) pixels, resampled once to size x size); flip and rotation then move pixels
without changing them.
"""

import dataclasses

import cv2
import numpy as np

from beam_pipelines.grey_levels import GreyLevels
from cgan_tf.config import PatchesConfig

Box = tuple[float, float, float, float]


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
