"""Writes an exported generator as one ONNX file.

python -m cgan_tf.export_onnx --generator=demo/gan/mass/generator --output=mass.onnx
"""

from cgan_tf.config import OnnxConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(OnnxConfig, "cgan_tf.gan.export:export_onnx", required=("generator", "output"))
