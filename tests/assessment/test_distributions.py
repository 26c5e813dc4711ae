"""Values of lesions and patches by hand, and how far two tables of them differ."""

import dataclasses
import json

import numpy as np
import pytest

from cgan_tf.assessment.appearance import saturated_share
from cgan_tf.assessment.distributions import ValueTable, compare_tables, value_table
from cgan_tf.assessment.lesions import lesion_values
from cgan_tf.assessment.measures import APPEARANCE
from cgan_tf.assessment.reading import PatchView


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
    assert saturated_share(patch, (20.0, 20.0, 40.0, 40.0)) == pytest.approx(30 / 400)
    assert saturated_share(patch, (20.0, 20.0, 40.0, 39.5)) == pytest.approx(30 / 400)


def test_appearance_is_read_as_far_as_the_patch_has_room():
    def names(*box):
        view = PatchView(np.full((64, 64), 0.2), None, box, 0.1)
        return set(APPEARANCE.patch_values(view))

    assert names() == set()
    assert names(0.0, 0.0, 64.0, 64.0) == {"saturation"}
    assert names(20.0, 20.0, 40.0, 40.0) == {"saturation", *APPEARANCE.bands}


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
    found = compare_tables(table(ours), table(real, 1_000), seed=0)["area"]
    assert low <= found.distance <= high
    assert found.ceiling < 0.2
    assert found.real == pytest.approx(np.quantile(real, (0.05, 0.25, 0.5, 0.75, 0.95)))
    assert found.synthetic[2] == pytest.approx(np.median(ours))
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_undefined_values_are_left_out():
    rng = np.random.default_rng(0)
    real = rng.standard_normal(100)
    ours = np.where(np.arange(100) % 2, np.nan, rng.standard_normal(100))
    found = compare_tables(table(ours), table(real, 1_000), seed=0)["area"]
    assert found.distance is not None
    assert found.synthetic[2] == pytest.approx(np.nanmedian(ours))


@pytest.mark.parametrize("ours", [np.full(50, np.nan), np.arange(5)], ids=["none", "five"])
def test_too_few_are_undefined(ours):
    found = compare_tables(table(ours), table(np.arange(50), 1_000), seed=0)["area"]
    assert (found.distance, found.ceiling) == (None, None)
    json.dumps(dataclasses.asdict(found), allow_nan=False)
