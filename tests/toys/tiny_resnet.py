"""A network with ResNet-50's interface and a thousandth of its work, for tests of the loop."""

import keras


def tiny_resnet(include_top, weights, input_shape):
    """Convolution, batch normalisation, 2048 channels: what PatchClassifier asks of a backbone."""
    assert (include_top, weights) == (False, None)
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, strides=4, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn", momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Conv2D(2048, 1, name="wide")(x))
