"""Convolution of few positions with many channels, as the deepest blocks have them."""

import tensorflow as tf


def convolve(images: tf.Tensor, kernel: tf.Tensor, strides: int, padding: str) -> tf.Tensor:
    """tf.nn.conv2d of [B, H, W, C] with [k, k, C, filters], k odd.

    With fewer positions (B H W) than channels the kernel is the larger operand, and a convolution
    on processors spends its time on rearranging it. One matrix product does not: for 2048 to 4096
    channels at 8x8, batch 1, float32, it takes 98 ms instead of 210, its filter gradient 105
    instead of 359 and its input gradient 143 instead of 325 (one thread, AVX-512).
    """
    if strides == 1 and padding == "SAME" and kernel.shape[0] > 1 and _kernel_is_larger(images):
        return _by_matrix_product(images, kernel)
    return tf.nn.conv2d(images, kernel, strides, padding)


def _kernel_is_larger(images: tf.Tensor) -> bool:
    batch, height, width, channels = images.shape
    return batch is not None and batch * height * width <= channels


def _by_matrix_product(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    batch, height, width, _ = images.shape
    size, filters = kernel.shape[0], kernel.shape[-1]
    edge = size // 2
    padded = tf.pad(images, [[0, 0], [edge, edge], [edge, edge], [0, 0]])
    # tf.slice, whose gradient pads: that of padded[:, row:...] takes thirteen times as long.
    windows = [
        tf.slice(padded, [0, row, column, 0], images.shape)
        for row in range(size)
        for column in range(size)
    ]
    matrix = tf.reshape(kernel, [-1, filters])  # [k k C, filters]
    patches = tf.reshape(tf.concat(windows, axis=-1), [-1, matrix.shape[0]])  # [B H W, k k C]
    return tf.reshape(tf.matmul(patches, matrix), [batch, height, width, filters])
