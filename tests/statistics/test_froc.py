"""FROC by hand, against MONAI's and PI-CAI's, and against what chance gives."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from cgan_tf.statistics.bands import EXACT, PERCENTILE
from cgan_tf.statistics.froc import (
    RATES,
    FreeResponse,
    _Levels,
    chance_sensitivities,
    froc_area,
    froc_curve,
    froc_differences,
    froc_draws,
    froc_estimates,
    pooled_froc,
    sensitivities_at,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "froc.json").read_text("utf-8"))


def response(lesions, false, images=4, lesion_patients=None, image_patients=None):
    """Scores of lesions, and (score, image) of false positives on `images` images."""
    scores, numbers = zip(*false, strict=True) if false else ((), ())
    own = np.arange(len(lesions))
    return FreeResponse(
        np.array(lesions, float),
        own if lesion_patients is None else np.array(lesion_patients),
        np.array(scores, float),
        np.array(numbers, int),
        np.arange(images) + 100 if image_patients is None else np.array(image_patients),
    )


# Four images without lesions, five lesions of which one is missed. As the threshold falls:
# .9 lesion, .8 false, .7 lesion, .6 lesion, .5 false, .4 false, .3 false, .2 lesion, .1 false.
BY_HAND = response(
    [0.9, 0.7, 0.6, 0.2, -math.inf], [(0.8, 0), (0.5, 1), (0.4, 1), (0.3, 3), (0.1, 0)]
)


def test_the_corners_of_a_curve_by_hand():
    curve = froc_curve(BY_HAND)
    assert curve.thresholds.tolist() == [math.inf, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    np.testing.assert_allclose(curve.rates, np.array([0, 0, 1, 1, 1, 2, 3, 4, 4, 5]) / 4)
    np.testing.assert_allclose(curve.sensitivities, np.array([0, 1, 1, 2, 3, 3, 3, 3, 4, 4]) / 5)


def test_sensitivities_and_area_by_hand():
    curve = froc_curve(BY_HAND)
    # One false positive is a rate of .25: below it one lesion is found, from it on three, from
    # four on (a rate of 1) four, and no mark is left after the fifth.
    assert sensitivities_at(curve).tolist() == pytest.approx([0.2, 0.6, 0.6, 0.8, 0.8, 0.8, 0.8])
    assert froc_area(curve) == pytest.approx(0.25 * 0.2 + 0.75 * 0.6)
    assert froc_area(curve, 2.0) == pytest.approx((0.25 * 0.2 + 0.75 * 0.6 + 0.8) / 2)


def test_a_tie_is_the_mean_of_its_orders():
    # Two lesions and two false positives on four images, all of one score: a slope to (.5, 1).
    curve = froc_curve(response([0.5, 0.5], [(0.5, 0), (0.5, 1)]))
    np.testing.assert_allclose(sensitivities_at(curve, (0.125, 0.25, 0.5, 1)), (0.25, 0.5, 1, 1))
    assert froc_area(curve) == pytest.approx(0.5 * 0.5 + 0.5 * 1)
    orders = [
        froc_area(froc_curve(response(lesions, [(a, 0), (b, 1)])))
        for lesions, (a, b) in (
            ((4, 3), (2, 1)),
            ((4, 2), (3, 1)),
            ((4, 1), (3, 2)),
            ((3, 2), (4, 1)),
            ((3, 1), (4, 2)),
            ((2, 1), (4, 3)),
        )
    ]
    assert np.mean(orders) == pytest.approx(froc_area(curve))


def test_nothing_marked_and_everything_found_first():
    assert froc_area(froc_curve(response([-math.inf] * 3, []))) == 0
    perfect = froc_curve(response([0.9, 0.8], [(0.1, 0)]))
    assert froc_area(perfect) == 1
    assert sensitivities_at(perfect, (0.0,)).tolist() == [1.0]


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['images']} images")
def test_equal_to_monai_and_picai_eval(case):
    """Marks and lesions of the file, matched here by their points alone."""
    lesions, found, false = case["lesions"], np.full(len(case["lesions"]), -math.inf), []
    for image, x, y, width, height, score in case["marks"]:
        point = x + width / 2, y + height / 2
        hits = [n for n, (own, *box) in enumerate(lesions) if own == image and inside(point, box)]
        for number in hits:
            found[number] = max(found[number], score)
        if not hits:
            false.append((score, int(image)))
    curve = froc_curve(response(found, false, case["images"]))
    sensitivities = sensitivities_at(curve, GOLDEN["rates"])
    np.testing.assert_allclose(sensitivities, case["monai"], rtol=0, atol=1e-12)
    if "picai_eval" in case:  # computes in float32
        expected = case["picai_eval"]["sensitivities"]
        np.testing.assert_allclose(sensitivities, expected, rtol=0, atol=1e-6)


def inside(point, box):
    x, y, width, height = box
    return x <= point[0] < x + width and y <= point[1] < y + height


def simulated(seed, patients=60, skill=1.0, noise=0.0, classifiers=1):
    """Patients with an image each; in the first half one lesion, in the others Poisson marks.

    Patients share an effect over classifiers, to which each classifier adds its own noise.
    """
    rng = np.random.default_rng(seed)
    half = patients // 2
    lesion = rng.standard_normal(half) + skill
    image = np.repeat(np.arange(half), rng.poisson(2, half))
    false = rng.standard_normal(len(image))
    return [
        FreeResponse(
            lesion + noise * rng.standard_normal(half),
            np.arange(half),
            false + noise * rng.standard_normal(len(image)),
            image,
            np.arange(half) + half,
        )
        for _ in range(classifiers)
    ]


@pytest.mark.parametrize("decimals", [1, 6], ids=["ties", "no ties"])
def test_drawn_measures_are_those_of_a_curve_of_the_drawn_patients(decimals):
    """Weights in the bootstrap against a curve in which drawn lesions and images are repeated."""
    (one,) = simulated(3)
    one = dataclasses.replace(
        one,
        lesion_scores=np.where(np.arange(30) % 7 == 0, -np.inf, one.lesion_scores.round(decimals)),
        false_scores=one.false_scores.round(decimals),
    )
    rng = np.random.default_rng(0)
    for weights in (np.ones(60, int), *rng.multinomial(60, np.full(60, 1 / 60), 5)):
        lesions = np.repeat(np.arange(30), weights[:30])
        times = weights[30:][one.false_images]
        repeated = FreeResponse(
            one.lesion_scores[lesions],
            lesions,
            np.repeat(one.false_scores, times),
            np.zeros(times.sum(), int),
            np.arange(weights[30:].sum()),
        )
        curve = froc_curve(repeated)
        measures = _Levels(one).measures(weights[None].astype(float), RATES, 1.0)
        np.testing.assert_allclose(measures[0, :-1], sensitivities_at(curve), atol=1e-12)
        assert measures[0, -1] == pytest.approx(froc_area(curve), abs=1e-12)


def test_one_binomial_gives_a_binomial_interval():
    """False positives that never vary: the sensitivity is a proportion of independent patients."""
    lesions = np.where(np.arange(200) < 120, 0.9, 0.1)
    one = response(lesions, [(0.5, number) for number in range(50)], images=50)
    draws = froc_draws([one], rounds=1500)
    estimate = froc_estimates(draws, 0)[2]  # at half a false positive an image
    assert (estimate.value, estimate.method) == (0.6, PERCENTILE)
    reach = 1.96 * math.sqrt(0.6 * 0.4 / 200)
    assert estimate.low == pytest.approx(0.6 - reach, abs=0.015)
    assert estimate.high == pytest.approx(0.6 + reach, abs=0.015)


def test_lesions_of_one_patient_are_not_independent():
    lesions = np.where(np.arange(200) % 40 < 24, 0.9, 0.1)
    false = [(0.5, number) for number in range(50)]
    alone = response(lesions, false, images=50)
    # Each patient has ten lesions that are found or missed together.
    shared = response(np.repeat(lesions[::10], 10), false, 50, np.repeat(np.arange(20), 10))
    widths = []
    for one in (alone, shared):
        estimate = froc_estimates(froc_draws([one], rounds=600), 0)[2]
        widths.append(estimate.high - estimate.low)
    assert widths[1] / widths[0] == pytest.approx(math.sqrt(10), rel=0.2)


def test_intervals_of_0_and_1_are_exact_by_patient():
    nothing = response([-math.inf] * 6, [(0.5, 0)], lesion_patients=[0, 0, 1, 2, 3, 4])
    low, high = [(e.low, e.high) for e in froc_estimates(froc_draws([nothing], rounds=3), 0)][-1]
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 5))  # five patients, Clopper and Pearson
    assert froc_estimates(froc_draws([nothing], rounds=3), 0)[0].method == EXACT


def test_too_few_patients_have_a_value_and_no_interval():
    one = response([0.9, 0.2], [(0.5, 0)], lesion_patients=[7, 7])
    estimate = froc_estimates(froc_draws([one]), 0)[-1]
    assert estimate.value == pytest.approx(0.25 * 0.5 + 0.75 * 1)
    assert math.isnan(estimate.low)
    assert estimate.note == (
        "undefined: 1 patients with lesions and 4 with images on which false positives count; an "
        "interval needs 2 of each"
    )


def test_nothing_to_find_is_undefined():
    for one, note in (
        (response([], [(0.5, 0)]), "undefined: 0 lesions and 4 images"),
        (response([0.5], [], images=0), "undefined: 1 lesions and 0 images"),
    ):
        (estimate, *_) = froc_estimates(froc_draws([one]), 0)
        assert math.isnan(estimate.value)
        assert estimate.note == note


def test_some_lesions_keep_all_false_positives():
    some = BY_HAND.of_lesions(np.array([True, False, False, True, False]))
    assert sensitivities_at(froc_curve(some), (0.25, 1)).tolist() == [0.5, 1]


def test_a_classifier_against_itself_does_not_differ():
    (one,) = simulated(0)
    (differences,) = froc_differences(froc_draws([one, one], rounds=50), 0, [1]).values()
    for each in differences:
        assert (each.difference, each.low, each.high, each.p_value) == (0, 0, 0, 1)


def test_a_plain_difference_is_found_and_adjusted():
    better, worse = simulated(1, 200, 2.0)[0], simulated(1, 200, 0.0)[0]
    draws = froc_draws([worse, better, better], rounds=199)
    differences = froc_differences(draws, 0, [1, 2])
    area = differences[1][-1]
    assert area.low > 0
    assert area.p_value == pytest.approx(2 / 200)  # no round on the other side
    assert area.holm == pytest.approx(4 / 200)
    assert differences[2][-1].p_value == area.p_value
    assert froc_differences(draws, 1, [0])[0][-1].difference == -area.difference


def test_seeds_are_pooled_as_those_of_table_1():
    """Three seeds of two arms; the covariance of two seeds is that of the drawn patients."""
    runs = simulated(2, 60, 1.5, noise=0.5, classifiers=3)
    runs += simulated(2, 60, 0.5, noise=0.5, classifiers=3)
    draws = froc_draws(runs, rounds=300)
    area = pooled_froc(draws, {seed: (seed, seed + 3) for seed in range(3)})[-1]
    values = draws.values[:3, -1] - draws.values[3:, -1]
    assert area.difference == pytest.approx(values.mean())
    assert area.seed_variance == pytest.approx(values.var(ddof=1) / 3)
    drawn = draws.draws[:, :3, -1] - draws.draws[:, 3:, -1]
    pairs = [np.cov(drawn[:, a], drawn[:, b])[0, 1] for a, b in ((0, 1), (0, 2), (1, 2))]
    assert area.patient_variance == pytest.approx(np.mean(pairs))
    assert area.low > 0
    assert pooled_froc(draws, {0: (0, 3)})[-1].note.startswith("undefined: one seed")


def test_other_lesions_are_refused():
    with pytest.raises(ValueError, match="the same lesions and images"):
        froc_draws([BY_HAND, response([0.5], [])])


@pytest.mark.slow
def test_equal_classifiers_rarely_differ():
    """p < .05 in a share of null simulations that 5% allows (160 of them: up to 9.5%)."""
    rejected = 0
    for seed in range(160):
        pair = simulated(seed, 80, noise=0.7, classifiers=2)
        (differences,) = froc_differences(froc_draws(pair, rounds=99, seed=seed), 0, [1]).values()
        rejected += differences[-1].p_value < 0.05
    assert rejected <= 15


def test_chance_by_formula():
    covered = np.array([0.01, 0.2])
    found = chance_sensitivities(covered, (0.5, 8))
    expected = [np.mean(1 - np.exp(-rate * covered)) for rate in (0.5, 8)]
    np.testing.assert_allclose(found, expected)
    assert chance_sensitivities(np.zeros(3)).tolist() == [0] * len(RATES)
