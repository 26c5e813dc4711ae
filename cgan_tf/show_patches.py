"""Writes a contact sheet of every split and class of a patch set, the lesions' boxes drawn.

python -m cgan_tf.show_patches PATCHES
"""

from cgan_tf.config import ShowPatchesConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        ShowPatchesConfig,
        "cgan_tf.pages.contact_sheets:show_patches",
        required=("patches_dir",),
        positional="patches_dir",
    )
