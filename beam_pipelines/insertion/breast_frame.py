"""Coordinates in a breast that are the same for every woman and both sides, from its mask.

x runs from the chest wall, whichever edge of the image that is, so that left and right breasts, and
images that were flipped, have the same coordinates. Along a row, *depth* is 0 at the skin and 1 at
the chest wall. *Height* is 0 at the nipple, -1 at the uppermost row of the breast and 1 at the
lowest. The nipple is where the breast reaches furthest from the chest wall.
"""

import dataclasses

import numpy as np

from beam_pipelines.patches.breast_mask import chest_wall_is_left

# The rows that reach nearly as far as the furthest one are about the nipple. Where they are many,
# or end with the film, the breast has no tip in sight.
_NEARLY, _TIP = 0.97, 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class BreastFrame:
    """The frame of one breast, in pixels of its mask [h, w].

    Attributes:
      left: whether the chest wall is at the left edge. width: w.
      reach: float [h], how far each row's skin is from the chest wall's edge; 0 beyond the breast.
      top, bottom: first row of the breast, and the one after the last.
      nipple: (x, y), x from the chest wall. tip: whether the nipple can be told from the outline.
    """

    left: bool
    width: int
    reach: np.ndarray
    top: int
    bottom: int
    nipple: tuple[float, float]
    tip: bool

    def depth_and_height(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(depth, height) of places in the mask's pixels; NaN in rows without breast.

        Args:
          x, y: of any one shape, from the mask's upper left corner.
        """
        row = np.clip(np.floor(y).astype(int), 0, len(self.reach) - 1)
        reach = np.where(self.reach[row] > 0, self.reach[row], np.nan)
        away = x if self.left else self.width - x
        return 1 - away / reach, (y - self.nipple[1]) / self.half_height(y)

    def half_height(self, y: np.ndarray) -> np.ndarray:
        """Rows from the nipple to the end of the breast, above or below it, whichever y is."""
        above, below = self.nipple[1] - self.top, self.bottom - self.nipple[1]
        return np.maximum(np.where(y < self.nipple[1], above, below), 1.0)

    def from_nipple(self, x: np.ndarray, y: np.ndarray, pixel: tuple[float, float]) -> np.ndarray:
        """Distance of places from the nipple, in the unit of `pixel`, (width, height) of a pixel of
        the mask."""
        away = x if self.left else self.width - x
        return np.hypot((away - self.nipple[0]) * pixel[0], (y - self.nipple[1]) * pixel[1])


def breast_frame(mask: np.ndarray) -> BreastFrame:
    """The frame of a breast mask, uint8 [h, w], with the pectoral muscle; it is not empty."""
    left = chest_wall_is_left(mask)
    inside = mask[:, :: 1 if left else -1] > 0
    height, width = mask.shape
    filled = inside.any(axis=1)
    reach = np.where(filled, width - np.argmax(inside[:, ::-1], axis=1), 0).astype(np.float64)
    rows = np.flatnonzero(filled)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    furthest = np.flatnonzero(reach >= _NEARLY * reach.max())
    row = float(np.median(np.flatnonzero(reach == reach.max()))) + 0.5
    tip = (
        furthest[-1] + 1 - furthest[0] <= _TIP * (bottom - top)
        and furthest[0] > 0
        and furthest[-1] < height - 1
        and reach.max() < width
    )
    return BreastFrame(left, width, reach, top, bottom, (float(reach.max()), row), bool(tip))
