"""Draws the curves of several GAN trainings in one picture.

python -m cgan_tf.plot_curves --gan_dirs=RUNS/mass,RUNS/removal --output=curves.png
"""

from cgan_tf.config import CurvesConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        CurvesConfig, "cgan_tf.reporting.curves:plot_curves", required=("gan_dirs", "output")
    )
