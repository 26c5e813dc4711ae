r"""Turns a trained generator into a synthetic patch set.

    python -m cgan_tf.synthesize --generator=RUNS/mass/generator --patches_dir=PATCHES \
        --output_dir=SYN/mass
"""

from cgan_tf.config import SynthesisConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        SynthesisConfig,
        "cgan_tf.synthesis.run:synthesize",
        required=("generator", "patches_dir", "output_dir"),
    )
