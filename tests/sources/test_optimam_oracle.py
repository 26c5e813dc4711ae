"""Our reader of OMI-DB beside the public one (`omidb`) and beside the phantom's truth.

Both readers must agree wherever `omidb` can represent what the tree holds; what it cannot (a
client without a site, null or decimal corners, a mark without id, lesion "1" on both sides, the
string "0") is left out of the comparison, never of our reading.
"""

import collections
import json
from pathlib import Path

import omidb
import pytest
from loguru import logger

from beam_pipelines.rejections import Reason
from beam_pipelines.sources.base import merge
from beam_pipelines.sources.omidb_files import find_tree
from beam_pipelines.sources.omidb_labels import episode_status, linked_lesions, mapping
from beam_pipelines.sources.optimam import Optimam
from tests.toys.omidb_golden import clients, write_golden
from tests.toys.phantom_tree import truth


@pytest.fixture(scope="module")
def root(phantom: Path) -> Path:
    return phantom


@pytest.fixture(scope="module")
def index(root: Path):
    source = Optimam(find_tree(str(root)), normals_from_cases=True)
    return merge(source.read_unit(unit) for unit in source.units())


@pytest.fixture(scope="module")
def parsed(root: Path) -> dict[str, omidb.client.Client]:
    logger.disable("omidb")
    database = omidb.parser.DB(root / "DATA", root / "IMAGES")
    return {client.id: client for client in database}


@pytest.fixture(scope="module")
def public(parsed) -> dict[str, omidb.image.Image]:
    """The public reader's images by SOP instance uid."""
    return {
        image.id: image
        for client in parsed.values()
        for episode in client.episodes
        for study in episode.studies
        for series in study.series
        for image in series.images
    }


def _rejected(index, kind):
    """Rejections by name; an empty SOP instance uid, which occurs, is no image."""
    return {
        item.name: item
        for item in index.rejections
        if item.kind == kind and item.reason != Reason.NO_SOP_UID
    }


def test_both_readers_see_the_same_images(root, index, public):
    ours = {image.sop_uid for image in index.images}
    ours |= {Path(name).stem for name in _rejected(index, "images")}
    unreadable = {
        row["sop"]
        for row in truth(root, "images")
        if row["client"] in {r["client"] for r in truth(root, "episodes") if r["client_quirk"]}
    }
    assert len(ours) == len(truth(root, "images"))
    assert set(public) <= ours
    assert ours - set(public) <= unreadable


def test_both_readers_see_the_same_marks_boxes_and_links(root, index, public):
    rejected = _rejected(index, "marks")
    seen = 0
    for image in index.images:
        expected = {mark.id: mark for mark in public[image.sop_uid].marks} if (
            image.sop_uid in public
        ) else {}  # fmt: skip
        ours = {mark.mark_id: mark for mark in image.marks}
        for key, mark in expected.items():
            if key not in ours:
                assert f"{image.path}#{key}" in rejected
                continue
            box = mark.boundingBox
            corners = (min(box.x1, box.x2), min(box.y1, box.y2))
            corners += (max(box.x1, box.x2), max(box.y1, box.y2))
            assert ours[key].box == tuple(
                float(min(max(edge, 0), limit))
                for edge, limit in zip(corners, (640, 832, 640, 832), strict=True)
            )
            seen += 1
    assert seen > 10
    for path in root.glob("DATA/*/IMAGEDB_*.json"):
        studies = json.loads(path.read_text())["STUDIES"]
        for sop, key, mark in _marks(studies):
            theirs = {m.id: m for m in public[sop].marks} if sop in public else {}
            if key in theirs:
                assert set(linked_lesions(mark)) == (theirs[key].lesion_ids or set())


def _marks(studies):
    for study in studies.values():
        for series in study.values():
            for sop, marks in mapping(series).items():
                for key, mark in mapping(marks).items():
                    yield sop, key, mark


def test_both_readers_give_episodes_the_same_status(root, parsed):
    statuses = collections.Counter()
    for client in parsed.values():
        nbss = json.loads((root / "DATA" / client.id / f"NBSS_{client.id}.json").read_text())
        for episode in client.episodes:
            expected = episode.status.name if episode.status else ""
            assert episode_status(nbss[episode.id]) == expected
            statuses[expected] += 1
    assert {"M", "B", "N"} <= set(statuses)


def test_both_readers_agree_on_the_golden_tree_where_the_public_one_can_read_it(tmp_path):
    logger.disable("omidb")
    root = write_golden(tmp_path)
    theirs = {client.id: client for client in omidb.parser.DB(root / "DATA", root / "IMAGES")}
    # A null lesion, tables of another type, a date that is none, no Site, documents missing or cut.
    unreadable = {"demd101", "demd107", "demd414", "demd701", "demd702", "demd703", "demd704"}
    unreadable |= {"demd705", "demd706", "demd714"}
    assert set(theirs) == set(clients()) - unreadable
    source = Optimam(find_tree(str(root)))
    statuses = collections.Counter()
    for name, client in theirs.items():
        index = source.read_unit(name)
        known = {image.sop_uid for image in index.images}
        known |= {item.origin.sop_uid for item in index.rejections if item.kind == "images"}
        for episode in client.episodes:
            expected = episode.status.name if episode.status else ""
            assert episode_status(clients()[name]["NBSS"][episode.id]) == expected
            statuses[expected] += 1
            images = {i.id for study in episode.studies for s in study.series for i in s.images}
            assert images <= known
    assert set(statuses) == {"CI", "M", "B", "NAB", "NA", "N", ""}


def test_labels_are_those_of_the_truth(root, index):
    marks = {(row["sop"], row["mark"]): row for row in truth(root, "marks")}
    checked = collections.Counter()
    for image in index.images:
        for mark in image.marks:
            row = marks[image.sop_uid, mark.mark_id]
            label, _, kind = mark.patch_class.partition("_")
            assert label == row["pathology"]
            assert kind == ("mass" if "mass" in row["kind"] else "calcification")
            checked[mark.patch_class] += 1
    assert len(checked) >= 3


def test_images_are_what_the_truth_says(root, index):
    rows = {row["sop"]: row for row in truth(root, "images")}
    for image in index.images:
        row = rows[image.sop_uid]
        assert (image.laterality, image.view) == (row["side"], row["view"])
        assert (row["purpose"], row["shot"]) == ("presentation", "standard")
        if image.use == "healthy":
            assert row["lesions"] == "0"


def test_nothing_is_lost(root, index):
    assert len(index.images) + len(_rejected(index, "images")) == len(truth(root, "images"))
    rejected = collections.Counter(item.kind for item in index.rejections)
    assert len(index.images) + rejected["images"] == index.read["images"]
    marks = sum(len(image.marks) for image in index.images)
    assert marks + rejected["marks"] == index.read["marks"] == len(truth(root, "marks"))
