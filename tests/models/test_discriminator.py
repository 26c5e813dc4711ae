"""The discriminator: shapes, growth, what it may see."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.gan import losses
from cgan_tf.models.discriminator import Discriminator
from cgan_tf.models.layers import halve, record_layers, spectral_layers
from tests.toys.small_gan import (
    random_images,
    random_scalars,
    randomise,
    singular_value_errors,
    small_config,
)

SIZES = (32, 64)
PHASES = ("half", "fade", "full")


def build(channels=1, **changes):
    config = small_config(**changes)
    keras.utils.set_random_seed(1)
    network = Discriminator(config)
    images = tf.zeros([1, config.size, config.size, channels])
    condition = tf.zeros([1, network.scalars])
    network(images, condition, phase="fade", alpha=tf.constant(0.5))  # builds all phases' layers
    randomise(network)
    return network


@pytest.fixture(scope="module")
def discriminators():
    return {size: build(size=size) for size in SIZES}


def run(network, images, phase, alpha=0.5, condition=None):
    if condition is None:
        condition = tf.zeros([len(images), 0])
    return network(images, condition, phase=phase, alpha=tf.constant(alpha)).numpy()


@pytest.mark.parametrize("size", SIZES)
def test_four_logits_in_every_phase(discriminators, size):
    for phase in PHASES:
        side = size // 2 if phase == "half" else size
        logits = run(discriminators[size], random_images(3, side, side, 1), phase)
        assert logits.shape == (3, 4)
        assert logits.dtype == np.float32
        assert np.ptp(logits, axis=0).min() > 0  # it looks at the image


@pytest.mark.parametrize("size", SIZES)
def test_the_fade_begins_with_the_half_network_on_averages(discriminators, size):
    network, images = discriminators[size], random_images(3, size, size, 1)
    faded = run(network, images, "fade", alpha=0.0)
    np.testing.assert_allclose(faded, run(network, halve(images), "half"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_fade_ends_with_the_full_network(discriminators, size):
    network, images = discriminators[size], random_images(3, size, size, 1)
    full = run(network, images, "full")
    np.testing.assert_allclose(run(network, images, "fade", alpha=1.0), full, rtol=0, atol=1e-6)
    assert np.abs(run(network, images, "fade", alpha=0.5) - full).max() > 1e-4


def test_layers_of_each_phase(discriminators):
    def used(phase):
        side = 32 if phase == "half" else 64
        with record_layers() as rows:
            run(discriminators[64], random_images(1, side, side, 1), phase)
        return [(path.split("/")[-1], shape) for path, shape, _ in rows]

    full = [
        ("block_0", (64, 64, 8)),  # before its pooling
        ("block_1", (32, 32, 16)),
        ("block_2", (16, 16, 32)),
        ("attention", (8, 8, 32)),
        ("block_3", (8, 8, 64)),
        ("logits", (4,)),
    ]
    assert used("full") == full
    assert used("half") == [("half_entry", (32, 32, 8)), *full[1:]]
    assert used("fade") == [full[0], ("half_entry", (32, 32, 8)), *full[1:]]


def plain_logits(network, images):
    """conv 3x3, max pool, LeakyReLU 0.2 down to 4 px, then a matrix, in numpy and float64."""
    features = np.asarray(images, np.float64)
    for conv in network.convs:
        padded = np.pad(features, [(0, 0), (1, 1), (1, 1), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        batch, side, *_ = features.shape
        kernel = conv.kernel.numpy().astype(np.float64).transpose(2, 0, 1, 3)  # [c, i, j, f]
        rows = windows.reshape(batch * side * side, -1)  # [., c * i * j]
        features = rows @ kernel.reshape(rows.shape[1], -1) + conv.bias.numpy()
        blocks = features.reshape(batch, side // 2, 2, side // 2, 2, -1)
        features = blocks.max(axis=(2, 4))
        features = np.where(features > 0, features, 0.2 * features)
    assert features.shape[1:3] == (4, 4)
    flat = features.reshape(len(features), -1)
    return flat @ network.logits.kernel.numpy().astype(np.float64) + network.logits.bias.numpy()


@pytest.fixture(scope="module")
def plain():
    return build(attention_size=-1, spectral_norm="none")


def test_against_plain_convolutions(plain):
    images = random_images(2, 32, 32, 1)
    expected = plain_logits(plain, images)
    np.testing.assert_allclose(run(plain, images, "full"), expected, rtol=1e-4, atol=1e-4)


def test_its_penalty_against_finite_differences(plain):
    """(|grad of the real logit| - k)^2 with all 1,024 central differences in float64."""
    image = np.asarray(random_images(1, 32, 32, 1), np.float64)
    step, slopes = 1e-6, []
    for first in range(0, 1024, 128):
        shifts = step * np.eye(1024)[first : first + 128].reshape(-1, 32, 32, 1)
        above, below = (
            plain_logits(plain, image + sign * shifts)[:, losses.REAL] for sign in (1, -1)
        )
        slopes.append((above - below) / (2 * step))
    norm = np.linalg.norm(np.concatenate(slopes))
    assert norm > 0.1

    def critic(images):
        return plain(images, tf.zeros([1, 0]))[:, losses.REAL]

    for target in (0.0, 1.0):
        found = losses.gradient_penalty(critic, tf.constant(image, tf.float32), target, True)
        assert float(found) == pytest.approx((norm - target) ** 2, rel=1e-4)


def test_random_scalars_where_asked_for():
    network = build(discriminator_noise=True)
    images, z = random_images(2, 32, 32, 1), random_scalars(2, 3)
    before = run(network, images, "full", condition=z)
    for block in range(3):
        shifted = z + 0.5 * tf.one_hot([block, block], 3)
        assert np.abs(run(network, images, "full", condition=shifted) - before).max() > 1e-5
    half = run(network, halve(images), "half", condition=z)
    outermost = z + 0.5 * tf.one_hot([0, 0], 3)
    np.testing.assert_array_equal(run(network, halve(images), "half", condition=outermost), half)


def test_a_category_is_beside_the_image_at_the_entry():
    network = Discriminator(small_config(conditional=True))
    images, categories = random_images(3, 32, 32, 1), tf.eye(3)
    network(images, categories, phase="fade", alpha=tf.constant(0.5))
    randomise(network)
    assert network.convs[0].kernel.shape[2] == network.half_entry.kernel.shape[2] == 1 + 3
    assert network.convs[1].kernel.shape[2] == 8
    same = tf.repeat(images[:1], 3, axis=0)
    for phase in PHASES:
        seen = halve(same) if phase == "half" else same
        logits = run(network, seen, phase, condition=categories)
        assert np.ptp(logits, axis=0).max() > 1e-3
    faded = run(network, images, "fade", alpha=0.0, condition=categories)
    half = run(network, halve(images), "half", condition=categories)
    np.testing.assert_allclose(faded, half, rtol=0, atol=1e-6)


def test_triplets_have_three_channels():
    network = build(channels=3, discriminator_input="triplet")
    assert network.convs[0].kernel.shape == (3, 3, 3, 8)
    assert network.half_entry.kernel.shape == (1, 1, 3, 8)


@pytest.mark.parametrize(
    ("spectral_norm", "normalised"), [("both", True), ("discriminator", True), ("none", False)]
)
def test_where_kernels_are_normalised(spectral_norm, normalised):
    names = {layer.name for layer in spectral_layers(Discriminator(small_config()))}
    everything = {"half_entry", "block_0", "block_1", "block_2", "logits"}
    everything |= {"query", "key", "value", "out"}
    assert names == everything
    found = spectral_layers(Discriminator(small_config(spectral_norm=spectral_norm)))
    assert {layer.name for layer in found} == (everything if normalised else set())


@pytest.mark.parametrize("size", SIZES)
def test_singular_values_are_known_from_the_first_call(discriminators, size):
    errors = singular_value_errors(spectral_layers(discriminators[size]))
    assert len(errors) == discriminators[size].blocks + 1 + 4 + 1
    assert max(errors) < 0.1
