"""The whole chain on a phantom, from mammogram files to a report: what `make demo` runs.

    python -m cgan_tf.demo --output_dir=demo

Each step is one of the project's programs in a process of its own, two at a time on half the
cores each (small convolutions gain little from more threads). A step whose directory holds a
manifest is done; a step that was interrupted goes on where it was.
"""

from cgan_tf.config import DemoConfig
from cgan_tf.runs.flags import run_program

if __name__ == "__main__":
    run_program(DemoConfig, "cgan_tf.workflows.demo:run_demo", required=("output_dir",))
