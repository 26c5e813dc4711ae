"""The choice of patches for the maps, and the maps."""

import numpy as np
import pytest

from cgan_tf.config import ReportConfig
from cgan_tf.reporting.feature_space import choose_patches, group_sizes, tsne


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "validation": rng.standard_normal((14, 8)),
        "validation_class": np.repeat(
            ["normal", "malignant_mass", "malignant_calcification"], [6, 3, 5]
        ),
        "test": rng.standard_normal((12, 8)),
        "synthetic": rng.standard_normal((9, 8)),
        "synthetic_task": np.repeat(["mass", "calcification", "removal"], 3),
        "synthetic_split": np.array(["train"] * 5 + ["test"] + ["train"] * 3),
    }


TEST_CLASSES = np.repeat(["normal", "mass", "calcification"], 4)


def sizes(**changes):
    named = {name.replace("_", " "): size for name, size in changes.items()}
    return {**dict.fromkeys(group_sizes(ReportConfig()), 5), **named}


def test_the_papers_counts_are_the_defaults():
    assert group_sizes(ReportConfig()) == {
        "real normal": 2000, "real mass": 1000, "real calcification": 1000,
        "synthetic mass": 3560, "synthetic calcification": 4000,
    }  # fmt: skip


def test_validation_comes_first_and_test_tops_up(arrays):
    patches = choose_patches(arrays, TEST_CLASSES, sizes(real_normal=8), seed=0)
    assert patches.topped_up == {"real normal": 2, "real mass": 2}
    names, counts = np.unique(patches.groups, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {
        "real normal": 8, "real calcification": 5, "real mass": 5,
        "synthetic mass": 3, "synthetic calcification": 2,  # one is of the test split
    }  # fmt: skip
    mass = patches.groups == "real mass"
    assert set(patches.numbers[mass & (patches.sources == "validation")]) == {6, 7, 8}
    assert set(patches.numbers[mass & (patches.sources == "test")]) <= {4, 5, 6, 7}


def test_the_same_patches_are_taken_from_other_arrays(arrays):
    patches = choose_patches(arrays, TEST_CLASSES, sizes(), seed=0)
    others = {name: -arrays[name] for name in ("validation", "test", "synthetic")}
    np.testing.assert_array_equal(patches.take(others), -patches.take(arrays))
    expected = [
        arrays[source][number]
        for source, number in zip(patches.sources, patches.numbers, strict=True)
    ]
    np.testing.assert_array_equal(patches.take(arrays), expected)


def test_no_patches_make_an_empty_choice(arrays):
    patches = choose_patches(arrays, TEST_CLASSES, dict.fromkeys(sizes(), 0), seed=0)
    assert len(patches) == 0
    assert patches.take(arrays).shape == (0, 8)


def test_map_keeps_apart_what_is_apart():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.standard_normal((40, 60)) + 9 * side for side in (0, 1)])
    points = tsne(features, seed=0)
    centres = points[:40].mean(axis=0), points[40:].mean(axis=0)
    spread = max(points[:40].std(), points[40:].std())
    assert points.shape == (80, 2)
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread


@pytest.mark.slow
def test_a_map_begun_from_another_resembles_it():
    """Also where the start is turned over, so it is the start that decides the sides."""
    rng = np.random.default_rng(0)
    centres = 4 * rng.standard_normal((4, 20))
    features = np.concatenate([rng.standard_normal((120, 20)) + centre for centre in centres])
    first = tsne(features, seed=0)
    for start in (first, -first[:, ::-1]):
        again = tsne(features, seed=0, start=start)
        for axis in (0, 1):
            assert np.corrcoef(again[:, axis], start[:, axis])[0, 1] > 0.8
