"""metrics.csv of a training: appended to, resumed, and what a disk refuses."""

import pytest

from cgan_tf.runs.errors import UserError
from cgan_tf.runs.training import MetricsTable


def row(step, value):
    return {"step": str(step), "loss": str(value)}


def test_a_resumed_run_forgets_later_rows_and_a_torn_one(tmp_path):
    path = tmp_path / "metrics.csv"
    table = MetricsTable(path, 0)
    for step in (2, 4, 6):
        table.add(row(step, step / 2))
    with path.open("a") as file:
        file.write("4,0.")
    table = MetricsTable(path, 4)
    assert table.rows == [row(2, 1.0), row(4, 2.0)]
    table.add(row(6, 9))
    assert path.read_text() == "step,loss\n2,1.0\n4,2.0\n6,9\n"
    assert table.rows[-1] == row(6, 9)


def test_from_the_start_there_is_no_row(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricsTable(path, 0, line_end="\r\n").add(row(1, 2))
    assert path.read_bytes() == b"step,loss\r\n1,2\r\n"
    assert MetricsTable(path, 0).rows == []
    assert not path.exists()


def test_what_the_disk_refuses_is_one_line(tmp_path):
    table = MetricsTable(tmp_path / "gone" / "metrics.csv", 0)
    with pytest.raises(UserError, match=r"metrics\.csv: cannot be written: No such file"):
        table.add(row(1, 2))
    assert table.rows == []
