"""A generator in a directory whose name TensorFlow takes for a pattern."""

import numpy as np
import pytest

from cgan_tf.gan.export import generate, load_generator
from cgan_tf.runs.directory import path_without_patterns
from tests.toys.blob_generator import SIZE, WIDTH, write_generator


@pytest.mark.parametrize("name", ["run [1]", "x=[1,2]"])
def test_it_is_opened(tmp_path, name):
    directory = write_generator(tmp_path / name / "generator")
    function, card = load_generator(directory)
    images, z = np.zeros([1, SIZE, SIZE], np.float32), np.zeros([1, WIDTH], np.float32)
    lesion = generate(function, card, "mass", images, z)  # its variables outlive the link
    assert lesion.shape == (1, SIZE, SIZE)
    assert lesion.max() == pytest.approx(0.3, abs=0.01)


def test_other_directories_are_opened_as_they_are(tmp_path):
    with path_without_patterns(tmp_path) as path:
        assert path == tmp_path
