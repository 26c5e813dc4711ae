"""Grey levels back to stored values: the inverse of the VOI, by lookup over all stored values.

A lesion is made in grey levels, and a file holds stored values. Where the transformation rises or
falls strictly, a level has one stored value, which is found exactly. Where it is flat (beyond a
window, in a table's plateaus, in the tails of a sigmoid) many have the same level: the one nearest
to what the pixel held before is taken, so that a pixel whose level does not change keeps its value.
"""

from typing import Any

import numpy as np

from beam_pipelines.grey_levels import grey_table, padding, stored_numbers

_SPAN = 1 << 17  # more than two stored values can be apart


class StoredValues:
    """The stored values of one image by grey level.

    Attributes:
      table: float32 [2^bits], the grey level of every bit pattern.
      padding: bool [2^bits], the patterns that are no image; they are never given nor changed.
    """

    def __init__(self, dataset: Any, bits: int):
        """`Rejected` where the attributes make no sense, as in `grey_levels.grey_table`."""
        numbers = stored_numbers(dataset, bits)
        self.table = grey_table(dataset, bits)
        self.padding = padding(numbers, dataset)
        image = np.flatnonzero(~self.padding)
        self._order = image[np.lexsort((numbers[image], self.table[image]))]
        self._levels, places = np.unique(self.table[self._order], return_inverse=True)
        self._numbers = numbers
        # Ascending: the level first, then the number within it.
        self._keys = places * _SPAN + numbers[self._order]
        self._starts = np.searchsorted(places, np.arange(len(self._levels) + 1))

    def nearest(self, patterns: np.ndarray, grey: np.ndarray) -> np.ndarray:
        """The bit patterns whose grey level is nearest to `grey`; of several with that level, the
        one whose number is nearest to that of the pattern before.

        Args:
          patterns: bit patterns [n] before. grey: float [n], the levels wanted.

        Returns:
          The dtype of `patterns`, [n]. Padding stays padding.
        """
        if not len(self._levels):
            return patterns.copy()
        middles = (self._levels[1:].astype(np.float64) + self._levels[:-1]) / 2
        places = np.searchsorted(middles, grey.astype(np.float64))
        before = self._numbers[patterns]
        above = np.searchsorted(self._keys, places * _SPAN + before)
        first, last = self._starts[places], self._starts[places + 1] - 1
        upper, lower = above.clip(first, last), (above - 1).clip(first, last)
        numbers = self._numbers[self._order]
        nearer = np.abs(numbers[upper] - before) < np.abs(numbers[lower] - before)
        found = self._order[np.where(nearer, upper, lower)].astype(patterns.dtype)
        return np.where(self.padding[patterns], patterns, found)
