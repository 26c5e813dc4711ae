"""The single-operation forms against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.models.fused import FusedAdam, FusedBatchNormalization, fuse
from tests.toys.tiny_resnet import tiny_resnet


def _random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("training", [False, True])
def test_normalisation_and_gradients_equal_keras(training):
    ours, keras_own = FusedBatchNormalization(momentum=0.9), keras.layers.BatchNormalization(
        momentum=0.9
    )  # fmt: skip
    inputs = tf.Variable(3 + 2 * _random(8, 5, 5, 4))
    weights = _random(8, 5, 5, 4, seed=1)
    results = []
    for layer in (ours, keras_own):
        layer.build(inputs.shape)
        layer.set_weights([_random(4, seed=2), _random(4, seed=3), _random(4, seed=4), np.ones(4)])
        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=training)
            loss = tf.reduce_sum(outputs * weights)
        sources = [inputs, layer.gamma.value, layer.beta.value]
        results.append([outputs, *tape.gradient(loss, sources), layer.moving_mean.value])
    for left, right in zip(*results, strict=True):
        assert np.allclose(left, right, rtol=1e-3, atol=1e-4)
    count = 8 * 5 * 5
    batch_part = np.asarray(keras_own.moving_variance) - 0.9 * training
    if training:
        unbiased = np.asarray(ours.moving_variance) - 0.9
        assert np.allclose(unbiased, batch_part * count / (count - 1), rtol=1e-3)


def test_a_frozen_layer_uses_its_moving_statistics():
    layer = FusedBatchNormalization()
    layer.build((None, 4, 4, 2))
    layer.trainable = False
    inputs = 5 + _random(3, 4, 4, 2)
    assert np.allclose(layer(inputs, training=True), layer(inputs, training=False))
    assert layer.moving_mean.numpy().tolist() == [0, 0]


def test_bfloat16_in_bfloat16_out_with_float32_statistics():
    layer = FusedBatchNormalization(dtype="mixed_bfloat16")
    outputs = layer(_random(4, 6, 6, 3), training=True)
    assert outputs.dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {"float32"}


def test_adam_equals_keras_adam():
    arguments = {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-7}
    values = []
    for optimizer in (FusedAdam(**arguments), keras.optimizers.Adam(**arguments)):
        variables = [keras.Variable(_random(3, 2)), keras.Variable(_random(5, seed=1))]
        optimizer.build(variables)
        for step in range(5):
            gradients = [_random(3, 2, seed=9 + step), 1e-4 * _random(5, seed=99 + step)]
            optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        assert int(optimizer.iterations) == 5
        values.append(np.concatenate([variable.numpy().ravel() for variable in variables]))
    assert values[0] == pytest.approx(values[1], rel=1e-5, abs=1e-6)


def test_fusing_keeps_names_weights_and_outputs():
    model = tiny_resnet(False, None, (None, None, 3))
    fused = fuse(model)
    assert [weight.path for weight in fused.weights] == [weight.path for weight in model.weights]
    assert isinstance(fused.get_layer("bn"), FusedBatchNormalization)
    fused.set_weights(model.get_weights())
    inputs = _random(2, 16, 16, 3)
    assert np.allclose(fused(inputs), model(inputs), atol=1e-5)
