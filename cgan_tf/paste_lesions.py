"""Pastes real lesions of training patches onto other healthy tissue: a set of patches.

python -m cgan_tf.paste_lesions --patches_dir=PATCHES --output_dir=SYN/pasted
"""

from cgan_tf.config import PasteConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        PasteConfig,
        "cgan_tf.synthesis.pasting:paste_lesions",
        required=("patches_dir", "output_dir"),
    )
