"""The generator: shapes, frame, range, growth, random scalars."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.models.generator import (
    Generator,
    attention_block,
    block_count,
    border_width,
    combine,
    condition_of,
    noise_sides,
    scalar_count,
    z_width,
    zero_frame,
)
from cgan_tf.models.layers import double, halve, record_layers, spectral_layers
from tests.toys.small_gan import (
    random_images,
    random_scalars,
    randomise,
    singular_value_errors,
    small_config,
)

SIZES = (32, 64)
PHASES = ("half", "fade", "full")


def build(**changes):
    config = small_config(**{"spectral_norm": "both", **changes})
    keras.utils.set_random_seed(1)
    network = Generator(config)
    size = config.size
    image, z = tf.zeros([1, size, size, 1]), tf.zeros([1, scalar_count(size)])
    network(image, z, phase="fade", alpha=tf.constant(0.5))  # builds the layers of every phase
    randomise(network)
    return network


@pytest.fixture(scope="module")
def generators():
    return {size: build(size=size) for size in SIZES}


def run(network, phase, alpha=0.5, seed=0, z=None):
    size = network.config.size
    images = random_images(2, size, size, 1, seed=seed)
    z = random_scalars(2, scalar_count(size)) if z is None else z
    images = halve(images) if phase == "half" else images
    return network(images, z, phase=phase, alpha=tf.constant(alpha)).numpy()


@pytest.mark.parametrize(
    ("size", "blocks", "width"), [(32, 3, 6), (64, 4, 8), (128, 5, 10), (256, 6, 12)]
)
def test_blocks_and_scalars(size, blocks, width):
    assert block_count(size) == blocks
    assert scalar_count(size) == width


@pytest.mark.parametrize(
    ("size", "asked", "resolution"),
    [(256, 0, 32), (128, 0, 16), (64, 0, 8), (32, 0, 8), (64, 16, 16), (256, 64, 64)],
)
def test_attention_resolution(size, asked, resolution):
    place = attention_block(GanConfig(size=size, attention_size=asked))
    assert size / 2**place == resolution


def test_no_attention():
    assert attention_block(GanConfig(attention_size=-1)) == -1


@pytest.mark.parametrize(
    ("size", "border", "half", "full"),
    [
        *((256, 10, 5, 10), (128, 10, 3, 5), (64, 10, 1, 2), (32, 10, 1, 1), (256, 0, 0, 0)),
        *((256, 1, 1, 1), (256, 3, 2, 3), (256, 5, 3, 5), (256, 15, 8, 15), (256, 16, 8, 16)),
    ],
)
def test_frame_widths(size, border, half, full):
    config = GanConfig(size=size, border=border)
    assert border_width(config, "half") == half
    assert border_width(config, "fade") == full
    assert border_width(config, "full") == full


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("phase", PHASES)
def test_shape_frame_and_range(generators, size, phase):
    lesion = run(generators[size], phase)
    side, width = (size // 2, 1) if phase == "half" else (size, size // 32)
    assert lesion.shape == (2, side, side, 1)
    assert lesion.dtype == np.float32
    frame = np.ones((side, side), bool)
    frame[width:-width, width:-width] = False
    np.testing.assert_array_equal(lesion[:, frame], 0.0)
    inner = lesion[:, ~frame]
    assert np.mean(inner != 0) > 0.9
    assert inner.std() > 1e-3
    assert np.abs(inner).max() < 1  # no clipping: the comparisons below compare values


@pytest.mark.parametrize("phase", PHASES)
def test_lesions_are_clipped(generators, phase):
    network = generators[32]
    heads = (network.half_head.kernel, network.full_head.kernel)
    before = [head.numpy() for head in heads]
    for head in heads:
        head.assign(100.0 * head)
    lesion = run(network, phase, alpha=0.5)
    for head, value in zip(heads, before, strict=True):
        head.assign(value)
    assert np.abs(lesion).max() == 1.0
    assert np.abs(lesion).min() == 0.0


def test_the_frame_can_be_left_out():
    network = build(border=0)
    for phase in PHASES:
        assert np.abs(run(network, phase)[:, 0]).max() > 0


@pytest.mark.parametrize("size", SIZES)
def test_the_fade_begins_with_the_doubled_half_network(generators, size):
    network = generators[size]
    faded, half = run(network, "fade", alpha=0.0), run(network, "half")
    np.testing.assert_allclose(faded, double(tf.constant(half)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_fade_ends_with_the_full_network(generators, size):
    network = generators[size]
    full = run(network, "full")
    np.testing.assert_allclose(run(network, "fade", alpha=1.0), full, rtol=0, atol=1e-6)
    assert np.abs(run(network, "fade", alpha=0.5) - full).max() > 1e-3


def scalar_gradient(network, phase):
    size = network.config.size
    z = tf.Variable(random_scalars(2, scalar_count(size)))
    with tf.GradientTape() as tape:
        images = random_images(2, size, size, 1)
        images = halve(images) if phase == "half" else images
        lesion = network(images, z.value(), phase=phase, alpha=tf.constant(0.5))
        total = tf.reduce_sum(lesion**2)
    return np.abs(tape.gradient(total, z)).min(axis=0)


@pytest.mark.parametrize("size", SIZES)
def test_every_scalar_is_used_but_the_outermost_in_the_half_phase(generators, size):
    blocks = block_count(size)
    half = scalar_gradient(generators[size], "half")
    used = half > 0
    assert not used[0]
    assert not used[blocks]
    assert used.sum() == 2 * blocks - 2
    assert (scalar_gradient(generators[size], "fade") > 0).all()
    assert (scalar_gradient(generators[size], "full") > 0).all()


def test_the_lesion_depends_on_the_image(generators):
    assert np.abs(run(generators[32], "full", seed=5) - run(generators[32], "full")).max() > 1e-3


def test_samples_do_not_mix(generators):
    network = generators[32]
    images, z = random_images(3, 32, 32, 1), random_scalars(3, 6)
    together = network(images, z)
    apart = tf.concat([network(images[i : i + 1], z[i : i + 1]) for i in range(3)], axis=0)
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-5)


def used_layers(network, phase):
    with record_layers() as rows:
        run(network, phase)
    return {path.split("/")[-1] for path, *_ in rows}


def test_layers_of_each_phase(generators):
    half, fade, full = (used_layers(generators[64], phase) for phase in PHASES)
    new = {"encoder_0", "decoder_0_first", "decoder_0_second", "full_head"}
    old = {"half_entry", "half_head"}
    assert half & new == set()
    assert full & old == set()
    assert half - old == full - new
    assert fade == half | full
    assert len(fade) == 4 + 8 + 2 + 2 + 2 + 1  # encoder, decoder, attention, middle, heads, entry


def test_attention_stands_where_it_should(generators):
    with record_layers() as rows:
        run(generators[64], "full")
    shapes = {path.split("/")[-1]: shape for path, shape, _ in rows}
    assert shapes["encoder_attention"] == (8, 8, 16)
    assert shapes["decoder_attention"] == (8, 8, 16)
    assert shapes["embedding"] == (1, 1, 4)
    assert shapes["bottleneck"] == (4, 4, 16)


@pytest.mark.parametrize("lesion_channel", [True, False])
def test_an_odd_frame_fades_in_with_the_layer(lesion_channel):
    """At 32 px a border of 24 is 3 px, of which the doubled half network, with 2, has 4."""
    network = build(border=24, lesion_channel=lesion_channel)
    start, end, middle = (run(network, "fade", alpha=alpha) for alpha in (0.0, 1.0, 0.5))
    np.testing.assert_allclose(end, run(network, "full"), rtol=0, atol=1e-6)
    if lesion_channel:  # without it, the image is part of the lesion and has other pixels
        doubled = double(tf.constant(run(network, "half")))
        np.testing.assert_allclose(start, doubled, rtol=0, atol=1e-6)
    ring = np.zeros((32, 32), bool)
    ring[3:-3, 3:-3] = True
    ring[4:-4, 4:-4] = False
    assert (start[:, ring] == 0).all()
    assert np.abs(end[:, ring]).mean() > 1e-3
    assert np.abs(middle[:, ring]).mean() > 1e-4
    assert (end[:, 2] == 0).all()
    assert (middle[:, :, -3] == 0).all()


def test_the_printed_frame_is_bit_for_bit_that_of_a_crop():
    """At 256 px, and in the 128 px of its half phase."""
    for phase, side, width in (("half", 128, 5), ("fade", 256, 10), ("full", 256, 10)):
        images = random_images(1, side, side, 1)
        found = zero_frame(images, border_width(GanConfig(), phase)).numpy()
        expected = np.zeros_like(found)
        inner = np.s_[:, width : side - width, width : side - width]
        expected[inner] = images.numpy()[inner]
        np.testing.assert_array_equal(found, expected)
        assert found[0, width, width] != 0


@pytest.mark.parametrize(
    "phase",
    [
        pytest.param("half", marks=pytest.mark.slow),
        "fade",
        pytest.param("full", marks=pytest.mark.slow),
    ],
)
def test_without_a_lesion_channel_the_output_is_the_combined_image(phase):
    network = build(lesion_channel=False, border=16)
    for head in (network.half_head, network.full_head):
        head.kernel.assign(tf.zeros_like(head.kernel))
        head.bias.assign([0.3])
    image = random_images(2, 32, 32, 1)
    image = halve(image) if phase == "half" else image
    combined = combine(image, run(network, phase)).numpy()
    frame = 1 if phase == "half" else 2
    inner = (slice(None), slice(frame, -frame), slice(frame, -frame))
    lesion = 0.3 - image[inner]
    expected = np.clip(image[inner] + np.clip(lesion, -1, 1), -1, 1)
    np.testing.assert_allclose(combined[inner], expected, rtol=0, atol=1e-6)
    assert np.mean(np.abs(combined[inner] - 0.3) < 1e-6) > 0.9  # a change of more is clipped
    np.testing.assert_array_equal(combined[:, 0], image[:, 0])


@pytest.fixture(scope="module")
def conditional():
    network = Generator(small_config(conditional=True, spectral_norm="both"))
    network(tf.zeros([1, 32, 32, 1]), tf.zeros([1, 6 + 3]), phase="fade", alpha=tf.constant(0.5))
    randomise(network)
    return network


def test_the_category_is_beside_every_scalar(conditional):
    plain = build()
    widened = {
        f"encoder_{i}": conv.kernel.shape[2] - plain.encoder[i].kernel.shape[2]
        for i, conv in enumerate(conditional.encoder)
    } | {
        f"decoder_{i}": first.kernel.shape[2] - plain.decoder[i][0].kernel.shape[2]
        for i, (first, _) in enumerate(conditional.decoder)
    }
    assert set(widened.values()) == {3}
    assert len(conditional.weights) == len(plain.weights)


@pytest.mark.parametrize("phase", PHASES)
def test_the_category_is_one_of_its_inputs(conditional, phase):
    side = 16 if phase == "half" else 32
    image, z = random_images(1, side, side, 1), random_scalars(1, 6)
    config = small_config(conditional=True)
    lesions = [
        conditional(
            image, condition_of(config, z, tf.constant([task])), phase=phase, alpha=tf.constant(0.5)
        )
        for task in range(3)
    ]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(lesions[a] - lesions[b]).max() > 1e-3


def test_the_condition_is_the_scalars_and_the_task():
    scalars, task = random_scalars(2, 6), tf.constant([2, 0])
    found = condition_of(small_config(conditional=True), scalars, task)
    np.testing.assert_array_equal(found[:, :6], scalars)
    np.testing.assert_array_equal(found[:, 6:], [[0, 0, 1], [1, 0, 0]])
    assert condition_of(small_config(), scalars, task) is scalars


def test_without_attention_there_is_none():
    assert not [layer for layer in used_layers(build(attention_size=-1), "full") if "att" in layer]


@pytest.mark.parametrize(
    ("spectral_norm", "normalised"), [("both", True), ("discriminator", False), ("none", False)]
)
def test_where_kernels_are_normalised(spectral_norm, normalised):
    network = Generator(small_config(spectral_norm=spectral_norm))
    names = {layer.name for layer in spectral_layers(network)}
    assert ({"encoder_0", "bottleneck", "query", "decoder_1_second"} <= names) == normalised
    assert not {name for name in names if "head" in name}
    assert bool(names) == normalised


@pytest.mark.parametrize("size", SIZES)
def test_singular_values_are_known_from_the_first_call(generators, size):
    errors = singular_value_errors(spectral_layers(generators[size]))
    assert len(errors) == 3 * block_count(size) + 2 + 2 * 4 + 1
    assert max(errors) < 0.1


def test_combine_adds_and_clips():
    image = tf.constant([[0.5, -0.9, 0.25, 1.0]])
    lesion = tf.constant([[0.75, -0.5, 0.5, -0.25]])
    np.testing.assert_array_equal(combine(image, lesion), [[1.0, -1.0, 0.75, 0.75]])


def test_noise_maps_are_part_of_z():
    """At 32 px the encoder takes 32, 16 and 8 px, the decoder, outermost first, 16, 8 and 4."""
    config = small_config(noise_maps=True)
    sides = [32, 16, 8, 16, 8, 4]
    assert noise_sides(config) == sides
    assert z_width(config) == 6 + sum(side**2 for side in sides)
    assert (noise_sides(small_config()), z_width(small_config())) == ([], 6)
    network, plain = Generator(config), build()
    z = random_scalars(2, z_width(config))
    image = random_images(2, 32, 32, 1)
    network(image, z, phase="fade", alpha=tf.constant(0.5))
    randomise(network)
    wider = [conv.kernel.shape[2] for conv in network.encoder]
    assert wider == [conv.kernel.shape[2] + 1 for conv in plain.encoder]
    with tf.GradientTape() as tape:
        tape.watch(z)
        total = tf.reduce_sum(network(image, z) ** 2)
    used = np.abs(tape.gradient(total, z)).max(axis=0) > 0
    first = 6
    for side in sides:  # each map reaches the lesion
        assert used[first : first + side**2].mean() > 0.2, side
        first += side**2
    half = network(halve(image), z, phase="half")
    outermost = z.numpy()
    outermost[:, 6 : 6 + 32**2] = 0
    np.testing.assert_array_equal(network(halve(image), outermost, phase="half"), half)


def test_a_noise_map_is_laid_out_row_by_row():
    network = Generator(small_config(noise_maps=True))
    z = np.arange(2 * z_width(network.config), dtype=np.float32).reshape(2, -1)
    values, noise = network._maps(tf.constant(z))[1]
    np.testing.assert_array_equal(values, z[:, 1:2])
    np.testing.assert_array_equal(noise[..., 0], z[:, 6 + 1024 : 6 + 1024 + 256].reshape(2, 16, 16))
