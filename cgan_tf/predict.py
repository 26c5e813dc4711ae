r"""Scores every patch of a set with a trained classifier, whatever its label.

    python -m cgan_tf.predict --classifier=RUNS/classifier/50 --patches_dir=PATCHES \
        --output_dir=SCORES

Whole mammograms are scored by beam_pipelines.predict_images.
"""

from cgan_tf.config import PredictConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        PredictConfig,
        "cgan_tf.classifier.prediction:predict",
        required=("classifier", "patches_dir", "output_dir"),
    )
