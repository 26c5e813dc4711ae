"""Numbers as the report writes them."""

import math

import pytest

from cgan_tf.pages import style
from cgan_tf.pages.style import (
    Estimate,
    auc_and_interval,
    column_decimals,
    difference_and_interval,
    format_probability,
    signed,
)


@pytest.mark.parametrize(
    ("value", "log_value", "text"),
    [
        (0.5512, None, "0.55"),
        (0.104, None, "0.10"),
        (0.0312, None, "0.031"),
        (0.00151, None, "0.0015"),
        (1.2e-8, None, "1 × 10⁻⁸"),
        (9.9e-8, None, "1 × 10⁻⁷"),
        (0.0, -1000 * math.log(10), "1 × 10⁻¹⁰⁰⁰"),
        (0.0, None, "under 10⁻³⁰⁰"),
        (math.nan, None, "undefined"),
    ],
)
def test_probabilities_read_well(value, log_value, text):
    assert format_probability(value, log_value) == text


def test_differences_have_their_signs_and_limits():
    assert difference_and_interval(0.0171, -0.002, 0.0362) == "+0.017 (−0.002 to +0.036)"
    assert difference_and_interval(0.5, math.nan, math.nan) == "+0.500 (undefined)"
    assert difference_and_interval(math.nan, math.nan, math.nan) == "undefined"
    assert signed(-0.125, 2) == "−0.12"
    assert signed(-0.001, 2) == signed(0.001, 2) == "0.00"


def test_a_column_has_one_precision():
    """What its widest interval allows: half of 0.1 wide leaves three decimals, half of 0.3 two."""
    assert column_decimals([(0.80, 0.90), None, (math.nan, math.nan)]) == 3
    assert column_decimals([(0.80, 0.90), (0.6, 0.9)]) == 2
    assert column_decimals([]) == 3
    assert auc_and_interval(Estimate(0.8461, (0.8, 0.9)), 2) == "0.85 (0.80–0.90)"
    assert difference_and_interval(0.0171, -0.002, 0.0362, 2) == "+0.02 (0.00 to +0.04)"
    assert style.value_and_spread(0.486, 0.0136, widest=0.2) == "0.49 ± 0.01"


def test_undefined_aucs_and_intervals_have_words():
    assert auc_and_interval(Estimate(0.8461, (0.8, 0.9))) == "0.846 (0.800–0.900)"
    assert auc_and_interval(Estimate(0.8461, None)) == "0.846 (interval undefined)"
    undefined = Estimate(None, None, "undefined: no lesions")
    assert auc_and_interval(undefined) == "undefined: no lesions"


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (3943.9, 5421.1, "3,900 ± 5,400"),
        (0.486, 0.136, "0.49 ± 0.14"),
        (-0.0132, 0.0021, "−0.0132 ± 0.0021"),
        (431.04, 12.2, "431 ± 12"),
        (0.5, 0.0, "0.500 ± 0.000"),
        (0.5, 9.96, "0.5 ± 10.0"),
    ],
)
def test_a_spread_sets_the_digits(value, spread, text):
    assert style.value_and_spread(value, spread) == text


def test_an_interval_sets_the_digits():
    auc = style.Estimate(0.8456, (0.7204, 0.9512))
    assert style.auc_and_interval(auc) == "0.85 (0.72–0.95)"
    assert style.auc_and_interval(style.Estimate(0.8456, (0.8311, 0.8601))) == "0.846 (0.831–0.860)"
    assert style.difference_and_interval(0.05, -0.123, 0.22) == "+0.05 (−0.12 to +0.22)"


def test_minus_signs_stand_before_numbers_alone():
    text = "KID -0.05, 0.25-0.375 cycles, real-time, (-1 to -.5), a -b"
    assert style.minus(text) == "KID −0.05, 0.25-0.375 cycles, real-time, (−1 to −.5), a -b"
