"""The losses of the contextual GAN, one function for each formula.

Notation (paper, "Semi-supervised training loss"): the discriminator D gives four logits,
[real, fake, benign, normal]; x is an image, delta noise, lambda and k the penalty's weight and
target.
"""

from collections.abc import Callable, Mapping

import tensorflow as tf

REAL, FAKE, BENIGN, NORMAL = range(4)


def cross_entropy(logits: tf.Tensor, label: int) -> tf.Tensor:
    """Mean softmax cross-entropy of logits [batch, 4] that all carry one label."""
    return -tf.reduce_mean(tf.nn.log_softmax(tf.cast(logits, tf.float32))[:, label])


def discriminator_loss(
    logits: Mapping[int, tf.Tensor], benign_weight: float, normal_weight: float
) -> tf.Tensor:
    """CE(real) + CE(fake) + w_b CE(benign) + w_n CE(normal).

    "the discriminator is given examples of all four classes for each update step, with the losses
    from benign and normal examples scaled by a factor of 0.2". `logits` has [batch, 4] for each
    class; one that is absent adds nothing.
    """
    weights = {REAL: 1.0, FAKE: 1.0, BENIGN: benign_weight, NORMAL: normal_weight}
    return tf.add_n([weights[label] * cross_entropy(part, label) for label, part in logits.items()])


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """-log p(real | fake) of logits [batch, 4]."""
    return cross_entropy(fake_logits, REAL)


def perturb(images: tf.Tensor, noise: tf.Tensor, alpha: tf.Tensor, kind: str) -> tf.Tensor:
    """x + delta.

    Args:
      images: [batch, height, width, channels] real images.
      noise: same shape, U(0, 1), or N(0, 1) for kind gaussian.
      alpha: [batch, 1, 1, 1], U(0, 1), used by uniform_std (the DRAGAN source's alpha).
      kind: uniform_std: alpha * 0.5 * std(x) * noise; uniform: the printed delta ~ U(0, 1);
        gaussian: 0.5 * std(x) * noise. std is over the pixels of one image.
    """
    if kind == "uniform":
        return images + noise
    spread = 0.5 * tf.math.reduce_std(images, axis=[1, 2, 3], keepdims=True)
    return images + (alpha * spread * noise if kind == "uniform_std" else spread * noise)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor, target: float, squared: bool
) -> tf.Tensor:
    """E[(||grad_x critic(x)|| - k)^2], over perturbed real images; without lambda.

    The paper prints no square; a gradient of zero would then be the optimum, so the square of
    DRAGAN, which it cites, is the default. `critic` maps images to [batch].
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = critic(images)
    gradient = tf.cast(tape.gradient(scores, images), tf.float32)
    norm = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=[1, 2, 3]) + 1e-12)
    excess = norm - target
    return tf.reduce_mean(tf.square(excess) if squared else excess)


def mode_seeking_loss(
    first: tf.Tensor, second: tf.Tensor, z_first: tf.Tensor, z_second: tf.Tensor, margin: float
) -> tf.Tensor:
    """1 / (|G(x, z1) - G(x, z2)| / |z1 - z2| + margin) (Mao et al. 2019, eq. 4); not in the paper.

    The ratio is taken for each sample, of mean absolute differences over the lesion channel and z.

    Args:
      first, second: lesion channels [batch, s, s, 1] of `z_first` and `z_second`, [batch, k].
    """
    difference = tf.reduce_mean(tf.abs(first - second), axis=[1, 2, 3])
    distance = tf.reduce_mean(tf.abs(z_first - z_second), axis=1)
    return tf.reduce_mean(1.0 / (difference / (distance + 1e-6) + margin))
