"""What every patch classifier offers, whichever network is inside: cancer or no cancer."""

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import tensorflow as tf

from cgan_tf.models.keras_setup import keras


class PatchClassifier(keras.Model):
    """float32 [B, S, S, 1] in [-1, 1] to float32 logits [B]; positive means cancer.

    A subclass sets `backbone` and gives the maps; the features are their mean over the places, and
    one dense layer, `head`, makes the logit of them. Grad-CAM and the t-SNE map rely on that.

    Attributes:
      title: the network's name in messages and on model cards.
      feature_count: channels of the maps, length of the features.
    """

    title: ClassVar[str]
    feature_count: ClassVar[int]

    def __init__(self) -> None:
        # autocast would round the patch to bfloat16 before it is prepared for the network.
        super().__init__(name="patch_classifier", dtype="float32", autocast=False)

    def add_head(self) -> None:
        """Creates the logit's layer."""
        self.head = keras.layers.Dense(1, dtype="float32", name="logit")
        self.head.build((None, self.feature_count))
        self.built = True

    def call(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The logits [B]."""
        return self.logits(self.features(patches, training))

    def features(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The last feature layer, float32 [B, feature_count]: the mean of the maps."""
        return pooled(self.maps(patches, training))

    def maps(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The last convolutional stage, float32 [B, H, W, feature_count]."""
        raise NotImplementedError

    @tf.function(reduce_retracing=True)
    def infer(self, patches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(logits [B], features [B, feature_count]) as one graph."""
        features = self.features(patches, training=False)
        return self.logits(features), features

    @tf.function(reduce_retracing=True)
    def infer_places(self, image: tf.Tensor) -> tf.Tensor:
        """The logit of each place of the maps, [B, H, W]; their mean is the logit of a patch."""
        maps = self.maps(image, training=False)
        shape = tf.shape(maps)
        return tf.reshape(self.logits(tf.reshape(maps, [-1, self.feature_count])), shape[:3])

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Logits [B] of features [B, feature_count]."""
        return self.head(features)[:, 0]


def pooled(maps: tf.Tensor) -> tf.Tensor:
    """Maps [B, H, W, C] averaged over their places: features [B, C]."""
    return tf.reduce_mean(maps, axis=(1, 2))


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Keras' global policy while a backbone is built: keras.applications takes no dtype."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
