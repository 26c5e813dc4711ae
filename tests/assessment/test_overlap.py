"""Synthetic features beside the ceiling of real ones split by patient."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from cgan_tf.assessment.overlap import STATISTICS, compare
from cgan_tf.assessment.two_samples import FeatureSet, equal_groups

NAMES = tuple(statistic.name for statistic in STATISTICS)
FEW = {"splits": 3, "permutations": 99}


def _patches(rng, patients, patches=4, width=6, shift=0.0):
    """Features and patients; a patient's patches resemble one another."""
    clusters = np.repeat(np.arange(patients), patches)
    features = rng.standard_normal((patients, width))[clusters]
    return features + rng.standard_normal((len(clusters), width)) + shift, clusters


@pytest.fixture(scope="module")
def equal():
    rng = np.random.default_rng(0)
    real, clusters = _patches(rng, 60)
    synthetic, sources = _patches(rng, 60)
    return compare(real, synthetic, clusters, 1, sources + 1000, **FEW)


@pytest.fixture(scope="module")
def shifted():
    rng = np.random.default_rng(0)
    real, clusters = _patches(rng, 60)
    synthetic, sources = _patches(rng, 60, shift=2.0)
    return compare(real, synthetic, clusters, 1, sources + 1000, **FEW)


def test_one_distribution_reaches_the_ceiling(equal):
    tolerance = {"kid": 0.15, "density": 0.35, "fid": 0.5} | dict.fromkeys(NAMES[4:6], 0.12)
    for name in NAMES:
        actual = getattr(equal.measures, name)
        assert actual.synthetic == pytest.approx(actual.ceiling, abs=tolerance.get(name, 0.1))
    assert equal.measures.mixing.ceiling == pytest.approx(0.5, abs=0.06)
    assert min(dataclasses.astuple(equal.kid_p)) > 0.1


def test_shifted_features_fall_short_of_the_ceiling(shifted):
    actual = shifted.measures
    assert actual.mixing.synthetic < 0.25 < 0.4 < actual.mixing.ceiling
    assert actual.kid.synthetic > 0.5 > abs(actual.kid.ceiling)
    assert actual.fid.synthetic > 3 * actual.fid.ceiling
    assert actual.classifier_auc.synthetic > 0.9 > 0.65 > actual.classifier_auc.ceiling
    for name in NAMES[4:]:
        assert getattr(actual, name).synthetic < 0.75 * getattr(actual, name).ceiling
    assert shifted.kid_p.synthetic == pytest.approx(0.02)  # twice the least of 100
    assert shifted.kid_p.ceiling > 0.1


def test_one_bright_patch_does_not_decide_the_kernel_distance():
    """A lesion whose features are a hundred times as strong, in either set: one patch of 240."""
    rng = np.random.default_rng(0)
    (real, clusters), (synthetic, sources) = _patches(rng, 60), _patches(rng, 60)
    before = compare(real, synthetic, clusters, 1, sources + 1000, **FEW).measures.kid
    for strong in (real, synthetic):
        strong[7] *= 100
    after = compare(real, synthetic, clusters, 1, sources + 1000, **FEW).measures.kid
    for side in ("synthetic", "ceiling"):
        assert getattr(after, side) == pytest.approx(getattr(before, side), abs=1e-9)


def test_result_is_ready_for_json_and_repeatable(equal):
    json.dumps(dataclasses.asdict(equal), allow_nan=False)
    assert (equal.real, equal.synthetic, equal.patients) == (240, 240, 60)
    assert equal.group_size == 120
    assert tuple(vars(equal.measures)) == NAMES
    rng = np.random.default_rng(0)
    real, clusters = _patches(rng, 60)
    synthetic, sources = _patches(rng, 60)
    assert compare(real, synthetic, clusters, 1, sources + 1000, **FEW) == equal
    assert compare(real, synthetic, clusters, 2, sources + 1000, **FEW) != equal


def test_scale_of_the_features_and_names_of_patients_do_not_matter(equal):
    rng = np.random.default_rng(0)
    real, clusters = _patches(rng, 60)
    synthetic, sources = _patches(rng, 60)
    names = np.array([f"client {number:03}" for number in range(60)])
    other_names = np.array([f"source {number:03}" for number in range(60)])
    actual = compare(8 * real, 8 * synthetic, names[clusters], 1, other_names[sources], **FEW)
    for name in NAMES:
        values, expected = (
            dataclasses.astuple(getattr(each.measures, name)) for each in (actual, equal)
        )
        assert values == pytest.approx(expected, rel=1e-6)


def test_halves_share_no_patient_and_groups_are_of_one_size():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 12, 25)
    patient = np.repeat(np.arange(25), sizes)
    pool = FeatureSet(np.arange(len(patient), dtype=float)[:, None], patient)
    fakes = FeatureSet(np.zeros((500, 1)), 100 + np.arange(500))
    for _ in range(20):
        half, others, sample = equal_groups(pool, fakes, 1000, rng)
        assert not set(half.patient) & set(others.patient)
        assert len(half) == len(others) == len(sample)
        assert len(half) >= (len(patient) - sizes.max()) // 2
        assert len(set(half.features.ravel())) == len(half)  # none drawn twice
    assert len(equal_groups(pool, fakes, 7, rng)[0]) == 7
    assert len(equal_groups(pool, fakes.take(np.arange(9)), 1000, rng)[2]) == 9


def test_patch_and_its_source_patient_are_no_neighbours():
    """Copies of the real patches with noise: neighbours only where patients are not known."""
    rng = np.random.default_rng(3)
    real = rng.standard_normal((80, 20))
    clusters = np.arange(80)
    copies = real + 0.01 * rng.standard_normal(real.shape)
    unknown = compare(real, copies, clusters, 0, None, k=1, **FEW).measures
    known = compare(real, copies, clusters, 0, clusters, k=1, **FEW).measures
    assert unknown.precision.synthetic > unknown.precision.ceiling + 0.1
    assert known.precision.synthetic < known.precision.ceiling
    assert unknown.kid.synthetic < -0.1
    assert known.kid.synthetic == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    ("patients", "synthetic", "words"),
    [(1, 50, "40 real patches of 1 women"), (2, 50, "of 2 women"), (10, 4, "groups of 4")],
)
def test_too_few_patches_or_patients_are_undefined_in_words(patients, synthetic, words):
    rng = np.random.default_rng(4)
    real = rng.standard_normal((40, 3))
    actual = compare(real, rng.standard_normal((synthetic, 3)), np.arange(40) % patients, 0, **FEW)
    assert actual.note.startswith("undefined")
    assert words in actual.note
    measures = dataclasses.astuple(actual.measures)
    assert {*itertools.chain(*measures), *dataclasses.astuple(actual.kid_p)} == {None}
    json.dumps(dataclasses.asdict(actual), allow_nan=False)


def test_one_split_has_no_spread():
    rng = np.random.default_rng(5)
    real, clusters = _patches(rng, 20)
    actual = compare(real, real + 9, clusters, 0, splits=1, permutations=19).measures
    assert actual.mixing.synthetic == 0
    assert actual.mixing.synthetic_spread is None


def test_wrong_input_is_refused():
    good, clusters = np.zeros((4, 2)), np.arange(4)
    with pytest.raises(ValueError, match=r"one width, found \(4, 2\) and \(4, 3\)"):
        compare(good, np.zeros((4, 3)), clusters, 0)
    with pytest.raises(ValueError, match="synthetic: expected finite"):
        compare(good, good + np.nan, clusters, 0)
    with pytest.raises(ValueError, match="real_patients"):
        compare(good, good, clusters[:3], 0)
    with pytest.raises(ValueError, match="synthetic_patients: expected 4, found 3"):
        compare(good, good, clusters, 0, clusters[:3])
