"""Layers against numpy: singular values, attention, fade-in, resampling."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.models.layers import (
    Conv,
    Dense,
    FadeIn,
    SelfAttention,
    double,
    halve,
    max_pool,
    minibatch_deviation,
    record_layers,
    share_weights,
    spectral_layers,
    with_maps,
)

RNG = np.random.default_rng(11)


def images(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


def built_conv(filters=5, size=3, channels=4, **settings):
    keras.utils.set_random_seed(2)
    layer = Conv(filters, size, "conv", **settings)
    layer.build((None, 8, 8, channels))
    return layer


def singular_value(kernel):
    kernel = np.asarray(kernel, np.float64)
    return np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def converge(layer):
    layer.iterate(500)
    return layer


class TestSpectralNormalisation:
    def test_close_when_built(self):
        layer = built_conv(filters=32, channels=32)
        ratio = float(layer.sigma()) / singular_value(layer.kernel)
        assert 0.9 < ratio <= 1.0 + 1e-6  # |W u| of a unit u is never above

    def test_u_is_a_unit_vector(self):
        assert float(tf.norm(built_conv().u)) == pytest.approx(1.0, abs=1e-6)

    @pytest.mark.parametrize("shape", [(5, 3, 4), (1, 1, 8), (64, 3, 2)], ids=str)
    def test_converges_to_the_largest_singular_value(self, shape):
        filters, size, channels = shape
        layer = converge(built_conv(filters, size, channels))
        assert float(layer.sigma()) == pytest.approx(singular_value(layer.kernel), rel=1e-5)
        assert singular_value(layer.weight()) == pytest.approx(1.0, rel=1e-5)

    def test_follows_a_kernel_that_changes(self):
        layer = built_conv()
        for _ in range(200):  # one iteration a step
            layer.kernel.assign_add(1e-3 * tf.random.stateless_normal(layer.kernel.shape, [1, 2]))
            layer.iterate()
        assert float(layer.sigma()) == pytest.approx(singular_value(layer.kernel), rel=1e-3)

    def test_the_scale_of_the_kernel_does_not_matter(self):
        layer = converge(built_conv(bias=False))
        inputs = images(2, 8, 8, 4)
        before = layer(inputs).numpy()
        layer.kernel.assign(37.0 * layer.kernel)
        np.testing.assert_allclose(layer(inputs), before, rtol=1e-4, atol=1e-6)

    def test_calls_change_nothing_and_iterate_changes_u_alone(self):
        layer = built_conv()
        weights = [weight.numpy() for weight in layer.weights]
        for training in (True, False):
            layer(images(2, 8, 8, 4), training=training)
        for weight, before in zip(layer.weights, weights, strict=True):
            np.testing.assert_array_equal(weight, before)
        kernel, u = layer.kernel.numpy(), layer.u.numpy()
        layer.iterate()
        np.testing.assert_array_equal(layer.kernel, kernel)
        assert np.abs(layer.u.numpy() - u).max() > 0

    def test_the_gradient_goes_through_sigma(self):
        """Against central differences of W / (largest singular value), in float64."""
        layer = converge(built_conv(filters=3, size=2, channels=2))
        direction = RNG.normal(size=layer.kernel.shape)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(layer.weight() * tf.constant(direction, tf.float32))
        found = tape.gradient(value, layer.kernel.value).numpy()

        def exact(kernel):
            return np.sum(kernel / singular_value(kernel) * direction)

        kernel, step = np.asarray(layer.kernel, np.float64), 1e-6
        expected = np.zeros_like(kernel)
        for place in np.ndindex(*kernel.shape):
            shift = np.zeros_like(kernel)
            shift[place] = step
            expected[place] = (exact(kernel + shift) - exact(kernel - shift)) / (2 * step)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        without = direction / singular_value(kernel)  # what Keras' layer would give
        assert np.abs(found - without).max() > 0.05

    def test_without_normalisation_the_kernel_itself_is_used(self):
        layer = built_conv(normalise=False)
        np.testing.assert_array_equal(layer.weight(), layer.kernel)
        assert len(layer.weights) == 2
        layer.iterate()

    def test_found_in_a_network_whatever_holds_them(self):
        class Network(keras.Model):
            def __init__(self):
                super().__init__()
                self.pairs = [(Conv(2, 3, "a"), Conv(2, 3, "b", normalise=False))]
                self.attention = SelfAttention(
                    8, "attention", normalise=True, compute_dtype="float32"
                )
                self.logits = Dense(4, "logits")

        names = [layer.name for layer in spectral_layers(Network())]
        assert sorted(names) == ["a", "key", "logits", "out", "query", "value"]


class TestShareWeights:
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = Conv(3, 3, "first"), Conv(3, 3, "second")

    def network(self):
        keras.utils.set_random_seed(2)
        network = self.Network()
        for layer in (network.first, network.second):
            layer.build((None, 8, 8, 3))
        return network

    def test_one_tensor_in_the_block_and_a_new_one_after_it(self):
        network, stranger = self.network(), built_conv()
        with share_weights(network):
            kept = network.first.weight()
            assert network.first.weight() is kept
            assert network.second.weight() is not kept
            assert stranger.weight() is not stranger.weight()
        assert network.first.weight() is not kept
        network.first.kernel.assign(network.first.kernel[::-1])
        with share_weights(network):
            np.testing.assert_allclose(network.first.weight(), kept[::-1], rtol=1e-5)

    def test_outputs_and_gradients_are_those_of_two_divisions(self):
        """Of a loss with a gradient in it, as the penalty is."""
        network = self.network()
        inputs = images(2, 8, 8, 3)
        kernels = [layer.kernel.value for layer in (network.first, network.second)]

        def run(x):
            return tf.reduce_sum(tf.sin(network.second(tf.tanh(network.first(x)))))

        def loss_and_gradients(shared):
            with contextlib.ExitStack() as stack:
                if shared:
                    stack.enter_context(share_weights(network))
                with tf.GradientTape() as tape:
                    total = run(inputs)
                    with tf.GradientTape() as inner:
                        inner.watch(inputs)
                        value = run(inputs)
                    total += tf.reduce_sum(inner.gradient(value, inputs) ** 2)
            return total, tape.gradient(total, kernels)

        (one, first), (two, second) = loss_and_gradients(False), loss_and_gradients(True)
        np.testing.assert_array_equal(one, two)
        for a, b in zip(first, second, strict=True):
            assert np.abs(a).max() > 1e-2
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


class TestConv:
    def test_against_a_sum_over_windows(self):
        layer = converge(built_conv(filters=5, size=3, channels=4, padding="VALID"))
        layer.bias.assign(RNG.normal(size=5))
        inputs = images(2, 6, 7, 4)
        kernel = layer.kernel.numpy() / singular_value(layer.kernel)
        windows = np.lib.stride_tricks.sliding_window_view(inputs, (3, 3), axis=(1, 2))
        expected = np.einsum("bhwcij,ijcf->bhwf", windows, kernel) + layer.bias.numpy()
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        ("size", "strides", "padding", "shape"),
        [(3, 2, "SAME", (4, 4)), (3, 1, "SAME", (8, 8)), (4, 1, "VALID", (5, 5))],
    )
    def test_shapes(self, size, strides, padding, shape):
        layer = Conv(6, size, "conv", strides=strides, padding=padding)
        assert layer(images(2, 8, 8, 3)).shape == (2, *shape, 6)

    def test_bfloat16_works_in_bfloat16_on_float32_weights(self):
        layer = built_conv(compute_dtype="bfloat16")
        inputs = images(2, 8, 8, 4)
        outputs = layer(inputs)
        assert outputs.dtype == tf.bfloat16
        assert layer(tf.cast(inputs, tf.bfloat16)).dtype == tf.bfloat16
        assert {weight.dtype for weight in layer.weights} == {"float32"}
        reference = built_conv()
        np.testing.assert_allclose(
            tf.cast(outputs, tf.float32), reference(inputs), rtol=0.05, atol=0.05
        )


def test_dense_gives_float32_logits():
    layer = Dense(4, "logits")
    inputs = images(3, 10)
    assert layer(tf.cast(inputs, tf.bfloat16)).dtype == tf.float32
    converge(layer)
    layer.bias.assign([1.0, 2.0, 3.0, 4.0])
    kernel = layer.kernel.numpy() / singular_value(layer.kernel)
    expected = inputs.numpy() @ kernel + [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


class TestSelfAttention:
    CHANNELS = 16

    def layer(self, normalise=True, dtype="float32"):
        keras.utils.set_random_seed(4)
        layer = SelfAttention(self.CHANNELS, "attention", normalise=normalise, compute_dtype=dtype)
        layer.build((None, 4, 6, self.CHANNELS))
        return layer

    def test_starts_as_the_identity(self):
        inputs = images(2, 4, 6, self.CHANNELS)
        np.testing.assert_array_equal(self.layer()(inputs), inputs)

    def test_widths(self):
        layer = self.layer()
        shapes = {
            conv.name: conv.kernel.shape
            for conv in (layer.query, layer.key, layer.value, layer.out)
        }
        assert shapes == {
            "query": (1, 1, 16, 2),  # C / 8
            "key": (1, 1, 16, 2),
            "value": (1, 1, 16, 8),  # C / 2
            "out": (1, 1, 8, 16),
        }
        assert not any(conv.use_bias for conv in (layer.query, layer.key, layer.value, layer.out))

    @pytest.mark.parametrize("normalise", [True, False])
    def test_against_loops_over_positions(self, normalise):
        layer = self.layer(normalise)
        layer.gamma.assign(0.7)
        for conv in (layer.query, layer.key, layer.value, layer.out):
            converge(conv)
        inputs = images(2, 4, 6, self.CHANNELS)

        def project(conv, features):
            kernel = conv.kernel.numpy()[0, 0]
            return features @ (kernel / singular_value(kernel) if normalise else kernel)

        def blocks(features):
            corners = [(r, c) for r in (0, 2) for c in (0, 2, 4)]
            return np.stack([features[r : r + 2, c : c + 2].max(axis=(0, 1)) for r, c in corners])

        expected = inputs.numpy().copy()
        for b in range(2):
            x = inputs[b].numpy()
            keys, values = blocks(project(layer.key, x)), blocks(project(layer.value, x))
            for r in range(4):
                for c in range(6):
                    scores = np.exp(keys @ project(layer.query, x)[r, c])
                    mixed = (scores / scores.sum()) @ values
                    expected[b, r, c] += 0.7 * project(layer.out, mixed)
        np.testing.assert_allclose(layer(inputs), expected, rtol=1e-3, atol=1e-4)

    def test_positions_are_exchangeable(self):
        layer = self.layer()
        layer.gamma.assign(1.0)
        inputs = images(1, 4, 6, self.CHANNELS)
        np.testing.assert_allclose(
            layer(inputs[:, ::-1, ::-1]), layer(inputs)[:, ::-1, ::-1], rtol=1e-4, atol=1e-5
        )

    def test_bfloat16_stays_bfloat16(self):
        layer = self.layer(dtype="bfloat16")
        layer.gamma.assign(1.0)
        assert layer(tf.cast(images(1, 4, 6, self.CHANNELS), tf.bfloat16)).dtype == tf.bfloat16


class TestFadeIn:
    OLD, NEW = images(1, 3, 3, 2), images(1, 3, 3, 2)

    @pytest.mark.parametrize(("alpha", "which"), [(0.0, "old"), (1.0, "new")])
    def test_ends_are_exact(self, alpha, which):
        found = FadeIn("fade")(self.OLD, self.NEW, tf.constant(alpha))
        np.testing.assert_array_equal(found, self.OLD if which == "old" else self.NEW)

    def test_linear_between(self):
        found = FadeIn("fade")(self.OLD, self.NEW, tf.constant(0.25))
        np.testing.assert_allclose(found, 0.75 * self.OLD + 0.25 * self.NEW, rtol=1e-6)

    def test_a_new_alpha_is_no_new_graph(self):
        layer = FadeIn("fade")
        blend = tf.function(layer.__call__)
        values = [
            float(tf.reduce_sum(blend(self.OLD, self.NEW, tf.constant(alpha))))
            for alpha in (0.0, 0.5, 1.0)
        ]
        assert blend.experimental_get_tracing_count() == 1
        assert values[1] == pytest.approx((values[0] + values[2]) / 2, rel=1e-5)
        assert values[0] != pytest.approx(values[2])


class TestResampling:
    def test_values_become_maps(self):
        features = images(2, 3, 4, 5)
        found = with_maps(features, tf.constant([[0.5, 2.0], [-1.0, 3.0]]))
        assert found.shape == (2, 3, 4, 7)
        np.testing.assert_array_equal(found[..., :5], features)
        np.testing.assert_array_equal(found[0, ..., 5], np.full((3, 4), 0.5))
        np.testing.assert_array_equal(found[1, ..., 5], np.full((3, 4), -1.0))
        np.testing.assert_array_equal(found[1, ..., 6], np.full((3, 4), 3.0))

    def test_double_repeats_pixels(self):
        features = images(2, 3, 4, 5)
        expected = features.numpy().repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_array_equal(double(features), expected)

    def test_halve_averages_blocks(self):
        features = images(2, 4, 6, 3)
        expected = features.numpy().reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
        np.testing.assert_allclose(halve(features), expected, rtol=1e-5, atol=1e-6)

    def test_halve_undoes_double(self):
        features = images(2, 4, 6, 3)
        np.testing.assert_allclose(halve(double(features)), features, rtol=1e-6)

    def test_max_pool_takes_the_largest_of_blocks(self):
        features = images(2, 4, 6, 3)
        expected = features.numpy().reshape(2, 2, 2, 3, 2, 3).max(axis=(2, 4))
        np.testing.assert_array_equal(max_pool(features), expected)


class TestRecordLayers:
    def test_rows_in_the_order_of_calls(self):
        conv = Conv(5, 3, "conv", strides=2)
        attention = SelfAttention(5, "attention", normalise=True, compute_dtype="float32")
        logits = Dense(4, "logits")
        with record_layers() as rows:
            features = attention(conv(images(2, 8, 8, 3)))
            logits(tf.reshape(features, [2, -1]))
        assert rows == [
            ("conv", (4, 4, 5), 3 * 3 * 3 * 5 + 5),
            ("attention", (4, 4, 5), 1 + 5 * 1 + 5 * 1 + 5 * 2 + 2 * 5),  # one row
            ("logits", (4,), 80 * 4 + 4),
        ]

    def test_nothing_is_recorded_outside(self):
        conv = Conv(5, 3, "conv")
        with record_layers() as rows:
            pass
        conv(images(1, 8, 8, 3))
        assert rows == []


def test_minibatch_deviation_by_hand():
    """Two groups: one of samples 1 and 3 (deviation 1 everywhere), one of equal samples."""
    samples = tf.constant([1.0, 3.0, 5.0, 5.0])
    features = samples[:, None, None, None] * tf.ones([4, 2, 2, 3])
    found = minibatch_deviation(features, groups=2).numpy()
    assert found.shape == (4, 2, 2, 4)
    np.testing.assert_array_equal(found[..., :3], features)
    np.testing.assert_allclose(found[:2, ..., 3], 1.0, rtol=1e-6)
    np.testing.assert_allclose(found[2:, ..., 3], 1e-4, rtol=1e-6)  # the root's small number
    every = minibatch_deviation(features).numpy()
    np.testing.assert_allclose(every[..., 3], np.std([1, 3, 5, 5]), rtol=1e-6)
