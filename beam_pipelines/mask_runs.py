"""A mask as the run lengths that COCO's own tools read."""

import numpy as np


def mask_runs(support: np.ndarray, left: int, top: int, height: int) -> list[int]:
    """Run lengths of a mask in an image of `height` rows, column by column.

    Runs of zeros and of ones take turns, zeros first; the last run of zeros is left out, and
    `whole_runs` puts it back.

    Args:
      support: bool [h, w], the part of the mask at (left, top).
    """
    columns, rows = np.nonzero(support.T)
    places = (left + columns) * height + (top + rows)
    if not len(places):
        return []
    starts = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(places))
    begins = places[starts]
    gaps = begins - np.concatenate([[0], (begins + lengths)[:-1]])
    return [int(n) for n in np.stack([gaps, lengths], axis=1).ravel()]


def whole_runs(runs: list[int], height: int, width: int) -> list[int]:
    """The run lengths of the whole image."""
    return [*runs, height * width - sum(runs)]
