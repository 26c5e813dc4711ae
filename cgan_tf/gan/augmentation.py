"""Augmentation for few lesions; not in the paper, off by default (`--augment`).

`turned` is for what both networks are given: a source patch is turned before the generator sees
it, so its lesion is turned with it. The others are differentiable augmentation (Zhao et al. 2020,
"Differentiable Augmentation for Data-Efficient GAN Training"): real and fake images pass through
them wherever the discriminator sees them, and the generator's gradient passes back through them,
so that the discriminator cannot learn its few real patches by heart and the generator never learns
the changes.

Every function is pure: images are float32 [batch, s, s, c] in [-1, 1] and what is drawn is an
argument, float32 [batch, k] in [-1, 1), uniform.
"""

from collections.abc import Collection

import tensorflow as tf

DRAWS = 6  # columns that `augmented` takes: two each
TURN_DRAWS = 3
REACH = 0.125  # of the side, for a shift
HOLE = 0.5  # of the side, for a cutout


def augmented(images: tf.Tensor, names: Collection[str], draws: tf.Tensor) -> tf.Tensor:
    """The augmentations that `names` has among contrast, translation and cutout, in this order.

    `draws` is [batch, DRAWS]; an augmentation has its own columns, whichever are on.
    """
    if "contrast" in names:
        images = contrast(images, draws[:, :2])
    if "translation" in names:
        images = translated(images, draws[:, 2:4])
    if "cutout" in names:
        images = cut_out(images, draws[:, 4:6])
    return images


def turned(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """One of the eight symmetries of the square for each image.

    Where a column of `draws`, [batch, TURN_DRAWS], is not negative: rows and columns change
    places, left and right do, top and bottom do.
    """
    first, second, third = tf.unstack(draws[:, :, None, None, None] >= 0, axis=1)
    images = tf.where(first, tf.transpose(images, [0, 2, 1, 3]), images)
    images = tf.where(second, tf.reverse(images, [2]), images)
    return tf.where(third, tf.reverse(images, [1]), images)


def contrast(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Brightness by up to 0.5 of [-1, 1], then the distance from the mean times 0.5 to 1.5."""
    shift, factor = tf.unstack(draws[:, :, None, None, None], axis=1)
    images = images + shift / 2
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return mean + (images - mean) * (1 + factor / 2)


def translated(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Moved by whole pixels, up to an eighth of the side down and right; 0 moves in."""
    side = images.shape[1]
    reach = round(side * REACH)
    shift = _whole(draws, 2 * reach + 1) - reach  # [batch, 2]
    place = tf.range(side) + reach - shift[:, :, None]  # [batch, 2, side]
    padded = tf.pad(images, [[0, 0], [reach, reach], [reach, reach], [0, 0]])
    rows = tf.gather(padded, place[:, 0], axis=1, batch_dims=1)  # [batch, side, padded, c]
    # Columns as rows: tf.gather's own gradient wants the gathered axis after the batch.
    columns = tf.gather(tf.transpose(rows, [0, 2, 1, 3]), place[:, 1], axis=1, batch_dims=1)
    return tf.transpose(columns, [0, 2, 1, 3])


def cut_out(images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """A square of half the side becomes 0; its centre is a pixel of the image, or just beyond."""
    side = images.shape[1]
    hole = round(side * HOLE)
    start = _whole(draws, side + 1 - hole % 2)[:, :, None] - hole // 2  # [batch, 2, 1]
    place = tf.range(side)
    inside = (place >= start) & (place < start + hole)  # [batch, 2, side]
    both = inside[:, 0, :, None] & inside[:, 1, None, :]
    return tf.where(both[..., None], tf.zeros_like(images), images)


def _whole(draws: tf.Tensor, count: int) -> tf.Tensor:
    """Draws in [-1, 1) as whole numbers from 0 to count - 1, int32."""
    return tf.minimum(tf.cast((draws + 1) / 2 * count, tf.int32), count - 1)
