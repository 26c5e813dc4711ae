r"""Trains the contextual GAN on patches and exports its generator.

    python -m cgan_tf.train_gan --flagfile=configs/paper_mass.cfg --patches_dir=PATCHES \
        --output_dir=RUNS/mass
"""

from cgan_tf.config import GanConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(GanConfig, "cgan_tf.gan.training:train_gan", required=())
