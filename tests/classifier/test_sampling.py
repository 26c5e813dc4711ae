"""The share's schedule against hand-computed values, and the order of the streams."""

import numpy as np
import pytest

from cgan_tf.classifier.sampling import (
    STREAM_LABELS,
    STREAM_NAMES,
    Schedule,
    patch_numbers,
    plan_checksum,
    source_weights,
    stream_weights,
)


@pytest.mark.parametrize(
    ("sample", "multiplicative", "subtractive"),
    [
        (0, 0.5, 0.5),
        (4_999, 0.5, 0.5),
        (5_000, 0.45, 0.4),
        (10_000, 0.405, 0.3),
        (14_999, 0.405, 0.3),
        (25_000, 0.295245, 0.0),
        (50_000, 0.17433922005, 0.0),
    ],
)
def test_share_follows_the_table(sample, multiplicative, subtractive):
    assert Schedule(0.5).share(sample) == pytest.approx(multiplicative)
    assert Schedule(0.5, "subtractive").share(sample) == pytest.approx(subtractive, abs=1e-12)


@pytest.mark.parametrize(
    ("initial", "total"),
    [(0.0, 0), (0.1, 5_000), (0.25, 12_500), (0.5, 25_000), (0.75, 37_500), (1.0, 50_000)],
)
def test_totals_of_the_papers_six_runs(initial, total):
    assert Schedule(initial).expected_synthetic(500_000) == pytest.approx(total, abs=2)


def test_intervals_are_the_share_at_their_first_sample():
    schedule = Schedule(1.0, every=4)
    assert schedule.intervals(10) == pytest.approx([1.0, 0.9, 0.81])
    assert Schedule(1.0, "subtractive").expected_synthetic(500_000) == pytest.approx(27_500)


def test_stream_weights_keep_the_classes_balanced():
    weights = stream_weights(np.array([0.0, 0.5, 1.0]))
    assert weights.tolist() == [[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 0.5, 0.5]]


def test_source_weights_are_real_and_synthetic():
    assert source_weights(np.array([0.0, 0.25, 1.0])).tolist() == [[1, 0], [0.75, 0.25], [0, 1]]
    names = [f"{source} {label}" for source in ("real", "synthetic") for label in
             ("negative", "positive")]  # fmt: skip
    assert list(STREAM_NAMES) == names  # a stream's number is class + 2 * source
    assert STREAM_LABELS == (0, 1, 0, 1)


def test_every_epoch_is_its_own_permutation():
    numbers = patch_numbers(3, 1, 10, np.arange(35))
    epochs = [numbers[start : start + 10].tolist() for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len(set(numbers[30:])) == 5


def test_order_is_a_pure_function_of_the_draw():
    whole = patch_numbers(3, 1, 10, np.arange(35))
    assert patch_numbers(3, 1, 10, np.arange(17, 35)).tolist() == whole[17:].tolist()
    assert patch_numbers(3, 1, 10, [34, 0, 12]).tolist() == whole[[34, 0, 12]].tolist()
    assert patch_numbers(4, 1, 10, np.arange(35)).tolist() != whole.tolist()
    assert patch_numbers(3, 2, 10, np.arange(35)).tolist() != whole.tolist()


def test_plan_checksum_ignores_the_integer_width():
    plan = np.array([[0, 5], [1, 2]])
    assert plan_checksum(plan) == plan_checksum(plan.astype(np.int32))
    assert plan_checksum(plan) != plan_checksum(plan[::-1])
