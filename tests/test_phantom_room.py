"""The measure of a phantom's room: who is learnt from, what a run costs twice, the verdict."""

import csv
import sys

import numpy as np
import pytest

from benchmarks import phantom_room
from benchmarks.phantom_room import POSITIVE, Outcome, summarised, with_lesions_of
from cgan_tf.classifier.inputs import open_sets
from cgan_tf.config import ClassifierConfig
from cgan_tf.runs.directory import read_json
from tests.toys.patches import write_toy_patches
from tests.toys.phantom_tree import write_phantom

FLAGS = "--weights=none\n--batch_size=8\n--samples=16\n--validate_every=16\n"


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    root = tmp_path_factory.mktemp("room") / "patches"
    write_toy_patches(root, size=32, per_class=12)
    return root


def women_of(pool):
    return {record.client_id for record in pool.descriptions()}


def test_fewer_women_are_a_part_of_more_and_nothing_else_changes(patches):
    sets = open_sets(ClassifierConfig(patches_dir=str(patches)))
    everyone = women_of(sets.streams[POSITIVE])
    found = [with_lesions_of(sets, women, seed=3) for women in (1, 2, len(everyone))]
    women = [women_of(part.streams[POSITIVE]) for part in found]
    assert [len(part) for part in women] == [1, 2, len(everyone)]
    assert women[0] < women[1] <= women[2] == everyone
    for part in found:
        assert part.streams[0] is sets.streams[0]
        assert part.validation is sets.validation
        own = [r for r in sets.streams[POSITIVE].descriptions() if r.client_id in women[0]]
        assert len(found[0].streams[POSITIVE]) == len(own)
    assert len({part.checksums["real positive"] for part in found}) == 3
    with pytest.raises(SystemExit, match="at most"):
        with_lesions_of(sets, len(everyone) + 1, seed=3)


@pytest.mark.slow
def test_it_trains_evaluates_and_does_nothing_twice(patches, tmp_path, monkeypatch, tiny):
    phantom = write_phantom(
        tmp_path / "phantom", clients=1, broken_files=0, workers=1, content="lean"
    )
    flagfile = tmp_path / "toy.cfg"
    flagfile.write_text(FLAGS)
    arguments = [
        "phantom_room", f"--phantom_dir={phantom}", f"--patches_dir={patches}",
        f"--output_dir={tmp_path / 'out'}", f"--flagfile={flagfile}", "--women=1,2", "--seeds=4",
        "--threads=0",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    phantom_room.main()
    with (tmp_path / "out" / "room.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["women"], row["seed"]) for row in rows] == [("1", "4"), ("2", "4")]
    assert all(0 <= float(row["auc"]) <= 1 for row in rows)
    assert int(rows[0]["patches"]) < int(rows[1]["patches"])
    summary = read_json(tmp_path / "out" / "room.json")
    assert not summary["met"]
    assert summary["least_contrast_to_noise"] > 1
    assert (tmp_path / "out" / "room.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(phantom_room, "with_lesions_of", None)  # a second training would call it
    phantom_room.main()
    assert read_json(tmp_path / "out" / "room.json") == summary


@pytest.mark.parametrize(
    ("aucs", "test_women", "met"),
    [
        ({10: 0.82, 100: 0.88}, 400, True),
        ({10: 0.82, 100: 0.86}, 400, False),  # too small a gain
        ({10: 0.90, 100: 0.97}, 400, False),  # no room
        ({10: 0.82, 100: 0.88}, 399, False),
        ({80: 0.82, 800: 0.88}, 400, False),  # too many women
    ],
)
def test_the_verdict(aucs, test_women, met):
    outcomes = [
        Outcome(women, seed, 100, auc + shift, auc, auc, 1000, test_women)
        for women, auc in aucs.items()
        for seed, shift in enumerate((-0.01, 0.01))
    ]
    found = summarised(outcomes)
    assert found["met"] is met
    few, many = aucs
    assert found["curve"][few]["auc"] == pytest.approx(aucs[few])
    assert found["curve"][few]["deviation"] == pytest.approx(0.01 * np.sqrt(2))
    if few <= 40:
        gain = found["gain_of_ten_times_the_women"][few]
        assert gain == pytest.approx(aucs[many] - aucs[few])
