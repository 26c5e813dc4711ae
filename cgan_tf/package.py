"""A generator or a synthetic set as a directory for others: files, card, checksums, metadata.

python -m cgan_tf.package --generator=RUNS/mass/generator --quality_dir=QUALITY --output_dir=OUT
python -m cgan_tf.package --synthetic_dir=SYN/mass --quality_dir=QUALITY --output_dir=OUT
"""

from cgan_tf.config import PackageConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(PackageConfig, "cgan_tf.release.run:make_package", required=("output_dir",))
