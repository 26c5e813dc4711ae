"""Bands by hand, and what is no age, no site, no thickness and no exposure."""

import pytest

from cgan_tf.data.acquisition import (
    EXPOSURE_BANDS,
    THICKNESS_BANDS,
    age_band,
    exposure_mas,
    site_code,
    thickness_mm,
)


@pytest.mark.parametrize(
    ("said", "band"),
    [
        ("018Y", "under 50 years"),
        ("049Y", "under 50 years"),
        ("050Y", "50 to 59 years"),
        ("59Y", "50 to 59 years"),
        (" 60y ", "60 to 69 years"),
        (69, "60 to 69 years"),
        ("69.9", "60 to 69 years"),
        (70.0, "70 years and over"),
        ("120", "70 years and over"),
    ],
)
def test_ages(said, band):
    assert age_band(said) == band


@pytest.mark.parametrize(
    "said",
    ["", None, 0, "000Y", "017Y", "121Y", "999", "-61", "061M", "061W", "19371224", "1937-12-24",
     "61 Eleanor", "Y", "nan", "٦١", True, [61], {"Age": 61}],
)  # fmt: skip
def test_what_is_no_age(said):
    assert age_band(said) == ""


@pytest.mark.parametrize(
    ("said", "value"),
    [(57, 57.0), ("57.4", 57.0), ("10", 10.0), (150, 150.0), (0, 0.0), ("0", 0.0), (5.7, 0.0),
     (570, 0.0), (-57, 0.0), ("", 0.0), (None, 0.0), ("57 mm", 0.0), ("nan", 0.0), ("inf", 0.0),
     ("19371224", 0.0), ("Plantagenet^Eleanor", 0.0)],
)  # fmt: skip
def test_thickness(said, value):
    assert thickness_mm(said) == value


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ((84.56,), 84.6),
        ((84.56, 85), 84.6),  # the same, to a whole number
        ((1.4, 1), 1.4),
        ((0, 85), 85.0),
        ((84.56, 0), 84.6),
        ((0.085, 85), 85.0),  # mAs in the place of uAs
        ((85.0, 85000), 85.0),  # uAs in the place of mAs
        ((85.0, 850), 0.0),  # plausible both, and one is wrong
        ((85.0, 40.0), 0.0),
        ((85_000,), 0.0),
        ((0.9,), 0.0),
        ((0,), 0.0),
        ((-85,), 0.0),
        (("",), 0.0),
        (("85 mAs",), 0.0),
        ((float("nan"), 85), 85.0),
    ],
)
def test_exposure(said, value):
    assert exposure_mas(*said) == value


@pytest.mark.parametrize(("said", "code"), [("adde", "adde"), (" 2 ", "2"), ("N12", "N12")])
def test_sites(said, code):
    assert site_code(said) == code


@pytest.mark.parametrize(
    "said", ["", "Plantagenet clinic", "Eleanor", "a b", "é", None, 7, ["adde"]]
)
def test_what_is_no_site(said):
    assert site_code(said) == ""


def test_bands_end_at_their_limits():
    thickness = {30: "up to 45 mm", 45: "up to 45 mm", 46: "45 to 60 mm", 60: "45 to 60 mm",
                 75: "60 to 75 mm", 76: "over 75 mm"}  # fmt: skip
    assert {value: THICKNESS_BANDS.of(value) for value in thickness} == thickness
    exposure = {1: "up to 50 mAs", 50: "up to 50 mAs", 50.1: "50 to 100 mAs",
                100: "50 to 100 mAs", 200: "100 to 200 mAs", 200.1: "over 200 mAs"}  # fmt: skip
    assert {value: EXPOSURE_BANDS.of(value) for value in exposure} == exposure
