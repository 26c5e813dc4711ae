"""Healthy tissue for the place of a lesion.

The harmonic function that continues the pixels around a lesion measures it well, but as tissue it
is too smooth: a network finds the disc. So the place gets the tissue of a healthy patch that fits
its surroundings, and the harmonic function carries only what the two differ by at the edge (Pérez,
Gangnet and Blake 2003, "seamless cloning").
"""

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import spsolve

from cgan_tf.data.keyed import keyed_generator
from cgan_tf.data.lesion_layer import Box
from cgan_tf.data.patch_sets import PatchIndex
from cgan_tf.labels import PAPER_SIZE
from cgan_tf.synthesis.postprocess import box_pixels

VISIBLE = 0.05  # grey levels: what is fainter above the tissue belongs to no lesion
_OF_PEAK = 0.25  # a lesion ends where it has fallen to this share of its peak
_DONORS = 512  # healthy patches held in memory
_BEST = 4  # of the donors in their eight positions, one of which is drawn
_RING = 20.0  # px at 256: surroundings that a donor must fit
_SAMPLED = 256  # pixels of the ring that are compared, at most
_EDGE_SIGMA = 4.0  # px at 256: grain at the edge is no difference of the tissue
_DETAIL_SIGMA = 8.0  # px at 256: what is finer is detail
_OF_DETAIL = 0.5  # weight of unlike detail, a natural logarithm, beside a misfit of 0 to about 1
_LEAST = 1e-8  # of a power: a patch may be flat
_SOFT_SIGMA = 2.8  # px at 256: a faint density is found by its whole


def lesion_region(patch: np.ndarray, box: Box) -> np.ndarray:
    """Where a patch [size, size] is brighter in a box than the tissue around lets expect: bool.

    Brighter than `VISIBLE` and a quarter of the lesion's peak, in the patch or in a soft copy of
    it. Without a pixel around the box, or without anything bright in it, the whole box.
    """
    inside = box_pixels(box, len(patch))
    if inside.all() or not inside.any():
        return inside
    around = _soft_outside(patch, inside, _EDGE_SIGMA * len(patch) / PAPER_SIZE)
    above = np.where(inside, patch - harmonic_fill(around, inside), 0).astype(np.float32)
    if not (above > 0).any():
        return inside
    least = max(VISIBLE, _OF_PEAK * float(np.quantile(above[above > 0], 0.99)))
    soft = cv2.GaussianBlur(above, (0, 0), _SOFT_SIGMA * len(patch) / PAPER_SIZE)
    found = (above > least) | (soft > max(VISIBLE, 0.8 * least))
    return found & inside if (found & inside).any() else inside


def harmonic_fill(values: np.ndarray, region: np.ndarray) -> np.ndarray:
    """`values` [h, w] with bool `region` filled: each pixel there is the mean of the neighbours
    that it has. float64 [h, w].

    Raises ValueError where nothing is left around it.
    """
    if region.all():
        raise ValueError("region: expected pixels outside it, found none")
    filled = values.astype(np.float64)
    if not region.any():
        return filled
    ys, xs = np.nonzero(region)
    number = np.full(region.shape, -1)
    number[ys, xs] = np.arange(len(ys))
    degree, known = np.zeros(len(ys)), np.zeros(len(ys))
    rows, columns = [], []
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = ys + dy, xs + dx
        there = np.flatnonzero((y >= 0) & (y < region.shape[0]) & (x >= 0) & (x < region.shape[1]))
        y, x = y[there], x[there]
        degree[there] += 1
        free = region[y, x]
        rows.append(there[free])
        columns.append(number[y[free], x[free]])
        known[there[~free]] += filled[y[~free], x[~free]]
    row, column = np.concatenate(rows), np.concatenate(columns)
    own = np.arange(len(ys))
    laplacian = coo_array(
        (
            np.concatenate([-np.ones(len(row)), degree]),
            (np.concatenate([row, own]), np.concatenate([column, own])),
        )
    )
    filled[ys, xs] = spsolve(laplacian.tocsc(), known)
    return filled


def _soft_outside(values: np.ndarray, region: np.ndarray, sigma: float) -> np.ndarray:
    """`values` [h, w] outside a region, each a Gaussian mean of those around that are outside."""
    outside = (~region).astype(np.float32)
    sums, weights = (
        cv2.GaussianBlur(each.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        for each in (np.where(region, 0, values), outside)
    )
    return np.where(region, 0, sums / np.maximum(weights, 1e-6))


class Tissue:
    """Healthy patches, of which the one that fits is put in a lesion's place."""

    def __init__(self, healthy: PatchIndex, seed: int):
        """Reads up to `_DONORS` of them, drawn at random."""
        order = keyed_generator(seed, "tissue").permutation(len(healthy))[:_DONORS]
        self.donors = np.stack([healthy.pixels(int(number)) for number in order])
        sigma = _DETAIL_SIGMA * self.donors.shape[1] / PAPER_SIZE
        nothing = np.zeros(self.donors.shape[1:], bool)
        # Power of what is finer than `_DETAIL_SIGMA`, of every pixel.
        self.details = np.stack(
            [np.square(donor - _soft_outside(donor, nothing, sigma)) for donor in self.donors]
        )

    def filled(self, patch: np.ndarray, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`patch` [size, size] with healthy tissue in bool `region`: float32 in [-1, 1].

        Raises ValueError where nothing is left around the region.
        """
        donor = self._fitting(patch, region, rng)
        sigma = _EDGE_SIGMA * len(patch) / PAPER_SIZE
        offset = harmonic_fill(_soft_outside(patch - donor, region, sigma), region)
        return np.where(region, donor + offset, patch).clip(-1, 1).astype(np.float32)

    def _fitting(
        self, patch: np.ndarray, region: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One of the best donors in any of their eight positions: [size, size]."""
        ring, inside = _sampled(_ring(region), rng), _sampled(region, rng)
        sigma = _DETAIL_SIGMA * len(patch) / PAPER_SIZE
        detail = float(np.square(patch - _soft_outside(patch, region, sigma))[ring].mean())
        numbers = np.arange(patch.size).reshape(patch.shape)
        misfits = []
        for turn in range(8):
            places = _turned(numbers, turn)
            misfits.append(self._misfits(patch[ring], detail, places[ring], places[inside]))
        best = np.argsort(np.concatenate(misfits), kind="stable")[:_BEST]
        turn, donor = divmod(int(rng.choice(best)), len(self.donors))
        return _turned(self.donors[donor], turn)

    def _misfits(
        self, wanted: np.ndarray, detail: float, ring: np.ndarray, inside: np.ndarray
    ) -> np.ndarray:
        """How badly each donor fits, float [donors]: a patch's own copy has 0.

        What differs around the lesion, relative to what both have, and how far the power of fine
        structure is from the patch's, around the lesion and in its place. Without the latter a
        donor without structure, such as muscle, would fit any tissue better than other tissue does.

        Args:
          wanted: the patch in the ring, float [n]. detail: mean power of its fine structure there.
          ring, inside: places in a flat donor.
        """
        count = len(self.donors)
        found = self.donors.reshape(count, -1)[:, ring]
        differing = (found - wanted).var(axis=1) / (found.var(axis=1) + wanted.var() + _LEAST)
        details = self.details.reshape(count, -1)
        powers = (details[:, ring].mean(axis=1), details[:, inside].mean(axis=1))
        unlike = [np.abs(np.log((power + _LEAST) / (detail + _LEAST))) for power in powers]
        misfit: np.ndarray = differing + _OF_DETAIL * (unlike[0] + unlike[1])
        return misfit


def _ring(region: np.ndarray) -> np.ndarray:
    """The surroundings of a region that a donor must fit, bool [size, size]."""
    width = 2 * max(1, round(_RING * len(region) / PAPER_SIZE)) + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return cv2.dilate(region.astype(np.uint8), disk).astype(bool) & ~region


def _sampled(region: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of up to `_SAMPLED` pixels of a region."""
    ys, xs = np.nonzero(region)
    if len(ys) > _SAMPLED:
        chosen = rng.choice(len(ys), _SAMPLED, replace=False)
        ys, xs = ys[chosen], xs[chosen]
    return ys, xs


def _turned(patch: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight positions of a square array."""
    rotated = np.rot90(patch, turn % 4)
    return rotated[:, ::-1] if turn >= 4 else rotated
