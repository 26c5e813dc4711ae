r"""Measures how far a generator's lesions differ, beside real ones.

    python -m cgan_tf.measure_diversity --generator=RUNS/mass/generator \
        --patches_dir=PATCHES --output_dir=DIVERSITY/mass
"""

from cgan_tf.config import DiversityConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        DiversityConfig,
        "cgan_tf.assessment.diversity:measure_diversity",
        required=("generator", "patches_dir", "output_dir"),
    )
