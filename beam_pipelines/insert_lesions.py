r"""Lesions into, or out of, whole mammograms: DICOM files, boxes and masks.

    python -m beam_pipelines.insert_lesions --generator=RUNS/mass/generator \
        --input_dir=OMI-DB --output_dir=INSERTED --lesions_per_image=2
    python -m beam_pipelines.insert_lesions --generator=RUNS/removal/generator \
        --input_dir=OMI-DB --output_dir=REMOVED
    python -m beam_pipelines.insert_lesions --source=folder --places=row \
        --lesions_per_image=5 --input_dir=DIR ...

Beam's own options go through `--beam`, as in make_patches.
"""

from cgan_tf.config import InsertionConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        InsertionConfig,
        "beam_pipelines.insertion.job:insert_lesions",
        required=("generator", "input_dir", "output_dir"),
    )
