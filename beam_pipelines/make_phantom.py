"""Draws a synthetic copy of OMI-DB: DICOM mammograms, side-cars, IMAGEDB and NBSS JSON.

python -m beam_pipelines.make_phantom --output_dir=DIR --clients=40 --image_size=small
"""

from cgan_tf.config import PhantomConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(PhantomConfig, "beam_pipelines.phantom.job:run", required=("output_dir",))
