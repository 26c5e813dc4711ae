"""OMI-DB's JSON to images, marks and labels: each rule and each quirk on a tiny tree."""

import collections
import dataclasses
import json

import pytest

from beam_pipelines.sources.base import HEALTHY, LESION, merge
from beam_pipelines.sources.omidb_files import find_tree
from beam_pipelines.sources.omidb_labels import (
    episode_status,
    is_set,
    label_of_mark,
    linked_lesions,
    parse_date,
)
from beam_pipelines.sources.optimam import Optimam
from cgan_tf.runs.errors import UserError
from tests.toys.omidb_tree import DATE, MARK, Tree, malignant, screening, write_json


def _index(root, **options):
    source = Optimam(find_tree(str(root)), **options)
    return merge(source.read_unit(unit) for unit in source.units())


def _reasons(index, kind="images"):
    return collections.Counter(str(r.reason) for r in index.rejections if r.kind == kind)


def _event(side, number="1", **lesion):
    return {side: {number: lesion}}


# Labels


@pytest.mark.parametrize(
    ("episode", "label", "evidence"),
    [
        ({"SURGERY": _event("L", Opinion="H5")}, "malignant", "SURGERY H5 of lesion 1"),
        ({"BIOPSYWIDE": _event("L", Opinion="B5")}, "malignant", "BIOPSYWIDE B5 of lesion 1"),
        ({"BIOPSYWIDE": _event("L", Opinion="E5")}, "malignant", "BIOPSYWIDE E5 of lesion 1"),
        ({"BIOPSYFINE": _event("L", Opinion="C5")}, "malignant", "BIOPSYFINE C5 of lesion 1"),
        (
            {"BIOPSYWIDE": _event("L", MalignancyType="a")},
            "malignant",
            "BIOPSYWIDE MalignancyType of lesion 1",
        ),
        (
            {"SURGERY": _event("L", Opinion="H2", InSituComponents="NID")},
            "malignant",
            "SURGERY InSituComponents of lesion 1",
        ),
        (
            {"BIOPSYWIDE": _event("L", Opinion="B2"), "SURGERY": _event("L", Opinion="H5")},
            "malignant",
            "SURGERY H5 of lesion 1",
        ),
        ({"SURGERY": _event("L", Opinion="H2")}, "benign", "SURGERY H2 of lesion 1"),
        ({"BIOPSYWIDE": _event("L", Opinion="E2")}, "benign", "BIOPSYWIDE E2 of lesion 1"),
        ({"BIOPSYFINE": _event("L", Opinion="Cyt benign")}, "benign", None),
        ({"SURGERY": _event("L", Opinion="Hist malignant")}, "malignant", None),
        ({"SURGERY": _event("L", InvasiveComponents="ITC IPX")}, "malignant", None),
        ({"SURGERY": _event("L", InvasiveComponents="Tubular/cribriform")}, "malignant", None),
        ({"SURGERY": _event("L", InSituComponents="Paget’s")}, "malignant", None),
        ({"SURGERY": _event("L", InvasiveComponents="not reported")}, "", ""),
        ({"SURGERY": _event("L", InvasiveComponents=[])}, "", ""),
        ({"BIOPSYWIDE": _event("L", Opinion="B3")}, "", ""),
        ({"BIOPSYWIDE": _event("L", MalignancyType="c")}, "", ""),
        ({"SURGERY": _event("R", Opinion="H5")}, "", ""),  # lesion 1 of the other side
        ({"SURGERY": _event("L", number="2", Opinion="H5")}, "", ""),  # another lesion
        (
            {"SURGERY": {**_event("L", Opinion="B3"), "left_opinion": "OM"}},
            "malignant",
            "SURGERY side opinion OM, linked lesion without pathology",
        ),
        ({"BIOPSYWIDE": {"left_opinion": "Benign"}}, "benign", None),
        ({"SURGERY": {"right_opinion": "OM"}}, "", ""),
        ({"SURGERY": {"left_opinion": "OS"}}, "", ""),
        ({"EpisodeType": "CI"}, "malignant", "interval cancer, linked lesion without pathology"),
        ({"EpisodeType": "Interval case"}, "malignant", None),
        ({"EpisodeType": "CI", "INTERVALCANCER": {"L": {"1": {}}, "R": {}}}, "malignant", None),
        ({"EpisodeType": "CI", "INTERVALCANCER": {"L": {}, "R": {"1": {}}}}, "", ""),
        ({"EpisodeType": "R", "INTERVALCANCER": {"L": {"1": {}}}}, "", ""),
        ({"SURGERY": None, "BIOPSYWIDE": "x", "BIOPSYFINE": {"L": {"1": None}}}, "", ""),
    ],
)
def test_the_label_of_a_mark(episode, label, evidence):
    found = label_of_mark(MARK, episode, "L")
    assert found[0] == label
    assert evidence is None or found[1] == evidence


def test_an_unlinked_mark_takes_the_sides_opinion_and_says_so():
    mark = {**MARK, "LinkedNBSSLesionNumber": "UNLINKED"}
    episode = {"SURGERY": {**_event("L", Opinion="H5"), "left_opinion": "OM"}}
    assert label_of_mark(mark, episode, "L") == ("malignant", "SURGERY side opinion OM, unlinked")
    assert label_of_mark(mark, episode, "R") == ("", "")


def test_of_two_linked_lesions_the_malignant_one_decides():
    mark = {**MARK, "LinkedNBSSLesionNumber": "1, 2"}
    lesions = {"1": {"Opinion": "H2"}, "2": {"Opinion": "H5"}}
    found = label_of_mark(mark, {"SURGERY": {"L": lesions}}, "L")
    assert found == ("malignant", "SURGERY H5 of lesion 2")


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("1", ["1"]),
        ("1,2", ["1", "2"]),
        (" 2 , 01", ["2", "1"]),
        ("UNLINKED", []),
        (None, []),
        (3, ["3"]),
        ([1], []),
        (1.5, []),
        ("9" * 5000, ["9" * 5000]),
        ("²", []),
    ],
)
def test_links(value, numbers):
    assert linked_lesions({"LinkedNBSSLesionNumber": value}) == numbers


@pytest.mark.parametrize(
    ("value", "expected"), [(1, True), ("1", True), ("Mass", True), ("0", False), (None, False),
                            ("", False), (0, False)]
)  # fmt: skip
def test_flags(value, expected):
    assert is_set({"Mass": value}, "Mass") is expected


def test_dates_in_both_forms():
    assert parse_date("2012-03-01") == parse_date("20120301")
    assert parse_date("2012") is parse_date(None) is parse_date("99999999") is None


@pytest.mark.parametrize(
    ("episode", "status"),
    [
        (screening(), "N"),
        (screening(ASSESSMENT={"left_opinion": "ON"}), "NA"),
        (screening(ASSESSMENT={"left_opinion": "ON"}, BIOPSYWIDE={"left_opinion": "ON"}), "NAB"),
        (screening(SURGERY={"left_opinion": "OM"}), "M"),
        (screening(BIOPSYFINE={"right_opinion": "Benign"}), "B"),
        (screening(EpisodeType="CI"), "CI"),
        (screening(EpisodeType="CI", SURGERY={"left_opinion": "ON"}), ""),
        (screening(ASSESSMENT={}), ""),  # an event that says nothing
        (screening(SURGERY={"left_opinion": "ON"}), ""),
        ({"EpisodeType": "R"}, ""),
    ],
)
def test_the_status_of_an_episode(episode, status):
    assert episode_status(episode) == status


# Trees


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("ffdm", [False, True])
def test_every_layout_gives_the_same_index(tmp_path, lower, ffdm):
    tree = Tree(tmp_path, lower, ffdm)
    tree.client("demd1", {"LCC": {"7": MARK}, "RMLO": None}, screening(SURGERY=malignant()))
    tree.client("optm2", {"LCC": None, "RCC": None})
    index = _index(tmp_path)
    uses = [(image.client_id, image.laterality, image.view, image.use) for image in index.images]
    assert sorted(uses) == [
        ("demd1", "L", "CC", LESION),
        ("optm2", "L", "CC", HEALTHY),
        ("optm2", "R", "CC", HEALTHY),
    ]
    assert index.read == {"images": 4, "marks": 1, "files": 8}
    assert _reasons(index) == {"contralateral_of_case": 1}


def test_a_mark_keeps_all_that_is_known(tmp_path):
    tree = Tree(tmp_path)
    tree.client("demd1", {"LCC": {"7": MARK}}, screening(SURGERY=malignant()))
    (image,) = _index(tmp_path).images
    (mark,) = image.marks
    assert mark.box == (20.0, 90.0, 50.0, 120.0)
    assert mark.patch_class == "malignant_mass"
    assert (mark.has_mass, mark.has_calcification, mark.conspicuity) == (1, 0, "Obvious")
    assert mark.evidence == "SURGERY H5 of lesion 1"


@pytest.mark.parametrize(
    ("flags", "opinion", "expected"),
    [
        ({"Mass": 1}, "H5", "malignant_mass"),
        ({"Mass": 1, "SuspiciousCalcifications": 1}, "H2", "benign_mass"),
        ({"SuspiciousCalcifications": 1}, "H5", "malignant_calcification"),
        ({"WithCalcification": "WithCalcification"}, "H2", "benign_calcification"),
        ({"Vascular": 1}, "H2", "benign_calcification"),
        ({"WithCalcification": 1}, "H5", "benign_calcification_in_malignant_lesion"),
        ({"ArchitecturalDistortion": 1}, "H5", "neither_mass_nor_calcification"),
        ({"FocalAsymmetry": 1}, "H2", "neither_mass_nor_calcification"),
        ({"SuspiciousCalcifications": "0"}, "H5", "no_lesion_type"),
        ({"Mass": 1}, "B3", "no_pathology"),
        ({"Mass": 1, "X1": None}, "H5", "missing_corners"),
        ({"Mass": 1, "X1": "a"}, "H5", "broken_mark"),
        ({"Mass": 1, "X1": "nan"}, "H5", "broken_mark"),
        ({"Mass": 1, "X1": 10**400}, "H5", "broken_mark"),
        ({"Mass": 1, "X2": "20"}, "H5", "empty_box"),
        ({"Mass": 1, "X1": "500", "X2": "600"}, "H5", "box_outside_image"),
    ],
)
def test_the_class_of_a_mark_or_why_it_has_none(tmp_path, flags, opinion, expected):
    surgery = {"L": {"1": {"Opinion": opinion}}}
    mark = {**MARK, "Mass": None, **flags}
    Tree(tmp_path).client("demd1", {"LCC": {"7": mark}}, screening(SURGERY=surgery))
    index = _index(tmp_path)
    if expected.startswith(("malignant", "benign")) and "lesion" not in expected:
        assert index.images[0].marks[0].patch_class == expected
    else:
        assert _reasons(index, "marks") == {expected: 1}
        assert _reasons(index) == {"no_usable_mark": 1}


def test_boxes_are_mended_and_counted(tmp_path):
    marks = {
        "1": {**MARK, "X1": "50", "X2": "20"},
        "2": {**MARK, "X1": "60.5", "X2": "80.25"},
        "3": {**MARK, "Y2": "900", "Width": "7"},
    }
    Tree(tmp_path).client("demd1", {"LCC": marks}, screening(SURGERY=malignant()))
    index = _index(tmp_path)
    boxes = [mark.box for mark in index.images[0].marks]
    assert boxes == [(20, 90, 50, 120), (60.5, 90, 80.25, 120), (20, 90, 50, 200)]
    assert index.repairs == {"swapped_corners": 1, "clipped_to_image": 1}


def test_what_is_not_healthy(tmp_path):
    tree = Tree(tmp_path)
    images = {"LCC": {"7": MARK}, "LMLO": None, "RCC": None}
    tree.client("demd1", images, screening(SURGERY=malignant()))
    tree.client("demd2", {"LCC": None}, screening(ASSESSMENT={"left_opinion": "OS"}))
    tree.client("demd3", {"LCC": None}, screening(ASSESSMENT={}))
    tree.client("demd4", {"RCC": None}, screening(EpisodeType="CI"))
    index = _index(tmp_path)
    assert [image.use for image in index.images] == [LESION]
    assert _reasons(index) == {
        "case_without_box": 3,  # the other view of demd1; demd2; the interval case
        "contralateral_of_case": 1,
        "not_normal": 1,
    }
    both = _index(tmp_path, normals_from_cases=True)
    assert [(i.client_id, i.laterality) for i in both.images if i.use == HEALTHY] == [
        ("demd1", "R")
    ]


def test_a_marked_breast_is_healthy_in_no_other_episode(tmp_path):
    tree = Tree(tmp_path)
    folder = tree.client("demd1", {"LCC": {"7": MARK}}, screening(SURGERY=malignant()))
    study = folder.name
    imagedb = {"EpisodeID": "100", "StudyDate": "2009-03-01", "9.1": {"9.1.1": None}}
    earlier = screening(SCREENING={"L": {"DateTaken": "2009-03-01"}})
    marked = {"EpisodeID": "200", "StudyDate": DATE, f"{study}.1": {f"{study}.1.1": {"7": MARK}}}
    content = {"STUDIES": {study: marked, "9": imagedb}}
    tree.document("IMAGEDB", "demd1", content)
    episodes = {"100": earlier, "200": screening(SURGERY=malignant())}
    tree.document("NBSS", "demd1", episodes)
    (folder.parent / "9").mkdir()
    (folder.parent / "9" / "9.1.1.dcm").write_bytes((folder / f"{study}.1.1.dcm").read_bytes())
    assert _reasons(_index(tmp_path, normals_from_cases=True)) == {"case_in_other_image": 1}


@pytest.mark.parametrize(
    ("site", "age", "expected"),
    [
        ("stge", 61, ("stge", "60 to 69 years")),
        ("stge", "70", ("stge", "70 years and over")),
        (None, None, ("", "")),
        ("Mrs Smith's clinic", "19371224", ("", "")),
        (["stge"], {"age": 61}, ("", "")),
    ],
)
def test_site_and_age_are_a_code_and_a_band(tmp_path, site, age, expected):
    tree = Tree(tmp_path)
    tree.client("demd1", {"LCC": None, "RCC": None}, screening(PatientAge=age))
    path = tree.data / "demd1" / "IMAGEDB_demd1.json"
    write_json(path, {**json.loads(path.read_text()), "Site": site})
    left, right = _index(tmp_path).images
    assert (left.facts.site, left.facts.age_band) == expected
    assert left.facts is right.facts  # one object for millions of images


def test_follow_up(tmp_path):
    tree = Tree(tmp_path)
    tree.client("demd1", {"LCC": None})
    tree.client("demd2", {"LCC": None})
    later = screening(EpisodeOpenedDate="2015-03-01", SCREENING={"L": {"DateTaken": "2015-03-02"}})
    tree.document("NBSS", "demd2", {"200": screening(), "300": later})
    index = _index(tmp_path, normal_follow_up=True)
    assert [image.client_id for image in index.images] == ["demd2"]
    assert _reasons(index) == {"no_follow_up": 1}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"ViewPosition": "ML"}, "wrong_view"),
        ({"BreastImplantPresent": "YES"}, "implant"),
    ],
)
@pytest.mark.parametrize("side_cars", [True, False])
def test_the_filter_with_and_without_side_cars(tmp_path, attributes, reason, side_cars):
    tree = Tree(tmp_path)
    images = {"LCC": {"7": MARK}, "LMLO": {"8": MARK}}
    headers = {"LCC": attributes}
    tree.client("demd1", images, screening(SURGERY=malignant()), headers, side_cars)
    index = _index(tmp_path)
    assert _reasons(index) == {reason: 1}
    assert _reasons(index, "marks") == {"image_rejected": 1}
    assert len(index.images) == 1


def test_a_study_is_linked_by_its_date_and_must_be_a_screening(tmp_path):
    tree = Tree(tmp_path)
    for number, (episode_id, date) in enumerate(
        [("999", DATE), ("999", "2001-01-01"), ("200", "2012-05-01"), ("", None)]
    ):
        name = f"demd{number}"
        folder = tree.client(name, {"LCC": {"7": MARK}})
        study = folder.name
        content = {
            "EpisodeID": episode_id,
            "StudyDate": date,
            f"{study}.1": {f"{study}.1.1": {"7": MARK}},
        }
        tree.document("IMAGEDB", name, {"STUDIES": {study: content}})
        tree.document("NBSS", name, {"200": screening(SURGERY=malignant())})
    index = _index(tmp_path)
    assert [image.client_id for image in index.images] == ["demd0"]
    assert _reasons(index) == {"no_episode": 2, "not_screening": 1}


def test_damage_is_counted_and_nothing_is_lost(tmp_path):
    tree = Tree(tmp_path)
    for name in ("demd1", "demd2", "demd3", "demd4"):
        tree.client(name, {"LCC": None, "RCC": None})
    (tree.data / "demd1" / "IMAGEDB_demd1.json").write_text('{"STUDIES": {')
    (tree.data / "demd2" / "NBSS_demd2.json").write_text("[1, 2]")
    next((tree.images / "demd3").rglob("*.1.1.dcm")).unlink()
    next((tree.data / "demd3").rglob("*.2.1.dcm.json")).write_text("")
    (tree.data / "demd4" / "notes.txt").write_text("x")
    next((tree.images / "demd4").rglob("*.1.1.dcm")).with_name("9.9.dcm").write_bytes(b"")
    write_json(next((tree.data / "demd4").glob("1.2*")) / "8.8.json", {})
    index = _index(tmp_path)
    assert _reasons(index) == {
        "client_without_imagedb": 2,
        "no_episode": 2,
        "no_image_file": 1,
        "not_in_imagedb": 1,
    }
    assert _reasons(index, "files") == {
        "broken_json": 3,
        "side_car_without_image": 3,
        "unexpected_file": 1,
    }
    assert len(index.images) == 3
    assert index.read["images"] == 9
    assert index.read["files"] == 4 + 4 + 8 + 1 + 1


def test_half_a_character_is_broken_json(tmp_path):
    """It could be read, but not be written into a table."""
    tree = Tree(tmp_path)
    tree.client("demd1", {"LCC": {"\\ud800": MARK}}, screening(SURGERY=malignant()))
    path = tree.data / "demd1" / "IMAGEDB_demd1.json"
    path.write_text(path.read_text().replace(r"\\ud800", r"\ud800"))
    index = _index(tmp_path)
    assert _reasons(index, "files") == {"broken_json": 1, "side_car_without_image": 1}
    assert _reasons(index) == {"client_without_imagedb": 1}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"STUDIES": None},
        {"STUDIES": {"1.2": None}},
        {"STUDIES": {"1.2": {"9": {"": None, "9.1": "x"}, "Note": 3}}},
        {"STUDIES": {"1.2": {"9": {"9.1": {"1": None}}}}},
    ],
)
def test_odd_json_is_never_an_exception(tmp_path, content):
    tree = Tree(tmp_path)
    tree.client("demd1", {"LCC": None})
    tree.document("IMAGEDB", "demd1", content)
    tree.document("NBSS", "demd1", {"200": None, "ClientID": 5, "1": {"SURGERY": {"L": [1]}}})
    index = _index(tmp_path)
    assert not index.images
    assert sum(_reasons(index).values()) == index.read["images"]


@pytest.mark.parametrize("order", [1, -1])
def test_duplicates_are_one_image_whatever_comes_first(tmp_path, order):
    tree = Tree(tmp_path)
    folder = tree.client("demd1", {"LCC": None})
    other = tree.client("demd2", {"LCC": {"7": MARK}}, screening(SURGERY=malignant()))
    source = Optimam(find_tree(str(tmp_path)))
    first, second = (source.read_unit(unit) for unit in source.units())
    twin = dataclasses.replace(second.images[0], sop_uid=first.images[0].sop_uid)
    second = dataclasses.replace(second, images=(twin,))
    index = merge([first, second][::order])
    assert [image.path for image in index.images] == [str(next(folder.iterdir()))]
    (image, mark) = index.rejections
    assert (image.name, image.reason) == (str(next(other.iterdir())), "duplicate_image")
    assert (mark.name, mark.reason) == (f"{image.name}#7", "image_rejected")
    assert (image.origin.client_id, mark.origin.mark_id) == ("demd2", "7")


def test_missing_and_empty_input_are_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="expected a directory"):
        find_tree(str(tmp_path / "none"))
    with pytest.raises(UserError, match="DATA and IMAGES, found neither"):
        find_tree(str(tmp_path))
    (tmp_path / "DATA").mkdir()
    with pytest.raises(UserError, match="a directory for each patient"):
        find_tree(str(tmp_path))
