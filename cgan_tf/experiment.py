r"""Table 1 by one command: a classifier for every seed and synthetic share, scored and compared.

    python -m cgan_tf.experiment --flagfile=configs/paper_table1.cfg --patches_dir=PATCHES \
        --synthetic_dirs=SYN/mass,SYN/calcification,SYN/removal --output_dir=RUNS/table1

Every run is a `train_classifier` and an `evaluate` in processes of their own, `--parallel` at a
time. The same command again goes on where it was and tries failed runs once more.
"""

from cgan_tf.config import ExperimentConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        ExperimentConfig,
        "cgan_tf.workflows.sweep:run_experiment",
        required=("patches_dir", "output_dir"),
    )
