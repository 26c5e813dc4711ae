"""Batches: the plan's patches with their labels, a pool in its order."""

import numpy as np

from cgan_tf.classifier.inputs import open_sets
from cgan_tf.classifier.pipeline import pool_batches, training_batches
from tests.toys.classifier import toy_config


def test_batches_are_the_plans_patches(toy_sets, tmp_path):
    pools = open_sets(toy_config(toy_sets, tmp_path)).streams
    plan = np.array([[0, 3], [1, 7], [2, 0], [3, 19], [1, 0]], np.int32)
    batches = list(training_batches(pools, plan, 1, 3).as_numpy_iterator())
    assert [len(labels) for _, labels in batches] == [3, 1]
    assert batches[0][1].tolist() == [1, 0, 1]
    for row, patch in zip(plan[1:4], batches[0][0], strict=True):
        assert np.array_equal(patch[..., 0], pools[row[0]].pixels(int(row[1])))
    assert np.array_equal(batches[1][0][0, ..., 0], pools[1].pixels(0))


def test_batches_of_one(toy_sets, tmp_path):
    pools = open_sets(toy_config(toy_sets, tmp_path)).streams
    plan = np.array([[3, 2], [0, 5]], np.int32)
    patches, labels = zip(*training_batches(pools, plan, 0, 1).as_numpy_iterator(), strict=True)
    assert [patch.shape for patch in patches] == [(1, 32, 32, 1)] * 2
    assert np.concatenate(labels).tolist() == [1, 0]


def test_after_the_last_sample_there_is_nothing(toy_sets, tmp_path):
    pools = open_sets(toy_config(toy_sets, tmp_path)).streams
    assert list(training_batches(pools, np.zeros((4, 2), np.int32), 4, 2)) == []


def test_a_pool_comes_in_its_order(toy_sets, tmp_path):
    pool = open_sets(toy_config(toy_sets, tmp_path)).validation
    batches = list(pool_batches(pool, 16).as_numpy_iterator())
    assert [len(batch) for batch in batches] == [16, 16, 16, 12]
    whole = np.concatenate(batches)[..., 0]
    assert all(np.array_equal(whole[number], pool.pixels(number)) for number in range(60))
