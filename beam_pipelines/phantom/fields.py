"""Random fields of the phantom, and grids to draw them on."""

import cv2
import numpy as np
import scipy.fft

# Power spectra of mammograms fall as 1/f^beta with beta near 3 between 0.15 and 0.7 cycles/mm
# (Burgess, Jacobson and Judy, Med Phys 28:419, 2001).
BETA = 3.0
# The power law cannot hold to frequency 0: below one cycle in this length the spectrum is flat.
OUTER_SCALE_MM = 60.0
# Anatomy larger than a few millimetres is drawn on this grid, the same for both image sizes, so
# that a woman looks the same at both.
COARSE_SHAPE = (208, 160)
COARSE_MM = 1.12


def power_law_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    spacing_mm: float,
    beta: float = BETA,
    outer_scale_mm: float = OUTER_SCALE_MM,
    inner_scale_mm: float = 0.0,
) -> np.ndarray:
    """Gaussian field with power spectrum (f0^2 + f^2)^(-beta/2); mean 0, unit variance.

    Args:
      shape: rows, columns. spacing_mm: of a pixel.
      inner_scale_mm: structure smaller than this is removed by a Gaussian.

    Returns:
      float32 [rows, columns].
    """
    f2 = _squared_frequency(shape, spacing_mm)
    amplitude = (outer_scale_mm**-2 + f2) ** (-beta / 4)
    if inner_scale_mm:
        amplitude *= np.exp(-f2 * inner_scale_mm**2)
    amplitude[0, 0] = 0.0
    spectrum = rng.standard_normal((*amplitude.shape, 2), np.float32).view(np.complex64)[..., 0]
    field = scipy.fft.irfft2(spectrum * amplitude.astype(np.float32), shape)
    return (field / field.std()).astype(np.float32, copy=False)


def _squared_frequency(shape: tuple[int, int], spacing_mm: float) -> np.ndarray:
    rows = scipy.fft.fftfreq(shape[0], spacing_mm)[:, None]
    columns = scipy.fft.rfftfreq(shape[1], spacing_mm)[None, :]
    return rows**2 + columns**2


def pixel_axes(shape: tuple[int, int], spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in mm: float32 y [rows, 1] and x [1, columns]."""
    y = (np.arange(shape[0], dtype=np.float32) + 0.5) * np.float32(spacing_mm)
    x = (np.arange(shape[1], dtype=np.float32) + 0.5) * np.float32(spacing_mm)
    return y[:, None], x[None, :]


def upsample(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A coarse field [h, w] on the pixels of an image of `shape`: [H, W] of the same type."""
    return cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def sample_field(field: np.ndarray, y_mm: np.ndarray, x_mm: np.ndarray) -> np.ndarray:
    """A coarse field [h, w], periodic, read at places in mm: float32 of the places' shape."""
    y_mm, x_mm = np.broadcast_arrays(y_mm, x_mm)
    rows = (y_mm / COARSE_MM).astype(np.float32)
    columns = (x_mm / COARSE_MM).astype(np.float32)
    return cv2.remap(field, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
