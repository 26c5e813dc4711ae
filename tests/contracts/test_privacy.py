"""Nothing of a header that may name a person leaves the input: every output is searched."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from cgan_tf.data.patch_sets import PatchSet
from tests.toys.omidb_tree import MARK, Tree, malignant, screening, side_car, write_json

NAME, BORN, ACCESSION = "Plantagenet^Eleanor", "19371224", "ACC40417723"
# In any case; parts of the name, and the date as people write it, too.
AGE = "074Y"  # comes out as a band of ten years, or not at all
TRACES = re.compile(
    rb"plantagenet|eleanor|1937-?12-?24|24[./]12[./]1937|40417723|074y", re.IGNORECASE
)
ACQUIRED = {"PatientAge": NAME, "BodyPartThickness": BORN, "ExposureInuAs": BORN, "Exposure": NAME}


def _plant(header: Dataset) -> None:
    """Writes the person into every element that holds her, and into some that should not."""
    header.PatientName = NAME
    header.PatientBirthDate = BORN
    header.AccessionNumber = ACCESSION
    header.OtherPatientIDs = [ACCESSION, NAME]
    header.ReferringPhysicianName = header.OperatorsName = NAME
    header.InstitutionName = f"{NAME} clinic"
    header.PatientComments = header.ImageComments = f"{NAME}, born {BORN}, {ACCESSION}"
    header.StudyDescription = header.SeriesDescription = header.ProtocolName = NAME
    header.StudyID = ACCESSION[:16]
    header.PatientAge = AGE
    header.DeviceSerialNumber = header.StationName = ACCESSION
    request = Dataset()
    request.AccessionNumber, request.RequestedProcedureDescription = ACCESSION, NAME
    header.RequestAttributesSequence = [request]
    block = header.private_block(0x0029, "PLANTED", create=True)
    block.add_new(1, "LO", f"{NAME} {BORN}")
    header.file_meta.PrivateInformationCreatorUID = "1.2.3"
    header.file_meta.PrivateInformation = f"{NAME} {BORN} {ACCESSION}".encode()


# Where a person is where a term should be: the image is rejected, and the ledger says for what.
_MISUSED = [
    {"ViewPosition": NAME},
    {"ImageLaterality": NAME},
    {"Modality": NAME},
    {"PresentationIntentType": NAME, "SOPClassUID": "1.2.19371224"},
    {"PhotometricInterpretation": NAME},
    {"VOILUTFunction": NAME, "WindowCenter": 2000, "WindowWidth": 900},
    {"WindowCenter": NAME, "WindowWidth": BORN},
    {"RescaleSlope": NAME},
    {"BreastImplantPresent": NAME},
    {"ImageType": [NAME, "GENERATED_2D"]},
    {"EstimatedRadiographicMagnificationFactor": BORN},
    {"NumberOfFrames": BORN},
    {"ImagerPixelSpacing": [BORN, "0.1"]},
    {"Rows": NAME},
    {"PixelPaddingValue": NAME},
    {"SyntheticData": NAME},
]


def _misuse(header: Dataset, attributes: dict) -> None:
    for name, value in attributes.items():
        texts = [str(one) for one in value] if isinstance(value, list) else str(value)
        header[name] = pydicom.DataElement(name, "LO", texts, validation_mode=0)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = Tree(tmp_path_factory.mktemp("privacy") / "tree")
    tree.client("demd1", {"LCC": {"7": MARK}, "LMLO": {"7": MARK}}, screening(SURGERY=malignant()))
    for number in range(2, 8):
        tree.client(f"demd{number}", dict.fromkeys(("LCC", "LMLO", "RCC", "RMLO")))
    for number in range(3, 6):
        for kind, key in (("IMAGEDB", "Site"), ("NBSS", "PatientAge")):
            path = tree.data / f"demd{number}" / f"{kind}_demd{number}.json"
            content = json.loads(path.read_text())
            (content if key == "Site" else content["200"])[key] = f"{NAME} {BORN}"
            write_json(path, content)
    wrong = iter(_MISUSED)
    for number, path in enumerate(sorted(tree.images.rglob("*.dcm"))):
        header = pydicom.dcmread(path)
        _plant(header)
        if number % 2:
            header.Manufacturer = NAME.replace("^", " ")
            _misuse(header, ACQUIRED)
        elif number > 2:
            _misuse(header, next(wrong, {}))
        header.save_as(path)
        if number % 3:
            car = tree.data / path.relative_to(tree.images).parent / f"{path.name}.json"
            with_errors = side_car(pydicom.dcmread(path)) if number % 2 else _json_of(header)
            write_json(car, with_errors)
        if number % 8 == 5:  # pydicom's complaints quote what they stumble over
            damaged = np.frombuffer(path.read_bytes(), np.uint8).copy()
            damaged[200:1400:23] ^= 4
            path.write_bytes(damaged.tobytes())
        elif number % 8 == 7:
            path.write_bytes(path.read_bytes()[:1500])
    return tree


def _json_of(header: Dataset) -> dict:
    """A side-car whose elements hold what the header's do, whatever their VR allows."""
    return {
        f"{element.tag:08X}": {"vr": element.VR, "Value": [str(element.value)]}
        for element in header
        if element.keyword != "PixelData"
    }


def _traces(*places) -> list[str]:
    """Where a trace of the person is: files, and texts."""
    found = []
    for place in places:
        if isinstance(place, str):
            found += ["printed"] if TRACES.search(place.encode()) else []
            continue
        for path in place.rglob("*"):
            if TRACES.search(str(path.relative_to(place)).encode()):
                found.append(f"name of {path}")
            if path.is_file() and TRACES.search(path.read_bytes()):
                found.append(str(path))
    return found


def _run(tree, output, *flags):
    command = [
        *(sys.executable, "-m", "beam_pipelines.make_patches", f"--input_dir={tree}"),
        *(f"--output_dir={output}", "--size=32", "--allow_shortfall", "--all_in_split=train"),
        *("--train_normal=60", "--train_malignant_mass=6", "--train_source=5", *flags),
    ]
    environment = {**os.environ, "PYTHONWARNINGS": "always"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_search_finds_what_was_planted(tree):
    files = [path for path in tree.root.rglob("*.dcm") if path.stat().st_size > 10_000]
    assert len(_traces(tree.root)) > len(files)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((), id="patches"),
        pytest.param(("--list_only",), id="listing", marks=pytest.mark.slow),
    ],
)
def test_nothing_of_a_person_comes_out(tree, tmp_path, flags):
    output = tmp_path / "out"
    printed = _run(tree.root, output, *flags)
    assert _traces(output, printed) == []
    if flags:
        assert (output / "images.csv").stat().st_size > 1000
        return
    patches = PatchSet(output)
    assert patches.count("train", "normal") == 60
    assert patches.count("train", "malignant_mass") == 6
    assert len((output / "rejections.csv").read_text().splitlines()) > 8
    index = patches.index("train", "normal")
    makers = {index.record(number).manufacturer for number in range(len(index))}
    assert makers <= {"ACME", ""}
    records = [index.record(number) for number in range(len(index))]
    assert {record.site for record in records} == {"adde", ""}
    assert {record.age_band for record in records} == {"70 years and over", ""}
    assert {(record.breast_thickness_mm, record.exposure_mas) for record in records} == {(0, 0)}


@pytest.mark.slow
def test_nothing_of_a_person_comes_out_of_a_folder(tree, tmp_path):
    """PatientID too is a person's, where the data set is not one of pseudonyms."""
    output, films = tmp_path / "out", tmp_path / "films"
    films.mkdir()
    for path in sorted(tree.images.rglob("*.dcm"))[:6]:
        try:
            header = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            continue
        header.PatientID = NAME
        header.save_as(films / path.name)
    flags = ("--source=folder", "--folder_patches=20", "--assume_normal")
    printed = _run(films, output, *flags)
    assert _traces(output, printed) == []
    assert PatchSet(output).count("train", "normal") == 20
