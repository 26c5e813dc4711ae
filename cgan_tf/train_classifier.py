"""Trains ResNet-50, or a small network, on real and synthetic patches: cancer or no cancer.

python -m cgan_tf.train_classifier --patches_dir=P --synthetic_dirs=M,C,R --output_dir=W
"""

from cgan_tf.config import ClassifierConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        ClassifierConfig,
        "cgan_tf.classifier.training:train_classifier",
        required=("patches_dir", "output_dir"),
    )
