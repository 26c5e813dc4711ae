"""Convolution by one matrix product against TensorFlow's, with both derivatives."""

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.models.layers import convolve

RNG = np.random.default_rng(5)


def normal(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


def kinds(images, kernel, strides=1, padding="SAME"):
    """Whether a traced call convolves or multiplies."""
    traced = tf.function(lambda x, w: convolve(x, w, strides, padding))
    operations = traced.get_concrete_function(images, kernel).graph.get_operations()
    return {op.type for op in operations} & {"Conv2D", "MatMul"}


def derivatives(convolution, images, kernel):
    """Result, gradients, and gradients of a norm of the image gradient, as the penalty takes it."""
    with tf.GradientTape() as outer:
        outer.watch([images, kernel])
        with tf.GradientTape() as inner:
            inner.watch([images, kernel])
            result = convolution(images, kernel)
            value = tf.reduce_sum(tf.sin(result))
        first = inner.gradient(value, [images, kernel])
        slope = tf.reduce_sum(first[0] ** 2)
    return [result, *first, *outer.gradient(slope, [images, kernel])]


@pytest.mark.parametrize(
    ("shape", "filters", "size"),
    [((1, 4, 4, 16), 5, 3), ((2, 3, 5, 30), 40, 3), ((1, 3, 3, 25), 2, 5)],
    ids=str,
)
def test_the_product_and_its_derivatives_are_those_of_the_convolution(shape, filters, size):
    images, kernel = normal(*shape), 0.1 * normal(size, size, shape[-1], filters)
    assert kinds(images, kernel) == {"MatMul"}
    found = derivatives(lambda x, w: convolve(x, w, 1, "SAME"), images, kernel)
    expected = derivatives(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), images, kernel)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(b).max() > 0.1
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_bfloat16():
    images, kernel = normal(1, 4, 4, 16), normal(3, 3, 16, 5)
    result = convolve(tf.cast(images, tf.bfloat16), tf.cast(kernel, tf.bfloat16), 1, "SAME")
    assert result.dtype == tf.bfloat16
    expected = tf.nn.conv2d(images, kernel, 1, "SAME")
    np.testing.assert_allclose(tf.cast(result, tf.float32), expected, rtol=0.05, atol=0.3)


@pytest.mark.parametrize(
    ("shape", "size", "strides", "padding"),
    [
        ((1, 4, 4, 15), 3, 1, "SAME"),  # more positions than channels
        ((2, 4, 4, 16), 3, 1, "SAME"),
        ((1, 4, 4, 16), 1, 1, "SAME"),
        ((1, 4, 4, 16), 3, 2, "SAME"),
        ((1, 4, 4, 16), 4, 1, "VALID"),
    ],
    ids=str,
)
def test_everything_else_is_a_convolution(shape, size, strides, padding):
    assert kinds(normal(*shape), normal(size, size, shape[-1], 3), strides, padding) == {"Conv2D"}


def test_an_unknown_batch_is_a_convolution():
    assert kinds(tf.TensorSpec([None, 4, 4, 16]), tf.TensorSpec([3, 3, 16, 5])) == {"Conv2D"}
