r"""Trains a RetinaNet to find malignant lesions on mammograms, with real and inserted lesions.

    python -m cgan_tf.train_detector --images_dir=IMAGES --output_dir=RUNS/detector/real
    python -m cgan_tf.train_detector --images_dir=IMAGES --inserted_dirs=INSERTED_IMAGES \
        --inserted_fraction=0.5 --output_dir=RUNS/detector/half

It needs the extra `detector`. evaluate --images reads what it finds on the test images.
"""

from cgan_tf.config import DetectorConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        DetectorConfig,
        "cgan_tf.detector.training:train_detector",
        required=("images_dir", "output_dir"),
    )
