r"""How good synthetic sets are, beside what real patches reach; a verdict for every check.

    python -m cgan_tf.quality --patches_dir=PATCHES --synthetic_dirs=SYN/mass,SYN/removal \
        --classifier=EVAL/baseline --output_dir=QUALITY
"""

from cgan_tf.config import QualityConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        QualityConfig,
        "cgan_tf.assessment.run:measure_quality",
        required=("patches_dir", "synthetic_dirs", "output_dir"),
    )
