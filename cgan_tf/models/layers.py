"""Layers of both networks: spectral normalisation, self-attention, fade-in, resampling.

Every layer keeps float32 weights, takes and gives `compute_dtype`, and casts by hand: Keras'
autocast would silently turn bfloat16 inputs back to float32.
"""

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from cgan_tf.models.keras_setup import keras


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


_recording: contextvars.ContextVar[list | None] = contextvars.ContextVar("recording", default=None)
_shared: contextvars.ContextVar[dict | None] = contextvars.ContextVar("shared", default=None)


@contextmanager
def record_layers() -> Iterator[list[tuple[str, tuple[int, ...], int]]]:
    """Collects (path, output shape, parameters) of every layer called in the block."""
    rows: list = []
    token = _recording.set(rows)
    try:
        yield rows
    finally:
        _recording.reset(token)


@contextmanager
def share_weights(network: keras.Model) -> Iterator[None]:
    """Within the block the layers of `network` divide their kernels by sigma once, at the first
    call, however often they are called.

    At the paper's size a normalised copy of the discriminator's kernels is 0.4 GB, and so is each
    gradient of one. Nothing in the block may change the network's kernels or its u.
    """
    token = _shared.set({id(layer): None for layer in spectral_layers(network)})
    try:
        yield
    finally:
        _shared.reset(token)


class RecordedLayer(keras.layers.Layer):
    """A layer that `record_layers` sees."""

    def __init__(self, name: str, compute_dtype: str = "float32"):
        super().__init__(name=name, dtype="float32", autocast=False)
        self.working_dtype = compute_dtype

    def __call__(self, *args, **kwargs):
        outputs = super().__call__(*args, **kwargs)
        rows = _recording.get()
        if rows is not None:
            count = sum(int(tf.size(w)) for w in self.trainable_weights)
            rows.append((self.path, tuple(outputs.shape[1:]), count))
        return outputs


class SpectralLayer(RecordedLayer):
    """A kernel divided by its largest singular value (Miyato et al. 2018), reparametrised.

    sigma = ||W u|| with u, the leading right singular vector of the kernel as a matrix
    [inputs, outputs], held without gradient; so d sigma / d W = v u', the true gradient, flows.
    `call` never changes u: `iterate` does, once a step and only for the network being trained.
    Keras' own SpectralNormalization overwrites the kernel with every training call.
    """

    FIRST_ITERATIONS = 15  # u starts close to the singular vector

    def __init__(self, filters: int, normalise: bool, name: str, compute_dtype: str, bias: bool):
        super().__init__(name, compute_dtype)
        self.filters = filters
        self.normalise = normalise
        self.use_bias = bias

    def add_kernel(self, shape: tuple[int, ...], initializer="glorot_uniform") -> None:
        """Creates kernel [..., filters], bias [filters] and u [filters]."""
        self.kernel = self.add_weight(shape=shape, initializer=initializer, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        if self.normalise:
            self.u = self.add_weight(
                shape=(self.filters,),
                initializer="random_normal",
                trainable=False,
                name="u",
                aggregation="only_first_replica",
            )
            self.iterate(self.FIRST_ITERATIONS)

    def sigma(self) -> tf.Tensor:
        """The estimate of the largest singular value, a scalar."""
        u = tf.stop_gradient(tf.convert_to_tensor(self.u))
        return tf.norm(tf.linalg.matvec(self._matrix(), u))

    def weight(self) -> tf.Tensor:
        """The kernel as used, W / sigma: [..., filters] in the compute dtype."""
        shared = _shared.get()
        if shared is None or id(self) not in shared:
            return self._scaled_kernel()
        if shared[id(self)] is None:
            shared[id(self)] = self._scaled_kernel()
        return shared[id(self)]

    def iterate(self, iterations: int = 1) -> None:
        """Power iterations: v = W u / |W u|, u = W' v / |W' v|."""
        if not self.normalise:
            return
        matrix = tf.stop_gradient(self._matrix())
        u = tf.convert_to_tensor(self.u)
        for _ in range(iterations):
            v = tf.math.l2_normalize(tf.linalg.matvec(matrix, u))
            u = tf.math.l2_normalize(tf.linalg.matvec(matrix, v, transpose_a=True))
        self.u.assign(u)

    def add_bias(self, outputs: tf.Tensor) -> tf.Tensor:
        """Outputs [..., filters] with the bias [filters] added, if the layer has one."""
        if not self.use_bias:
            return outputs
        return tf.nn.bias_add(outputs, tf.cast(tf.convert_to_tensor(self.bias), outputs.dtype))

    def _scaled_kernel(self) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel)
        if self.normalise:
            kernel = divide_by_sigma(kernel, tf.convert_to_tensor(self.u))
        return tf.cast(kernel, self.working_dtype)

    def _matrix(self) -> tf.Tensor:
        return tf.reshape(tf.convert_to_tensor(self.kernel), [-1, self.filters])


@tf.custom_gradient
def divide_by_sigma(kernel: tf.Tensor, u: tf.Tensor):
    """W / |W u| and its gradient, for a kernel [..., filters] and a constant u [filters].

    With v = W u / sigma, d sigma / d W = v u', so that a gradient G of the quotient becomes
    (G - <G, W / sigma> v u') / sigma. TensorFlow's own chain of operations gives the same from
    four more tensors of the kernel's size, and reads W again after the forward pass.
    """
    product = tf.linalg.matvec(tf.reshape(kernel, [-1, kernel.shape[-1]]), u)
    sigma = tf.norm(product)
    quotient = kernel / sigma

    def gradient(upstream):
        inner = tf.reduce_sum(upstream * quotient)  # a third of the time of tf.tensordot
        outer = (inner * product / sigma)[:, None] * u[None, :]
        return (upstream - tf.reshape(outer, kernel.shape)) / sigma, None

    return quotient, gradient


class Conv(SpectralLayer):
    """Convolution with a spectrally normalised kernel; [B, H, W, C] to [B, H', W', filters]."""

    def __init__(
        self,
        filters: int,
        size: int,
        name: str,
        *,
        strides: int = 1,
        padding: str = "SAME",
        normalise: bool = True,
        bias: bool = True,
        initializer="glorot_uniform",
        compute_dtype: str = "float32",
    ):
        super().__init__(filters, normalise, name, compute_dtype, bias)
        self.size, self.strides, self.padding = size, strides, padding
        self.initializer = initializer

    def build(self, input_shape):
        self.add_kernel((self.size, self.size, input_shape[-1], self.filters), self.initializer)

    def call(self, inputs):
        inputs = tf.cast(inputs, self.working_dtype)
        return self.add_bias(convolve(inputs, self.weight(), self.strides, self.padding))


class Dense(SpectralLayer):
    """Matrix product with a spectrally normalised kernel, in float32: it gives logits."""

    def __init__(self, units: int, name: str, *, normalise: bool = True):
        super().__init__(units, normalise, name, "float32", True)

    def build(self, input_shape):
        self.add_kernel((input_shape[-1], self.filters))

    def call(self, inputs):
        return self.add_bias(tf.matmul(tf.cast(inputs, tf.float32), self.weight()))


class SelfAttention(RecordedLayer):
    """Self-attention over positions (Zhang et al. 2019), in the form of the authors' source.

    1x1 projections to C/8 (query, key) and C/2 (value), keys and values max-pooled 2x2, 1x1 back
    to C, scaled by gamma, which starts at 0. [B, H, W, C] to the same. The softmax is float32.
    """

    def __init__(self, channels: int, name: str, *, normalise: bool, compute_dtype: str):
        super().__init__(name, compute_dtype)
        self.query, self.key, self.value, self.out = (
            Conv(filters, 1, name, normalise=normalise, bias=False, compute_dtype=compute_dtype)
            for name, filters in (
                ("query", max(1, channels // 8)),
                ("key", max(1, channels // 8)),
                ("value", max(1, channels // 2)),
                ("out", channels),
            )
        )

    def build(self, input_shape):
        self.gamma = self.add_weight(shape=(), initializer="zeros", name="gamma")
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)
        self.out.build((*input_shape[:-1], self.value.filters))

    def call(self, inputs):
        height, width = inputs.shape[1], inputs.shape[2]
        # Called past __call__, so that a table of layers shows the attention as one row.
        query = _flatten(self.query.call(inputs))  # [B, H*W, C/8]
        key = _flatten(max_pool(self.key.call(inputs)))  # [B, H*W/4, C/8]
        value = _flatten(max_pool(self.value.call(inputs)))  # [B, H*W/4, C/2]
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32)
        weights = tf.cast(tf.nn.softmax(scores), value.dtype)
        mixed = tf.matmul(weights, value)  # [B, H*W, C/2]
        mixed = tf.reshape(mixed, [-1, height, width, self.value.filters])
        gamma = tf.cast(tf.convert_to_tensor(self.gamma), inputs.dtype)
        return inputs + gamma * self.out.call(mixed)


class FadeIn(keras.layers.Layer):
    """(1 - alpha) * old + alpha * new: exactly `old` at 0 and `new` at 1.

    "We slowly fade in the new layer by ... linearly blending". `alpha` is a scalar tensor, so a
    new value never retraces the step.
    """

    def __init__(self, name: str):
        super().__init__(name=name, dtype="float32", autocast=False)

    def call(self, old, new, alpha):
        alpha = tf.cast(alpha, new.dtype)
        return (1 - alpha) * tf.cast(old, new.dtype) + alpha * new


def with_maps(features: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Concatenates k values a sample as constant maps: [B, H, W, C] to [B, H, W, C + k].

    "a random scalar value (drawn uniformly from [-1,1] and reshaped to a 1x1 pixel and resized to
    match the input dimensions)", and the label of a conditional model. `values` is [B, k]; k = 0
    leaves the features as they are.
    """
    if not values.shape[1]:
        return features
    shape = tf.shape(features)
    planes = tf.cast(values, features.dtype)[:, None, None, :]
    planes = tf.broadcast_to(planes, [shape[0], shape[1], shape[2], values.shape[1]])
    return tf.concat([features, planes], axis=-1)


def minibatch_deviation(features: tf.Tensor, groups: int = 1) -> tf.Tensor:
    """Appends how much samples differ, as a constant map: [B, H, W, C] to [B, H, W, C + 1].

    The standard deviation over the samples of a group, averaged over positions and channels
    (Karras et al. 2018, "Progressive Growing of GANs", section 3). The B samples are `groups`
    groups of equal size, one after the other.
    """
    batch, (height, width, channels) = tf.shape(features)[0], features.shape[1:]
    shape = [groups, batch // groups, height, width, channels]
    grouped = tf.reshape(tf.cast(features, tf.float32), shape)
    # The small number keeps the gradient of a root finite where samples are alike.
    deviation = tf.sqrt(tf.math.reduce_variance(grouped, axis=1) + 1e-8)  # [groups, H, W, C]
    means = tf.reduce_mean(deviation, axis=[1, 2, 3])
    return with_maps(features, tf.repeat(means, batch // groups)[:, None])


def double(features: tf.Tensor) -> tf.Tensor:
    """Nearest-neighbour upsampling: [B, H, W, C] to [B, 2 H, 2 W, C]."""
    batch, (height, width, channels) = tf.shape(features)[0], features.shape[1:]
    wide = tf.broadcast_to(features[:, :, None, :, None, :], [batch, height, 2, width, 2, channels])
    return tf.reshape(wide, [batch, 2 * height, 2 * width, channels])


def halve(images: tf.Tensor) -> tf.Tensor:
    """2x2 averages: [B, H, W, C] to [B, H / 2, W / 2, C]."""
    return tf.nn.avg_pool2d(images, 2, 2, "VALID")


def max_pool(features: tf.Tensor) -> tf.Tensor:
    """2x2 maxima: [B, H, W, C] to [B, H / 2, W / 2, C]."""
    return tf.nn.max_pool2d(features, 2, 2, "VALID")


def spectral_layers(network: keras.Model) -> list[SpectralLayer]:
    """Every spectrally normalised layer of a network."""
    return [
        layer
        for layer in network._flatten_layers(include_self=False)
        if isinstance(layer, SpectralLayer) and layer.normalise
    ]


def _flatten(features: tf.Tensor) -> tf.Tensor:
    return tf.reshape(features, [-1, features.shape[1] * features.shape[2], features.shape[3]])
