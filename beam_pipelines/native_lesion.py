"""A lesion from the generator's pixels to those of the stored image."""

import dataclasses
import math

import numpy as np
from scipy import ndimage

from cgan_tf.postprocess import Lesion


@dataclasses.dataclass(frozen=True, eq=False)
class NativeLesion:
    """A lesion in pixels of the stored image.

    Attributes:
      left, top: of its rectangle.
      layer: float32 [h, w], grey levels to be added; 0 where `support` is false.
      support: bool [h, w], the support of the smoothed mask.
      box: (x0, y0, x1, y1) of the expanded object in the image, x1 and y1 exclusive.
    """

    left: int
    top: int
    layer: np.ndarray
    support: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def place(self) -> tuple[slice, slice]:
        """The rectangle in the image."""
        height, width = self.layer.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def to_native(
    lesion: Lesion,
    corner: tuple[int, int],
    scale: tuple[float, float],
    shape: tuple[int, int],
) -> NativeLesion:
    """An accepted lesion of the patch at `corner` (left, top) as it is in the stored image.

    Args:
      scale: (x, y) pixels of the patch for a stored pixel; (1, 1) copies.
      shape: (H, W) of the stored image.

    Returns:
      The lesion resampled by cubic splines, its mask linearly: both smooth, and the mask nowhere
      below 0.
    """
    assert lesion.lesion is not None
    assert lesion.mask is not None
    assert lesion.box is not None
    size = len(lesion.mask)
    spans = [
        _span(corner[axis], corner[axis] + size, scale[axis], shape[1 - axis]) for axis in (0, 1)
    ]
    (left, right), (top, bottom) = spans
    layer, mask = lesion.lesion, lesion.mask
    if scale != (1.0, 1.0):
        grid = (
            np.diag([scale[1], scale[0]]),
            [_offset(top, corner[1], scale[1]), _offset(left, corner[0], scale[0])],
            (bottom - top, right - left),
        )
        layer = ndimage.affine_transform(layer, *grid, order=3, mode="grid-constant")
        mask = ndimage.affine_transform(mask, *grid, order=1, mode="grid-constant")
    support = mask > 0
    x0, y0, x1, y1 = lesion.box
    columns = _span(corner[0] + x0, corner[0] + x1, scale[0], shape[1])
    rows = _span(corner[1] + y0, corner[1] + y1, scale[1], shape[0])
    return NativeLesion(
        left,
        top,
        np.where(support, layer, 0).astype(np.float32).clip(-1.0, 1.0),
        support,
        (columns[0], rows[0], columns[1], rows[1]),
    )


def _span(low: float, high: float, scale: float, length: int) -> tuple[int, int]:
    """The stored pixels that patch pixels `low` to `high` touch; at least one, in the image."""
    first = min(max(math.floor(low / scale + 1e-6), 0), length - 1)
    return first, min(max(math.ceil(high / scale - 1e-6), first + 1), length)


def _offset(first: int, corner: int, scale: float) -> float:
    """Where the centre of stored pixel `first` is among the centres of the patch's pixels."""
    return (first + 0.5) * scale - 0.5 - corner
