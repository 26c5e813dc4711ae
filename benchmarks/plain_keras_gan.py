"""The paper's GAN step as one would write it with Keras alone: what the benchmark compares with.

keras.layers.SpectralNormalization around Conv2D, random scalars enlarged and concatenated, layers
of Keras, Keras' Adam, the penalty in the discriminator's tape. One phase, no averages, no metrics;
that layer overwrites its kernels and its gradient ignores sigma, so this trains another network.
"""

import keras
import tensorflow as tf
from keras import layers, ops

from benchmarks.gan_shape import GanShape


class PlainKerasGan:
    """Both networks of a phase and `step`, a traced function of a batch."""

    def __init__(self, shape: GanShape, precision: str):
        self.shape = shape
        self.policy = keras.DTypePolicy(precision)
        self.generator, self.discriminator = self._generator(), self._discriminator()
        self.optimizers = [keras.optimizers.Adam(1e-5, 0.0, 0.99, 1e-8) for _ in range(2)]
        for optimizer, network in zip(self.optimizers, self._networks(), strict=True):
            optimizer.build(network.trainable_variables)
        self.step = tf.function(self._step)

    def _networks(self) -> tuple[keras.Model, keras.Model]:
        return self.generator, self.discriminator

    def _conv(self, filters: int, size: int, strides: int = 1, padding: str = "same", bias=True):
        conv = layers.Conv2D(filters, size, strides, padding, use_bias=bias, dtype=self.policy)
        return layers.SpectralNormalization(conv, dtype=self.policy)

    def _leaky(self, features):
        return layers.LeakyReLU(0.2, dtype=self.policy)(features)

    def _attention(self, features):
        height, width, channels = features.shape[1:]
        query, key, value = (
            self._conv(max(1, channels // part), 1, bias=False)(features) for part in (8, 8, 2)
        )
        key, value = (layers.MaxPooling2D(dtype=self.policy)(x) for x in (key, value))
        query, key, value = (
            layers.Reshape((-1, x.shape[-1]), dtype=self.policy)(x) for x in (query, key, value)
        )
        scores = layers.Dot((2, 2), dtype=self.policy)([query, key])
        weights = layers.Softmax(dtype=self.policy)(scores)
        mixed = layers.Dot((2, 1), dtype=self.policy)([weights, value])
        mixed = layers.Reshape((height, width, channels // 2), dtype=self.policy)(mixed)
        return features + Gain(dtype=self.policy)(self._conv(channels, 1, bias=False)(mixed))

    def _with_scalar(self, features, z, index: int):
        """ "reshaped to a 1x1 pixel and resized to match the input dimensions"."""
        pixel = layers.Reshape((1, 1, 1), dtype=self.policy)(z[:, index : index + 1])
        plane = layers.UpSampling2D(features.shape[1:3], dtype=self.policy)(pixel)
        return layers.Concatenate(dtype=self.policy)([features, plane])

    def _generator(self) -> keras.Model:
        shape = self.shape
        image = keras.Input((shape.side, shape.side, 1))
        z = keras.Input((2 * len(shape.encoder),))
        features, skips = image, []
        for i, filters in enumerate(shape.encoder):
            if i == 0 and shape.half:
                features = self._leaky(self._conv(filters, 1)(features))
            else:
                features = self._with_scalar(features, z, i)
                features = self._leaky(self._conv(filters, 3, 2)(features))
            if features.shape[1] == shape.attention:
                features = self._attention(features)
            skips.append(features)
        features = self._leaky(self._conv(shape.bottleneck, 3)(features))
        features = self._conv(shape.embedding, 4, padding="valid")(features)
        features = layers.UpSampling2D(4, dtype=self.policy)(features)
        for i in reversed(range(shape.half, len(shape.decoder))):
            features = layers.Concatenate(dtype=self.policy)([features, skips[i]])
            features = self._with_scalar(features, z, len(shape.encoder) + i)
            features = layers.UpSampling2D(dtype=self.policy)(features)
            for _ in range(2):
                features = layers.ReLU(dtype=self.policy)(self._conv(shape.decoder[i], 3)(features))
            if features.shape[1] == shape.attention:
                features = self._attention(features)
        lesion = layers.Conv2D(1, 1, dtype="float32")(features)
        border = shape.border
        lesion = layers.ZeroPadding2D(border, dtype="float32")(
            layers.Cropping2D(border, dtype="float32")(lesion)
        )
        return keras.Model([image, z], ops.clip(lesion, -1.0, 1.0))

    def _discriminator(self) -> keras.Model:
        shape = self.shape
        image = keras.Input((shape.side, shape.side, 1))
        features = image
        for i, filters in enumerate(shape.discriminator):
            if i == 0 and shape.half:
                features = self._leaky(self._conv(filters, 1)(features))
            else:
                pooled = layers.MaxPooling2D(dtype=self.policy)(self._conv(filters, 3)(features))
                features = self._leaky(pooled)
            if features.shape[1] == shape.attention:
                features = self._attention(features)
        flat = layers.Flatten(dtype=self.policy)(features)
        logits = layers.SpectralNormalization(layers.Dense(4, dtype="float32"), dtype="float32")
        return keras.Model(image, logits(flat))

    def _step(self, batch):
        loss = self._update_discriminator(batch)
        for _ in range(2):  # masses
            self._update_generator(batch["source"])
        return loss

    def _generate(self, source, training: bool):
        z = tf.random.uniform([tf.shape(source)[0], 2 * len(self.shape.encoder)], -1.0, 1.0)
        return tf.clip_by_value(source + self.generator([source, z], training=training), -1, 1)

    def _update_discriminator(self, batch):
        real, fake = batch["real"], self._generate(batch["source"], training=False)
        spread = 0.5 * tf.math.reduce_std(real, axis=[1, 2, 3], keepdims=True)
        share = tf.random.uniform([tf.shape(real)[0], 1, 1, 1])
        shaken = real + share * spread * tf.random.uniform(tf.shape(real))
        with tf.GradientTape() as tape:
            stacked = tf.concat([real, fake, batch["benign"], batch["normal"]], axis=0)
            parts = tf.split(self.discriminator(stacked, training=True), 4)
            loss = sum(
                weight * _cross_entropy(logits, label)
                for label, (logits, weight) in enumerate(zip(parts, (1, 1, 0.2, 0.2), strict=True))
            )
            with tf.GradientTape() as inner:
                inner.watch(shaken)
                score = self.discriminator(shaken, training=True)[:, 0]
            gradient = inner.gradient(score, shaken)
            norm = tf.sqrt(tf.reduce_sum(gradient**2, axis=[1, 2, 3]) + 1e-12)
            total = loss + 10.0 * tf.reduce_mean((norm - 1.0) ** 2)
        self._apply(1, tape, total)
        return loss

    def _update_generator(self, source) -> None:
        with tf.GradientTape() as tape:
            logits = self.discriminator(self._generate(source, training=True), training=False)
            loss = _cross_entropy(logits, 0)
        self._apply(0, tape, loss)

    def _apply(self, which: int, tape, loss) -> None:
        variables = self._networks()[which].trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        self.optimizers[which].apply(gradients, variables)


class Gain(layers.Layer):
    """A learned factor that starts at 0."""

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs):
        return self.gamma * inputs


def _cross_entropy(logits, label: int):
    labels = tf.fill([tf.shape(logits)[0]], label)
    return tf.reduce_mean(
        keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    )
