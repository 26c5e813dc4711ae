"""Augmentation: each change by hand, for draws at the ends of their range, and its gradients."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.gan.augmentation import augmented, contrast, cut_out, translated, turned
from tests.toys.small_gan import random_images

LAST = np.nextafter(np.float32(1), np.float32(0))  # the largest draw of [-1, 1)


def draws(*rows):
    return tf.constant(rows, tf.float32)


def numbered(batch, side):
    """Every pixel with a number of its own, from 1 on."""
    count = batch * side * side
    return tf.reshape(tf.range(1, count + 1, dtype=tf.float32), [batch, side, side, 1])


def test_turned_gives_the_eight_symmetries_of_the_square():
    image = numbered(1, 4)[0, :, :, 0].numpy()
    every = list(itertools.product((-1.0, 0.5), repeat=3))
    found = turned(tf.tile(numbered(1, 4), [8, 1, 1, 1]), draws(*every)).numpy()[..., 0]
    square = [np.rot90(each, k) for each in (image, image.T) for k in range(4)]
    assert {one.tobytes() for one in found} == {np.ascontiguousarray(s).tobytes() for s in square}
    np.testing.assert_array_equal(found[0], image)
    for (transposed, sides, ends), one in zip(every, found, strict=True):
        expected = image.T if transposed >= 0 else image
        expected = expected[:, ::-1] if sides >= 0 else expected
        np.testing.assert_array_equal(one, expected[::-1] if ends >= 0 else expected)


def test_contrast_by_hand():
    image = tf.reshape(tf.constant([-0.5, 0.0, 0.0, 0.5]), [1, 2, 2, 1])
    both = tf.tile(image, [3, 1, 1, 1])
    found = contrast(both, draws([0, 0], [0.4, -1], [-1, 0.5])).numpy().reshape(3, 4)
    np.testing.assert_allclose(found[0], [-0.5, 0, 0, 0.5])
    np.testing.assert_allclose(found[1], [-0.05, 0.2, 0.2, 0.45], rtol=1e-6)  # + 0.2, half as far
    np.testing.assert_allclose(found[2], [-1.125, -0.5, -0.5, 0.125], rtol=1e-6)


@pytest.mark.parametrize(
    ("down", "right", "shift"),
    [(-1, -1, (-2, -2)), (LAST, -1, (2, -2)), (0, LAST, (0, 2)), (0.3, 0.7, (1, 2))],
)
def test_translated_by_hand(down, right, shift):
    """An eighth of 16 px is 2 px: five shifts each way, equally likely; 0 moves in."""
    image = numbered(2, 16)
    found = translated(image, draws([down, right], [0, 0])).numpy()
    np.testing.assert_array_equal(found[1], image[1])
    expected = np.zeros((20, 20), np.float32)
    expected[2 + shift[0] : 18 + shift[0], 2 + shift[1] : 18 + shift[1]] = image[0, :, :, 0]
    np.testing.assert_array_equal(found[0, :, :, 0], expected[2:-2, 2:-2])


def test_shifts_are_equally_likely():
    rows = tf.random.stateless_uniform([500, 2], [1, 2], -1.0, 1.0)
    image = tf.one_hot([8], 16)[:, :, None] * tf.one_hot([8], 16)[:, None, :]
    found = translated(tf.tile(image[..., None], [500, 1, 1, 1]), rows).numpy()[..., 0]
    for axis in (1, 2):
        places, counts = np.unique(found.max(axis=axis).argmax(axis=1), return_counts=True)
        assert list(places) == [6, 7, 8, 9, 10]
        assert counts.min() > 70  # of 100 expected


def test_cut_out_by_hand():
    """A square of 4 of 8 px, whose centre is from the first pixel to just beyond the last."""
    found = cut_out(tf.ones([3, 8, 8, 2]), draws([0, 0], [-1, -1], [LAST, 0])).numpy()
    middle, corner, beyond = np.ones((3, 8, 8))
    middle[2:6, 2:6] = 0
    corner[:2, :2] = 0
    beyond[6:, 2:6] = 0
    for one, expected in zip(found, (middle, corner, beyond), strict=True):
        for channel in range(2):
            np.testing.assert_array_equal(one[..., channel], expected)


def test_each_has_its_own_draws():
    images = random_images(2, 16, 16, 1)
    columns = tf.random.stateless_uniform([2, 6], [3, 4], -1.0, 1.0)
    assert augmented(images, ("dihedral",), columns) is images
    for name, function, place in (
        ("contrast", contrast, 0),
        ("translation", translated, 2),
        ("cutout", cut_out, 4),
    ):
        expected = function(images, columns[:, place : place + 2])
        np.testing.assert_array_equal(augmented(images, (name,), columns), expected)
    every = cut_out(translated(contrast(images, columns[:, :2]), columns[:, 2:4]), columns[:, 4:])
    found = augmented(images, ("cutout", "contrast", "translation"), columns)
    np.testing.assert_array_equal(found, every)


def test_gradients_pass_through_twice():
    """What the generator and the gradient penalty need, against finite differences."""
    images = random_images(1, 8, 8, 1)
    columns = draws([0.3, 0.4, 0.7, -0.9, -0.8, 0.2])

    def norm(scale):
        """A penalty's square, of a critic that is cubic in its image."""
        with tf.GradientTape() as tape:
            tape.watch(images)
            changed = augmented(images, ("contrast", "translation", "cutout"), columns)
            score = tf.reduce_sum(scale * changed**3)
        return tf.reduce_sum(tape.gradient(score, images) ** 2)

    scale = tf.constant(1.3)
    with tf.GradientTape() as tape:
        tape.watch(scale)
        value = norm(scale)
    expected = (norm(scale + 0.05) - norm(scale - 0.05)) / 0.1
    assert float(value) > 0
    assert float(tape.gradient(value, scale)) == pytest.approx(float(expected), rel=1e-3)
