"""What tf.data makes of a user's mistake, and back."""

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.runs.errors import UserError
from cgan_tf.runs.training import reading_errors


def dataset(error):
    def read(number):
        if number == 2:
            raise error
        return np.float32(number)

    return tf.data.Dataset.range(4).map(lambda n: tf.numpy_function(read, [n], tf.float32))


def test_a_damaged_record_in_mid_run_is_one_line():
    seen = []
    with pytest.raises(UserError) as caught, reading_errors():
        seen.extend(float(value) for value in dataset(UserError("train/x.tfrecord: damaged")))
    assert str(caught.value) == "train/x.tfrecord: damaged"


def test_a_defect_stays_what_it_is():
    with pytest.raises(tf.errors.OpError, match="a defect"), reading_errors():
        list(dataset(ZeroDivisionError("a defect")))


def test_nothing_else_is_touched():
    with pytest.raises(KeyError, match="name"), reading_errors():
        raise KeyError("name")
