"""A generator whose lesions are known: a bright (or dark) blob where its scalars say."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from cgan_tf.gan.card import CARD, directory_checksum
from cgan_tf.runs.directory import write_json

SIZE, WIDTH = 32, 4
SIGMA = 5.0  # of the blob
NATIVE = {"resample_spacing_mm": 0.0, "reduction": 1}


def write_generator(directory: Path, task: str = "mass", size: int = SIZE, **card: object) -> Path:
    """Exports it with a card, `card` over it; "conditional" takes a category as well."""
    conditional = task == "conditional"
    module = tf.Module()
    signs = tf.constant([1.0, 1.0, -1.0])

    def with_noise(image, z, category):
        return blobs(image, z, tf.gather(signs, category))

    def plain(image, z):
        sign = -1.0 if task == "removal" else 1.0
        return blobs(image, z, tf.fill([tf.shape(image)[0]], sign))

    image = tf.TensorSpec([None, size, size, 1], tf.float32, name="image")
    z = tf.TensorSpec([None, WIDTH], tf.float32, name="z")
    category = tf.TensorSpec([None], tf.int32, name="category")
    module.call = tf.function(
        with_noise if conditional else plain,
        input_signature=[image, z, category] if conditional else [image, z],
    )
    tf.saved_model.save(module, str(directory), signatures={"with_noise": module.call})
    content = {
        "format": 1,
        "task": task,
        **({"categories": ["mass", "calcification", "removal"]} if conditional else {}),
        "size": size,
        "z_width": WIDTH,
        "checksum": directory_checksum(directory),
        "resolution": NATIVE,
        "flags": {"border": 10},
        **card,
    }
    write_json(directory / CARD, content)
    return directory


def blobs(image, z, sign):
    """Lesions [batch, size, size, 1]: none where z[3] > 0.5, otherwise centred by z[0] and z[1]."""
    size = image.shape[1]
    centres = size / 2 + (size / 2 - 12) * z[:, :2]  # [batch, 2]
    pixels = tf.range(size, dtype=tf.float32) + 0.5
    x = pixels[None, None, :] - centres[:, 0, None, None]
    y = pixels[None, :, None] - centres[:, 1, None, None]
    height = tf.where(z[:, 3] > 0.5, 0.0, 0.3 + 0.1 * z[:, 2]) * sign
    lesion = height[:, None, None] * tf.exp(-(x**2 + y**2) / (2 * SIGMA**2))
    inside = np.zeros((1, size, size), np.float32)
    inside[:, 1:-1, 1:-1] = 1
    lesion = (lesion * inside)[..., None]
    return {"lesion": lesion, "combined": tf.clip_by_value(image + lesion, -1.0, 1.0)}


def has_lesion(z: np.ndarray) -> bool:
    """Whether scalars [width] give a lesion at all."""
    return bool(z[3] <= 0.5)
