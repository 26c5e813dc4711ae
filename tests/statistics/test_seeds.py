"""Several seeds: within each against its own baseline, then pooled over patients and seeds."""

import dataclasses
import math

import numpy as np
import pytest

from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import delong_test, exact_auc, holm
from cgan_tf.statistics.seeds import compare_within_seeds, pool_seeds

FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    arm: float
    seed: int
    logits: np.ndarray


def _test_set(rng, patients=40, patches=4):
    """Labels and patients; a third of the patients have both classes."""
    clusters = np.repeat(np.arange(patients), patches)
    share = rng.choice([0.0, 0.5, 1.0], patients)[clusters]
    return (rng.random(len(clusters)) < share).astype(int), clusters


def _noise(rng, clusters, patient_sd=0.7):
    effects = patient_sd * rng.standard_normal(clusters.max() + 1)
    return effects[clusters] + rng.standard_normal(len(clusters))


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(2)
    labels, clusters = _test_set(rng)
    shared = _noise(rng, clusters)
    runs = [
        _Run(fraction, seed, labels * (1 + 0.6 * fraction) + shared + _noise(rng, clusters))
        for seed in (3, 1, 2)
        for fraction in FRACTIONS
    ]
    return labels, clusters, runs


def test_each_seed_is_compared_with_its_own_baseline(study):
    labels, clusters, runs = study
    found = compare_within_seeds(labels, runs, clusters, 0.0)
    assert [(c.seed, c.arm) for c in found] == [(s, f) for s in (3, 1, 2) for f in FRACTIONS[1:]]
    baselines = {run.seed: run.logits for run in runs if run.arm == 0}
    logits = {(run.seed, run.arm): run.logits for run in runs}
    for comparison in found:
        own, baseline = logits[comparison.seed, comparison.arm], baselines[comparison.seed]
        assert comparison.plain == delong_test(labels, own, baseline)
        assert comparison.by_patient == delong_test(labels, own, baseline, clusters)


def test_holm_counts_the_proportions_of_one_seed(study):
    labels, clusters, runs = study
    found = compare_within_seeds(labels, runs, clusters, 0.0)
    for seed in (1, 2, 3):
        own = [comparison for comparison in found if comparison.seed == seed]
        assert len(own) == 5
        for kind in ("plain", "by_patient"):
            p_values = [getattr(comparison, kind).p_value for comparison in own]
            adjusted = [getattr(comparison, f"{kind}_holm") for comparison in own]
            assert adjusted == holm(np.array(p_values)).tolist()
            smallest = min(p_values)
            assert min(adjusted) == pytest.approx(min(1, 5 * smallest))


def test_mean_and_spread_over_seeds_by_hand(study):
    labels, clusters, runs = study
    regimes = pool_seeds(labels, runs, clusters, 0.0)
    assert [regime.arm for regime in regimes] == list(FRACTIONS)
    aucs = {(run.arm, run.seed): exact_auc(labels, run.logits) for run in runs}
    for regime in regimes:
        own = [aucs[regime.arm, seed] for seed in (1, 2, 3)]
        assert regime.seeds == (1, 2, 3)
        assert regime.aucs == pytest.approx(own)
        assert regime.mean == pytest.approx(sum(own) / 3)
        squares = sum((auc - regime.mean) ** 2 for auc in own)
        assert regime.spread == pytest.approx(math.sqrt(squares / 2))
    assert regimes[0].pooled is None
    gains = [aucs[0.5, seed] - aucs[0.0, seed] for seed in (1, 2, 3)]
    assert regimes[3].pooled.difference == pytest.approx(np.mean(gains))
    assert regimes[3].pooled.spread == pytest.approx(np.std(gains, ddof=1))


def test_pooled_variance_is_seeds_plus_covariance_over_patients():
    """The covariances from patients' jackknife pseudo-values, which know nothing of placements."""
    rng = np.random.default_rng(4)
    labels, clusters = _test_set(rng, patients=150, patches=6)
    shared = [_noise(rng, clusters, 1.5) for _ in range(2)]
    runs = [
        _Run(fraction, seed, labels + shared[kind] + 0.7 * _noise(rng, clusters))
        for kind, fraction in enumerate((0.0, 0.5))
        for seed in range(3)
    ]
    pooled = pool_seeds(labels, runs, clusters, 0.0)[1].pooled
    kept = [clusters != patient for patient in range(150)]
    left_out = [
        [
            exact_auc(labels[keep], runs[3 + seed].logits[keep])
            - exact_auc(labels[keep], runs[seed].logits[keep])
            for keep in kept
        ]
        for seed in range(3)
    ]
    covariances = np.cov(left_out) * 149**2 / 150  # of the mean: (n - 1)^2 / n
    expected = np.mean(covariances[np.triu_indices(3, 1)])
    assert pooled.patient_variance == pytest.approx(expected, rel=0.1)
    assert pooled.seed_variance == pytest.approx(pooled.spread**2 / 3)
    assert pooled.variance == pytest.approx(pooled.seed_variance + pooled.patient_variance)
    ratio = pooled.variance / pooled.seed_variance  # Hillis (2007) for two modalities
    assert pooled.degrees == pytest.approx(2 * ratio**2)
    assert pooled.low < pooled.difference < pooled.high


def test_identical_seeds_leave_the_clustered_test_of_one():
    rng = np.random.default_rng(6)
    labels, clusters = _test_set(rng)
    baseline, mixed = (labels + _noise(rng, clusters) for _ in range(2))
    runs = [_Run(f, seed, x) for seed in range(3) for f, x in ((0.0, baseline), (0.5, mixed))]
    pooled = pool_seeds(labels, runs, clusters, 0.0)[1].pooled
    single = delong_test(labels, mixed, baseline, clusters)
    assert pooled.seed_variance == pytest.approx(0, abs=1e-30)
    for name in ("difference", "variance", "p_value", "low", "high"):
        assert getattr(pooled, name) == pytest.approx(getattr(single, name), rel=1e-9)


def test_order_of_the_runs_does_not_matter(study):
    labels, clusters, runs = study
    forward, backward = (pool_seeds(labels, order, clusters, 0.0) for order in (runs, runs[::-1]))
    for one, other in zip(forward, backward, strict=True):
        assert one.mean == pytest.approx(other.mean)
        if one.pooled:
            assert one.pooled.p_value == pytest.approx(other.pooled.p_value)
            assert one.pooled.holm == pytest.approx(other.pooled.holm)


def test_pooled_p_values_are_adjusted_for_the_proportions(study):
    labels, clusters, runs = study
    pooled = [regime.pooled for regime in pool_seeds(labels, runs, clusters, 0.0)[1:]]
    expected = holm(np.array([difference.p_value for difference in pooled]))
    assert [difference.holm for difference in pooled] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(("seed_sd", "short"), [(0.1, "seed_variance"), (1.0, "patient_variance")])
def test_type_one_error_counts_patients_and_seeds(seed_sd, short):
    """No proportion helps on average, but trainings land elsewhere and patients differ.

    Either variance alone is too short where the other dominates.
    """
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(80), 4)
    labels = np.repeat(np.arange(80) % 2, 4)
    pooled, alone = [], []
    for _ in range(300):
        of_patients = [_noise(rng, clusters, 1.0) for _ in range(2)]
        runs = []
        for kind, fraction in enumerate((0.0, 0.5)):
            for seed in range(4):
                signal = 1.2 + seed_sd * rng.standard_normal()
                noise = of_patients[kind] + 0.5 * _noise(rng, clusters)
                runs.append(_Run(fraction, seed, signal * labels + noise))
        found = pool_seeds(labels, runs, clusters, 0.0)[1].pooled
        pooled.append(found.p_value < 0.05)
        critical = 3.182 if short == "seed_variance" else 1.960  # t with 3 degrees; normal
        alone.append(abs(found.difference) > critical * math.sqrt(getattr(found, short)))
    assert np.mean(alone) > 0.2
    assert 0.012 < np.mean(pooled) < 0.088


def test_one_seed_is_undefined_in_words(study):
    labels, clusters, runs = study
    regimes = pool_seeds(labels, [run for run in runs if run.seed == 1], clusters, 0.0)
    pooled = regimes[3].pooled
    assert pooled.note == "undefined: one seed does not show how seeds differ"
    assert math.isnan(regimes[3].spread)
    assert math.isnan(pooled.p_value)
    assert math.isfinite(pooled.difference)


def test_seeds_without_a_baseline_are_left_out(study):
    labels, clusters, runs = study
    kept = [run for run in runs if (run.seed, run.arm) not in ((1, 0.0), (2, 0.5))]
    within = compare_within_seeds(labels, kept, clusters, 0.0)
    orphans = [comparison for comparison in within if comparison.seed == 1]
    assert {c.plain.note for c in orphans} == {"undefined: seed 1 has no baseline"}
    assert all(math.isnan(c.plain_holm) and c.plain.auc_a > 0.5 for c in orphans)
    regimes = {regime.arm: regime for regime in pool_seeds(labels, kept, clusters, 0.0)}
    assert regimes[0.25].seeds == (1, 2, 3)
    assert regimes[0.25].pooled.seeds == (2, 3)
    assert regimes[0.5].pooled.note.startswith("undefined: one seed")
    alone = [run for run in runs if run.arm and run.seed == 3]
    assert pool_seeds(labels, alone, clusters, 0.0)[0].pooled.note == (
        "undefined: no seed has both this arm and a baseline"
    )


def test_degenerate_differences():
    labels, clusters = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 3])
    scores = np.array([0.1, 0.4, 0.3, 0.9])
    same = [_Run(f, seed, scores) for f in (0.0, 0.5) for seed in (0, 1)]
    pooled = pool_seeds(labels, same, clusters, 0.0)[1].pooled
    assert (pooled.difference, pooled.p_value, pooled.low, pooled.high) == (0, 1, 0, 0)
    perfect = np.arange(4.0)
    opposite = [_Run(f, s, sign * perfect) for f, sign in ((0.0, -1), (0.5, 1)) for s in (0, 1)]
    pooled = pool_seeds(labels, opposite, clusters, 0.0)[1].pooled
    assert pooled.note == "undefined: the values differ but the difference has no variance"
    one_patient = pool_seeds(labels, same, np.zeros(4), 0.0)[1].pooled
    assert one_patient.note.startswith("undefined: 1 patients with positive")


def test_the_same_run_twice_is_refused(study):
    labels, clusters, runs = study
    with pytest.raises(UserError, match=r"seed 3, 0\.0: expected one run, found two"):
        compare_within_seeds(labels, [*runs, runs[0]], clusters, 0.0)
