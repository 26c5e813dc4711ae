r"""Scores one classifier on real test patches and on synthetic sets.

    python -m cgan_tf.evaluate --classifier=RUNS/classifier/50 --patches_dir=PATCHES \
        --synthetic_dirs=SYN/mass,SYN/calcification,SYN/removal --output_dir=EVAL/50

Or measures how well predictions find the lesions of whole mammograms (FROC), and compares them;
--images is short for --prediction_dirs.

    python -m cgan_tf.evaluate --images=PREDICTIONS/baseline,PREDICTIONS/50 --output_dir=EVAL/images
"""

from cgan_tf.config import EvaluateConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        EvaluateConfig,
        "cgan_tf.classifier.evaluation:evaluate",
        required=("output_dir",),
    )
