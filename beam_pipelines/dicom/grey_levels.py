"""Turns stored values into grey levels in [-1, 1], and grey levels back into stored values.

One table over all stored values holds the steps of PS3.3 C.11 and PS3.4 N.2: padding, modality
rescale, VOI (LUT sequence, else window), polarity. pydicom's `apply_voi_lut` is the reference; a
table is several times faster than its float64 arithmetic on every pixel. Patches are a small part
of an image: only what is asked for is looked up.

Where the transformation rises or falls strictly, a level has one stored value, which is found
exactly. Where it is flat (beyond a window, in a table's plateaus, in the tails of a sigmoid) many
values have the same level: the one nearest to what the pixel held before is taken, so that a pixel
whose level does not change keeps its value.
"""

import dataclasses
import sys
from typing import Any

import cv2
import numpy as np
from pydicom.dataelem import RawDataElement

from beam_pipelines.rejections import Reason, Rejected

# PS3.3 C.7.6.3.1.2
_PHOTOMETRIC_TERMS = frozenset(
    (
        "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422",
        "YBR_ICT", "YBR_RCT", "XYB", "HSV", "ARGB", "CMYK",
    )
)  # fmt: skip
_MOST_ENTRIES = 1 << 16  # of a VOI LUT


@dataclasses.dataclass(frozen=True, eq=False)
class GreyLevels:
    """An image in grey levels, looked up where it is indexed by slices.

    Attributes:
      patterns: uint8 or uint16 [H, W], as stored.
      table: float32 [256] or [65536], the grey level of each pattern.
    """

    patterns: np.ndarray
    table: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.patterns.shape

    def __getitem__(self, place: Any) -> np.ndarray:
        """float32, as `numpy.ndarray` would give it."""
        patterns = _patterns_at(self.patterns, place)
        return cv2.LUT(patterns, self.table).reshape(patterns.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def _patterns_at(patterns: np.ndarray, place: Any) -> np.ndarray:
    """`patterns[place]`, contiguous.

    Every second column of 16 bits is the low half of each pair: twice as fast as a stride.
    """
    if (
        isinstance(place, tuple)
        and place[1:] == (slice(None, None, 2),)
        and isinstance(place[0], slice)
        and patterns.dtype == np.dtype("<u2")
        and sys.byteorder == "little"
        and patterns.strides[1] == 2
        and patterns.shape[1] % 2 == 0
    ):
        return patterns[place[0]].view(np.uint32).astype(np.uint16)
    return np.ascontiguousarray(patterns[place])


def cropped(grey: np.ndarray | GreyLevels, place: tuple[slice, slice]) -> np.ndarray | GreyLevels:
    """A part of an image, as a view: nothing is looked up."""
    if isinstance(grey, GreyLevels):
        return GreyLevels(grey.patterns[place], grey.table)
    return grey[place]


def check_photometric(dataset: Any) -> None:
    """Raises `Rejected` for a photometric interpretation that is not grey, with its name."""
    found = str(dataset.get("PhotometricInterpretation") or "").strip()
    if found not in ("MONOCHROME1", "MONOCHROME2"):
        name = found if found in _PHOTOMETRIC_TERMS or not found else "not a known term"
        raise Rejected(Reason.UNSUPPORTED_PHOTOMETRIC, name)


def grey_levels(stored: np.ndarray, dataset: Any) -> GreyLevels:
    """Stored bit patterns [H, W] as grey levels [H, W] in [-1, 1].

    The output range of the VOI transformation, or [0, 2^BitsStored - 1] without one, becomes
    [-1, 1]; MONOCHROME1 is inverted; padding becomes -1. Raises `Rejected` for what the
    attributes declare wrongly or what is not read here (a modality LUT sequence, colour).
    """
    layout = pixel_layout(stored, dataset)
    patterns = layout.patterns(np.arange(1 << (8 * stored.dtype.itemsize)))
    return GreyLevels(stored, grey_table(dataset, layout.bits)[patterns])


@dataclasses.dataclass(frozen=True)
class PixelLayout:
    """Where the stored value is in the bits of a pixel; the others may hold an overlay.

    Attributes:
      bits: BitsStored. shift: bits below the value.
    """

    bits: int
    shift: int

    def patterns(self, stored: np.ndarray) -> np.ndarray:
        """The stored values alone, as unsigned bit patterns.

        The result has the integer type and the shape of `stored`.
        """
        shifted = stored >> self.shift if self.shift else stored
        return shifted & np.asarray((1 << self.bits) - 1, shifted.dtype)

    def replaced(self, stored: np.ndarray, patterns: np.ndarray) -> np.ndarray:
        """`stored` with the values of `patterns`, of the same shape; the bits around them stay.

        The result has the integer type and the shape of `stored`.
        """
        values = np.asarray(((1 << self.bits) - 1) << self.shift, stored.dtype)
        return (stored & ~values) | (patterns.astype(stored.dtype) << self.shift)


def pixel_layout(stored: np.ndarray, dataset: Any) -> PixelLayout:
    """The layout that the attributes declare for integer pixels [H, W].

    Raises `Rejected` where it does not fit their type.
    """
    bits = int(dataset.get("BitsStored") or 0)
    high = int(dataset.get("HighBit") if dataset.get("HighBit") is not None else bits - 1)
    allocated = 8 * stored.dtype.itemsize
    if not 1 <= bits <= 16 or not bits - 1 <= high < max(allocated, bits):
        raise Rejected(Reason.UNSUPPORTED_PIXELS, f"{bits} bits stored, high bit {high}")
    return PixelLayout(bits, high + 1 - bits)


def grey_table(dataset: Any, bits: int) -> np.ndarray:
    """float32 [2^bits]: the grey level of every stored bit pattern."""
    check_photometric(dataset)
    if dataset.get("ModalityLUTSequence"):
        raise Rejected(Reason.UNSUPPORTED_PIXELS, "ModalityLUTSequence")
    values = stored_numbers(dataset, bits)
    fraction = _voi_fraction(values, dataset, bits)
    if not np.isfinite(fraction).all():  # a slope beyond all numbers
        raise Rejected(Reason.BAD_GREY_LEVELS, "not finite")
    if str(dataset.PhotometricInterpretation).strip() == "MONOCHROME1":
        fraction = 1.0 - fraction
    fraction[padding(values, dataset)] = 0.0
    return (2.0 * fraction - 1.0).astype(np.float32)


def stored_numbers(dataset: Any, bits: int) -> np.ndarray:
    """int64 [2^bits]: the number that every stored bit pattern means."""
    numbers = np.arange(1 << bits, dtype=np.int64)
    if int(dataset.get("PixelRepresentation") or 0) == 1:
        numbers = np.where(numbers >> (bits - 1), numbers - (1 << bits), numbers)
    return numbers


def _voi_fraction(values: np.ndarray, dataset: Any, bits: int) -> np.ndarray:
    """Where each stored value lies in the output range of the VOI, 0 to 1."""
    slope = _float(dataset.get("RescaleSlope", 1.0))
    intercept = _float(dataset.get("RescaleIntercept", 0.0))
    if slope == 0.0:
        raise Rejected(Reason.BAD_GREY_LEVELS, "RescaleSlope 0")
    rescaled = values * slope + intercept
    items = list(dataset.get("VOILUTSequence") or ())
    tables = [item for item in items if "LUTDescriptor" in item and "LUTData" in item]
    if tables:
        return _lut_fraction(rescaled, tables[0])
    width, center = _first(dataset.get("WindowWidth")), _first(dataset.get("WindowCenter"))
    if width is None or center is None:
        if items:  # a transformation is meant, and nobody says which
            raise Rejected(Reason.BAD_GREY_LEVELS, "VOILUTSequence without LUTData, no window")
        low, high = sorted((rescaled.min(), rescaled.max()))
        return (rescaled - low) / (high - low)
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    return _window_fraction(rescaled, _float(center), _float(width), function)


def _lut_fraction(values: np.ndarray, item: Any) -> np.ndarray:
    """PS3.3 C.11.2.1.1: values below the first mapped one take the first entry, and so on."""
    descriptor = item.get("LUTDescriptor")
    if descriptor is None or not hasattr(descriptor, "__len__") or len(descriptor) != 3:
        raise Rejected(Reason.BAD_GREY_LEVELS, "LUTDescriptor")
    entries, first, depth = (int(number) for number in descriptor)
    entries = entries or 1 << 16
    lut = _lut_entries(item, entries, depth)
    if len(lut) < entries or not 8 <= depth <= 16:
        raise Rejected(Reason.BAD_GREY_LEVELS, f"LUT of {len(lut)} entries, {depth} bits")
    if depth == 16 and lut[:entries].max() < 1 << 12:
        # Some devices declare 16 bits and write 12: by the letter of the standard all but black.
        depth = 12
    if first >= 1 << 15 and values.min() < 0:  # US or SS, as PixelRepresentation says
        first -= 1 << 16
    places = np.clip(values.astype(np.int64) - first, 0, entries - 1)
    return np.clip(lut[places] / ((1 << depth) - 1), 0.0, 1.0)


def _lut_entries(item: Any, entries: int, depth: int) -> np.ndarray:
    """float64 [n]: LUTData. Its value is numbers (US) or bytes (OW), a word for an entry; entries
    of 8 bits may be two to a word (PS3.3 C.11.1.1.1)."""
    data = item.get("LUTData") if _is_short(item) else None
    if not isinstance(data, bytes):
        numbers = np.atleast_1d(np.asarray(() if data is None else data, np.int64))
        data = numbers.astype("<u2").tobytes()
    packed = depth == 8 and len(data) == entries + entries % 2
    words = np.frombuffer(data[: len(data) // 2 * 2], "u1" if packed else "<u2")
    return words.astype(np.float64)


def _is_short(item: Any) -> bool:
    """Whether LUTData has at most the length of a LUT, checked before it becomes numbers."""
    raw = item.get_item("LUTData") if "LUTData" in item else None
    return not isinstance(raw, RawDataElement) or len(raw.value or b"") <= 2 * _MOST_ENTRIES


def _window_fraction(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, for an output range of [0, 1]."""
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise Rejected(Reason.BAD_GREY_LEVELS, "VOILUTFunction")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise Rejected(Reason.BAD_GREY_LEVELS, "WindowWidth")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -500, 500)))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)


def padding(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Which stored values are padding (PS3.3 C.7.5.1.1.2): bool, of the shape of `values`."""
    value = _first(dataset.get("PixelPaddingValue"))
    if value is None:
        return np.zeros(values.shape, bool)
    limit = _first(dataset.get("PixelPaddingRangeLimit"))
    low, high = sorted((_float(value), _float(value if limit is None else limit)))
    return (values >= low) & (values <= high)


def _first(value: Any) -> Any:
    """Window 0 of several; None when the attribute is absent or empty."""
    if value is None or isinstance(value, (str, bytes)):
        return value or None
    if hasattr(value, "__len__"):
        return value[0] if len(value) else None
    return value


def _float(value: Any) -> float:
    try:
        number = float(1.0 if value is None else value)
    except (TypeError, ValueError) as error:
        raise Rejected(Reason.BAD_GREY_LEVELS, "not a number") from error
    if not np.isfinite(number):
        raise Rejected(Reason.BAD_GREY_LEVELS, "not a finite number")
    return number


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
        nearest = self._order[np.where(nearer, upper, lower)].astype(patterns.dtype)
        return np.where(self.padding[patterns], patterns, nearest)
