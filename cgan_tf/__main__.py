"""`cgan`, and `python -m cgan_tf`: lists the programs of the project, and runs the one named."""

from cgan_tf.runs.help import run_named


def main() -> None:
    """Both packages' programs: `cgan make_patches --input_dir=...`."""
    run_named("cgan", "beam_pipelines", "cgan_tf")


if __name__ == "__main__":
    run_named("python -m cgan_tf", "cgan_tf")
