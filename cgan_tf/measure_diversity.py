"""Measures how far a generator's lesions differ, beside real ones.

python -m cgan_tf.measure_diversity --generator=W/generator --patches_dir=P --output_dir=D
"""

from cgan_tf.config import DiversityConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        DiversityConfig,
        "cgan_tf.assessment.diversity:measure_diversity",
        required=("generator", "patches_dir", "output_dir"),
    )
