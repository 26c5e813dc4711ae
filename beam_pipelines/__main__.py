"""`python -m beam_pipelines`: lists the programs that read or write mammograms."""

from cgan_tf.runs.help import run_named

if __name__ == "__main__":
    run_named("python -m beam_pipelines", "beam_pipelines")
