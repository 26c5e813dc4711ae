"""The public reader of OMI-DB parses the phantom and says what the truth says."""

import json
from collections import defaultdict
from pathlib import Path

import omidb
import pytest
from loguru import logger

from tests.toys.phantom_tree import dicom_path, truth

# What omidb cannot represent (it drops the client or the mark, or reads "0" as set).
UNREADABLE_CLIENTS = {"no_site"}
UNREADABLE_MARKS = {"null_corners", "no_mark_id", "decimal_corners"}


@pytest.fixture(scope="module")
def root(phantom: Path) -> Path:
    return phantom


@pytest.fixture(scope="module")
def clients(root: Path) -> dict[str, omidb.client.Client]:
    logger.disable("omidb")
    database = omidb.parser.DB(root / "DATA", root / "IMAGES")
    return {client.id: client for client in database}


def test_every_client_is_read(root, clients):
    rows = truth(root, "episodes")
    unreadable = {r["client"] for r in rows if r["client_quirk"] in UNREADABLE_CLIENTS}
    assert len(unreadable) == 1
    assert set(clients) == {row["client"] for row in rows} - unreadable


def test_episodes_and_their_status(root, clients):
    for row in truth(root, "episodes"):
        if row["client"] not in clients:
            continue
        episode = next(e for e in clients[row["client"]].episodes if e.id == row["episode"])
        assert episode.status.name == row["status"]
        assert episode.is_closed is True
        assert (episode.diagnosis_date is not None) == (row["status"] == "CI")


def test_the_statuses_vary(root):
    statuses = {row["status"] for row in truth(root, "episodes")}
    assert {"CI", "M", "B", "N"} <= statuses


def test_images_of_every_study(root, clients):
    expected = defaultdict(set)
    for row in truth(root, "images"):
        if row["client"] in clients:
            expected[row["client"], row["episode"], row["study"], row["event"]].add(row["sop"])
    found = {
        (client.id, episode.id, study.id, study.event_type[0].name.upper()): {
            image.id for series in study.series for image in series.images
        }
        for client in clients.values()
        for episode in client.episodes
        for study in episode.studies
    }
    assert found == dict(expected)


def test_headers_are_found_beside_the_images(root, clients):
    rows = {row["sop"]: row for row in truth(root, "images")}
    for image in _images(clients):
        row = rows[image.id]
        if not row["damage"].startswith("sidecar"):
            assert image.attributes["00100020"]["Value"] == [row["client"]]
    assert image.dcm.SOPInstanceUID == image.id
    assert Path(image.dcm.filename) == dicom_path(root, row)


def test_marks_and_boxes(root, clients):
    truth_marks = {row["mark"]: row for row in truth(root, "marks")}
    found = {mark.id: mark for image in _images(clients) for mark in image.marks}
    readable = {
        mark
        for mark, row in truth_marks.items()
        if row["client"] in clients and row["quirk"] not in UNREADABLE_MARKS
    }
    assert set(found) == readable
    for name, mark in found.items():
        row = truth_marks[name]
        assert mark.conspicuity.value == row["conspicuity"]
        assert bool(mark.mass) == ("mass" in row["kind"])
        expected = None if row["quirk"] == "unlinked" else set(row["linked"].split(","))
        assert mark.lesion_ids == expected
        if not row["quirk"]:
            box = mark.boundingBox
            corners = [int(row[key]) for key in ("x0", "y0", "x1", "y1")]
            assert [box.x1, box.y1, box.x2, box.y2] == corners


def _images(clients: dict[str, omidb.client.Client]) -> list[omidb.image.Image]:
    return [
        image
        for client in clients.values()
        for episode in client.episodes
        for study in episode.studies
        for series in study.series
        for image in series.images
    ]


def test_lesions_of_nbss(root, clients):
    for row in truth(root, "lesions"):
        if row["client"] not in clients:
            continue
        episode = next(e for e in clients[row["client"]].episodes if e.id == "200")
        sides = _lesion_sides(root, row["client"])
        if len(sides[row["number"]]) == 1:  # omidb keeps one of two lesions with one number
            lesion = episode.lesions[row["number"]]
            assert lesion.side.name == row["side"]
            expected = {"mass": "MA", "calcification": "CA", "distortion": "DS"}
            assert lesion.description.name == expected.get(row["kind"], "MC")


def _lesion_sides(root: Path, client: str) -> dict[str, set[str]]:
    content = json.loads((root / "DATA" / client / f"NBSS_{client}.json").read_text())
    sides = defaultdict(set)
    for side in ("L", "R"):
        for number in content["200"]["LESION"][side]:
            sides[number].add(side)
    return sides
