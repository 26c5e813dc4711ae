r"""Scores whole mammograms with a patch classifier: heat maps, candidates, scores of patients.

    python -m beam_pipelines.predict_images --classifier=RUNS/classifier/50 \
        --input_dir=OMI-DB --split=test --output_dir=PREDICTIONS
    python -m beam_pipelines.predict_images --classifier=RUNS/classifier/50 \
        --source=folder --input_dir=DIR --output_dir=PREDICTIONS

Patch sets are scored by cgan_tf.predict. Beam's own options go through `--beam`.
"""

from cgan_tf.config import PredictImagesConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        PredictImagesConfig,
        "beam_pipelines.scoring.job:predict_images",
        required=("classifier", "input_dir", "output_dir"),
    )
