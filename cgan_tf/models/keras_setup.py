"""Keras as this project uses it; every module takes it from here.

Keras reads its backend, data format and number format from the user's keras.json (in ~/.keras or
KERAS_HOME) and from KERAS_BACKEND, where another project may have put anything. The networks are
those of the paper whatever it says: TensorFlow, channels last, float32.
"""

import os

from cgan_tf.runs.errors import UserError

BACKEND, DATA_FORMAT, FLOAT, EPSILON = "tensorflow", "channels_last", "float32", 1e-7

os.environ["KERAS_BACKEND"] = BACKEND  # read once, when Keras is imported
try:
    import keras
except ValueError as error:  # a keras.json with a value that Keras does not know
    home = os.environ.get("KERAS_HOME", "~/.keras")
    raise UserError(f"{home}/keras.json: Keras cannot be started: {error}") from error

__all__ = ["keras", "settings"]

if keras.config.backend() != BACKEND:  # imported by somebody else before
    raise UserError(
        f"expected Keras with the backend {BACKEND}, found {keras.config.backend()}; set "
        f"KERAS_BACKEND={BACKEND}"
    )
keras.config.set_image_data_format(DATA_FORMAT)
keras.config.set_floatx(FLOAT)
keras.config.set_epsilon(EPSILON)


def settings() -> dict[str, str]:
    """What a manifest records of Keras."""
    return {
        "version": keras.__version__,
        "backend": BACKEND,
        "image_data_format": DATA_FORMAT,
        "floatx": FLOAT,
    }
