"""Structured Reports of boxes: read back by highdicom, by dciodvfy, and by the rules of viewers."""

import types
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from beam_pipelines.insertion.structured_reports import (
    FOLDER,
    check_possible,
    write_structured_reports,
)
from beam_pipelines.insertion.tables import MadeImage, PlacedLesion
from cgan_tf.runs.errors import UserError
from tests.toys.dicom_validator import errors_of
from tests.toys.omidb_tree import dataset, write

pytest.importorskip("highdicom")
from highdicom import sr

BOXES = {
    "1.2.826.2.1": ((3, 4, 10, 9), (11, 12, 20, 22)),
    "1.2.826.2.2": ((0, 0, 30, 40),),
    "1.2.826.3.1": ((5, 5, 9, 9),),
}
HEADER = {
    "PatientOrientation": ["A", "L"], "PatientName": "", "PatientBirthDate": "", "PatientSex": "F",
    "AccessionNumber": "", "StudyID": "", "StudyDate": "20120301", "StudyTime": "101500",
    "ReferringPhysicianName": "", "SeriesInstanceUID": "1.2.826.9",
}  # fmt: skip


def setup(task: str = "mass") -> types.SimpleNamespace:
    return types.SimpleNamespace(
        task=task,
        removal=task == "removal",
        card=types.SimpleNamespace(checksum="0123456789abcdef0123"),
        config=types.SimpleNamespace(seed=7),
    )


def made(root: Path, spacing: float = 0.1, **header) -> list[MadeImage]:
    """Two studies, the first with two views, whose files are there."""
    images = []
    for sop, boxes in BOXES.items():
        study = sop.rpartition(".")[0]
        names = {"SOPInstanceUID": sop, "StudyInstanceUID": study}
        write(root / f"{sop}.dcm", dataset(**(HEADER | names | header)))
        lesions = tuple(
            PlacedLesion(number, box, 12, (5, 12), str(number), (2, 3), 4, 9)
            for number, box in enumerate(boxes, 1)
        )
        images.append(
            MadeImage(
                sop, f"{sop}.dcm", f"masks/{sop}.png", 160, 200, "1", "demd1", study, "1.2.826.9",
                "20120301", "L", "CC", spacing, lesions,
            )
        )  # fmt: skip
    return images


def documents(root: Path, **settings) -> dict[str, Dataset]:
    images = made(root, **settings)
    assert write_structured_reports(str(root), images, setup()) == 2
    return {path.stem: pydicom.dcmread(path) for path in sorted((root / FOLDER).iterdir())}


def test_highdicom_reads_every_box_of_a_study(tmp_path):
    assert set(documents(tmp_path)) == {"1.2.826.2", "1.2.826.3"}
    document = sr.srread(tmp_path / FOLDER / "1.2.826.2.dcm")
    groups = document.content.get_planar_roi_measurement_groups()
    found = []
    for group in groups:
        (area,) = group.get_measurements()
        region = group.roi
        corners = region.value
        assert region.GraphicType == "POLYLINE"
        assert tuple(corners[0]) == tuple(corners[-1])
        box = tuple(int(edge) for edge in (*corners.min(axis=0), *corners.max(axis=0)))
        found.append((region.ContentSequence[0].referenced_sop_instance_uid, box))
        assert area.value == pytest.approx((box[2] - box[0]) * (box[3] - box[1]) * 0.01)
        assert area.unit.value == "mm2"
        assert group.finding_type.value == "129788004"
        (site,) = group.finding_sites
        assert site.laterality.meaning == "Left"
    assert found == [(sop, box) for sop in ("1.2.826.2.1", "1.2.826.2.2") for box in BOXES[sop]]
    assert len({group.tracking_uid for group in groups}) == 3


def test_the_validator_finds_no_error(tmp_path):
    documents(tmp_path)
    for path in (tmp_path / FOLDER).iterdir():
        assert errors_of(path, "SR") == set()


def test_headers_say_what_they_are(tmp_path):
    document = documents(tmp_path)["1.2.826.2"]
    assert (document.SyntheticData, document.ContentQualification) == ("YES", "RESEARCH")
    assert (document.Modality, document.StudyInstanceUID, document.PatientID) == (
        "SR", "1.2.826.2", "demd1",
    )  # fmt: skip
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    named = [
        item.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert sorted(named) == ["1.2.826.2.1", "1.2.826.2.2"]


def test_the_same_images_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        documents(tmp_path / name)
    for path in (tmp_path / "a" / FOLDER).iterdir():
        assert path.read_bytes() == (tmp_path / "b" / FOLDER / path.name).read_bytes()


@pytest.mark.parametrize(
    "header",
    [
        {"PatientOrientation": None, "StudyDate": None, "PatientName": None},
        {"StudyDate": "yesterday", "PatientSex": "W", "ImagerPixelSpacing": None},
    ],
)
def test_headers_that_lack_something(tmp_path, header):
    """Such as those of loose files: what is missing is left empty."""
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    spacing = 0.0 if "ImagerPixelSpacing" in header else 0.1
    document = documents(tmp_path, spacing=spacing, **header)["1.2.826.2"]
    assert len(list(viewer_measurements(document))) == 3
    units = {item["unit"] for item in viewer_measurements(document)}
    assert units == ({"{pixels}"} if not spacing else {"mm2"})


def test_what_cannot_be_reported_is_refused(monkeypatch):
    check_possible(setup())
    with pytest.raises(
        UserError, match=r"^--structured_reports: expected a generator that inserts"
    ):
        check_possible(setup("removal"))
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(UserError, match=r"^--structured_reports: highdicom is not .*'\.\[sr\]'"):
        check_possible(setup())


# The rules by which dcmjs' MeasurementReport adapter and OHIF's handler find a rectangle.


def meaning(item: Dataset) -> str:
    return item.ConceptNameCodeSequence[0].CodeMeaning


def only(items, test) -> Dataset:
    (found,) = [item for item in items if test(item)]
    return found


def viewer_measurements(document: Dataset) -> Iterator[dict]:
    """What those viewers draw: by meanings of codes, and the polyline under the first number."""
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert document.ConceptNameCodeSequence[0].CodeValue == "126000"
    measured = only(document.ContentSequence, lambda item: meaning(item) == "Imaging Measurements")
    for group in measured.ContentSequence:
        assert (meaning(group), group.ConceptNameCodeSequence[0].CodeValue) == (
            "Measurement Group", "125007",
        )  # fmt: skip
        items = list(group.ContentSequence)
        tracking = only(items, lambda item: meaning(item) == "Tracking Identifier").TextValue
        tag, tool = tracking.split(":")
        assert (tag.split("@")[0], tool) == ("Cornerstone3DTools", "RectangleROI")
        uid = only(items, lambda item: meaning(item) == "Tracking Unique Identifier").UID
        finding = only(items, lambda item: item.ConceptNameCodeSequence[0].CodeValue == "121071")
        number = only(items, lambda item: item.ValueType == "NUM")
        under = only(number.ContentSequence, lambda item: item.ValueType == "SCOORD")
        region = only(items, lambda item: item.ValueType == "SCOORD")
        assert under.GraphicData == region.GraphicData
        assert under.GraphicType == region.GraphicType == "POLYLINE"
        (image,) = under.ContentSequence
        (value,) = number.MeasuredValueSequence
        yield {
            "uid": uid,
            "finding": finding.ConceptCodeSequence[0].CodeMeaning,
            "corners": [float(place) for place in under.GraphicData],
            "image": image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
            "unit": value.MeasurementUnitsCodeSequence[0].CodeValue,
        }


def test_viewers_find_every_rectangle_and_its_image(tmp_path):
    document = documents(tmp_path)["1.2.826.2"]
    found = list(viewer_measurements(document))
    x0, y0, x1, y1 = BOXES["1.2.826.2.1"][0]
    # Corners one after the other: viewers swap the third and the fourth for their handles.
    assert found[0]["corners"] == [x0, y0, x1, y0, x1, y1, x0, y1, x0, y0]
    assert [item["image"] for item in found] == ["1.2.826.2.1", "1.2.826.2.1", "1.2.826.2.2"]
    assert {item["finding"] for item in found} == {"Mammographic breast mass"}
    library = only(document.ContentSequence, lambda item: meaning(item) == "Image Library")
    (group,) = library.ContentSequence
    assert group.ConceptNameCodeSequence[0].CodeValue == "126200"
    shown = [item for item in group.ContentSequence if "ReferencedSOPSequence" in item]
    assert [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in shown] == [
        "1.2.826.2.1", "1.2.826.2.2",
    ]  # fmt: skip
