"""Whose an image of a folder is: never the name of a file or a folder."""

import pytest

from beam_pipelines.sources.base import merge, split_of
from beam_pipelines.sources.folder import open_folder
from cgan_tf.config import PatchesConfig
from tests.toys.omidb_tree import dataset, write


def _write(path, **attributes):
    header = dataset(**attributes)
    if not attributes.get("SOPInstanceUID", "1"):
        header.SOPInstanceUID = "1.2.3.4"  # `write` wants one for the meta information
        written = write(path, header)
        content = written.read_bytes()
        written.write_bytes(content.replace(b"1.2.3.4\0", b"\0\0\0\0\0\0\0\0"))
        return written
    return write(path, header)


def _index(root):
    source = open_folder(str(root))
    return merge(source.read_unit(unit) for unit in source.units())


def test_files_of_one_name_without_a_uid_are_two_images(tmp_path):
    for number, patient in enumerate("AB"):
        _write(tmp_path / f"p{number}" / "1-1.dcm", SOPInstanceUID="", PatientID=patient)
    index = _index(tmp_path)
    assert not index.rejections
    assert len({image.sop_uid for image in index.images}) == 2
    assert len({image.client_id for image in index.images}) == 2
    assert not any(name in image.sop_uid for image in index.images for name in ("1-1", "p0"))


def test_a_study_without_patients_is_in_one_split(tmp_path):
    """Folders for a series, as exports have them: four of the same names for each study."""
    sops = {}
    for study in range(6):
        for pose in range(4):
            sop = f"1.3.{study}.{pose}"
            sops[sop] = study
            _write(
                tmp_path / f"study{study}" / f"series{pose}" / "IM-0001-0001.dcm",
                SOPInstanceUID=sop, PatientID="", StudyInstanceUID=f"1.2.{study}",
            )  # fmt: skip
    index = _index(tmp_path)
    patients = {(sops[image.sop_uid], image.client_id) for image in index.images}
    assert patients == {(study, f"1.2.{study}") for study in range(6)}
    splits = {(sops[i.sop_uid], split_of(i.client_id, PatchesConfig())) for i in index.images}
    assert len(splits) == 6
    assert index.counts == {"images_known_by_their_study_alone": 24}


@pytest.mark.parametrize("nobody", ["", "Anonymous", "ANONYMIZED", "000", "n/a", "xxx"])
def test_a_patient_of_other_images_of_the_study_counts(tmp_path, nobody):
    _write(tmp_path / "1.dcm", SOPInstanceUID="1.1", PatientID="P7", StudyInstanceUID="1.2.1")
    _write(tmp_path / "2.dcm", SOPInstanceUID="1.2", PatientID=nobody, StudyInstanceUID="1.2.1")
    _write(tmp_path / "3.dcm", SOPInstanceUID="1.3", PatientID=nobody, StudyInstanceUID="1.2.2")
    index = _index(tmp_path)
    first, second, third = (image.client_id for image in index.images)
    assert first == second
    assert first.startswith("patient-")
    assert third == "1.2.2"


def test_images_without_patient_and_study_are_of_one_patient(tmp_path):
    for number, folder in enumerate(("a", "a", "b")):
        _write(
            tmp_path / folder / f"{number}.dcm",
            SOPInstanceUID=f"1.{number + 1}", PatientID=None, StudyInstanceUID=None,
        )  # fmt: skip
    index = _index(tmp_path)
    assert {image.client_id for image in index.images} == {"unknown"}
    assert index.counts == {"images_of_nobody_known_taken_for_one_patient": 3}
