r"""Evaluations and synthetic sets to one self-contained HTML file.

    python -m cgan_tf.report --evaluations=EVAL/baseline,EVAL/50 --patches_dir=PATCHES \
        --output=report.html
"""

from cgan_tf.config import ReportConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(
        ReportConfig,
        "cgan_tf.reporting.page:write_report",
        required=("evaluations", "patches_dir", "output"),
    )
