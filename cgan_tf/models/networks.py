"""The networks that --network names."""

from cgan_tf.models.patch_classifier import PatchClassifier
from cgan_tf.models.resnet import ResNetClassifier
from cgan_tf.models.small import SmallClassifier


def build_classifier(
    network: str, batch_norm: str, precision: str = "float32", momentum: float = 0.99
) -> PatchClassifier:
    """A classifier of random weights; batch_norm and momentum are ResNet-50's alone."""
    if network == "small":
        return SmallClassifier(precision)
    return ResNetClassifier(batch_norm, precision, momentum)
