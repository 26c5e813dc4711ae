"""A wrong input is told in one line: what was found, and which source reads it."""

import shutil
from pathlib import Path

import pytest

from beam_pipelines.patches.job import make_patches
from beam_pipelines.sources.cbis_ddsm_files import find_copy
from beam_pipelines.sources.folder import open_folder
from beam_pipelines.sources.index import open_source
from beam_pipelines.sources.omidb_files import find_tree
from cgan_tf.config import PatchesConfig
from cgan_tf.runs.errors import UserError
from tests.toys.cbis_tree import CbisTree
from tests.toys.omidb_tree import dataset, write


def test_a_folder_of_pictures(tmp_path):
    for name in ("1.png", "sub/2.PNG", "3.jpg", "labels.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"found 2 PNG, 1 JPG, 1 CSV; --source=table reads"):
        open_folder(str(tmp_path))
    (tmp_path / "IM0001").write_bytes(b"x")  # may be DICOM
    assert len(open_folder(str(tmp_path)).units()) == 5


def test_data_that_is_not_omi_dbs(tmp_path):
    with pytest.raises(UserError, match=r"found neither; .*=folder .*=table .*=cbis_ddsm"):
        find_tree(str(tmp_path))
    (tmp_path / "IMAGES").mkdir()
    with pytest.raises(UserError, match=r"found no DATA; "):
        find_tree(str(tmp_path))


def test_a_kind_of_image_that_there_is_not(tmp_path):
    config = PatchesConfig(source="folder", input_dir=str(tmp_path), admit_special=("scouts",))
    with pytest.raises(UserError, match=r"--admit_special=scouts: expected some of stereotactic, "):
        open_source(config)


def test_a_listing_and_a_refused_run_print_the_reasons(tmp_path, capsys):
    folder = tmp_path / "in"
    write(folder / "1.dcm", dataset(SOPInstanceUID="1.1", ViewPosition="ML"))
    write(folder / "2.dcm", dataset(SOPInstanceUID="1.2", ViewPosition="ML"))
    write(folder / "3.dcm", dataset(SOPInstanceUID="1.3", Modality="CR"))
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    flags = {"source": "folder", "input_dir": str(folder)}
    make_patches(PatchesConfig(**flags, output_dir=str(tmp_path / "list"), list_only=True))
    printed = capsys.readouterr().out
    assert "images: 3 read = 0 usable + 3 rejected (wrong_view 2, not_mammography 1)" in printed
    assert "files: 1 read = 0 usable + 1 rejected (not_dicom 1)" in printed
    output = tmp_path / "out"
    with pytest.raises(UserError, match=r"left out: wrong_view 2, not_dicom 1, not_mammography 1"):
        make_patches(PatchesConfig(**flags, output_dir=str(output)))
    assert not (output / "run.json").exists()


def test_cbis_ddsm_in_folders_of_series_is_read_by_patient_id(tmp_path):
    tree = CbisTree(tmp_path / "copy")
    tree.lesion("mass", "train", "1-283", "P_00001", 1)
    by_name = find_copy(str(tree.write_case_files("")))
    assert by_name.cases
    moved = tmp_path / "moved"
    for case in by_name.cases:
        for number, path in enumerate(by_name.dicoms(case)):
            header = dataset_with_patient(Path(path), case)
            write(moved / f"1.3.6.1.{len(case)}.{number}" / "1-1.dcm", header)
    for table in Path(tree.root).rglob("*.csv"):
        shutil.copy(table, moved)
    by_header = find_copy(str(moved))
    assert by_header.cases.keys() == by_name.cases.keys()
    for case in by_name.cases:
        assert len(by_header.dicoms(case)) == len(by_name.dicoms(case))
    source = open_source(PatchesConfig(source="cbis_ddsm", input_dir=str(moved)))
    (image,) = source.read_unit("P_00001").images
    assert (image.laterality, image.view, len(image.marks)) == ("R", "MLO", 1)


def dataset_with_patient(path, case):
    import pydicom

    header = pydicom.dcmread(path)
    header.PatientID = case
    return header
