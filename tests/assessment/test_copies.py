"""Planted copies and repeated lesions are found; fresh lesions are neither."""

import dataclasses
import json

import numpy as np
import pytest

from cgan_tf.assessment import copies as assessment_copies
from cgan_tf.assessment.copies import (
    from_training,
    measure_memorisation,
    measure_repetition,
    nearest,
    similarity_within,
)
from cgan_tf.assessment.lesions import (
    SIDE,
    Lesions,
    describe_lesion,
    describe_lesions,
    estimate_lesion,
)
from cgan_tf.assessment.two_samples import FeatureSet
from cgan_tf.data.records import PatchRecord


def _blob(rng):
    """A lesion of three random spots, within 12 px of the middle, float32 [SIDE, SIDE]."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    spots = zip(*rng.uniform(24, 40, (2, 3)), rng.uniform(1.5, 4, 3), strict=True)
    return sum(
        0.4 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * s**2)) for x, y, s in spots
    ).astype(np.float32)


def _record(rng, lesion, name=""):
    """The lesion somewhere on a smooth background with noise, in a box not quite its own."""
    move = rng.integers(-10, 11, 2)
    rows, columns = np.nonzero(np.roll(lesion, move, (0, 1)) > 0.05)
    low, high = rng.integers(1, 4, 2)
    box = (columns.min() - low, rows.min() - low, columns.max() + high, rows.max() + high)
    slope = rng.uniform(-0.3, 0.3) * np.linspace(-1, 1, SIDE, dtype=np.float32)
    noise = 0.02 * rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    patch = slope + noise + rng.uniform(0.7, 1.3) * np.roll(lesion, move, (0, 1))
    return PatchRecord(
        patch_id=name,
        client_id=f"client of {name}",
        patch=patch,
        patch_class="malignant_mass",
        box=tuple(map(float, box)),
    )


def _described(records):
    return describe_lesions(
        (r.patch_id, r.client_id, estimate_lesion(r.patch, r.box) if r.box else None)
        for r in records
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
        name: _described(
            _record(rng, lesion, f"{name} {number}") for number, lesion in enumerate(own)
        )
        for name, own in sets.items()
    }
    return described, copied


def _is_json(actual):
    return bool(json.dumps(dataclasses.asdict(actual), allow_nan=False))


def _compare(described, synthetic):
    return measure_memorisation(described[synthetic], described["held_out"], described["training"])


def test_copies_are_found_whatever_their_place_and_background(lesions):
    described, copied = lesions
    actual = _compare(described, "copies")
    assert actual.low > 0.8
    assert actual.copies > 0.7
    for synthetic, training, _ in actual.nearest:
        assert training == f"training {copied[int(synthetic.removeprefix('copies '))]}"
    similarities = [similarity for *_, similarity in actual.nearest]
    assert similarities == sorted(similarities, reverse=True)


def test_fresh_lesions_are_no_nearer_than_held_out_ones(lesions):
    actual = _compare(lesions[0], "fresh")
    assert actual.low < 0.5 < actual.high
    assert actual.copies < 0.2
    assert actual.counts == {"synthetic": 60, "held_out": 60, "training": 60}
    for own in actual.quartiles.values():
        assert own == sorted(own)
    assert _is_json(actual)


def test_what_all_lesions_share_is_no_likeness():
    """One direction that every lesion has: without taking it off, all are alike."""
    rng = np.random.default_rng(1)

    def described(count):
        own = np.concatenate([np.full((count, 1), 50.0), rng.standard_normal((count, 12))], axis=1)
        return _named(own / np.linalg.norm(own, axis=1, keepdims=True))

    training, held_out = described(100), described(40)
    actual = measure_memorisation(_named(training.vectors[:40]), held_out, training)
    assert actual.copies == 1
    assert max(actual.quartiles["held_out"]) < 0.9
    assert nearest(held_out.vectors, training.vectors)[0].min() > 0.98


def _named(vectors, client=None):
    names = np.array([str(number) for number in range(len(vectors))])
    return Lesions(vectors, names, names if client is None else np.full(len(vectors), client))


class TestFromTraining:
    """Six training women and six others, ten lesions each."""

    TRAINING, HELD_OUT = (np.repeat([f"{kind}{n}" for n in range(6)], 10) for kind in "th")

    def test_copies_of_all_training_women(self):
        actual = from_training(self.TRAINING, self.TRAINING, self.HELD_OUT)
        assert actual.share == 1
        assert actual.expected == 0.5
        assert actual.p_value < 0.01  # 1 of 924 choices of six women, and the shuffles

    def test_lesions_that_take_after_everyone(self):
        both = np.concatenate([self.TRAINING, self.HELD_OUT])
        actual = from_training(both, self.TRAINING, self.HELD_OUT)
        assert actual.share == 0.5
        assert actual.p_value == 1  # all shuffles are alike

    def test_one_popular_woman_proves_nothing(self):
        actual = from_training(np.full(100, "t0"), self.TRAINING, self.HELD_OUT)
        assert actual.share == 1
        assert actual.p_value == pytest.approx(0.5, abs=0.1)

    def test_more_lesions_of_a_training_woman_are_taken_after_more_often(self):
        """Ten times as many lesions each, and as many synthetic ones like each lesion."""
        training = np.repeat(self.TRAINING, 10)
        both = np.concatenate([training, self.HELD_OUT])
        actual = from_training(both, training, self.HELD_OUT)
        assert actual.share == pytest.approx(actual.expected)
        assert actual.p_value == 1


def test_plain_lesions_are_near_to_training_and_to_others(lesions):
    """What is coarse varies alike in all; plain lesions lack what is each real one's own."""
    rng = np.random.default_rng(5)

    def described(own):
        coarse = rng.standard_normal((60, 2))
        vectors = np.concatenate([coarse, own * rng.standard_normal((60, 20))], axis=1)
        return _named(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    training, held_out, plain = described(0.3), described(0.3), described(0.0)
    held_out = Lesions(held_out.vectors, held_out.patch_ids, np.char.add("h", held_out.patients))
    actual = measure_memorisation(plain, held_out, training)
    assert actual.copies > 0.15
    assert actual.low > 0.5
    assert actual.from_training_p > 0.05
    copies = _compare(lesions[0], "copies")
    assert copies.from_training_p < 0.01
    assert copies.from_training > 0.9 > copies.from_training_expected


def test_nearest_is_the_greatest_dot_product_in_any_block(monkeypatch):
    rng = np.random.default_rng(2)
    queries, training = rng.standard_normal((17, 5)), rng.standard_normal((11, 5))
    expected = queries @ training.T
    for block in (1, 40, 10_000):
        monkeypatch.setattr(assessment_copies, "_BLOCK_VALUES", block)
        similarity, position = nearest(queries, training)
        assert similarity == pytest.approx(expected.max(axis=1))
        assert position.tolist() == expected.argmax(axis=1).tolist()


def test_records_without_a_lesion_to_see_are_left_out():
    rng = np.random.default_rng(3)
    good, other = (_record(rng, _blob(rng), name) for name in ("one", "two"))
    flat = np.zeros((SIDE, SIDE), np.float32)
    records = [
        PatchRecord("normal", flat, "normal"),
        good,
        PatchRecord("whole", good.patch, "malignant_mass", box=(0.0, 0.0, SIDE, SIDE)),
        PatchRecord("flat", flat, "malignant_mass", box=good.box),
        other,
    ]
    described = _described(records)
    assert described.patch_ids.tolist() == ["one", "two"]
    assert described.patients.tolist() == ["client of one", "client of two"]
    assert described.vectors.shape == (2, len(describe_lesion(flat)))
    assert len(_described([])) == 0


def test_missing_sets_are_named(lesions):
    fresh, none = lesions[0]["fresh"], _described([])
    actual = measure_memorisation(fresh, none, none)
    assert actual.note == "undefined: no held-out and no training lesions with a box"
    assert actual.auc is None
    assert _is_json(actual)


def test_one_patient_has_no_interval(lesions):
    described = lesions[0]
    one, other = (
        _named(described[name].vectors, client)
        for name, client in (("fresh", "p"), ("held_out", "q"))
    )
    actual = measure_memorisation(one, other, described["training"])
    assert 0 < actual.auc < 1
    assert (actual.low, actual.high) == (None, None)
    assert actual.note.startswith("undefined: 1 patients")
    assert _is_json(actual)


def _of_vectors(vectors, clients=None, name="s"):
    clients = range(len(vectors)) if clients is None else clients
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"{name}{n}" for n in range(len(vectors))])
    return Lesions(unit, ids, np.array([f"{name}{client}" for client in clients]))


def _directions(seed, count=120):
    """A direction that all lesions share, and ten of their own."""
    own = np.random.default_rng(seed).standard_normal((count, 10))
    return np.concatenate([np.full((count, 1), 5.0), own], axis=1)


@pytest.fixture
def real():
    return _of_vectors(_directions(0), name="r")


def test_similarity_by_hand():
    unit = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1.0]])
    mean, twins = similarity_within(FeatureSet(3 * unit, np.array([0, 0, 1, 2])))
    # Pairs of two patients: 0-2 0.6, 1-2 0.6, 0-3 0, 1-3 0, 2-3 0.8.
    assert mean == pytest.approx(2 / 5)
    assert twins == pytest.approx([0.6, 0.6, 0.8, 0.8])


def test_lesions_that_differ_as_real_ones_do(real):
    actual = measure_repetition(_of_vectors(_directions(1)), real, seed=0)
    assert actual.alike == pytest.approx(0, abs=0.05)
    assert actual.real_alike == pytest.approx(0, abs=0.05)
    assert actual.repeats < 0.2
    assert actual.twin == pytest.approx(actual.real_twin, abs=0.05)
    json.dumps(dataclasses.asdict(actual), allow_nan=False)


def test_one_lesion(real):
    noise = 0.5 * _directions(2)
    noise[:, 0] = 0
    actual = measure_repetition(_of_vectors(_directions(1)[:1] + noise), real, seed=0)
    assert actual.alike > 0.5


def test_ten_lesions_in_turn(real):
    """The mean likeness is a tenth, but everyone has her twin."""
    ten = np.tile(_directions(1, 10), (12, 1)) + 0.1 * _directions(2) * (np.arange(11) > 0)
    actual = measure_repetition(_of_vectors(ten), real, seed=0)
    assert actual.alike < 0.2
    assert actual.repeats > 0.95
    assert actual.twin > 0.95


def test_lesions_of_one_patient_are_no_twins(real):
    pairs = np.repeat(_directions(1, 60), 2, axis=0)
    apart, together = (
        measure_repetition(_of_vectors(pairs, clients), real, seed=0)
        for clients in (None, np.arange(120) // 2)
    )
    assert apart.repeats == 1
    assert together.repeats < 0.2


def test_too_few_and_one_patient_are_undefined(real):
    few = measure_repetition(_of_vectors(_directions(1, 9)), real, seed=0)
    assert (few.repeats, few.note) == (None, "undefined: 9 lesions with a box")
    one = measure_repetition(_of_vectors(_directions(1), np.zeros(120, int)), real, seed=0)
    assert (one.alike, one.note) == (None, "undefined: lesions of one patient alone")


class TestDiffering:
    """Beside lesions that differ: a share of twins that few real patients alone would explain."""

    @staticmethod
    def draws(count=120):
        return [_of_vectors(_directions(10 + draw, count), name="d") for draw in range(5)]

    def test_few_real_patients_make_twins_of_lesions_that_differ(self):
        """All lesions in five dimensions, the real ones of two patients who are unlike: hardly a
        real lesion has a twin of another patient, nearly every synthetic one has."""

        def vectors(seed, side):
            own = np.abs(np.random.default_rng(seed).standard_normal((120, 4)))
            first = side * np.abs(np.random.default_rng(seed + 50).standard_normal(120)) * 3
            return np.concatenate([np.full((120, 1), 5.0), first[:, None], own], axis=1)

        sides = np.repeat([1, -1], 60)
        real = _of_vectors(vectors(0, sides), np.arange(120) // 60, name="r")
        fresh = _of_vectors(vectors(1, sides))
        null = [_of_vectors(vectors(2 + draw, sides), name="d") for draw in range(5)]
        actual = measure_repetition(fresh, real, seed=0, null=null)
        assert actual.repeats > 0.9
        assert actual.repeats_null == pytest.approx(actual.repeats, abs=0.05)
        json.dumps(dataclasses.asdict(actual), allow_nan=False)

    def test_ten_in_turn_are_beyond_them(self, real):
        ten = np.tile(_directions(1, 10), (12, 1)) + 0.1 * _directions(2) * (np.arange(11) > 0)
        actual = measure_repetition(_of_vectors(ten), real, seed=0, null=self.draws())
        assert actual.repeats > 0.95
        assert actual.repeats_null < 0.2

    def test_groups_are_as_large_as_the_smallest_draw(self, real):
        """Twins are commoner among many."""
        null = [*self.draws(), _of_vectors(_directions(3, 40))]
        actual = measure_repetition(_of_vectors(_directions(1)), real, seed=0, null=null)
        assert actual.group_size == 40

    def test_too_few_of_them_are_left_out(self, real):
        fresh = _of_vectors(_directions(1))
        actual = measure_repetition(fresh, real, seed=0, null=self.draws(9))
        assert actual == measure_repetition(fresh, real, seed=0)
        assert (actual.group_size, actual.repeats_null) == (120, None)
