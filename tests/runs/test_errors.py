"""Output files that could not be written are refused before any work."""

import pytest

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
