r"""Trains ResNet-50, or a small network, on real and synthetic patches: cancer or no cancer.

    python -m cgan_tf.train_classifier --patches_dir=PATCHES \
        --synthetic_dirs=SYN/mass,SYN/calcification,SYN/removal --output_dir=RUNS/classifier/50
"""

from cgan_tf.config import ClassifierConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        ClassifierConfig,
        "cgan_tf.classifier.training:train_classifier",
        required=("patches_dir", "output_dir"),
    )
