"""The generator's `with_noise` as an ONNX file, for programs without TensorFlow.

ONNX has no convolution in bfloat16 that its runtimes share, so the file computes in float32
whatever the generator was trained in: against a SavedModel in mixed_bfloat16 it differs by that
format's rounding.
"""

import json
from pathlib import Path
from typing import Any

from cgan_tf import progress
from cgan_tf.config import GanConfig, OnnxConfig
from cgan_tf.errors import UserError
from cgan_tf.flag_config import config_from_dict, config_to_dict
from cgan_tf.run_directory import write_bytes

OPSET = 18
CARD_KEY = "model.json"


def export_onnx(config: OnnxConfig) -> None:
    """Writes --output from --generator, atomically, with the card in the file's metadata."""
    progress.quiet_tensorflow()
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
    if not output.parent.is_dir():
        raise UserError(f"{output.parent}: expected a directory for the ONNX file, found none")
    write_bytes(output, convert(Path(config.generator)).SerializeToString())
    print(f"{output}: ONNX, opset {OPSET}, inputs image and z, outputs lesion and combined")


def convert(directory: Path) -> Any:
    """The ONNX model of an exported generator.

    Inputs image float32 [batch, size, size, 1] in [-1, 1] and z float32 [batch, z_width]; outputs
    lesion and combined. Raises `UserError` for a directory that export did not write.
    """
    import onnx
    import tensorflow as tf
    import tf2onnx

    from cgan_tf.models.generator import combine

    generator, card = float32_generator(directory)
    size, width = card["size"], card["z_width"]
    signature = [
        tf.TensorSpec([None, size, size, 1], tf.float32, name="image"),
        tf.TensorSpec([None, width], tf.float32, name="z"),
    ]

    @tf.function(input_signature=signature)
    def with_noise(image, z):
        lesion = generator(image, z, phase="full")
        return {"lesion": lesion, "combined": combine(image, lesion)}

    model, _ = tf2onnx.convert.from_function(with_noise, input_signature=signature, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    model.metadata_props.append(
        onnx.StringStringEntryProto(key=CARD_KEY, value=json.dumps(card, sort_keys=True))
    )
    onnx.checker.check_model(model)
    return model


def float32_generator(directory: Path) -> tuple[Any, dict[str, Any]]:
    """The exported generator built anew in float32, and its card."""
    import tensorflow as tf

    from cgan_tf.export import load_generator
    from cgan_tf.models.generator import Generator

    function, card = load_generator(directory)
    if "categories" in card:
        raise UserError(f"{directory}: expected a generator of one task, found a conditional one")
    # A flag that is younger than the card had its default.
    flags = config_to_dict(GanConfig()) | card["flags"] | {"precision": "float32"}
    config = config_from_dict(GanConfig, flags)
    generator = Generator(config, name="averaged")
    size, width = card["size"], card["z_width"]
    image, z = tf.zeros([1, size, size, 1]), tf.zeros([1, width])
    generator(image, z, phase="fade", alpha=tf.constant(0.5))  # "fade" builds every layer
    values = {variable.name: variable.numpy() for variable in function.owner.variables}
    for weight in generator.weights:
        weight.assign(values[f"{weight.path}:0"])
    return generator, card
