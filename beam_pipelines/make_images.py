r"""Whole mammograms at a reduced size, with their boxes, to TFRecord shards for train_detector.

    python -m beam_pipelines.make_images --input_dir=OMI-DB --output_dir=IMAGES
    python -m beam_pipelines.make_images --input_dir=INSERTED/images --allow_synthetic \
        --output_dir=INSERTED_IMAGES

INSERTED is an output directory of insert_lesions. Beam's own options go through `--beam`, as in
make_patches.
"""

from cgan_tf.config import ImagesConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        ImagesConfig,
        "beam_pipelines.images.job:make_images",
        required=("input_dir", "output_dir"),
    )
