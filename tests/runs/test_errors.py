"""Output files that could not be written are refused before any work."""

import os
from types import SimpleNamespace

import pytest

from cgan_tf.runs import errors
from cgan_tf.runs.errors import UserError, check_output


def test_a_place_that_can_be_written(tmp_path):
    (tmp_path / "old.png").touch()
    for name in ("new.png", "old.png", "deep/down/new.png"):
        check_output(tmp_path / name, ".png")
    assert [path.name for path in tmp_path.iterdir()] == ["old.png"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("c.jpg", r"c\.jpg: expected a name that ends with \.png"),
        ("c", r"c: expected a name that ends with \.png"),
        ("folder", r"folder: expected a \.png file, found a directory"),
        ("folder.png", r"folder\.png: expected a \.png file, found a directory"),
        ("file/c.png", r"expected a directory .*file, found a file"),
    ],
)
def test_what_cannot_be_written_is_told(tmp_path, name, complaint):
    for folder in ("folder", "folder.png"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=complaint) as refusal:
        check_output(tmp_path / name, ".png")
    assert str(refusal.value).startswith("--output=")


@pytest.mark.parametrize(
    ("flag", "reason"), [(os.ST_RDONLY, "Read-only file system"), (0, "Permission denied")]
)
def test_a_directory_that_takes_no_file(tmp_path, monkeypatch, flag, reason):
    monkeypatch.setattr(errors.os, "access", lambda _place, _mode: False)  # root may do anything
    monkeypatch.setattr(errors.os, "statvfs", lambda _place: SimpleNamespace(f_flag=flag))
    with pytest.raises(UserError, match=f"cannot be written: {reason}"):
        check_output(tmp_path / "new.png", ".png")
