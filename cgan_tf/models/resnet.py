"""ResNet-50 (He et al. 2016) as the paper's patch classifier: cancer or no cancer.

Paper, "Patch Classifier Training": Keras' ResNet-50 with one logit. A patch has one grey channel
and ImageNet's networks take three, so the graph itself repeats it and subtracts the published mean.
"""

import tensorflow as tf

from cgan_tf.models.fused import fuse
from cgan_tf.models.keras_setup import keras
from cgan_tf.models.patch_classifier import PatchClassifier, dtype_policy

# Mean of ImageNet in blue, green, red: the "caffe" preprocessing that ResNet-50 was published with.
IMAGENET_MEAN = (103.939, 116.779, 123.68)
BATCH_NORM_MODES = ("inference", "frozen", "batch")


class ResNetClassifier(PatchClassifier):
    """Keras' ResNet-50; the maps are its last stage, [B, S/32, S/32, 2048].

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

    title = "ResNet-50"
    feature_count = 2048

    def __init__(
        self, batch_norm: str = "inference", precision: str = "float32", momentum: float = 0.99
    ):
        super().__init__()
        if batch_norm not in BATCH_NORM_MODES:
            raise ValueError(f"batch_norm: expected one of {BATCH_NORM_MODES}, found {batch_norm}")
        self.batch_norm = batch_norm
        with dtype_policy(precision):
            self.backbone = fuse(keras_resnet())
        for layer in self.backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = momentum
                layer.trainable = batch_norm != "frozen"
        self.add_head()

    def maps(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The last convolutional stage, float32 [B, S/32, S/32, 2048]."""
        learns = training and self.batch_norm == "batch"
        return tf.cast(self.backbone(preprocess(patches), training=learns), tf.float32)


def keras_resnet() -> keras.Model:
    """Keras' own ResNet-50 without its top, of random weights: float32 [B, S, S, 3] to maps."""
    return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(None, None, 3))


def preprocess(patches: tf.Tensor) -> tf.Tensor:
    """[B, S, S, 1] in [-1, 1] to [B, S, S, 3]: 0 to 255, ImageNet's mean subtracted."""
    levels = (tf.cast(patches, tf.float32) + 1.0) * 127.5
    return levels - tf.constant(IMAGENET_MEAN, tf.float32)  # [B, S, S, 1] - [3]
