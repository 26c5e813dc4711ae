"""Planted copies are found, fresh lesions are not; diversity by hand."""

import json

import numpy as np
import pytest

from cgan_tf import memorisation
from cgan_tf.lesion_estimate import SIDE, describe_lesion
from cgan_tf.memorisation import compare, describe_records, diversity, nearest
from cgan_tf.records import PatchRecord


def _blob(rng):
    """A lesion of three random spots, within 12 px of the middle, float32 [SIDE, SIDE]."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    spots = zip(*rng.uniform(24, 40, (2, 3)), rng.uniform(1.5, 4, 3), strict=True)
    return sum(
        0.4 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * s**2)) for x, y, s in spots
    ).astype(np.float32)


def _record(rng, lesion, number=0):
    """The lesion somewhere on a smooth background with noise, in a box not quite its own."""
    move = rng.integers(-10, 11, 2)
    rows, columns = np.nonzero(np.roll(lesion, move, (0, 1)) > 0.05)
    low, high = rng.integers(1, 4, 2)
    box = (columns.min() - low, rows.min() - low, columns.max() + high, rows.max() + high)
    slope = rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, SIDE, dtype=np.float32)
    noise = 0.02 * rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    patch = slope + noise + rng.uniform(0.7, 1.3) * np.roll(lesion, move, (0, 1))
    return PatchRecord(
        patch_id=str(number), patch=patch, patch_class="malignant_mass", box=tuple(map(float, box))
    )


@pytest.fixture(scope="module")
def lesions():
    """Lesions of the training split, of the held-out one, fresh ones, and which ones are copied."""
    rng = np.random.default_rng(0)
    training, held_out, fresh = ([_blob(rng) for _ in range(60)] for _ in range(3))
    copied = rng.integers(0, 60, 60)
    sets = {"training": training, "held_out": held_out, "fresh": fresh}
    sets["copies"] = [training[i] for i in copied]
    described = {
        name: describe_records(_record(rng, lesion) for lesion in own)[0]
        for name, own in sets.items()
    }
    return described, copied


def _compare(described, synthetic):
    return compare(
        described[synthetic],
        described["held_out"],
        described["training"],
        np.arange(60),
        np.arange(60, 120),
    )


def test_copies_are_found_whatever_their_place_and_background(lesions):
    described, copied = lesions
    found = _compare(described, "copies")
    assert found["low"] > 0.8
    assert found["copies"] > 0.7
    pairs = [(i, j) for i, j, _ in found["nearest"]]
    assert [copied[i] for i, _ in pairs] == [j for _, j in pairs]
    similarities = [similarity for *_, similarity in found["nearest"]]
    assert similarities == sorted(similarities, reverse=True)


def test_fresh_lesions_are_no_nearer_than_held_out_ones(lesions):
    found = _compare(lesions[0], "fresh")
    assert found["low"] < 0.5 < found["high"]
    assert found["copies"] < 0.2
    assert found["counts"] == {"synthetic": 60, "held_out": 60, "training": 60}
    for own in found["quartiles"].values():
        assert own == sorted(own)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_all_lesions_share_is_no_likeness():
    """One direction that every lesion has: without taking it off, all are alike."""
    rng = np.random.default_rng(1)

    def described(count):
        own = np.concatenate([np.full((count, 1), 50.0), rng.standard_normal((count, 12))], axis=1)
        return own / np.linalg.norm(own, axis=1, keepdims=True)

    training = described(100)
    found = compare(training[:40], described(40), training, np.arange(40), np.arange(40, 80))
    assert found["copies"] == 1
    assert max(found["quartiles"]["held_out"]) < 0.9
    assert nearest(described(40), training)[0].min() > 0.98


def test_nearest_is_the_greatest_dot_product_in_any_block(monkeypatch):
    rng = np.random.default_rng(2)
    queries, training = rng.standard_normal((17, 5)), rng.standard_normal((11, 5))
    expected = queries @ training.T
    for block in (1, 40, 10_000):
        monkeypatch.setattr(memorisation, "_BLOCK_VALUES", block)
        similarity, position = nearest(queries, training)
        assert similarity == pytest.approx(expected.max(axis=1))
        assert position.tolist() == expected.argmax(axis=1).tolist()


def test_records_without_a_lesion_to_see_are_left_out():
    rng = np.random.default_rng(3)
    good = _record(rng, _blob(rng))
    flat = np.zeros((SIDE, SIDE), np.float32)
    records = [
        PatchRecord("normal", flat, "normal"),
        good,
        PatchRecord("whole", good.patch, "malignant_mass", box=(0.0, 0.0, SIDE, SIDE)),
        PatchRecord("flat", flat, "malignant_mass", box=good.box),
        good,
    ]
    described, positions = describe_records(records)
    assert positions.tolist() == [1, 4]
    assert described.shape == (2, len(describe_lesion(flat)))
    assert describe_records([])[0].shape == (0, described.shape[1])


def test_missing_sets_are_named(lesions):
    described = lesions[0]
    none = described["fresh"][:0]
    found = compare(described["fresh"], none, none, np.arange(60), np.arange(0))
    assert found["note"] == "undefined: no held-out and no training lesions with a box"
    assert found["auc"] is None
    json.dumps(found, allow_nan=False)


def test_one_patient_has_no_interval(lesions):
    described = lesions[0]
    found = compare(
        described["fresh"], described["held_out"], described["training"], np.zeros(60), np.ones(60)
    )
    assert 0 < found["auc"] < 1
    assert (found["low"], found["high"]) == (None, None)
    assert found["note"].startswith("undefined: 1 patients")
    json.dumps(found, allow_nan=False)


def _square(x, y, strength=1.0, side=4):
    lesion = np.zeros((32, 32), np.float32)
    lesion[y : y + side, x : x + side] = strength
    return lesion


def test_diversity_by_hand():
    # Input a: one square, then 3 right and 4 down, twice as bright. Input b: a larger square.
    lesions = np.stack([_square(5, 5), _square(8, 9, 2.0), _square(20, 20, side=8)])
    found = diversity(lesions, np.array(["a", "a", "b"]))
    assert (found["inputs"], found["pairs"], found["note"]) == (1, 1, "")
    assert found["shape"]["within"] == pytest.approx(0, abs=1e-6)
    assert found["place"]["within"] == pytest.approx(5 / 32)
    assert found["strength"]["within"] == pytest.approx(np.log(2))
    assert found["shape"]["between"] > 0.2
    json.dumps(found, allow_nan=False)


def test_generator_that_ignores_z_has_no_diversity_within_an_input():
    rng = np.random.default_rng(4)
    own = [_blob(rng) for _ in range(10)]
    ignoring = diversity(np.repeat(own, 4, axis=0), np.repeat(np.arange(10), 4))
    free = diversity(np.stack([_blob(rng) for _ in range(40)]), np.repeat(np.arange(10), 4))
    for name in ("shape", "place", "strength"):
        assert ignoring[name]["within"] == pytest.approx(0, abs=1e-6)
        assert ignoring[name]["between"] > 0.01
        assert 0.5 < free[name]["within"] / free[name]["between"] < 2
    assert (free["inputs"], free["pairs"]) == (10, 30)


@pytest.mark.parametrize("sources", [["a", "b", "c"], ["a", "a", "a"]])
def test_diversity_needs_two_lesions_of_one_input_and_two_inputs(sources):
    lesions = np.stack([_square(5, 5), _square(8, 9), _square(20, 20)])
    found = diversity(lesions, np.array(sources))
    assert found["note"].startswith("undefined")
    assert found["shape"] is None


def test_lesions_with_nothing_bright_are_left_out():
    lesions = np.stack([_square(5, 5), np.zeros((32, 32), np.float32), _square(6, 6)])
    found = diversity(lesions, np.array(["a", "a", "b"]))
    assert found["note"].startswith("undefined: 0 of 2 inputs")
