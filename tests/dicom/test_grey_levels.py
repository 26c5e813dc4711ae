"""The inverse of the VOI against a search through every stored value."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from beam_pipelines.dicom.grey_levels import (
    GreyLevels,
    PixelLayout,
    StoredValues,
    grey_table,
    pixel_layout,
)

BITS = 8


def attributes(**values) -> Dataset:
    dataset = Dataset()
    dataset.PhotometricInterpretation = values.pop("photometric", "MONOCHROME2")
    dataset.BitsStored = values.pop("bits", BITS)
    dataset.PixelRepresentation = values.pop("signed", 0)
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def lut(entries) -> Sequence:
    item = Dataset()
    item.LUTDescriptor = [len(entries), 0, 8]
    item.LUTData = np.asarray(entries, "<u2").tobytes()
    item["LUTData"].VR = "OW"
    return Sequence([item])


def window(function: str, **more) -> dict:
    return {"WindowCenter": 120, "WindowWidth": 100, "VOILUTFunction": function, **more}


PLATEAUS = np.repeat(np.arange(0, 256, 4), 4)  # steps of four equal entries
HILL = np.concatenate([np.arange(0, 256, 2), np.arange(255, 0, -2)])  # rises, then falls
CASES = {
    "none": {},
    "linear": window("LINEAR"),
    "linear, inverted": window("LINEAR", photometric="MONOCHROME1"),
    "exact": window("LINEAR_EXACT"),
    "sigmoid": window("SIGMOID"),
    "sigmoid, narrow": window("SIGMOID", WindowWidth=3),
    "signed": {"WindowCenter": -10, "WindowWidth": 90, "signed": 1},
    "signed, inverted": {"signed": 1, "photometric": "MONOCHROME1"},
    "padding": window("LINEAR", PixelPaddingValue=0, PixelPaddingRangeLimit=20),
    "padding within": window("LINEAR", PixelPaddingValue=130, PixelPaddingRangeLimit=140),
    "plateaus": {"VOILUTSequence": lut(PLATEAUS)},
    "plateaus, inverted": {"VOILUTSequence": lut(PLATEAUS), "photometric": "MONOCHROME1"},
    "hill": {"VOILUTSequence": lut(HILL)},
    "rescaled": window("LINEAR", RescaleSlope=-2, RescaleIntercept=300),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def numbers_of(dataset: Dataset) -> np.ndarray:
    """The number of every pattern, written out."""
    patterns = np.arange(1 << BITS)
    return np.where(patterns >= 128, patterns - 256, patterns) if _signed(dataset) else patterns


def _signed(dataset: Dataset) -> bool:
    return dataset.PixelRepresentation == 1


@each_case
def test_a_pixel_that_keeps_its_level_keeps_its_value(case):
    dataset = attributes(**case)
    inverse = StoredValues(dataset, BITS)
    patterns = np.arange(1 << BITS, dtype=np.uint16)
    found = inverse.nearest(patterns, grey_table(dataset, BITS))
    np.testing.assert_array_equal(found, patterns)
    assert found.dtype == patterns.dtype


@each_case
def test_it_is_the_nearest_level_and_of_its_values_the_nearest(case):
    dataset = attributes(**case)
    inverse, table = StoredValues(dataset, BITS), grey_table(dataset, BITS).astype(np.float64)
    numbers, padding = numbers_of(dataset), inverse.padding
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 1 << BITS, 3000).astype(np.uint8)
    grey = rng.uniform(-1.1, 1.1, 3000)
    found = inverse.nearest(patterns, grey)
    for before, wanted, after in zip(patterns, grey, found, strict=True):
        if padding[before]:
            assert after == before
            continue
        assert not padding[after]
        far = np.where(padding, np.inf, np.abs(table - wanted))
        assert far[after] == pytest.approx(far.min(), abs=1e-12)
        alike = np.flatnonzero(~padding & (table == table[after]))
        moved = np.abs(numbers[alike] - numbers[before])
        assert abs(numbers[after] - numbers[before]) == moved.min()


def test_hand_computed_values():
    inverse = StoredValues(attributes(**window("LINEAR_EXACT")), BITS)
    # Black up to 70, white from 170 on, 0.02 a value between: 120 is grey 0.
    patterns = np.array([120, 120, 10, 10, 200, 200, 90], np.uint8)
    grey = np.array([0.2, -0.212, -1.0, -0.6, 1.0, 0.9, 1.0])
    assert inverse.nearest(patterns, grey).tolist() == [130, 109, 10, 90, 200, 165, 170]


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_every_depth_is_inverted_exactly(bits):
    dataset = attributes(bits=bits, WindowCenter=1 << (bits - 1), WindowWidth=1 << bits)
    inverse = StoredValues(dataset, bits)
    patterns = np.arange(1 << bits, dtype=np.uint16)
    middle = np.full_like(patterns, 1 << (bits - 1))
    shown = patterns[1:-1]  # the window leaves out no more than its ends
    np.testing.assert_array_equal(inverse.nearest(middle, inverse.table)[1:-1], shown)


def test_an_image_of_padding_alone_stays():
    dataset = attributes(PixelPaddingValue=0, PixelPaddingRangeLimit=255)
    patterns = np.array([1, 2], np.uint8)
    assert StoredValues(dataset, BITS).nearest(patterns, np.zeros(2)).tolist() == [1, 2]


def test_bits_around_the_value_stay():
    stored = np.array([[0xA123, 0x5FFF]], np.uint16)
    layout = PixelLayout(bits=12, shift=0)
    assert layout.patterns(stored).tolist() == [[0x123, 0xFFF]]
    assert layout.replaced(stored, np.array([[0x456, 0x0]])).tolist() == [[0xA456, 0x5000]]
    shifted = PixelLayout(bits=8, shift=4)  # HighBit 11
    assert shifted.patterns(stored).tolist() == [[0x12, 0xFF]]
    assert shifted.replaced(stored, np.array([[0x45, 0x01]])).tolist() == [[0xA453, 0x501F]]
    dataset = attributes(bits=8, HighBit=11)
    assert pixel_layout(stored, dataset) == shifted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("columns", [slice(None), slice(3, 51), slice(1, 50)])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_is_looked_up_is_what_an_array_would_give(dtype, columns, step):
    """Thinned, of a part that begins at any column."""
    rng = np.random.default_rng(0)
    table = rng.uniform(-1, 1, 1 << (8 * np.dtype(dtype).itemsize)).astype(np.float32)
    patterns = rng.integers(0, len(table), (31, 64)).astype(dtype)[:, columns]
    levels = GreyLevels(patterns, table)
    np.testing.assert_array_equal(levels[::step, ::step], table[patterns][::step, ::step])
    np.testing.assert_array_equal(levels[4:20:step, ::2], table[patterns][4:20:step, ::2])
