"""Our tf.train.Example against TensorFlow's."""

import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError

from cgan_tf.data.records import Example


def fill(example):
    feature = example.features.feature
    feature["text"].bytes_list.value.extend([b"", b"\xff\x00", "ü".encode()])
    feature["numbers"].int64_list.value.extend([-(2**63), -1, 0, 300, 2**63 - 1])
    feature["reals"].float_list.value.extend([0.5, -1e-30, float("inf")])
    feature["nothing"].float_list.SetInParent()
    return example


def test_same_bytes_as_tensorflow():
    ours = fill(Example()).SerializeToString(deterministic=True)
    assert ours == fill(tf.train.Example()).SerializeToString(deterministic=True)


def test_both_read_the_other():
    theirs = tf.train.Example.FromString(fill(Example()).SerializeToString())
    assert theirs == fill(tf.train.Example())
    ours = Example.FromString(fill(tf.train.Example()).SerializeToString())
    assert ours.features.feature["numbers"].int64_list.value[0] == -(2**63)
    assert ours == fill(Example())


def test_one_kind_at_a_time():
    example = fill(Example())
    feature = example.features.feature["text"]
    feature.int64_list.value.append(1)
    assert feature.WhichOneof("kind") == "int64_list"
    assert not feature.bytes_list.value


def test_rubbish_is_an_error():
    with pytest.raises(DecodeError):
        Example.FromString(b"\xff\xff\xff\xff")
