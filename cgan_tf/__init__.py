"""Contextual GANs that synthesise and remove lesions on mammogram patches (TensorFlow / Keras)."""

__version__ = "0.1.0"
