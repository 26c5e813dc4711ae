"""Patches as eight-bit pictures."""

import numpy as np


def to_levels(view: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8, out-of-range values clipped."""
    return np.rint(np.clip(view, 0, 1) * 255).astype(np.uint8)


def patch_levels(patches: np.ndarray) -> np.ndarray:
    """Grey levels in [-1, 1], of any shape, to uint8; out-of-range values clipped."""
    return to_levels((patches + 1.0) / 2.0)
