"""The trained generator as a SavedModel with a card, and as an ONNX file.

ONNX runtimes share no convolution in bfloat16, so the ONNX file computes in float32, whatever the
generator was trained in: it differs from a SavedModel in mixed_bfloat16 by that format's rounding.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cgan_tf.config import GanConfig, OnnxConfig
from cgan_tf.data.patch_sets import PatchSet, resolution_of
from cgan_tf.data.provenance import are_drawn, manifest_sha256, patients_of
from cgan_tf.gan.card import (
    CARD,
    GeneratorCard,
    config_of,
    directory_checksum,
    read_card,
    write_card,
    wrong_card,
)
from cgan_tf.gan.data import learnt_from
from cgan_tf.gan.fine_tuning import Start
from cgan_tf.labels import TASKS
from cgan_tf.models.generator import combine, condition_of, z_width
from cgan_tf.models.keras_setup import keras
from cgan_tf.runs import console
from cgan_tf.runs.directory import path_without_patterns, read_json, write_bytes
from cgan_tf.runs.errors import UserError, check_output
from cgan_tf.runs.flags import config_to_dict


def export_generator(
    model, config: GanConfig, directory: Path, start: Start | None = None
) -> GeneratorCard:
    """Writes the averaged generator to `directory` and returns its card.

    `start`: the training that this one started from, whose patches are behind the generator, too.

    Signatures, both for any batch size, images float32 [batch, size, size, 1] in [-1, 1]:
      serving_default(image) -> lesion, combined, with scalars drawn inside;
      with_noise(image, z) -> lesion, combined, z float32 [batch, z_width] in [-1, 1].
    Both of a conditional generator also take category, int32 [batch]: places in `TASKS`.
    Raises `UserError` for a disk that is full.
    """
    generator, size, width = model.averaged, config.size, z_width(config)

    def with_noise(image, z, category):
        lesion = generator(image, condition_of(config, z, category), phase="full")
        return {"lesion": lesion, "combined": combine(image, lesion)}

    def serve(image, category):
        z = tf.random.uniform([tf.shape(image)[0], width], -1.0, 1.0)
        return with_noise(image, z, category)

    image = tf.TensorSpec([None, size, size, 1], tf.float32, name="image")
    z = tf.TensorSpec([None, width], tf.float32, name="z")
    archive = keras.export.ExportArchive()
    archive.track(generator)
    category = tf.TensorSpec([None], tf.int32, name="category")
    if config.conditional:
        archive.add_endpoint("serving_default", serve, [image, category])
        archive.add_endpoint("with_noise", with_noise, [image, z, category])
    else:  # a function has exactly the arguments of its signature
        only = TASKS.index(config.task)
        archive.add_endpoint("serving_default", lambda image: serve(image, only), [image])
        archive.add_endpoint("with_noise", lambda image, z: with_noise(image, z, only), [image, z])
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.tmp")
    try:
        archive.write_out(str(temporary), verbose=False)
    except tf.errors.OpError as error:  # TensorFlow's word for what a disk refuses
        raise UserError(f"{directory}: cannot be written: {error.message}") from error
    made_from, women = _origin(config, start)
    card = GeneratorCard(
        task=config.model_name(),
        size=size,
        z_width=width,
        step=int(model.step.numpy()),
        checksum=directory_checksum(temporary),
        patches_manifest_sha256=made_from,
        patients=women,
        resolution=resolution_of(config.patches_dir),
        licence=config.licence,
        flags=config_to_dict(config),
        init_from=start.summary() if start else {},
        phantom=are_drawn(PatchSet(config.patches_dir)),
    )
    write_card(temporary, card)
    shutil.rmtree(directory, ignore_errors=True)
    temporary.replace(directory)
    return card


def _origin(config: GanConfig, start: Start | None) -> tuple[str, list[str]]:
    """(checksum of the patch set's manifest, digests of the women) behind a training.

    The checksum is empty where another patch set is behind its start: whoever uses the generator
    compares the women then.
    """
    patches = PatchSet(config.patches_dir)
    made_from = manifest_sha256(patches)
    women = set(patients_of(patches, "train", learnt_from(config)))
    if start:
        women |= set(start.card.patients)
        if start.card.patches_manifest_sha256 != made_from:
            made_from = ""
    return made_from, sorted(women)


def load_generator(directory: str | Path) -> tuple[Any, GeneratorCard]:
    """The `with_noise` signature and the card of an exported generator.

    Raises `UserError` as `read_card` does, and for a card that does not fit the generator.
    """
    card = read_card(directory)
    with path_without_patterns(directory) as path:
        loaded = tf.saved_model.load(str(path))
    function = loaded.signatures["with_noise"]
    inputs = function.structured_input_signature[1]
    for name, found in (("size", inputs["image"].shape[1]), ("z_width", inputs["z"].shape[1])):
        if getattr(card, name) != found:
            raise wrong_card(directory, name, str(found), getattr(card, name))
    function.owner = loaded  # the signature alone would let the variables go
    return function, card


def generate(
    function: Any, card: GeneratorCard, task: str, images: np.ndarray, z: np.ndarray
) -> np.ndarray:
    """Lesion channels [n, size, size] of patches [n, size, size] in [-1, 1], scalars [n, z_width].

    `function` and `card` are those of `load_generator`; `task` is asked of a conditional generator.
    """
    inputs = {"image": tf.constant(images[..., None]), "z": tf.constant(z)}
    if card.conditional:
        inputs["category"] = tf.fill([len(images)], card.tasks.index(task))
    return function(**inputs)["lesion"].numpy()[..., 0]


OPSET = 18
CARD_KEY = "model.json"


def export_onnx(config: OnnxConfig) -> None:
    """Writes --output from --generator, atomically, with the card in the file's metadata."""
    check_output(config.output, ".onnx")
    console.quiet_tensorflow()
    try:
        import onnx  # noqa: F401
        import tf2onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed; expected the extra: pip install '.[onnx]'"
        ) from error
    output = Path(config.output)
    if output.exists():
        raise UserError(f"{output}: expected no such file, found one")
    with console.progress_bar(3, f"ONNX of {config.generator}", "") as bar:
        content = convert(Path(config.generator), bar.update).SerializeToString()
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, content)
    print(f"{output}: ONNX, opset {OPSET}, inputs image and z, outputs lesion and combined")


def convert(directory: Path, advance: Callable[[int], Any] = lambda steps: None) -> Any:
    """The ONNX model of an exported generator; `advance` is told each of its three steps.

    Inputs image float32 [batch, size, size, 1] in [-1, 1] and z float32 [batch, z_width]; outputs
    lesion and combined. Raises `UserError` for a directory that export did not write.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    from cgan_tf.models.generator import combine

    generator, card = float32_generator(directory)
    advance(1)
    size, width = card.size, card.z_width
    signature = [
        tf.TensorSpec([None, size, size, 1], tf.float32, name="image"),
        tf.TensorSpec([None, width], tf.float32, name="z"),
    ]

    @tf.function(input_signature=signature)
    def with_noise(image, z):
        lesion = generator(image, z, phase="full")
        return {"lesion": lesion, "combined": combine(image, lesion)}

    model, _ = tf2onnx.convert.from_function(with_noise, input_signature=signature, opset=OPSET)
    advance(1)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    model.metadata_props.append(
        onnx.StringStringEntryProto(
            key=CARD_KEY, value=json.dumps(read_json(directory / CARD), sort_keys=True)
        )
    )
    onnx.checker.check_model(model)
    advance(1)
    return model


def float32_generator(directory: Path) -> tuple[Any, GeneratorCard]:
    """The exported generator built anew in float32, and its card."""
    import tensorflow as tf

    from cgan_tf.models.generator import Generator

    function, card = load_generator(directory)
    if card.conditional:
        raise UserError(f"{directory}: expected a generator of one task, found a conditional one")
    config = dataclasses.replace(config_of(card), precision="float32")
    generator = Generator(config, name="averaged")
    size, width = card.size, card.z_width
    image, z = tf.zeros([1, size, size, 1]), tf.zeros([1, width])
    generator(image, z, phase="fade", alpha=tf.constant(0.5))  # "fade" builds every layer
    values = {variable.name: variable.numpy() for variable in function.owner.variables}
    for weight in generator.weights:
        weight.assign(values[f"{weight.path}:0"])
    return generator, card
