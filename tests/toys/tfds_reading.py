"""A patch set through TensorFlow Datasets and through our own reader."""

from pathlib import Path

import numpy as np

from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import FEATURES, IMAGES, LEVELS, PatchRecord


def open_with_tfds(directory: str | Path):
    """The builder. No importorskip: without the package of the dev extra a test fails."""
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(str(directory))


def assert_read_alike(directory: str | Path) -> int:
    """Compares every feature of every patch; returns the number of patches."""
    import tensorflow_datasets as tfds

    patches, builder = PatchSet(directory), open_with_tfds(directory)
    groups = [(split, name) for split, classes in patches.splits.items() for name in classes]
    assert set(builder.info.splits) == {f"{split}_{name}" for split, name in groups}
    for split, name in groups:
        index = patches.index(split, name)
        found = list(tfds.as_numpy(builder.as_dataset(split=f"{split}_{name}")))
        assert len(found) == len(index) == builder.info.splits[f"{split}_{name}"].num_examples
        for number, example in enumerate(found):
            _assert_same(example, index.record(number))
    return sum(split.num_examples for split in builder.info.splits.values())


def _assert_same(example: dict, expected: PatchRecord) -> None:
    for feature in FEATURES:
        value = getattr(expected, feature)
        if value is None:
            assert feature not in example
        elif feature in IMAGES:
            span, lowest = IMAGES[feature]
            levels = np.rint((value.astype(np.float64) - lowest) / span * LEVELS)
            assert example[feature].dtype == np.uint16
            np.testing.assert_array_equal(example[feature][..., 0], levels)
        elif isinstance(value, str):
            assert example[feature].decode() == value
        else:
            np.testing.assert_array_equal(example[feature], np.float32(value))
