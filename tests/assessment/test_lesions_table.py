"""Figures of lesions by hand, and how far two tables of them differ."""

import json

import numpy as np
import pytest

from cgan_tf.assessment.lesions import (
    LESION_COLUMNS,
    NOISE,
    LesionTable,
    compare_tables,
    lesion_values,
    patch_values,
    table_of,
)


def test_a_lesion_by_hand():
    difference = np.zeros((10, 10))
    difference[1, 1:4] = 0.5
    difference[2, 4] = 0.7  # touches by a corner
    difference[8, 8] = 0.3
    difference[5, 5] = 0.1  # at the threshold, not beyond
    found = lesion_values(difference, 0.1)
    assert found == pytest.approx(
        {"contrast": (3 * 0.5 + 0.7 + 0.3) / 5, "area": 0.05, "components": 2}
    )


def test_nothing_beyond_the_threshold_has_no_contrast():
    assert lesion_values(np.zeros((4, 4)), 0.1) == {"area": 0, "components": 0}
    assert lesion_values(None, 0.1) == {}


def test_saturation_is_of_the_box():
    patch = np.full((64, 64), 0.2)
    patch[20:22, 20:30] = 1.0
    patch[30, 20:30] = -1.0
    patch[0, 0] = 1.0
    found = patch_values(patch, (20.0, 20.0, 40.0, 40.0))
    assert found["saturation"] == pytest.approx(30 / 400)
    assert set(found) == {"saturation", *NOISE}
    assert patch_values(patch, (20.0, 20.0, 40.0, 40.0 - 0.5))["saturation"] == found["saturation"]
    assert patch_values(patch, ()) == {}
    assert set(patch_values(patch, (0.0, 0.0, 64.0, 64.0))) == {"saturation"}


def test_missing_figures_are_nan():
    table = table_of([{"area": 0.1}, {}], ["a", "b"], LESION_COLUMNS)
    np.testing.assert_array_equal(table.columns["area"], [0.1, np.nan])
    np.testing.assert_array_equal(table.columns["contrast"], [np.nan, np.nan])


def table(values, first_client=0):
    clients = np.array([str(first_client + n) for n in range(len(values))])
    return LesionTable({"area": np.asarray(values, float)}, clients)


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [(lambda v: v, 0, 0.2), (lambda v: v + 9, 1, 1), (lambda v: 0 * v, 0.45, 0.7)],
    ids=["the same", "shifted", "all alike"],
)
def test_distance_of_distributions(change, low, high):
    rng = np.random.default_rng(0)
    real, ours = rng.standard_normal(400), change(rng.standard_normal(300))
    found = compare_tables(table(ours), table(real, 1_000), seed=0)["area"]
    assert low <= found["distance"] <= high
    assert found["ceiling"] < 0.2
    assert found["real"] == pytest.approx(np.quantile(real, (0.05, 0.25, 0.5, 0.75, 0.95)))
    assert found["synthetic"][2] == pytest.approx(np.median(ours))
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_undefined_figures_are_left_out():
    rng = np.random.default_rng(0)
    real = rng.standard_normal(100)
    ours = np.where(np.arange(100) % 2, np.nan, rng.standard_normal(100))
    found = compare_tables(table(ours), table(real, 1_000), seed=0)["area"]
    assert found["distance"] is not None
    assert found["synthetic"][2] == pytest.approx(np.nanmedian(ours))


@pytest.mark.parametrize("ours", [np.full(50, np.nan), np.arange(5)], ids=["none", "five"])
def test_too_few_are_undefined(ours):
    found = compare_tables(table(ours), table(np.arange(50), 1_000), seed=0)["area"]
    assert (found["distance"], found["ceiling"]) == (None, None)
    json.dumps(found, allow_nan=False)
