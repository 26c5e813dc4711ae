"""Display values to stored pixel values and back, for every grey-level mapping of the phantom.

The decoding that a reader must do is: stored value -> VOI LUT or window -> inverted if
MONOCHROME1 -> [-1, 1] over the VOI's output range (DICOM PS3.3 C.11.2 and C.8.11.7). Each mapping
is given as its table over all stored values; encoding looks for the stored value whose table entry
is nearest. So whatever the mapping, decoding gives the same picture to within the table's step.
"""

import dataclasses

import numpy as np

LINEAR = "LINEAR"
LINEAR_EXACT = "LINEAR_EXACT"
SIGMOID = "SIGMOID"
LUT = "LUT"
LUT_BITS = 12  # of the entries of a VOI LUT


@dataclasses.dataclass(frozen=True)
class GreyMapping:
    """How stored values become display values.

    Attributes:
      bits: BitsStored. photometric: MONOCHROME1 or MONOCHROME2.
      voi: LINEAR, LINEAR_EXACT, SIGMOID or LUT. centre, width: of the window, in stored values;
        unused with LUT.
    """

    bits: int
    photometric: str
    voi: str
    centre: float = 0.0
    width: float = 0.0


def voi_lut(bits: int) -> np.ndarray:
    """The table of the VOI LUT sequence: uint16 [2^bits], a film-like S curve.

    The S is mild, so that its steps stay near those of a straight line.
    """
    u = np.linspace(0.0, 1.0, 1 << bits)
    curve = 0.6 * u + 0.4 * u * u * (3 - 2 * u)
    return np.rint(curve * ((1 << LUT_BITS) - 1)).astype(np.uint16)


def display_table(mapping: GreyMapping) -> np.ndarray:
    """Display value in [-1, 1] of every stored value: float64 [2^bits]."""
    stored = np.arange(1 << mapping.bits, dtype=np.float64)
    centre, width = mapping.centre, mapping.width
    if mapping.voi == LINEAR:
        output = (stored - (centre - 0.5)) / (width - 1) + 0.5
    elif mapping.voi == LINEAR_EXACT:
        output = (stored - centre) / width + 0.5
    elif mapping.voi == SIGMOID:
        output = 1 / (1 + np.exp(-4 * (stored - centre) / width))
    elif mapping.voi == LUT:
        output = voi_lut(mapping.bits) / ((1 << LUT_BITS) - 1)
    else:
        raise ValueError(f"voi: expected LINEAR, LINEAR_EXACT, SIGMOID or LUT, found {mapping.voi}")
    output = np.clip(output, 0, 1)
    if mapping.photometric == "MONOCHROME1":
        output = 1 - output
    return output * 2 - 1


def encode_display(display: np.ndarray, mapping: GreyMapping) -> np.ndarray:
    """Stored values (uint16) whose display value is nearest to `display` in [-1, 1]."""
    table = display_table(mapping)
    order = slice(None, None, -1) if mapping.photometric == "MONOCHROME1" else slice(None)
    rising = table[order]
    middles = (rising[1:] + rising[:-1]) / 2
    # One table over finely quantised display values is much faster than a search for each pixel.
    fine = np.linspace(-1, 1, 1 << 16)
    nearest = np.searchsorted(middles, fine, side="left")
    if mapping.photometric == "MONOCHROME1":
        nearest = table.size - 1 - nearest
    levels = np.rint((np.asarray(display, np.float32) + 1) * np.float32(32767.5))
    return nearest.astype(np.uint16)[levels.astype(np.uint16)]


def raw_values(display: np.ndarray, bits: int) -> np.ndarray:
    """The FOR PROCESSING twin: detector signal, linear in exposure, so dark where it is dense.

    Exposure falls exponentially with the attenuation that the display value stands for; air is
    near the detector's full scale.
    """
    full = (1 << bits) - 1
    return np.rint(0.94 * full * np.exp(-1.9 * (display.astype(np.float32) + 1))).astype(np.uint16)
