"""How far two tables of values differ."""

import dataclasses
import json

import numpy as np
import pytest

from cgan_tf.assessment.distributions import ValueTable, compare_tables, value_table


def test_missing_values_are_nan():
    table = value_table([{"area": 0.1}, {}], ["a", "b"], ("area", "contrast"))
    np.testing.assert_array_equal(table.columns["area"], [0.1, np.nan])
    np.testing.assert_array_equal(table.columns["contrast"], [np.nan, np.nan])


def table(values, first_client=0):
    clients = np.array([str(first_client + n) for n in range(len(values))])
    return ValueTable({"area": np.asarray(values, float)}, clients)


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [(lambda v: v, 0, 0.2), (lambda v: v + 9, 1, 1), (lambda v: 0 * v, 0.45, 0.7)],
    ids=["the same", "shifted", "all alike"],
)
def test_distance_of_distributions(change, low, high):
    rng = np.random.default_rng(0)
    real, ours = rng.standard_normal(400), change(rng.standard_normal(300))
    actual = compare_tables(table(ours), table(real, 1_000), seed=0)["area"]
    assert low <= actual.distance <= high
    assert actual.ceiling < 0.2
    assert actual.real == pytest.approx(np.quantile(real, (0.05, 0.25, 0.5, 0.75, 0.95)))
    assert actual.synthetic[2] == pytest.approx(np.median(ours))
    json.dumps(dataclasses.asdict(actual), allow_nan=False)


def test_undefined_values_are_left_out():
    rng = np.random.default_rng(0)
    real = rng.standard_normal(100)
    ours = np.where(np.arange(100) % 2, np.nan, rng.standard_normal(100))
    actual = compare_tables(table(ours), table(real, 1_000), seed=0)["area"]
    assert actual.distance is not None
    assert actual.synthetic[2] == pytest.approx(np.nanmedian(ours))


@pytest.mark.parametrize("ours", [np.full(50, np.nan), np.arange(5)], ids=["none", "five"])
def test_too_few_are_undefined(ours):
    actual = compare_tables(table(ours), table(np.arange(50), 1_000), seed=0)["area"]
    assert (actual.distance, actual.ceiling) == (None, None)
    json.dumps(dataclasses.asdict(actual), allow_nan=False)
