"""The generator as a SavedModel that needs TensorFlow alone, with a card that says what it is."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cgan_tf.config import TASKS, GanConfig
from cgan_tf.errors import UserError
from cgan_tf.flag_config import config_to_dict
from cgan_tf.generator_card import CARD, directory_checksum, read_card, resolution_of, wrong_card
from cgan_tf.models.generator import combine, scalar_count
from cgan_tf.run_directory import sha256, write_json


def export_generator(model, config: GanConfig, directory: Path) -> dict[str, Any]:
    """Writes the averaged generator to `directory` and returns its card.

    Signatures, both for any batch size, images float32 [batch, size, size, 1] in [-1, 1]:
      serving_default(image) -> lesion, combined, with scalars drawn inside;
      with_noise(image, z) -> lesion, combined, z float32 [batch, 2 log2(size / 4)] in [-1, 1].
    Both of a conditional generator also take category, int32 [batch]: places in the card's
    "categories". Raises `UserError` for a disk that is full.
    """
    generator, size, width = model.averaged, config.size, scalar_count(config.size)

    def generate(image, z, category=None):
        one_hot = None if category is None else tf.one_hot(category, len(TASKS))
        lesion = generator(image, z, phase="full", category=one_hot)
        return {"lesion": lesion, "combined": combine(image, lesion)}

    def draw(image, category=None):
        z = tf.random.uniform([tf.shape(image)[0], width], -1.0, 1.0)
        return generate(image, z, category)

    # A function has exactly the arguments of its signature.
    serve: Callable = draw if config.conditional else lambda image: draw(image)
    with_noise: Callable = generate if config.conditional else lambda image, z: generate(image, z)

    image = tf.TensorSpec([None, size, size, 1], tf.float32, name="image")
    z = tf.TensorSpec([None, width], tf.float32, name="z")
    archive = keras.export.ExportArchive()
    archive.track(generator)
    category = [tf.TensorSpec([None], tf.int32, name="category")] if config.conditional else []
    archive.add_endpoint("serving_default", serve, [image, *category])
    archive.add_endpoint("with_noise", with_noise, [image, z, *category])
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    try:
        archive.write_out(str(temporary), verbose=False)
    except tf.errors.OpError as error:  # TensorFlow's word for what a disk refuses
        raise UserError(f"{directory}: cannot be written: {error.message}") from error
    card = {
        "format": 1,
        "task": config.model_name(),
        **({"categories": list(TASKS)} if config.conditional else {}),
        "size": size,
        "z_width": width,
        "step": int(model.step.numpy()),
        "checksum": directory_checksum(temporary),
        "patches_manifest_sha256": sha256(Path(config.patches_dir) / "manifest.json"),
        "resolution": resolution_of(config.patches_dir),
        "licence": config.licence,
        "flags": config_to_dict(config),
    }
    write_json(temporary / CARD, card)
    shutil.rmtree(directory, ignore_errors=True)
    temporary.replace(directory)
    return {key: value for key, value in card.items() if key != "flags"}


def load_generator(directory: str | Path) -> tuple[Any, dict[str, Any]]:
    """The `with_noise` signature and the card of an exported generator.

    Raises `UserError` as `read_card` does, and for a card that does not fit the generator.
    """
    card = read_card(directory)
    loaded = tf.saved_model.load(str(directory))
    function = loaded.signatures["with_noise"]
    inputs = function.structured_input_signature[1]
    for name, found in (("size", inputs["image"].shape[1]), ("z_width", inputs["z"].shape[1])):
        if card[name] != found:
            raise wrong_card(directory, name, str(found), card[name])
    function.owner = loaded  # the signature alone would let the variables go
    return function, card


def generate(
    function: Any, card: Mapping[str, Any], task: str, images: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Lesion channels [n, size, size] of patches [n, size, size] in [-1, 1], scalars [n, z_width].

    `function` and `card` are those of `load_generator`; `task` is asked of a conditional generator.
    """
    inputs = {"image": tf.constant(images[..., None]), "z": tf.constant(z)}
    if "categories" in card:
        inputs["category"] = tf.fill([len(images)], card["categories"].index(task))
    return function(**inputs)["lesion"].numpy()[..., 0]
