"""The discriminator: "identical to the encoding part of the generator, but with 8x the number of
filters per layer and strides of 2 replaced with max pooling operations".
"""

import functools

import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.models.generator import attention_block, block_count
from cgan_tf.models.keras_setup import keras
from cgan_tf.models.layers import (
    Conv,
    Dense,
    FadeIn,
    SelfAttention,
    halve,
    max_pool,
    minibatch_deviation,
    with_maps,
)

CLASSES = 4  # [real, fake, benign, normal]


def discriminator_scalars(config: GanConfig) -> int:
    """Random scalars that the discriminator takes: one a block with --discriminator_noise."""
    return block_count(config.size) if config.discriminator_noise else 0


class Discriminator(keras.Model):
    """Image to four logits, one a class."""

    def __init__(self, config: GanConfig, name: str = "discriminator"):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.config = config
        self.blocks, self.scalars = block_count(config.size), discriminator_scalars(config)
        dtype = "bfloat16" if config.precision == "mixed_bfloat16" else "float32"
        normalise = config.spectral_norm != "none"
        conv = functools.partial(Conv, normalise=normalise, compute_dtype=dtype)
        attention = functools.partial(SelfAttention, normalise=normalise, compute_dtype=dtype)
        first = config.generator_filters * config.discriminator_multiplier
        filters = [first * 2**i for i in range(self.blocks)]
        self.half_entry = conv(filters[0], 1, "half_entry")
        self.convs = [conv(f, 3, f"block_{i}") for i, f in enumerate(filters)]
        self.attention_block = attention_block(config)
        if self.attention_block >= 0:
            self.attention = attention(filters[self.attention_block - 1], "attention")
        self.logits = Dense(CLASSES, "logits", normalise=normalise)
        self.fade_entry = FadeIn("fade_entry")

    def build(self, images_shape, condition_shape):
        """Layers build themselves when called (see Generator.build)."""

    def call(self, images, condition, phase: str = "full", alpha=None, groups: int = 1):
        """Logits [batch, 4], float32.

        Args:
          images: float32 [batch, s, s, c] in [-1, 1]; c is 1, or 3 for triplets.
          condition: float32 [batch, k], the random scalars of --discriminator_noise, a block each,
            and the task of a conditional model, constant maps beside the images (see
            `condition_of`); k is 0 without either.
          phase, alpha: as for the generator.
          groups: how many classes of equal size are stacked in `images`, for
            --minibatch_deviation: samples are compared with those of their own class.
        """
        scalars, task = condition[:, : self.scalars], condition[:, self.scalars :]
        images = with_maps(images, task)
        if phase == "half":
            features = self._leaky(self.half_entry(images))
        else:
            features = self._block(0, images, scalars)
            if phase == "fade":
                old = self._leaky(self.half_entry(halve(images)))
                features = self.fade_entry(old, features, alpha)
        features = self._attend(0, features)
        for i in range(1, self.blocks):
            features = self._attend(i, self._block(i, features, scalars))
        if self.config.minibatch_deviation:
            features = minibatch_deviation(features, groups)
        flat = tf.reshape(features, [tf.shape(features)[0], 16 * features.shape[-1]])
        return self.logits(flat)

    def _block(self, i: int, features, scalars):
        """conv 3x3 -> max pool 2x2 -> LeakyReLU."""
        features = with_maps(features, scalars[:, i : i + 1])
        return self._leaky(max_pool(self.convs[i](features)))

    def _attend(self, i: int, features):
        return self.attention(features) if i + 1 == self.attention_block else features

    def _leaky(self, features):
        return tf.nn.leaky_relu(features, self.config.leaky_relu_slope)
