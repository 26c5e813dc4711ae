"""A compact residual network for small patches, trained from scratch in about a minute of a core.

ResNet-50 halves a patch five times: of 64 px it leaves 2x2 places, and without ImageNet's weights
its 23.5 million parameters want more samples than a phantom or a small collection has. This one has
the same plan (He et al. 2016, with normalisation before the convolutions) at 0.3 million
parameters, one block a stage, and halves four times. Group normalisation (Wu and He 2018) has no
statistics between patches, so a batch of any size trains and scores alike.
"""

import tensorflow as tf

from cgan_tf.models.keras_setup import keras
from cgan_tf.models.patch_classifier import PatchClassifier, dtype_policy

WIDTHS = (16, 32, 64, 128)  # channels of each stage
GROUPS = 8
SMALLEST_PATCH = 16  # pixels: one place is left of it


class SmallClassifier(PatchClassifier):
    """A residual network of four blocks; the maps are its last stage, [B, S/16, S/16, 128].

    Args:
      precision: float32 or mixed_bfloat16, of the convolutions; the last pooling and the logit are
        float32 always.
    """

    title = "the small residual network"
    feature_count = WIDTHS[-1]

    def __init__(self, precision: str = "float32"):
        super().__init__()
        with dtype_policy(precision):
            self.backbone = _backbone()
        self.add_head()

    def maps(self, patches: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The last convolutional stage, float32 [B, S/16, S/16, 128]."""
        return tf.cast(self.backbone(patches, training=training), tf.float32)


def _backbone() -> keras.Model:
    """float32 [B, S, S, 1] to maps [B, S/16, S/16, 128]."""
    patches = keras.Input((None, None, 1))
    x = _convolution(WIDTHS[0], 5, 2, "stem")(patches)  # [B, S/2, S/2, 16]
    for stage, width in enumerate(WIDTHS, 1):
        x = _block(x, width, 1 if stage == 1 else 2, f"stage_{stage}")
    return keras.Model(patches, _normalised(x, "last"), name="small")


def _block(x: keras.KerasTensor, width: int, stride: int, name: str) -> keras.KerasTensor:
    """Two 3x3 convolutions beside a shortcut, which averages where the block halves the maps."""
    prepared = _normalised(x, f"{name}_1")
    shortcut = x
    if stride > 1:
        shortcut = keras.layers.AveragePooling2D(stride, padding="same")(prepared)
        shortcut = _convolution(width, 1, 1, f"{name}_shortcut")(shortcut)
    x = _convolution(width, 3, stride, f"{name}_convolution_1")(prepared)
    x = _convolution(width, 3, 1, f"{name}_convolution_2")(_normalised(x, f"{name}_2"))
    return keras.layers.Add(name=name)([shortcut, x])


def _normalised(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.ReLU()(keras.layers.GroupNormalization(GROUPS, name=f"{name}_norm")(x))


def _convolution(width: int, kernel: int, stride: int, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        width,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
