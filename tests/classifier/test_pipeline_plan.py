"""The order of training: expected counts, common random numbers, and what a run keeps of it."""

import collections
import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from cgan_tf.classifier import pipeline
from cgan_tf.classifier.inputs import open_sets
from cgan_tf.classifier.pipeline import keep_plan, sampling_plan
from cgan_tf.classifier.sampling import Schedule, plan_checksum, stream_weights
from cgan_tf.labels import FILLINGS
from cgan_tf.runs.directory import read_json
from cgan_tf.runs.errors import UserError
from tests.toys.classifier import toy_config
from tests.toys.patches import write_toy_patches

FRACTIONS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of Table 1
COUNTS = (50, 40, 30, 20)
EVERY, SAMPLES = 500, 6_000


def schedule(fraction, decay="multiplicative"):
    return Schedule(fraction, decay, every=EVERY)


@pytest.fixture(scope="module")
def plans():
    """The plans of the six runs of one seed."""
    return {f: sampling_plan(schedule(f), SAMPLES, COUNTS, seed=1) for f in FRACTIONS}


def p_value(drawn, expected):
    """Chi-square of the streams that can be drawn; the others must have no draw."""
    possible = expected > 0
    assert (drawn[~possible] == 0).all()
    return scipy.stats.chisquare(drawn[possible], expected[possible]).pvalue


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_expected_and_drawn_counts_agree(plans, fraction):
    """Over the whole run, in its thirds, and over the first interval of the decay."""
    streams = plans[fraction][:, 0]
    weights = stream_weights(schedule(fraction).share(np.arange(SAMPLES)))
    windows = [(0, SAMPLES), (0, EVERY), (0, 2000), (2000, 4000), (4000, 6000)]
    for start, end in windows:
        drawn = np.bincount(streams[start:end], minlength=4)
        assert p_value(drawn, weights[start:end].sum(axis=0)) > 0.001


@pytest.mark.parametrize("seed", [2, 3])
def test_counts_agree_for_the_subtractive_decay(seed):
    falling = schedule(0.5, "subtractive")
    plan = sampling_plan(falling, 4_000, COUNTS, seed)
    for start in range(0, 4_000, 1_000):
        drawn = np.bincount(plan[start : start + 1_000, 0], minlength=4)
        expected = stream_weights(falling.share(np.arange(start, start + 1_000))).sum(axis=0)
        assert p_value(drawn, expected) > 0.001
    assert (plan[5 * EVERY :, 0] < 2).all()  # 0.5 - 5 * 0.1


def test_the_draws_are_independent_of_one_another(plans):
    """Class, source and the class before: no two of them know of each other."""
    streams = plans[0.5][:EVERY, 0]  # before the first decay
    classes, sources = streams % 2, streams // 2
    for one, two in ((classes, sources), (classes[1:], classes[:-1]), (sources[1:], sources[:-1])):
        table = np.histogram2d(one, two, bins=2)[0]
        assert scipy.stats.chi2_contingency(table).pvalue > 0.001


def test_runs_of_one_seed_share_classes_and_patches(plans):
    """Whatever their shares: the same class always, the same patch where the source is the same."""
    for low, high in itertools.pairwise(FRACTIONS):
        one, two = plans[low], plans[high]
        assert np.array_equal(one[:, 0] % 2, two[:, 0] % 2)
        same_source = one[:, 0] == two[:, 0]
        assert same_source.mean() > 0.6
        assert np.array_equal(one[same_source], two[same_source])
        # A larger share only turns real samples into synthetic ones.
        assert (one[~same_source, 0] < 2).all()
        assert (two[~same_source, 0] >= 2).all()


def test_another_seed_is_another_plan(plans):
    other = sampling_plan(schedule(0.5), SAMPLES, COUNTS, seed=2)
    assert abs((other[:, 0] % 2 == plans[0.5][:, 0] % 2).mean() - 0.5) < 0.03


def test_every_patch_comes_about_as_often(plans):
    """And none twice within one epoch of its class."""
    for fraction in (0.0, 0.5):
        plan = plans[fraction]
        classes = plan[:, 0] % 2
        for stream, count in enumerate(COUNTS):
            of_class = plan[classes == stream % 2]
            for start in range(0, len(of_class) - count, count):
                epoch = of_class[start : start + count]
                numbers = epoch[epoch[:, 0] == stream, 1]
                assert len(set(numbers)) == len(numbers)
            numbers = plan[plan[:, 0] == stream, 1]
            if len(numbers):
                assert scipy.stats.chisquare(np.bincount(numbers, minlength=count)).pvalue > 0.001


def test_the_real_patches_of_a_baseline_take_turns(plans):
    negatives = plans[0.0][plans[0.0][:, 0] == 0, 1]
    for start in range(0, 2_000, COUNTS[0]):
        assert sorted(negatives[start : start + COUNTS[0]]) == list(range(COUNTS[0]))


def test_a_plan_is_a_pure_function_of_its_arguments():
    arguments = schedule(0.5), 300, COUNTS
    plan = sampling_plan(*arguments, seed=1)
    tf.random.set_seed(99)
    assert np.array_equal(sampling_plan(*arguments, seed=1), plan)
    assert plan.dtype == np.int32


def test_a_longer_run_begins_like_a_shorter_one():
    short, long = (sampling_plan(schedule(0.5), n, COUNTS, seed=1) for n in (100, 300))
    assert np.array_equal(long[:100], short)


def test_streams_without_weight_may_be_empty():
    assert set(sampling_plan(Schedule(0.0), 50, (5, 5, 0, 0), 0)[:, 0]) == {0, 1}
    assert set(sampling_plan(Schedule(1.0), 50, (0, 0, 5, 5), 0)[:, 0]) == {2, 3}


def test_one_sample_is_enough():
    assert sampling_plan(Schedule(0.5), 1, COUNTS, 0).shape == (1, 2)


# What a run keeps


@pytest.fixture
def config(toy_sets, tmp_path):
    return toy_config(toy_sets, tmp_path / "w")


def test_the_plan_is_kept_with_its_checksum(config, tmp_path, monkeypatch):
    sets = open_sets(config)
    plan = keep_plan(tmp_path, config, sets)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "plan.npy"]
    assert np.array_equal(np.load(tmp_path / "plan.npy"), plan)
    description = read_json(tmp_path / "plan.json")
    assert description == {"sha256": plan_checksum(plan), "sets": sets.description()}
    monkeypatch.setattr(pipeline, "sampling_plan", None)  # it is not drawn again
    assert np.array_equal(keep_plan(tmp_path, config, sets), plan)
    streams = collections.Counter(plan[:, 0].tolist())
    assert sum(streams.values()) == 96
    assert set(streams) == {0, 1, 2, 3}


def test_a_plan_without_its_checksum_is_drawn_again(config, tmp_path):
    """What a process leaves that was killed between its two files."""
    plan = keep_plan(tmp_path, config, open_sets(config))
    (tmp_path / "plan.json").unlink()
    (tmp_path / "plan.npy").write_bytes(b"half of it")
    assert np.array_equal(keep_plan(tmp_path, config, open_sets(config)), plan)
    assert plan_checksum(np.load(tmp_path / "plan.npy")) == plan_checksum(plan)


@pytest.mark.parametrize("damage", ["swapped", "torn", "gone", "other"])
def test_a_changed_plan_is_refused(config, tmp_path, damage):
    plan = keep_plan(tmp_path, config, open_sets(config))
    path = tmp_path / "plan.npy"
    if damage == "swapped":
        np.save(path, plan[::-1])
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:40])
    elif damage == "gone":
        path.unlink()
    else:
        path.write_text("no plan at all")
    with pytest.raises(UserError, match=r"plan\.npy: expected the ") as caught:
        keep_plan(tmp_path, config, open_sets(config))
    assert "\n" not in str(caught.value)


def test_changed_patches_are_refused(toy_sets, tmp_path):
    """As many patches as before, in the same classes, with other pixels."""
    changes = {"synthetic_fraction": 0.0, "synthetic_dirs": ()}
    keep_plan(tmp_path, toy_config(toy_sets, tmp_path, **changes), open_sets(
        toy_config(toy_sets, tmp_path, **changes)
    ))  # fmt: skip
    write_toy_patches(tmp_path / "patches", per_class=20, seed=1)
    config = toy_config(tmp_path, tmp_path, **changes)
    with pytest.raises(UserError, match=r"other real negative patches \(60, now 60\)") as caught:
        keep_plan(tmp_path, config, open_sets(config))
    assert "\n" not in str(caught.value)


# What fills the slots


FILLING_COUNTS = {"augmented": (50, 40, 50, 40)}


@pytest.fixture(scope="module")
def arms():
    """The plans of all fillings of one seed at a constant share, and that of the baseline."""
    constant = Schedule(0.5, "constant")
    plans = {
        filling: sampling_plan(constant, 400, FILLING_COUNTS.get(filling, COUNTS), 1, filling)
        for filling in FILLINGS
    }
    return plans | {"real_only": sampling_plan(Schedule(0.0), 400, COUNTS, seed=1)}


def test_the_same_real_samples_stand_in_the_same_slots(arms):
    """Where the second source is not drawn, every arm has the baseline's patch."""
    real = arms["both"][:, 0] < 2
    assert 150 < real.sum() < 250
    for plan in arms.values():
        np.testing.assert_array_equal(plan[real], arms["real_only"][real])


def test_all_arms_have_the_same_classes(arms):
    for plan in arms.values():
        np.testing.assert_array_equal(plan[:, 0] % 2, arms["both"][:, 0] % 2)


@pytest.mark.parametrize(
    ("filling", "negatives", "positives"),
    [
        ("both", 2, 3),
        ("lesions", 0, 3),
        ("removal", 2, 1),
        ("pasted", 0, 3),
        ("oracle", 0, 3),
        ("oversampled", 2, 3),
        ("augmented", 2, 3),
        ("real_only", 0, 1),
    ],
)
def test_which_stream_fills_a_slot(arms, filling, negatives, positives):
    slots = arms["both"][:, 0] >= 2
    plan = arms[filling][slots]
    expected = np.where(plan[:, 0] % 2, positives, negatives)
    np.testing.assert_array_equal(plan[:, 0], expected)
    again = plan[:, 0] < 2  # a real patch again is the baseline's
    np.testing.assert_array_equal(plan[again], arms["real_only"][slots][again])


def test_augmented_slots_hold_the_baselines_patches(arms):
    np.testing.assert_array_equal(arms["augmented"][:, 1], arms["real_only"][:, 1])


def test_a_plan_by_hand():
    """(stream, patch) of six samples, two patches in every stream; places 0, 1 and 4 are slots."""
    table = {
        "real_only": [[0, 1], [1, 1], [0, 0], [1, 0], [0, 1], [0, 0]],
        "both": [[2, 1], [3, 0], [0, 0], [1, 0], [2, 1], [0, 0]],
        "lesions": [[0, 1], [3, 0], [0, 0], [1, 0], [0, 1], [0, 0]],
        "removal": [[2, 1], [1, 1], [0, 0], [1, 0], [2, 1], [0, 0]],
        "augmented": [[2, 1], [3, 1], [0, 0], [1, 0], [2, 1], [0, 0]],
    }
    for name, rows in table.items():
        share, filling = (0.0, "both") if name == "real_only" else (0.5, name)
        plan = sampling_plan(Schedule(share, "constant"), 6, (2, 2, 2, 2), 3, filling)
        assert plan.tolist() == rows, name


def test_a_constant_share_stays():
    plan = sampling_plan(Schedule(0.5, "constant", every=10), 4_000, COUNTS, seed=2)
    for start in (0, 2_000):
        share = (plan[start : start + 2_000, 0] >= 2).mean()
        assert scipy.stats.binomtest(round(2_000 * share), 2_000, 0.5).pvalue > 0.001
