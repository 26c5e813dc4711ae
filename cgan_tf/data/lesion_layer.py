"""A lesion as what a patch has beyond its background: the estimate, and its way onto other tissue.

The box of the lesion is filled with the harmonic function that continues the pixels around it, as a
drum skin would, and what the patch has beyond that is the lesion's layer: lesion and grain of the
tissue in the box. Put on the harmonic continuation of another patch it is Poisson blending (Pérez,
Gangnet and Blake 2003): the differences between neighbours are the lesion's, the values at the edge
the other patch's.
"""

import functools

import numpy as np

Box = tuple[float, ...]  # (x0, y0, x1, y1) in pixels, x1 and y1 exclusive, or () for none


def lesion_layer(patch: np.ndarray, box: Box) -> np.ndarray | None:
    """The patch minus the background continued from around the box; 0 outside the box.

    Args:
      patch: float [size, size] in [-1, 1]. box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.

    Returns:
      float32 [size, size], or None when the box leaves nothing around it.
    """
    rows, columns = slices_of(box, len(patch))
    layer = np.zeros(patch.shape, np.float32)
    inside = layer[rows, columns]
    if inside.size in (0, layer.size):
        return None
    inside[:] = patch[rows, columns] - continued(patch, rows, columns)
    return layer


def slices_of(box: Box, size: int) -> tuple[slice, slice]:
    """(rows, columns) of the pixels that a box touches."""
    edges = [*np.floor(box[:2]), *np.ceil(box[2:])]
    x0, y0, x1, y1 = (int(edge) for edge in np.clip(edges, 0, size))
    return slice(y0, y1), slice(x0, x1)


def continued(image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The harmonic continuation of `image` into a box from around it, float64 [rows, columns].

    The box's Laplacian is a sum of one along the rows and one along the columns, so it is inverted
    on their eigenvectors (Lynch, Rice and Thomas 1964, "fast diagonalisation").
    """
    known = image.astype(np.float64)
    known[rows, columns] = 0
    around = np.pad(known, 1)  # at the border of the patch the slope is 0: nothing comes from there
    height, width = rows.stop - rows.start, columns.stop - columns.start
    top, left = rows.start, columns.start  # one less in the padded image
    inflow = np.zeros((height, width))
    inflow[0] += around[top, left + 1 : left + 1 + width]
    inflow[-1] += around[rows.stop + 1, left + 1 : left + 1 + width]
    inflow[:, 0] += around[top + 1 : top + 1 + height, left]
    inflow[:, -1] += around[top + 1 : top + 1 + height, columns.stop + 1]
    along_y, y = _eigenvectors(height, rows.start == 0, rows.stop == len(image))
    along_x, x = _eigenvectors(width, columns.start == 0, columns.stop == len(image))
    return y @ ((y.T @ inflow @ x) / (along_y[:, None] + along_x)) @ x.T


@functools.cache
def _eigenvectors(length: int, starts: bool, ends: bool) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of the negative second difference over `length` pixels.

    `starts` and `ends`: whether the first and the last pixel are at the border of the patch.
    """
    matrix = 2 * np.eye(length) - np.eye(length, k=1) - np.eye(length, k=-1)
    matrix[0, 0] -= starts
    matrix[-1, -1] -= ends
    return np.linalg.eigh(matrix)
