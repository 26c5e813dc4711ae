"""Scores one classifier on real test patches and on synthetic sets.

python -m cgan_tf.evaluate --classifier=W --patches_dir=P --synthetic_dirs=M,C,R --output_dir=E
"""

from cgan_tf.config import EvaluateConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        EvaluateConfig,
        "cgan_tf.classifier.evaluation:evaluate",
        required=("classifier", "patches_dir", "output_dir"),
    )
