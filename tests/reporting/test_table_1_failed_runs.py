"""The file between a sweep and its report."""

import pytest

from cgan_tf.reporting.comparisons import FailedRun, read_failed_runs, write_failed_runs
from cgan_tf.runs.errors import UserError


def test_the_reader_finds_what_was_written(tmp_path):
    runs = [
        FailedRun(1, 0.25, "training", "the loss is not finite", "OUT/logs/a.log"),
        FailedRun(0, 0.0, "evaluation", "“quotes” \\ and more", "OUT/logs/b.log"),
    ]
    write_failed_runs(tmp_path / "failed.json", runs)
    assert read_failed_runs(tmp_path / "failed.json") == runs


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"failed": [{"seed": 1}]}',
        '{"failed": 3}',
        "[]",
        "",
        '{"failed": [{"seed": 0, "synthetic_fraction": 0, "step": "", "reason": "", "log": "", '
        '"more": 1}]}',
    ],
)
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "failed.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"failed\.json: expected"):
        read_failed_runs(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"failed\.json"):
        read_failed_runs(tmp_path / "failed.json")
