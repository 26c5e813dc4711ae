"""Does a synthetic patch differ from its source where its mask is zero? It must not.

Counted in the levels that records store, of which 65,535 make the range [-1, 1]: what storage
rounds is then exact, and every difference is a fault.
"""

import dataclasses

import numpy as np

from cgan_tf.records import LEVELS, PatchRecord


@dataclasses.dataclass(frozen=True)
class Change:
    """How a synthetic patch differs from its source.

    Attributes:
      outside: greatest difference where the mask is zero, in stored levels; 0 is right.
      inside: greatest difference from clip(source + lesion) anywhere, in stored levels; 1 is right,
        because lesion and patch are rounded one by one.
      pixels: those outside that differ.
    """

    outside: int
    inside: int
    pixels: int


def change_of(record: PatchRecord, source: np.ndarray) -> Change | None:
    """The change of a record's patch from `source` [size, size]; None without mask or lesion.

    The mask's tail below half a level of [0, 1] is stored as zero. Times a lesion of at most 1 it
    is a quarter of a patch's level at most, so a right patch still has the source's levels there.
    """
    if record.mask is None or record.lesion is None:
        return None
    made = stored_levels(record.patch)
    difference = np.abs(made - stored_levels(source))
    outside = difference[record.mask == 0]
    expected = stored_levels(np.clip(source + record.lesion, -1, 1))
    return Change(
        outside=int(outside.max(initial=0)),
        inside=int(np.abs(made - expected).max()),
        pixels=int(np.count_nonzero(outside)),
    )


def stored_levels(patch: np.ndarray) -> np.ndarray:
    """Grey levels in [-1, 1] as the integers of their PNG, int64."""
    return np.rint((patch.astype(np.float64) + 1) / 2 * LEVELS).astype(np.int64)
