"""The scalars that a GAN is watched by, against hand-computed values."""

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.gan.losses import FAKE, NORMAL, REAL, discriminator_loss
from cgan_tf.gan.metrics import class_metrics, contrast, largest_sigma, lesion_metrics
from cgan_tf.models.layers import Conv

NAMES = ("real", "fake", "benign", "normal")


def logits_of(*probabilities):
    return tf.math.log(tf.constant(probabilities, tf.float32))


class TestClasses:
    REAL_ROWS = ((0.5, 0.25, 0.125, 0.125), (0.25, 0.5, 0.125, 0.125))

    def test_by_hand(self):
        found = class_metrics({REAL: logits_of(*self.REAL_ROWS)})
        assert set(found) == {"ce_real", *(f"p_{name}_on_real" for name in NAMES)}
        expected = dict(zip(NAMES, (0.375, 0.375, 0.125, 0.125), strict=True))
        for name, value in expected.items():
            assert float(found[f"p_{name}_on_real"]) == pytest.approx(value, rel=1e-6)
        assert float(found["ce_real"]) == pytest.approx(1.5 * np.log(2), rel=1e-6)

    def test_sixteen_probabilities_of_four_classes(self):
        rows = np.random.default_rng(0).dirichlet([1, 1, 1, 1], (4, 3))
        logits = {label: logits_of(*rows[label]) + 3.0 for label in range(4)}
        found = class_metrics(logits)
        table = [[float(found[f"p_{o}_on_{c}"]) for o in NAMES] for c in NAMES]
        np.testing.assert_allclose(table, rows.mean(axis=1), rtol=1e-5)
        assert len(found) == 20

    def test_the_parts_add_up_to_the_loss(self):
        logits = {label: tf.random.stateless_normal([5, 4], [1, label]) for label in range(4)}
        found = class_metrics(logits)
        parts = [float(found[f"ce_{name}"]) for name in NAMES]
        expected = parts[0] + parts[1] + 0.3 * parts[2] + 0.2 * parts[3]
        assert float(discriminator_loss(logits, 0.3, 0.2)) == pytest.approx(expected, rel=1e-6)

    def test_absent_classes_have_no_scalars(self):
        found = class_metrics({label: tf.zeros([2, 4]) for label in (REAL, FAKE)})
        assert not any(name.endswith("normal") for name in found if "_on_" in name)
        assert "ce_normal" not in found
        assert "p_normal_on_fake" in found

    def test_bfloat16_logits_are_averaged_in_float32(self):
        logits = tf.cast(logits_of(*self.REAL_ROWS), tf.bfloat16)
        found = class_metrics({NORMAL: logits})
        assert {value.dtype for value in found.values()} == {tf.float32}


def square(size, x0, y0, side, level, batch=1):
    image = np.zeros((batch, size, size, 1), np.float32)
    image[:, y0 : y0 + side, x0 : x0 + side] = level
    return image


class TestLesions:
    def test_by_hand(self):
        lesion = np.concatenate([square(64, 20, 10, 8, 0.5), square(64, 0, 0, 4, 0.09)])
        lesion[0, 0, 0, 0] = -0.7
        combined = lesion - 0.25
        found = {k: float(v) for k, v in lesion_metrics(lesion, combined, 1.0).items()}
        assert found["lesion_area"] == pytest.approx(64 / 64**2 / 2)
        assert found["lesion_peak"] == pytest.approx((0.5 + 0.09) / 2)
        assert found["lesion_range"] == pytest.approx(0.7)
        assert found["lesion_contrast"] == pytest.approx(0.5 / 2)  # none in the second sample

    def test_removal_turns_the_sign(self):
        lesion = square(32, 8, 8, 4, -0.5)
        found = lesion_metrics(tf.constant(lesion), tf.constant(lesion), -1.0)
        assert float(found["lesion_area"]) == pytest.approx(16 / 32**2)
        assert float(found["lesion_peak"]) == pytest.approx(0.5)
        assert float(found["lesion_contrast"]) == pytest.approx(-0.5)

    def test_a_sign_for_each_sample(self):
        lesion = np.concatenate([square(32, 8, 8, 4, -0.5), square(32, 8, 8, 4, 0.3)])
        sign = tf.constant([-1.0, 1.0])[:, None, None, None]
        found = lesion_metrics(tf.constant(lesion), tf.constant(lesion), sign)
        assert float(found["lesion_area"]) == pytest.approx(16 / 32**2)
        assert float(found["lesion_peak"]) == pytest.approx(0.4)


class TestContrast:
    def test_only_what_is_near_counts(self):
        """At 64 px the surroundings reach 5 px: columns 5 to 9 and 14 to 18 of this stripe."""
        image = np.zeros((1, 64, 64, 1), np.float32)
        inside = np.zeros_like(image)
        inside[:, :, 10:14] = 1
        image[:, :, 10:14] = 0.75
        image[:, :, 5:10] = 0.25
        image[:, :, :5] = image[:, :, 19:] = -1.0  # too far
        assert float(contrast(image, inside)[0]) == pytest.approx(0.75 - 0.125)

    @pytest.mark.parametrize("level", [0.0, 1.0])
    def test_nothing_inside_or_nothing_around_is_nothing(self, level):
        image = tf.random.stateless_uniform([2, 32, 32, 1], [1, 2])
        np.testing.assert_array_equal(contrast(image, tf.fill([2, 32, 32, 1], level)), [0.0, 0.0])

    def test_a_level_that_all_share_does_not_matter(self):
        image = tf.random.stateless_uniform([1, 32, 32, 1], [1, 2])
        inside = tf.constant(square(32, 5, 6, 9, 1.0))
        difference = contrast(image + 0.5, inside) - contrast(image, inside)
        assert float(difference[0]) == pytest.approx(0, abs=1e-6)


def test_the_largest_of_the_singular_values():
    layers = []
    for number, singular in enumerate([(0.5, 0.1), (3.0, 2.0), (1.0, 1.0)]):
        layer = Conv(2, 1, f"conv_{number}")
        layer.build((None, 8, 8, 2))
        layer.kernel.assign(np.diag(singular)[None, None])
        layer.iterate(50)
        layers.append(layer)
    assert float(largest_sigma(layers)) == pytest.approx(3.0, rel=1e-6)
