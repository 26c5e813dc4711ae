"""ResNet-50 (He et al. 2016) as the paper's patch classifier: cancer or no cancer.

Paper, "Patch Classifier Training": Keras' ResNet-50 with one logit. A patch has one grey channel
and ImageNet's networks take three, so the graph itself repeats it and subtracts the published mean.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from cgan_tf.models.fused import fuse
from cgan_tf.models.keras_setup import keras

FEATURES = 2048
# Mean of ImageNet in blue, green, red: the "caffe" preprocessing that ResNet-50 was published with.
IMAGENET_MEAN = (103.939, 116.779, 123.68)
BATCH_NORM_MODES = ("inference", "frozen", "batch")


class PatchClassifier(keras.Model):
    """float32 [B, S, S, 1] in [-1, 1] to float32 logits [B]; positive means cancer.

    Args:
      batch_norm: with the paper's batch of one, batch statistics are those of one patch. inference
        normalises with the moving statistics and trains scale and offset; frozen trains nothing of
        it; batch uses and learns batch statistics.
      precision: float32 or mixed_bfloat16, of the convolutions; preprocessing, the last pooling
        and the logit are float32 always.
      momentum: of the moving statistics in mode batch.

    The backbone is called with an explicit `training`, because in a functional model built around
    it `fit` would override the argument and go on learning the moving statistics.
    """

    def __init__(
        self, batch_norm: str = "inference", precision: str = "float32", momentum: float = 0.99
    ):
        # autocast would round the patch to bfloat16 before the mean is subtracted.
        super().__init__(name="patch_classifier", dtype="float32", autocast=False)
        if batch_norm not in BATCH_NORM_MODES:
            raise ValueError(f"batch_norm: expected one of {BATCH_NORM_MODES}, found {batch_norm}")
        self.batch_norm = batch_norm
        with _dtype_policy(precision):
            self.backbone = fuse(keras_resnet())
        self.head = keras.layers.Dense(1, dtype="float32", name="logit")
        for layer in self.backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = momentum
                layer.trainable = batch_norm != "frozen"
        self.head.build((None, FEATURES))
        self.built = True

    def call(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The logits [B]."""
        return self.logits(self.features(patches, training))

    def features(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The last feature layer, float32 [B, 2048]: the last map averaged over its places."""
        return pooled(self.maps(patches, training))

    def maps(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The last convolutional stage, float32 [B, S/32, S/32, 2048]."""
        learns = training and self.batch_norm == "batch"
        return tf.cast(self.backbone(preprocess(patches), training=learns), tf.float32)

    @tf.function(reduce_retracing=True)
    def infer(self, patches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(logits [B], features [B, 2048]) as one graph."""
        features = self.features(patches, training=False)
        return self.logits(features), features

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        """Logits [B] of features [B, 2048]."""
        return self.head(features)[:, 0]


def keras_resnet() -> keras.Model:
    """Keras' own ResNet-50 without its top, of random weights: float32 [B, S, S, 3] to maps."""
    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(None, None, 3))


def pooled(maps: tf.Tensor) -> tf.Tensor:
    """Maps [B, H, W, 2048] averaged over their places: features [B, 2048]."""
    return tf.reduce_mean(maps, axis=(1, 2))


def preprocess(patches: tf.Tensor) -> tf.Tensor:
    """[B, S, S, 1] in [-1, 1] to [B, S, S, 3]: 0 to 255, ImageNet's mean subtracted."""
    levels = (tf.cast(patches, tf.float32) + 1.0) * 127.5
    return levels - tf.constant(IMAGENET_MEAN, tf.float32)  # [B, S, S, 1] - [3]


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """Keras' global policy while the backbone is built: its constructor takes no dtype."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
