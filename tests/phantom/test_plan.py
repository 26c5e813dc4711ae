"""The phantom as a user gets it: bytes, layout, files a reader meets, truth beside the tree."""

import json
import shutil
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from beam_pipelines.phantom.job import clients_of, damages_of
from beam_pipelines.phantom.plan import QUIRKS, plan_client
from cgan_tf.config import PhantomConfig
from cgan_tf.runs.errors import UserError
from tests.toys.phantom_tree import (
    DAMAGED,
    dicom_path,
    sidecar_path,
    tree_digest,
    truth,
    write_phantom,
)


@pytest.fixture(scope="module")
def root(phantom: Path) -> Path:
    return phantom


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(
        tmp_path_factory.mktemp("three") / "tree", clients=3, broken_files=1, workers=1
    )


@pytest.mark.slow
def test_same_bytes_with_one_and_two_workers(three, tmp_path):
    two = write_phantom(tmp_path / "two", clients=3, broken_files=1, workers=2)
    assert tree_digest(two) == tree_digest(three)


def test_another_seed_gives_other_images(three, tmp_path):
    other = write_phantom(tmp_path / "other", clients=1, broken_files=0, seed=1, workers=1)
    assert not set(tree_digest(other).values()) & set(tree_digest(three).values())


def test_an_interrupted_run_goes_on_to_the_same_bytes(three, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(three, copy)
    before = tree_digest(copy)
    # A client's DATA is the last to be renamed: without it the client is drawn again.
    client = sorted((copy / "DATA").iterdir())[1].name
    shutil.rmtree(copy / "DATA" / client)
    (copy / "manifest.json").unlink()
    (copy / ".demd1.tmp").mkdir()
    for file in ("run.json",):  # the copy lies elsewhere
        content = json.loads((copy / file).read_text())
        content["flags"]["output_dir"] = str(copy)
        (copy / file).write_text(json.dumps(content))
    write_phantom(copy, clients=3, broken_files=1, workers=1)
    assert tree_digest(copy) == before
    assert not list(copy.glob(".*.tmp"))
    capsys.readouterr()
    write_phantom(copy, clients=3, broken_files=1, workers=2)
    assert capsys.readouterr().out.strip().endswith("is finished; nothing to do")
    with pytest.raises(UserError, match="--clients was 3, is 4"):
        write_phantom(copy, clients=4, broken_files=1)


def test_a_further_phantom_has_other_women(tmp_path):
    """Those that a larger phantom with the same seed would have had."""
    write_phantom(tmp_path / "more", clients=1, first_client=3, broken_files=1, workers=1)
    (found,) = (path.name for path in (tmp_path / "more" / "DATA").iterdir())
    assert found == plan_client(PhantomConfig().seed, 3).client_id
    assert damages_of(PhantomConfig(clients=1, first_client=3, broken_files=1), 3) != ()
    assert list(clients_of(PhantomConfig(clients=2, first_client=40))) == [40, 41]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"clients": 0}, "--clients: expected 1 or more, found 0"),
        ({"clients": 1, "broken_files": -1}, "--broken_files: expected 0 or more, found -1"),
        ({"clients": 1, "first_client": -1}, "--first_client: expected 0 or more, found -1"),
    ],
)
def test_impossible_numbers_are_refused(flags, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint):
        write_phantom(tmp_path / "no", **flags)
    assert not (tmp_path / "no").exists()


def test_layout_is_that_of_omidb(root):
    images = truth(root, "images")
    clients = {row["client"] for row in images}
    assert {path.name for path in (root / "DATA").iterdir()} == clients
    assert {path.name for path in (root / "IMAGES").iterdir()} == clients
    assert all(client[:4] in ("demd", "optm") and client[4:].isdigit() for client in clients)
    for client in clients:
        assert (root / "DATA" / client / f"IMAGEDB_{client}.json").exists()
        assert (root / "DATA" / client / f"NBSS_{client}.json").exists()
    for row in images:
        assert dicom_path(root, row).exists() == (row["damage"] != "image_missing")
        assert sidecar_path(root, row).exists() == (row["damage"] != "sidecar_missing")
    assert len({row["sop"] for row in images}) == len(images)
    assert {row["older_sidecar"] for row in images} == {"0", "1"}


def test_headers_say_what_the_truth_says(root):
    for row in truth(root, "images"):
        if row["damage"] and not row["damage"].startswith("sidecar"):
            continue
        dataset = pydicom.dcmread(dicom_path(root, row))
        str(dataset)  # parses every element; a warning would be an error here
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == row["sop"]
        assert dataset.StudyInstanceUID == row["study"]
        assert dataset.PatientID == row["client"]
        assert not str(dataset.PatientName)
        assert dataset.Modality == "MG"
        assert dataset.PresentationIntentType == f"FOR {row['purpose'].upper()}"
        assert dataset.SOPClassUID.endswith("1.2.1") == (row["purpose"] == "processing")
        assert dataset.file_meta.TransferSyntaxUID == row["syntax"]
        assert dataset.PhotometricInterpretation == row["photometric"]
        assert dataset.BitsStored == int(row["bits"]) == dataset.HighBit + 1
        assert (dataset.Rows, dataset.Columns) == (832, 640)
        assert dataset.ImagerPixelSpacing == [0.28, 0.28]
        if row["shot"] == "standard":
            assert dataset.ImageLaterality == row["side"]
            assert dataset.ViewPosition in (row["view"], row["side"] + row["view"])
        if row["damage"] in ("", "sidecar_missing"):
            assert _stored(dataset).max() < 1 << dataset.BitsStored


def _stored(dataset: pydicom.Dataset) -> np.ndarray:
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return dataset.pixel_array
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    decode = imagecodecs.jpeg2k_decode if syntax.endswith(".90") else imagecodecs.jpeg8_decode
    return decode(frame)


def test_sidecars_repeat_the_header(root):
    for row in truth(root, "images"):
        if row["damage"]:
            continue
        sidecar = json.loads(sidecar_path(root, row).read_text())
        assert sidecar["00080018"]["Value"] == [row["sop"]]
        assert "7FE00010" not in sidecar
        header = pydicom.dcmread(dicom_path(root, row), stop_before_pixels=True)
        assert pydicom.Dataset.from_json(sidecar) == pydicom.Dataset(header)


def test_variety_of_the_encodings(root):
    images = [row for row in truth(root, "images") if row["purpose"] == "presentation"]
    assert {row["voi"] for row in images} == {"LINEAR", "LINEAR_EXACT", "SIGMOID", "LUT"}
    assert {row["photometric"] for row in images} == {"MONOCHROME1", "MONOCHROME2"}
    assert {row["bits"] for row in images} == {"10", "12", "14"}
    assert {row["syntax"].rsplit(".", 1)[1] for row in images} == {"1", "2", "70", "90"}
    habits = {(row["manufacturer"], row["bits"], row["photometric"]) for row in images}
    assert len(habits) == len({row["manufacturer"] for row in images}) == 4
    assert any(row["purpose"] == "processing" for row in truth(root, "images"))


def test_damaged_files_are_as_many_as_asked_and_of_every_kind(root):
    damaged = {row["damage"]: row for row in truth(root, "images") if row["damage"]}
    assert len(damaged) == DAMAGED
    with pytest.raises(pydicom.errors.InvalidDicomError):
        pydicom.dcmread(dicom_path(root, damaged["not_dicom"]))
    assert "PixelData" not in pydicom.dcmread(dicom_path(root, damaged["no_pixels"]))
    with pytest.raises(json.JSONDecodeError):
        json.loads(sidecar_path(root, damaged["sidecar_broken"]).read_text())
    unknown = pydicom.dcmread(dicom_path(root, damaged["unknown_syntax"]))
    assert unknown.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.100"
    assert not dicom_path(root, damaged["image_missing"]).exists()
    assert not sidecar_path(root, damaged["sidecar_missing"]).exists()


def test_every_quirk_occurs_and_is_written_so(root):
    found = {row["quirk"]: row for row in truth(root, "marks") if row["quirk"]}
    on_marks = set(QUIRKS) - {None, "no_site", "both_sides", "unknown_side", "linked_two"}
    assert on_marks <= set(found)
    written = {quirk: _mark(root, row) for quirk, row in found.items() if quirk in on_marks}
    assert written["unlinked"]["LinkedNBSSLesionNumber"] == "UNLINKED"
    assert int(written["swapped_corners"]["X1"]) > int(written["swapped_corners"]["X2"])
    assert written["null_corners"]["Y2"] is None
    assert written["decimal_corners"]["X1"].endswith(".5")
    assert int(written["outside"]["X1"]) >= 640
    assert "MarkID" not in written["no_mark_id"]
    names = ("Mass", "SuspiciousCalcifications", "OtherBenignCluster", "ArchitecturalDistortion")
    assert any(written["flag_names"][name] in (name, 1) for name in names)
    assert written["unset_flags"]["Vascular"] == "0"
    part = written["partly_outside"]
    assert int(part["X1"]) < 0 or int(part["X2"]) > 640


def _mark(root: Path, row: dict[str, str]) -> dict:
    client = row["client"]
    content = json.loads((root / "DATA" / client / f"IMAGEDB_{client}.json").read_text())
    for study in content["STUDIES"].values():
        for series in study.values():
            if isinstance(series, dict) and row["sop"] in series:
                return series[row["sop"]][row["mark"]]
    raise AssertionError(row)


def test_client_quirks(root):
    episodes = {row["client_quirk"]: row["client"] for row in truth(root, "episodes")}
    no_site = episodes["no_site"]
    imagedb = json.loads((root / "DATA" / no_site / f"IMAGEDB_{no_site}.json").read_text())
    assert "Site" not in imagedb
    both = episodes["both_sides"]
    nbss = json.loads((root / "DATA" / both / f"NBSS_{both}.json").read_text())
    assert set(nbss["200"]["LESION"]["L"]) == set(nbss["200"]["LESION"]["R"]) == {"1"}
    pathology = {row["pathology"] for row in truth(root, "lesions") if row["client"] == both}
    assert pathology == {"malignant", "benign"}
    two = next(row for row in truth(root, "marks") if row["client"] == episodes["linked_two"])
    assert _mark(root, two)["LinkedNBSSLesionNumber"] == "1,2"


def test_true_lesions_lie_in_their_boxes_and_their_boxes_in_the_marks(root):
    marks = {(row["sop"], row["linked"]): row for row in truth(root, "marks")}
    for row in truth(root, "lesions"):
        archive = np.load(root / "truth" / row["client"] / f"{row['sop']}.npz")
        layer = np.zeros((832, 640), np.float32)
        crop = archive[f"layer_{row['place']}"].astype(np.float32).clip(0)
        x, y = archive[f"corner_{row['place']}"]
        assert x >= 0
        assert y >= 0
        layer[y : y + crop.shape[0], x : x + crop.shape[1]] = crop[: 832 - y, : 640 - x]
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert 0 <= x0 < x1 <= 640
        assert 0 <= y0 < y1 <= 832
        assert layer[y0:y1, x0:x1].sum() > 0.85 * layer.sum()
        mark = marks.get((row["sop"], row["number"]))
        if mark:
            assert int(mark["x0"]) <= x0
            assert int(mark["y0"]) <= y0
            assert int(mark["x1"]) >= x1
            assert int(mark["y1"]) >= y1


def test_true_mask_covers_the_lesions(root):
    for row in truth(root, "lesions"):
        archive = np.load(root / "truth" / row["client"] / f"{row['sop']}.npz")
        shape = tuple(archive["mask_shape"])
        mask = np.unpackbits(archive["mask"], count=shape[0] * shape[1]).reshape(shape)
        x, y = (int(row["x0"]) + int(row["x1"])) // 2, (int(row["y0"]) + int(row["y1"])) // 2
        assert mask[y // 8, x // 8] == 1


def test_manifest_counts_what_is_there(root):
    manifest = json.loads((root / "manifest.json").read_text())
    counts = manifest["counts"]
    assert manifest["program"] == "make_phantom"
    assert counts["images"] == len(truth(root, "images"))
    assert sum(counts["clients_by_kind"].values()) == manifest["clients"] == 34
    kinds = Counter(f"{row['kind']} {row['pathology']}" for row in truth(root, "lesions"))
    assert counts["lesions_by_kind"] == dict(sorted(kinds.items()))
    assert sum(counts["damages"].values()) == DAMAGED


def test_boxes_are_missing_from_about_a_quarter_of_the_cases(root):
    lesions = {row["client"] for row in truth(root, "lesions")}
    marked = {row["client"] for row in truth(root, "marks")}
    assert 0.6 < len(marked) / len(lesions) < 0.9


def test_every_header_says_how_the_image_was_acquired(root):
    """Plausibly, in both of DICOM's units, and differently from woman to woman."""
    found = set()
    for row in truth(root, "images"):
        path = sidecar_path(root, row)
        if row["damage"] or not path.exists():
            continue
        header = json.loads(path.read_text(encoding="utf-8"))
        age, thickness, exposure, fine = (
            header[tag]["Value"][0] for tag in ("00101010", "001811A0", "00181152", "00181153")
        )
        assert 50 <= int(age.removesuffix("Y")) <= 70
        assert 30 <= thickness <= 75
        assert 25 <= exposure <= 200
        assert abs(fine / 1000 - exposure) <= 0.5
        found.add((row["client"], age, thickness, fine))
    assert len(found) == len({row["client"] for row in truth(root, "images")})
    ordered = sorted((thickness, fine) for _, _, thickness, fine in found)
    assert ordered[0][1] < ordered[-1][1]
