"""The scalars that each iteration of the GAN reports, means over this replica's samples.

Names: `ce_<class>` is the cross-entropy of a class's patches, without its weight in the loss;
`p_<output>_on_<class>` the mean probability that D gives an output for patches of a class. A
discriminator that guesses has a cross-entropy of ln 4 = 1.39 and probabilities of 0.25.
"""

from collections.abc import Iterable, Mapping

import tensorflow as tf

from cgan_tf.config import GeneratedLesionsConfig
from cgan_tf.gan.losses import cross_entropy
from cgan_tf.labels import scaled_length
from cgan_tf.models.layers import SpectralLayer

CLASSES = ("real", "fake", "benign", "normal")  # in the order of losses.REAL and so on
THRESHOLD = GeneratedLesionsConfig.threshold  # of the lesion channel, as synthesis has it
SURROUNDINGS_PX = 20  # at 256: how far what surrounds a lesion reaches

Metrics = dict[str, tf.Tensor]


def class_metrics(logits: Mapping[int, tf.Tensor]) -> Metrics:
    """Cross-entropy and the four probabilities of every class in `logits`, each [batch, 4]."""
    metrics: Metrics = {}
    for label, part in logits.items():
        name = CLASSES[label]
        metrics[f"ce_{name}"] = cross_entropy(part, label)
        probabilities = tf.reduce_mean(tf.nn.softmax(tf.cast(part, tf.float32)), axis=0)
        for output, mean in zip(CLASSES, tf.unstack(probabilities), strict=True):
            metrics[f"p_{output}_on_{name}"] = mean
    return metrics


def lesion_metrics(lesion: tf.Tensor, combined: tf.Tensor, sign: tf.Tensor) -> Metrics:
    """Area, peak, range and contrast of lesion channels.

    Args:
      lesion, combined: float32 [batch, s, s, 1] in [-1, 1].
      sign: float32 [batch, 1, 1, 1], -1 where lesions are removed, else 1.

    Returns:
      lesion_area: share of the patch beyond the threshold, 0 to 1. lesion_peak: its strongest
      pixel, mean over the samples. lesion_range: the largest absolute value of any sample.
      lesion_contrast: see `contrast`.
    """
    inside = tf.cast(sign * lesion > THRESHOLD, tf.float32)
    return {
        "lesion_area": tf.reduce_mean(inside),
        "lesion_peak": tf.reduce_mean(tf.reduce_max(sign * lesion, axis=[1, 2, 3])),
        "lesion_range": tf.reduce_max(tf.abs(lesion)),
        "lesion_contrast": tf.reduce_mean(contrast(combined, inside)),
    }


def contrast(images: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Mean grey level inside minus that of the surroundings, [batch], in [-2, 2].

    `inside` is 0 or 1, [batch, s, s, 1]. The surroundings are the square of SURROUNDINGS_PX (at
    256) about every pixel inside. 0 for a sample with nothing inside, or nothing around.
    """
    width = 2 * scaled_length(SURROUNDINGS_PX, images.shape[1]) + 1
    reached = tf.nn.max_pool2d(inside, (width, 1), 1, "SAME")
    around = tf.nn.max_pool2d(reached, (1, width), 1, "SAME") - inside
    both = _any(inside) * _any(around)
    return both * (_mean_of(images, inside) - _mean_of(images, around))


def largest_sigma(layers: Iterable[SpectralLayer]) -> tf.Tensor:
    """The largest singular value (an estimate) of the kernels of at least one layer, a scalar."""
    return tf.reduce_max(tf.stack([layer.sigma() for layer in layers]))


def _any(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(mask, axis=[1, 2, 3])


def _mean_of(images: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of each image over its mask, [batch]; 0 for an empty one."""
    total = tf.reduce_sum(images * mask, axis=[1, 2, 3])
    return tf.math.divide_no_nan(total, tf.reduce_sum(mask, axis=[1, 2, 3]))
