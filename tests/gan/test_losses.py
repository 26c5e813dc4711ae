"""Losses by hand: logarithms, linear critics, finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.gan import losses

LOG4 = np.log(4.0)


def logits_of(*probabilities):
    """Logits whose softmax is one of these rows; the shift must not matter."""
    return tf.constant(np.log(np.array(probabilities)) + 3.0, tf.float32)


LOGITS = {
    losses.REAL: logits_of([0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]),
    losses.FAKE: logits_of([0.5, 0.3, 0.1, 0.1], [0.1, 0.6, 0.2, 0.1]),
    losses.BENIGN: logits_of([0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.4, 0.4]),
    losses.NORMAL: logits_of([0.05, 0.05, 0.1, 0.8], [0.2, 0.3, 0.4, 0.1]),
}
# Means of -log p(right class) over the two samples.
REAL = -(np.log(0.5) + np.log(0.25)) / 2
FAKE = -(np.log(0.3) + np.log(0.6)) / 2
BENIGN = -(np.log(0.7) + np.log(0.4)) / 2
NORMAL = -(np.log(0.8) + np.log(0.1)) / 2


class TestFourWayLoss:
    def test_order_of_the_classes(self):
        assert (losses.REAL, losses.FAKE, losses.BENIGN, losses.NORMAL) == (0, 1, 2, 3)

    def test_weighted_sum(self):
        found = losses.discriminator_loss(LOGITS, 0.2, 0.3)
        expected = REAL + FAKE + 0.2 * BENIGN + 0.3 * NORMAL
        assert float(found) == pytest.approx(expected, rel=1e-6)

    def test_a_class_that_is_absent_adds_nothing(self):
        parts = {label: LOGITS[label] for label in (losses.REAL, losses.FAKE)}
        found = losses.discriminator_loss(parts, 0.2, 0.2)
        assert float(found) == pytest.approx(REAL + FAKE, rel=1e-6)

    def test_an_undecided_discriminator(self):
        parts = {label: tf.zeros([3, 4]) for label in range(4)}
        found = losses.discriminator_loss(parts, 0.2, 0.2)
        assert float(found) == pytest.approx(2.4 * LOG4, rel=1e-6)

    def test_the_generator_wants_real(self):
        found = losses.generator_loss(LOGITS[losses.FAKE])
        assert float(found) == pytest.approx(-(np.log(0.5) + np.log(0.1)) / 2, rel=1e-6)

    def test_extreme_logits_stay_finite(self):
        logits = tf.constant([[-1e4, 1e4, 0.0, 0.0]])
        assert float(losses.generator_loss(logits)) == pytest.approx(2e4)

    def test_bfloat16_logits_are_summed_in_float32(self):
        found = losses.cross_entropy(tf.zeros([2, 4], tf.bfloat16), 0)
        assert found.dtype == tf.float32
        assert float(found) == pytest.approx(LOG4, rel=1e-6)


class TestPerturb:
    # Standard deviations over the pixels of one image: 1 and 4.
    IMAGES = np.array([[0.0, 2.0, 0.0, 2.0], [-3.0, 5.0, -3.0, 5.0]]).reshape(2, 2, 2, 1)
    NOISE = np.array([[0.0, 0.25, 0.5, 1.0], [1.0, 0.5, 0.25, 0.0]]).reshape(2, 2, 2, 1)
    ALPHA = np.array([0.5, 1.0]).reshape(2, 1, 1, 1)

    @pytest.mark.parametrize(
        ("kind", "delta"),
        [
            ("uniform_std", [[0.0, 0.0625, 0.125, 0.25], [2.0, 1.0, 0.5, 0.0]]),
            ("gaussian", [[0.0, 0.125, 0.25, 0.5], [2.0, 1.0, 0.5, 0.0]]),
            ("uniform", [[0.0, 0.25, 0.5, 1.0], [1.0, 0.5, 0.25, 0.0]]),
        ],
    )
    def test_by_hand(self, kind, delta):
        found = losses.perturb(*map(tf.constant, (self.IMAGES, self.NOISE, self.ALPHA)), kind)
        np.testing.assert_allclose(
            found - self.IMAGES, np.reshape(delta, self.IMAGES.shape), rtol=0, atol=1e-12
        )

    def test_the_spread_is_over_all_channels_of_one_image(self):
        triplet = np.concatenate([np.zeros((1, 2, 2, 1)), *[self.IMAGES[:1]] * 2], axis=-1)
        noise, alpha = np.ones_like(triplet), np.ones((1, 1, 1, 1))
        found = losses.perturb(*map(tf.constant, (triplet, noise, alpha)), "gaussian") - triplet
        np.testing.assert_allclose(found, 0.5 * triplet.std(), rtol=1e-12)


class TestGradientPenalty:
    RNG = np.random.default_rng(5)
    IMAGES = tf.constant(RNG.normal(size=(3, 4, 4, 2)), tf.float32)
    WEIGHT = RNG.normal(size=(4, 4, 2))

    def linear(self, images):
        return tf.reduce_sum(images * tf.constant(self.WEIGHT, tf.float32), axis=[1, 2, 3]) + 7.0

    @pytest.mark.parametrize("target", [1.0, 0.0, 3.5])
    @pytest.mark.parametrize("squared", [True, False])
    def test_a_linear_critic(self, target, squared):
        excess = np.linalg.norm(self.WEIGHT) - target
        found = losses.gradient_penalty(self.linear, self.IMAGES, target, squared)
        assert float(found) == pytest.approx(excess**2 if squared else excess, rel=1e-6)

    def test_the_square_is_taken_before_the_mean(self):
        scale = tf.constant([0.0, 1.0, 2.0])  # norms 0, w, 2w
        found = losses.gradient_penalty(
            lambda images: scale * self.linear(images), self.IMAGES, 1.0, True
        )
        norms = np.array([0, 1, 2]) * np.linalg.norm(self.WEIGHT)
        assert float(found) == pytest.approx(np.mean((norms - 1) ** 2), rel=1e-5)

    def test_against_finite_differences(self):
        inner = self.RNG.normal(size=(32, 5))
        outer = self.RNG.normal(size=5)

        def critic(images):
            hidden = tf.tanh(tf.reshape(images, [-1, 32]) @ tf.constant(inner, images.dtype) / 4)
            return tf.linalg.matvec(hidden, tf.constant(outer, images.dtype))

        points = self.IMAGES.numpy().astype(np.float64).reshape(3, 32)
        step = 1e-5
        gradient = np.stack(
            [
                (
                    (np.tanh((points + step * e) @ inner / 4) @ outer)
                    - (np.tanh((points - step * e) @ inner / 4) @ outer)
                )
                / (2 * step)
                for e in np.eye(32)
            ],
            axis=1,
        )
        expected = np.mean((np.linalg.norm(gradient, axis=1) - 1) ** 2)
        found = losses.gradient_penalty(critic, self.IMAGES, 1.0, True)
        assert float(found) == pytest.approx(expected, rel=1e-5)

    def test_its_own_gradient(self):
        """d (|w| - k)^2 / dw = 2 (|w| - k) w / |w|: the penalty trains the critic."""
        weight = tf.Variable(self.WEIGHT, dtype=tf.float32)
        with tf.GradientTape() as tape:
            penalty = losses.gradient_penalty(
                lambda images: tf.reduce_sum(images * weight, axis=[1, 2, 3]),
                self.IMAGES,
                1.0,
                True,
            )
        norm = np.linalg.norm(self.WEIGHT)
        np.testing.assert_allclose(
            tape.gradient(penalty, weight), 2 * (norm - 1) * self.WEIGHT / norm, rtol=1e-4
        )

    def test_a_flat_critic_is_pushed_and_not_torn(self):
        weight = tf.Variable(tf.zeros([4, 4, 2]))
        with tf.GradientTape() as tape:
            penalty = losses.gradient_penalty(
                lambda images: tf.reduce_sum(images * weight, axis=[1, 2, 3]),
                self.IMAGES,
                1.0,
                True,
            )
        assert float(penalty) == pytest.approx(1.0, abs=1e-5)
        assert np.isfinite(tape.gradient(penalty, weight)).all()


class TestModeSeeking:
    def test_by_hand(self):
        first = tf.zeros([2, 2, 2, 1])
        second = tf.constant([[0.5] * 4, [-0.1, 0.1, 0.0, 0.2]], shape=[2, 2, 2, 1])
        z_first = tf.constant([[0.0, 0.0], [1.0, 0.0]])
        z_second = tf.constant([[0.25, -0.25], [0.0, -1.0]])
        # Mean absolute differences: 0.5 / 0.25 = 2 and 0.1 / 1 = 0.1.
        expected = (1 / (2 + 0.02) + 1 / (0.1 + 0.02)) / 2
        found = losses.mode_seeking_loss(first, second, z_first, z_second, 0.02)
        assert float(found) == pytest.approx(expected, rel=1e-4)

    def test_the_same_lesion_for_different_scalars_costs_most(self):
        same = tf.ones([1, 2, 2, 1])
        found = losses.mode_seeking_loss(same, same, tf.zeros([1, 3]), tf.ones([1, 3]), 0.02)
        assert float(found) == pytest.approx(50.0)
