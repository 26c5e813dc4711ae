"""Seconds of one training convolution in float32 and bfloat16 on this machine, as JSON."""

import json
import time

import tensorflow as tf

REPEATS = 8


def convolution_seconds(dtype: tf.DType) -> float:
    """Forward and both gradients of a 3x3 convolution, 64 channels, 16 images of 32x32: median."""
    images = tf.cast(tf.random.stateless_normal([16, 32, 32, 64], [0, 1]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([3, 3, 64, 64], [0, 2]), dtype)

    @tf.function
    def run(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            total = tf.reduce_sum(tf.cast(tf.nn.conv2d(images, kernel, 1, "SAME"), tf.float32))
        return tape.gradient(total, [images, kernel])

    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run(images, kernel)[1].numpy()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])[REPEATS // 2]


if __name__ == "__main__":
    result = {"float32": tf.float32, "mixed_bfloat16": tf.bfloat16}
    print(json.dumps({name: convolution_seconds(dtype) for name, dtype in result.items()}))
