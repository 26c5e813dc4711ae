"""The generator: a U-net that gives the lesion alone (paper, section 2 and Figure 2).

Blocks are counted from the outside: encoder block 0 takes the image at full resolution. At 256 px
there are six, with 16, 32, 64, 128, 256, 512 filters at 128, 64, 32, 16, 8 and 4 px. The paper's
"4x4x2048" cannot come from doubling 16 filters six times; one 3x3 convolution gives it
(docs/decisions/generator.md). The half-resolution network is the same without block 0 on both
sides, so every weight is kept when it grows.
"""

import functools
import math

import tensorflow as tf

from cgan_tf.config import GanConfig
from cgan_tf.labels import TASKS, scaled_length
from cgan_tf.models.keras_setup import keras
from cgan_tf.models.layers import Conv, FadeIn, SelfAttention, double, halve, with_maps


def block_count(size: int) -> int:
    """Halvings from `size` down to 4 px."""
    return round(math.log2(size / 4))


def scalar_count(size: int) -> int:
    """Width of z: one scalar a block, encoder first, outermost first."""
    return 2 * block_count(size)


def noise_sides(config: GanConfig) -> list[int]:
    """Sides of the maps of --noise_maps, in the order of the scalars: what each block is given."""
    if not config.noise_maps:
        return []
    places = range(block_count(config.size))
    return [config.size >> i for i in places] + [config.size >> (i + 1) for i in places]


def z_width(config: GanConfig) -> int:
    """Width of z: the scalars, then the pixels of the noise maps, row by row."""
    return scalar_count(config.size) + sum(side**2 for side in noise_sides(config))


def condition_of(config: GanConfig, scalars: tf.Tensor, task: tf.Tensor) -> tf.Tensor:
    """What a network is told beside its image, as one tensor.

    Args:
      scalars: float32 [batch, k] in [-1, 1], z or D's random scalars; k may be 0.
      task: int [batch], places in `labels.TASKS`; only a conditional model is told them.

    Returns:
      float32 [batch, k], or [batch, k + tasks] with the one-hot task of a conditional model last.
    """
    if not config.conditional:
        return scalars
    return tf.concat([scalars, tf.one_hot(task, len(TASKS))], axis=-1)


def attention_block(config: GanConfig) -> int:
    """Halvings from `size` to the resolution of the self-attention; -1 without attention."""
    resolution = config.attention_resolution()
    if resolution < 0:
        return -1
    return block_count(config.size) - block_count(resolution)


def border_width(config: GanConfig, phase: str) -> int:
    """Width of the zero frame: 10 px at 256, half of it in the half phase.

    Half of an odd frame is rounded up: doubled, it is 1 px wider (see `Generator._frame`).
    """
    width = scaled_length(config.border, config.size)
    return (width + 1) // 2 if phase == "half" else width


class Generator(keras.Model):
    """Image and random scalars to the lesion channel."""

    def __init__(self, config: GanConfig, name: str = "generator"):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.config = config
        self.blocks = block_count(config.size)
        dtype = "bfloat16" if config.precision == "mixed_bfloat16" else "float32"
        normalise = config.spectral_norm == "both"
        conv = functools.partial(Conv, normalise=normalise, compute_dtype=dtype)
        attention = functools.partial(SelfAttention, normalise=normalise, compute_dtype=dtype)
        filters = [config.generator_filters * 2**i for i in range(self.blocks)]
        self.half_entry = conv(filters[0], 1, "half_entry")
        self.encoder = [conv(f, 3, f"encoder_{i}", strides=2) for i, f in enumerate(filters)]
        self.bottleneck = conv(config.bottleneck_filters, 3, "bottleneck")
        self.embedding = conv(config.embedding_channels, 4, "embedding", padding="VALID")
        mirrored = [filters[0], *filters[:-1]]  # 16, 16, 32, ... 256, outermost first
        self.decoder = [
            (
                conv(f, 3, f"decoder_{i}_first"),
                conv(f, 3, f"decoder_{i}_second"),
            )
            for i, f in enumerate(mirrored)
        ]
        # Encoder block i gives size / 2^(i+1), decoder block i gives size / 2^i.
        place = self.attention_block = attention_block(config)
        if place >= 0:  # "at the 32x32 resolution"
            self.encoder_attention = attention(filters[place - 1], "encoder_attention")
            self.decoder_attention = attention(mirrored[place], "decoder_attention")
        self.half_head, self.full_head = _head("half_head"), _head("full_head")
        self.fade_entry = FadeIn("fade_entry")
        self.fade_lesion = FadeIn("fade_lesion")
        self.fade_frame = FadeIn("fade_frame")

    def build(self, image_shape, condition_shape):
        """Layers build themselves when called. Keras' own build would trace `call` without state,
        where the power iterations of a new layer (`SpectralLayer.add_kernel`) are lost."""

    def call(self, image, condition, phase: str = "full", alpha=None):
        """The lesion channel.

        Args:
          image: float32 [batch, s, s, 1] in [-1, 1]; s is size, or size / 2 in phase "half".
          condition: float32 [batch, z_width], z, and the task of a conditional model (see
            `condition_of`); the outermost two scalars, and their noise maps, are unused in phase
            "half".
          phase: "half", "fade" or "full".
          alpha: scalar tensor, weight of the full-resolution layers in phase "fade".

        Returns:
          float32 [batch, s, s, 1] in [-1, 1], zero on the border frame.
        """
        maps = self._maps(condition)
        encoder_maps, decoder_maps = maps[: self.blocks], maps[self.blocks :]
        skips = self._encode(image, encoder_maps, phase, alpha)
        features = self._embed(skips[-1])
        outermost = 1 if phase == "half" else 0
        inner = features
        for i in reversed(range(outermost, self.blocks)):
            inner, features = features, self._decode(i, features, skips[i], decoder_maps[i])
        if phase == "half":
            lesion = self.half_head(features)
        else:
            lesion = self.full_head(features)
            if phase == "fade":
                lesion = self.fade_lesion(double(self.half_head(inner)), lesion, alpha)
        if not self.config.lesion_channel:
            lesion = tf.clip_by_value(lesion, -1.0, 1.0) - image
        return tf.clip_by_value(self._frame(lesion, phase, alpha), -1.0, 1.0)

    def _maps(self, condition) -> list:
        """What stands beside the input of each block: its own scalar with the task, [B, k], and
        its noise, [B, h, w, 1], or None."""
        width, count = z_width(self.config), 2 * self.blocks
        z, task = condition[:, :width], condition[:, width:]
        values = [tf.concat([z[:, i : i + 1], task], axis=-1) for i in range(count)]
        sides = noise_sides(self.config)
        if not sides:
            return [(value, None) for value in values]
        pixels = tf.split(z[:, count:], [side**2 for side in sides], axis=1)
        shaped = (tf.reshape(p, [-1, s, s, 1]) for p, s in zip(pixels, sides, strict=True))
        return list(zip(values, shaped, strict=True))

    def _encode(self, image, maps, phase: str, alpha) -> list:
        """The output of every encoder block; entry i feeds decoder block i."""
        skips: list = [None] * self.blocks
        if phase == "half":
            features = self._leaky(self.half_entry(image))
        else:
            features = self._leaky(self.encoder[0](_beside(image, maps[0])))
            if phase == "fade":
                old = self._leaky(self.half_entry(halve(image)))
                features = self.fade_entry(old, features, alpha)
        if self.attention_block == 1:
            features = self.encoder_attention(features)
        skips[0] = features
        for i in range(1, self.blocks):
            features = self._leaky(self.encoder[i](_beside(features, maps[i])))
            if i + 1 == self.attention_block:
                features = self.encoder_attention(features)
            skips[i] = features
        return skips

    def _embed(self, features):
        """[B, 4, 4, C] to the 1x1x4 embedding, resized (nearest) to [B, 4, 4, 4]."""
        embedding = self.embedding(self._leaky(self.bottleneck(features)))  # [B, 1, 1, 4]
        return tf.broadcast_to(
            embedding, [tf.shape(embedding)[0], 4, 4, self.config.embedding_channels]
        )

    def _decode(self, i: int, features, skip, maps):
        """ "concatenating the skip connection and random scalar value to the input, followed by
        an up-sampling operation (nearest neighbor) and two convolutional layers (with ReLU)"."""
        first, second = self.decoder[i]
        features = _beside(tf.concat([features, skip], axis=-1), maps)
        features = tf.nn.relu(second(tf.nn.relu(first(double(features)))))
        return self.decoder_attention(features) if i == self.attention_block else features

    def _frame(self, lesion, phase: str, alpha):
        """ "followed by a 10px border cropping": zero on the frame, and the size stays.

        In phase "fade" an odd frame goes from that of the doubled half network to its own.
        """
        width, doubled = border_width(self.config, phase), 2 * border_width(self.config, "half")
        framed = zero_frame(lesion, width)
        if phase == "fade" and doubled != width:
            return self.fade_frame(zero_frame(lesion, doubled), framed, alpha)
        return framed

    def _leaky(self, features):
        return tf.nn.leaky_relu(features, self.config.leaky_relu_slope)


def _beside(features, maps):
    """Features [B, h, w, C] with one entry of `Generator._maps` as further channels."""
    values, noise = maps
    features = with_maps(features, values)
    if noise is None:
        return features
    return tf.concat([features, tf.cast(noise, features.dtype)], axis=-1)


def _head(name: str) -> Conv:
    # Without spectral normalisation: a normalised head could never make its lesion small.
    start = keras.initializers.RandomNormal(stddev=0.02)
    return Conv(1, 1, name, normalise=False, initializer=start)


def zero_frame(images: tf.Tensor, width: int) -> tf.Tensor:
    """Images [B, s, s, C] with zeros in a frame of `width` px."""
    if not width:
        return images
    inner = images[:, width:-width, width:-width, :]
    return tf.pad(inner, [[0, 0], [width, width], [width, width], [0, 0]])


def combine(image: tf.Tensor, lesion: tf.Tensor) -> tf.Tensor:
    """ "The resulting output is then added to the original input image"; clipped to [-1, 1]."""
    return tf.clip_by_value(image + lesion, -1.0, 1.0)
