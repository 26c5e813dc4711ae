"""The classifier's network: preprocessing, features, batch normalisation, arithmetic, one step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.classifier.training import train_step
from cgan_tf.models.fused import FusedAdam
from cgan_tf.models.resnet import IMAGENET_MEAN, ResNetClassifier, preprocess


@pytest.fixture(scope="module")
def resnet():
    keras.utils.set_random_seed(0)
    return ResNetClassifier("inference")


def patches_of(batch):
    """Random patches [batch, 32, 32, 1] with labels 0, 1, 0, ..."""
    patches = np.random.default_rng(0).uniform(-1, 1, (batch, 32, 32, 1)).astype(np.float32)
    return tf.constant(patches), tf.constant(np.arange(batch) % 2, tf.float32)


def stepper(model, learning_rate=1e-3):
    """The training step of a model with an Adam of its own, and the state that it counts into."""
    optimizer = FusedAdam(learning_rate)
    optimizer.build(model.trainable_variables)
    state = {name: tf.Variable(0, dtype=tf.float64) for name in ("seen", "loss_sum", "loss_count")}
    return train_step(model, optimizer, state), state


def bits(weights):
    return {weight.path: weight.numpy().tobytes() for weight in weights}


def test_preprocessing_is_the_published_one():
    grey = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32)
    rgb = np.repeat((grey + 1) * 127.5, 3, axis=-1)
    expected = keras.applications.resnet.preprocess_input(rgb.copy())
    assert np.allclose(preprocess(grey), expected, atol=1e-4)
    assert preprocess(tf.ones([1, 1, 1, 1]))[0, 0, 0].numpy() == pytest.approx(
        [255 - mean for mean in IMAGENET_MEAN]
    )


@pytest.mark.slow  # test_networks loads Keras' own weights bit for bit
def test_it_is_keras_resnet_50_at_any_size(resnet):
    assert resnet.backbone.count_params() == 23_587_712  # keras.applications, without its top
    for size in (32, 64):
        logits, features = resnet.infer(tf.zeros([1, size, size, 1]))
        assert (logits.shape, features.shape) == ((1,), (1, 2048))
        assert (logits.dtype, features.dtype) == (tf.float32, tf.float32)


@pytest.mark.slow
def test_features_are_the_last_layer(resnet):
    patches = tf.random.stateless_uniform([1, 64, 64, 1], [0, 0], -1, 1)
    by_keras = keras.layers.GlobalAveragePooling2D()(resnet.backbone(preprocess(patches)))
    logits, features = resnet.infer(patches)
    assert np.allclose(features, by_keras, rtol=1e-4, atol=1e-5)
    assert np.allclose(logits, resnet.head(features)[:, 0], atol=1e-5)


@pytest.mark.slow  # the default run has every mode in a tiny network
@pytest.mark.parametrize("batch", [1, 4])
def test_moving_statistics_are_bit_identical_after_a_step(resnet, batch):
    moving = [weight for weight in resnet.weights if "moving_" in weight.path]
    scales = [weight for weight in resnet.weights if weight.path.endswith("bn/gamma")]
    before, scales_before = bits(moving), bits(scales)
    assert len(moving) == 2 * 53
    step, state = stepper(resnet)
    step(*patches_of(batch))
    assert int(state["seen"]) == batch
    assert bits(moving) == before
    assert bits(scales) != scales_before  # scale and offset learn


@pytest.mark.parametrize(
    ("mode", "moving_learns", "scale_learns"),
    [("inference", False, True), ("frozen", False, False), ("batch", True, True)],
)
def test_batch_norm_modes(tiny, mode, moving_learns, scale_learns):
    model = ResNetClassifier(mode)
    layer = model.backbone.get_layer("bn")
    before = bits([layer.moving_mean]), bits([layer.gamma])
    stepper(model)[0](*patches_of(4))
    after = bits([layer.moving_mean]), bits([layer.gamma])
    assert (before[0] != after[0], before[1] != after[1]) == (moving_learns, scale_learns)


def test_an_unknown_mode_is_refused(tiny):
    with pytest.raises(ValueError, match="batch_norm"):
        ResNetClassifier("moving")


def test_a_step_on_one_patch_descends_the_cross_entropy(tiny):
    """The loss it counts is that of the weights before it, and repeating it lowers the loss."""
    model = ResNetClassifier()
    patches, labels = patches_of(2)
    patches, labels = patches[1:], labels[1:]  # one positive
    logit = float(model.infer(patches)[0][0])
    step, state = stepper(model)
    step(patches, labels)
    assert float(state["loss_sum"]) == pytest.approx(np.log1p(np.exp(-logit)), rel=1e-4)
    for _ in range(5):
        step(patches, labels)
    assert float(model.infer(patches)[0][0]) > logit
    assert int(state["seen"]) == int(state["loss_count"]) == 6


def test_a_batch_is_the_mean_of_its_patches(tiny):
    """One step of plain gradient descent on two patches is the mean of a step on each."""
    changes = []
    patches, labels = patches_of(2)
    for chosen in (slice(0, 2), slice(0, 1), slice(1, 2)):
        keras.utils.set_random_seed(1)
        model, optimizer = ResNetClassifier(), keras.optimizers.SGD(0.01)
        optimizer.build(model.trainable_variables)
        state = {n: tf.Variable(0, dtype=tf.float64) for n in ("seen", "loss_sum", "loss_count")}
        before = model.head.kernel.numpy().copy()
        train_step(model, optimizer, state)(patches[chosen], labels[chosen])
        changes.append(model.head.kernel.numpy() - before)
    assert np.abs(changes[0]).max() > 0
    np.testing.assert_allclose(changes[0], (changes[1] + changes[2]) / 2, rtol=1e-3, atol=1e-7)


def test_bfloat16_convolves_in_bfloat16_and_scores_in_float32(tiny):
    model = ResNetClassifier(precision="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"  # nothing leaks out
    graph = model.infer.get_concrete_function(tf.TensorSpec([2, 32, 32, 1])).graph
    kinds = [op.outputs[0].dtype for op in graph.get_operations() if op.type == "Conv2D"]
    assert kinds == [tf.bfloat16] * 2
    logits, features = model.infer(tf.zeros([2, 32, 32, 1]))
    assert (logits.dtype, features.dtype) == (tf.float32, tf.float32)
    assert {weight.dtype for weight in model.weights} == {"float32"}


@pytest.mark.slow  # the default run has every mode in a tiny network
@pytest.mark.parametrize("batch", [1, 4])
def test_a_bfloat16_step_is_the_float32_step_rounded(tiny, batch):
    """Both passes convolve in bfloat16; weights, Adam's moments and the loss stay float32."""
    kernels, losses = [], []
    for precision in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(1)
        model = ResNetClassifier(precision=precision)
        before = model.head.kernel.numpy().copy()
        step, state = stepper(model)
        for _ in range(3):
            step(*patches_of(batch))
        kernels.append(model.head.kernel.numpy() - before)
        losses.append(float(state["loss_sum"]))
    operations = step.get_concrete_function(*patches_of(batch)).graph.get_operations()
    kinds = {op.type: op.outputs[0].dtype for op in operations if op.type.startswith("Conv2D")}
    assert kinds["Conv2D"] == kinds["Conv2DBackpropFilter"] == tf.bfloat16
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert losses[1] != losses[0]
    assert np.corrcoef(kernels[0].ravel(), kernels[1].ravel())[0, 1] > 0.95


@pytest.mark.slow
def test_the_whole_network_takes_a_bfloat16_step_on_one_patch():
    model = ResNetClassifier(precision="mixed_bfloat16")
    before = bits(model.trainable_variables)
    step, state = stepper(model)
    step(*patches_of(1))
    after = bits(model.trainable_variables)
    assert np.isfinite(float(state["loss_sum"]))
    assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
    kernels = [path for path in before if path.endswith("kernel")]
    assert sum(after[path] != before[path] for path in kernels) > 50
