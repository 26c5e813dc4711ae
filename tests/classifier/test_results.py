"""What the report reads from the directories of the chain."""

import numpy as np

from cgan_tf.reporting.inputs import read_losses
from cgan_tf.runs.directory import write_json


def gan_run(directory, flags, table):
    directory.mkdir()
    write_json(directory / "run.json", {"flags": flags})
    (directory / "metrics.csv").write_text(table)
    return str(directory)


def test_losses_by_what_the_model_is_trained_for(tmp_path):
    """A conditional run has a task flag too, which says nothing; without rows there is no curve."""
    runs = (
        gan_run(tmp_path / "a", {"task": "mass"}, "step,phase,loss_d\n25,half,3.5\n50,full,2\n"),
        gan_run(tmp_path / "b", {"task": "mass", "conditional": True}, "step,loss_d\n25,1\n"),
        gan_run(tmp_path / "c", {"task": "removal"}, ""),
    )
    curves = read_losses(runs)
    assert list(curves) == ["mass", "conditional"]
    np.testing.assert_array_equal(curves["mass"]["loss_d"], [3.5, 2.0])
    np.testing.assert_array_equal(curves["mass"]["phase"], ["half", "full"])
