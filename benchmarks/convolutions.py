"""The convolutions of a traced graph alone: the bound of a training step.

Each forward, input-gradient and filter-gradient operation with its shapes, precision and strides,
run back to back on random numbers.
"""

import collections
import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Convolution(NamedTuple):
    """One operation: `kind` is TensorFlow's, the shapes are static, NHWC and HWIO."""

    kind: str
    images: tuple[int, ...]
    kernel: tuple[int, ...]
    result: tuple[int, ...]
    dtype: tf.DType
    strides: int
    padding: str

    def flops(self) -> float:
        """Multiplications and additions: each kind has those of the forward convolution."""
        return 2.0 * math.prod(self.result[:3]) * math.prod(self.kernel)

    def run(self, given: dict) -> tf.Tensor:
        """The operation's result; `given` holds a tensor for a (shape, dtype)."""
        images, kernel, result = (given[shape, self.dtype] for shape in self[1:4])
        how = {"strides": [1, self.strides, self.strides, 1], "padding": self.padding}
        if self.kind == "Conv2D":
            return tf.raw_ops.Conv2D(input=images, filter=kernel, **how)
        if self.kind == "Conv2DBackpropInput":
            return tf.raw_ops.Conv2DBackpropInput(
                input_sizes=self.images, filter=kernel, out_backprop=result, **how
            )
        return tf.raw_ops.Conv2DBackpropFilter(
            input=images, filter_sizes=self.kernel, out_backprop=result, **how
        )


def convolutions_of(graph: tf.Graph) -> collections.Counter[Convolution]:
    """How often each convolution happens in a graph without nested functions."""
    return collections.Counter(
        _described(op) for op in graph.get_operations() if op.type.startswith("Conv2D")
    )


def back_to_back(convolutions: collections.Counter[Convolution]) -> Callable[[], None]:
    """A function that runs every convolution as often as it was counted, one after the other."""
    keys = list({(shape, c.dtype): None for c in convolutions for shape in c[1:4]})
    values = [tf.cast(tf.random.uniform(shape, -1, 1), dtype) for shape, dtype in keys]

    @tf.function
    def run(*tensors):
        given = dict(zip(keys, tensors, strict=True))
        total = tf.constant(0.0)
        for convolution in convolutions.elements():
            with tf.control_dependencies([total]):
                result = convolution.run(given)
            total += tf.cast(result[0, 0, 0, 0], tf.float32)  # what nobody reads is not computed
        return total

    return lambda: float(run(*values))  # as arguments: constants would be folded away


def _described(op: tf.Operation) -> Convolution:
    if op.type == "Conv2D":
        images, kernel, result = *op.inputs, *op.outputs
    elif op.type == "Conv2DBackpropInput":
        images, kernel, result = op.outputs[0], *op.inputs[1:]
    else:
        images, kernel, result = op.inputs[0], op.outputs[0], op.inputs[2]
    shapes = (tuple(tensor.shape.as_list()) for tensor in (images, kernel, result))
    stride, padding = op.get_attr("strides")[1], op.get_attr("padding").decode()
    return Convolution(op.type, *shapes, images.dtype, stride, padding)
