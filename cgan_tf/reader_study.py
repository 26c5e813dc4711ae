"""Can readers tell synthetic patches from real ones? A page to read offline, and its analysis.

python -m cgan_tf.reader_study --patches_dir=PATCHES --synthetic_dirs=SYN/mass --output_dir=STUDY
python -m cgan_tf.reader_study --analyse=ANSWERS --output_dir=STUDY
"""

from cgan_tf.config import ReaderStudyConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(ReaderStudyConfig, "cgan_tf.reading.run:run_reader_study", required=("output_dir",))
