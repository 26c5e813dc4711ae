"""Noise power inside and beside a lesion, by frequency.

A generator that smooths what it paints over, or leaves the pattern of its up-sampling, changes the
noise of the tissue. Mammograms differ in their noise, so noise inside a lesion is compared with
noise beside it in the same patch: in small tiles, after subtracting a plane from each (the
brightness of the tissue and its slope).
"""

import functools

import numpy as np

TILE_PX = 16
BANDS = ("0–0.125", "0.125–0.25", "0.25–0.375", "0.375–0.5")  # cycles per pixel
_STRIPE = TILE_PX // (2 * len(BANDS))  # frequencies of a tile in a band
_LEAST_POWER = 1e-12  # under the noise of 16-bit storage, (2 / 65535)^2 / 12


def excess_noise(patch: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
    """log2 of the noise power inside the box over that beside it, by band: float64 [bands].

    0: as the tissue beside it; 1: twice the power; -1: half. A single tile inside is one draw of
    its power, whose logarithm is lower on average, by 0.2 in the lowest band to 0.03 in the last.

    Args:
      patch: float [size, size], grey levels in [-1, 1].
      box: (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.

    Returns:
      None where the patch has no room for a tile beside the box.
    """
    inside, beside = tiles_of(len(patch), box)
    if not len(beside):
        return None
    power = [band_power(_cut(patch, corners)) for corners in (inside, beside)]
    return np.log2(power[0] / power[1])


def tiles_of(size: int, box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y), int [n, 2], of the tiles inside a box and of those beside it.

    Inside: as many whole tiles as the box holds, in its middle; at least one. Beside: one row of
    tiles all around the box, as far as the patch has room.
    """
    low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    xs, ys = (np.clip(_row(*edges), 0, size - TILE_PX) for edges in zip(low, high, strict=True))
    left_right = [
        (x, y)
        for x in (low[0] - TILE_PX, high[0])
        for y in _row(low[1] - TILE_PX, high[1] + TILE_PX)
    ]
    above_below = [(x, y) for x in xs for y in (low[1] - TILE_PX, high[1])]
    beside = np.array(left_right + above_below)
    room = ((beside >= 0) & (beside <= size - TILE_PX)).all(axis=1)
    return np.array([(x, y) for x in xs for y in ys]), beside[room]


def _row(low: int, high: int) -> np.ndarray:
    """Starts of the whole tiles that fit between low and high, in the middle; at least one."""
    count = max(1, (high - low) // TILE_PX)
    return (low + high - count * TILE_PX) // 2 + TILE_PX * np.arange(count)


def band_power(tiles: np.ndarray) -> np.ndarray:
    """Mean power of tiles float [n, TILE_PX, TILE_PX] in each band: float64 [bands].

    A frequency belongs to the band of the larger of its two parts, so the last band also
    holds the corners of the spectrum, where a chequerboard is.
    """
    flat = tiles.reshape(len(tiles), -1).astype(np.float64)
    basis = _plane()
    rest = flat - (flat @ basis) @ basis.T
    windowed = rest.reshape(tiles.shape) * _window()
    power = np.square(np.abs(np.fft.fft2(windowed))).mean(axis=0) / np.square(_window()).sum()
    frequency = np.abs(np.fft.fftfreq(TILE_PX, 1 / TILE_PX)).astype(int)
    larger = np.maximum(frequency[:, None], frequency)
    band = (larger - 1) // _STRIPE  # that of the mean, 0, is -1
    means = [power[band == number].mean() for number in range(len(BANDS))]
    return np.maximum(means, _LEAST_POWER)


def _cut(patch: np.ndarray, corners: np.ndarray) -> np.ndarray:
    return np.stack([patch[y : y + TILE_PX, x : x + TILE_PX] for x, y in corners])


@functools.cache
def _plane() -> np.ndarray:
    """Orthonormal columns for 1, x and y over a tile, [TILE_PX^2, 3]."""
    y, x = np.mgrid[:TILE_PX, :TILE_PX].reshape(2, -1)
    return np.linalg.qr(np.stack([np.ones(TILE_PX**2), x, y], axis=1))[0]


@functools.cache
def _window() -> np.ndarray:
    """Hann window float64 [TILE_PX, TILE_PX]; it keeps the edges of a tile out of its spectrum."""
    half = np.sin(np.pi * (np.arange(TILE_PX) + 0.5) / TILE_PX) ** 2
    return np.outer(half, half)
