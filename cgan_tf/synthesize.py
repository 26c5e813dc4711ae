"""Turns a trained generator into a synthetic patch set.

python -m cgan_tf.synthesize --generator=W/generator --patches_dir=P --output_dir=S
"""

from cgan_tf.config import SynthesisConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        SynthesisConfig,
        "cgan_tf.synthesis.run:synthesize",
        required=("generator", "patches_dir", "output_dir"),
    )
