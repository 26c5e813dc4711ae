"""The comparison of two commits sees a difference in every kind of payload, and says where."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from tests.same_bytes.__main__ import WORKING_TREE, lay_out, summary
from tests.same_bytes.compare import compare

WEIGHTS = {"head": [1.0, 2.0], "body": [3.0, 4.0]}


def write_checkpoint(path: Path, weights: dict[str, list[float]]) -> None:
    variables = {name: tf.Variable(value) for name, value in weights.items()}
    tf.train.Checkpoint(**variables).write(str(path))


def write_h5(path: Path, values: list[float]) -> None:
    with h5py.File(path, "w") as file:
        file["layer/kernel"] = np.array(values, np.float32)


def write_events(path: Path, value: float) -> None:
    with tf.summary.create_file_writer(str(path)).as_default():
        tf.summary.scalar("loss", value, step=7)


def page(picture: bytes, title: str) -> str:
    data = base64.b64encode(picture).decode()
    return f'<h1>{title}</h1>\n<img src="data:image/png;base64,{data}">\n'


def write_all(root: Path) -> Path:
    """A directory with a payload of every kind."""
    for folder in ("patches", "gan", "logs", "report"):
        (root / folder).mkdir(parents=True)
    (root / "patches/a.tfrecord").write_bytes(bytes(range(20)))
    (root / "patches/b.dcm").write_bytes(bytes(range(30)))
    (root / "patches/c.png").write_bytes(bytes(range(10)))
    (root / "patches/rows.csv").write_text("id,score,seconds\na,1,0.5\nb,2,0.6\n")
    (root / "patches/manifest.json").write_text('{"version": "1", "splits": {"train": [1, 2.5]}}')
    np.savez(root / "patches/features.npz", features=np.arange(6.0), labels=np.arange(3))
    write_checkpoint(root / "gan/step-12", WEIGHTS)
    write_h5(root / "gan/best.weights.h5", [1, 2, 3])
    write_events(root / "logs", 0.5)
    (root / "report/report.html").write_text(page(b"red", "Title"))
    return root


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    return write_all(tmp_path / "base"), write_all(tmp_path / "head")


def differences(pair: tuple[Path, Path]) -> dict[str, str]:
    return {n: p for outcome in compare(*pair).values() for n, p in outcome.differences.items()}


def test_the_same_files_written_twice_are_the_same(pair):
    found = compare(*pair)
    assert {kind: outcome.count for kind, outcome in found.items()} == {
        "shards": 1, "DICOM": 1, "pictures": 1, "tables": 1, "JSON": 1, "arrays": 1,
        "weights": 2, "logs": 1, "pages": 1, "page pictures": 1,
    }  # fmt: skip
    assert differences(pair) == {}


def rewritten(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def flipped(name: str, place: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        content[place] ^= 1
        (root / name).write_bytes(bytes(content))

    return change


def logged(root: Path) -> None:
    for path in (root / "logs").iterdir():
        path.unlink()
    write_events(root / "logs", 0.25)


CHANGES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a byte of a shard": (flipped("patches/a.tfrecord", 7), "patches/a.tfrecord", "byte 7 of 20"),
    "a byte of a mammogram": (flipped("patches/b.dcm", 29), "patches/b.dcm", "byte 29 of 30"),
    "a byte of a picture": (flipped("patches/c.png", 0), "patches/c.png", "byte 0 of 10"),
    "a picture that goes on": (
        lambda root: (root / "patches/c.png").write_bytes(bytes(range(11))),
        "patches/c.png", "byte 10 of 10 (head: 11)",
    ),
    "a row": (rewritten("patches/rows.csv", "b,2", "b,3"), "patches/rows.csv", "line 3"),
    "a row more": (rewritten("patches/rows.csv", "b,", "c,1,0\nb,"), "patches/rows.csv", "line 3"),
    "a title": (rewritten("patches/rows.csv", "score", "logit"), "patches/rows.csv", "line 1"),
    "a value": (
        rewritten("patches/manifest.json", "2.5", "2.25"), "patches/manifest.json",
        "/splits/train/1: 2.5 became 2.25",
    ),
    "a type": (
        rewritten("patches/manifest.json", "[1,", "[true,"), "patches/manifest.json",
        "/splits/train/0: 1 became True",
    ),
    "an array": (
        lambda root: np.savez(
            root / "patches/features.npz", features=np.arange(6.0), labels=[0, 1, 4]
        ),
        "patches/features.npz", "labels: 1 of 3 values, by up to 2",
    ),
    "a type of an array": (
        lambda root: np.savez(
            root / "patches/features.npz", features=np.arange(6, dtype="f4"), labels=[0, 1, 2]
        ),
        "patches/features.npz", "features: float64(6,) became float32(6,)",
    ),
    "a weight": (
        lambda root: write_checkpoint(root / "gan/step-12", {**WEIGHTS, "head": [1.0, 2.25]}),
        "gan/step-12.index", "head/.ATTRIBUTES/VARIABLE_VALUE: 1 of 2 values, by up to 0.25",
    ),
    "weights exchanged": (
        lambda root: write_checkpoint(
            root / "gan/step-12", {"head": WEIGHTS["body"], "body": WEIGHTS["head"]}
        ),
        "gan/step-12.index", "body/",
    ),
    "a weight of another name and value": (
        lambda root: write_checkpoint(
            root / "gan/step-12", {"top": [1.0, 2.25], "body": WEIGHTS["body"]}
        ),
        "gan/step-12.index", "1 array <f4(2,) of base has no equal in head",
    ),
    "a best weight": (
        lambda root: write_h5(root / "gan/best.weights.h5", [1, 2, 4]),
        "gan/best.weights.h5", "layer/kernel: 1 of 3 values, by up to 1",
    ),
    "a logged number": (logged, "events.out.tfevents", "step 7 loss"),
    "a page's text": (rewritten("report/report.html", "Title", "Titel"), "(pages)", "line 1"),
    "a page's picture": (
        lambda root: (root / "report/report.html").write_text(page(b"rad", "Title")),
        "(page pictures)", "picture 1: byte 1 of 3",
    ),
    "a missing file": (
        lambda root: (root / "patches/b.dcm").unlink(), "patches/b.dcm", "missing in head"
    ),
    "a new file": (
        lambda root: (root / "patches/d.dcm").write_bytes(b""), "patches/d.dcm", "not in base"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_difference_is_seen_alone_and_in_its_place(pair, what):
    change, name, place = CHANGES[what]
    change(pair[1])
    [(found_name, found_place)] = differences(pair).items()
    assert name in found_name
    assert place in found_place


def test_weights_may_have_other_names(pair):
    renamed = {"top": WEIGHTS["head"], "trunk": WEIGHTS["body"]}
    write_checkpoint(pair[1] / "gan/step-12", renamed)
    assert differences(pair) == {}


def test_the_variables_of_an_export_have_no_order(pair):
    for root, (first, second) in zip(pair, ((1.0, 2.0), (2.0, 1.0)), strict=True):
        variables = [tf.Variable(first), tf.Variable(second)]
        checkpoint = tf.train.Checkpoint(_all_variables=variables)
        checkpoint.write(str(root / "gan/exported"))
    assert differences(pair) == {}
    variables[0].assign(3.0)
    checkpoint.write(str(pair[1] / "gan/exported"))
    assert list(differences(pair)) == ["gan/exported.index (weights)"]


def test_what_tells_the_time_or_the_version_is_left_out(pair):
    rewritten("patches/rows.csv", "0.6", "0.7")(pair[1])
    rewritten("patches/manifest.json", '"1"', '"2"')(pair[1])
    (pair[1] / "patches/.lock").touch()
    assert differences(pair) == {}


def test_an_expected_difference_is_told_and_allowed(pair):
    flipped("patches/c.png", 0)(pair[1])
    found = compare(*pair)
    text, same = summary(found, [])
    assert not same
    assert "pictures: 1 compared, 1 DIFFER\n    patches/c.png" in text
    text, same = summary(found, ["patches/*.png*"])
    assert same
    assert "pictures: 1 compared, identical, 1 differ as expected\n    patches/c.png" in text


def test_a_commit_and_the_working_tree_are_laid_out(tmp_path):
    repository = tmp_path / "repository"

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *author, *arguments], cwd=repository, check=True)

    repository.mkdir()
    git("init", "--quiet")
    (repository / ".gitignore").write_text("junk\n")
    for name in ("kept", "changed", "deleted"):
        (repository / name).write_text("old")
    git("add", ".")
    git("commit", "--quiet", "--message=One")
    (repository / "changed").write_text("new")
    (repository / "deleted").unlink()
    for name in ("added", "junk"):
        (repository / name).write_text("new")
    trees = {}
    for commit in ("HEAD", WORKING_TREE):
        tree = tmp_path / commit.replace(" ", "-")
        tree.mkdir()
        lay_out(commit, repository, tree)
        trees[commit] = {p.name: p.read_text() for p in tree.iterdir() if p.name != ".gitignore"}
    assert trees["HEAD"] == {"kept": "old", "changed": "old", "deleted": "old"}
    assert trees[WORKING_TREE] == {"kept": "old", "changed": "new", "added": "new"}
