"""Mammograms to TFRecord patch shards.

    python -m beam_pipelines.make_patches --source=optimam --input_dir=OMI-DB --output_dir=PATCHES
    python -m beam_pipelines.make_patches --list_only --input_dir=OMI-DB --output_dir=PATCHES
    python -m beam_pipelines.make_patches --source=cbis_ddsm --input_dir=CBIS-DDSM ...
    python -m beam_pipelines.make_patches --source=folder --assume_normal --input_dir=DIR ...

Beam's own options go through `--beam`, e.g.
`--beam=--direct_num_workers=4 --beam=--direct_running_mode=multi_processing`.
"""

from cgan_tf.config import PatchesConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        PatchesConfig,
        "beam_pipelines.patches.job:make_patches",
        required=("input_dir", "output_dir"),
    )
