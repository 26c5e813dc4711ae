"""Sound files that the fuzzer starts from and the tests damage: small, and of every kind."""

import functools
import io
import json

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from tests.toys.omidb_tree import (
    DATE,
    MARK,
    breast,
    compressed,
    dataset,
    malignant,
    screening,
    side_car,
)

CLIENT, STUDY, SOP = "demd1", "1.2.826.1", "1.2.826.1.1.1"
SEPARATOR = b"\n\0\n"  # between a client's documents; JSON has no zero byte
SHAPE = (24, 20)
_MARK = {**MARK, "X1": "4", "Y1": "6", "X2": "12", "Y2": "15"}

_JPEG = "1.2.840.10008.1.2.4."
_ENCODERS = {
    f"{_JPEG}57": lambda p: imagecodecs.jpeg8_encode(p, lossless=True, bitspersample=12),
    f"{_JPEG}70": lambda p: imagecodecs.jpeg8_encode(p, lossless=True, bitspersample=12),
    f"{_JPEG}80": imagecodecs.jpegls_encode,
    f"{_JPEG}90": lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=0),
    f"{_JPEG}91": lambda p: imagecodecs.jpeg2k_encode(p, codecformat="jp2", level=0),
}


@functools.cache
def dicom_files() -> dict[str, bytes]:
    """DICOM files by what is special about them: every transfer syntax and every kind of VOI."""
    pixels = breast(SHAPE)
    eight = (pixels >> 4).astype(np.uint8)
    found = {
        f"syntax {syntax}": compressed(dataset(pixels), syntax, encode(pixels))
        for syntax, encode in _ENCODERS.items()
    }
    found[f"syntax {_JPEG}50"] = compressed(
        dataset(eight), f"{_JPEG}50", imagecodecs.jpeg8_encode(eight, level=90)
    )
    for syntax in (RLELossless, ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        header = dataset(pixels, PatientID="demd1", Manufacturer="ACME")
        if syntax == RLELossless:
            header.compress(syntax, generate_instance_uid=False)
        header.file_meta.TransferSyntaxUID = syntax
        found[f"syntax {syntax}"] = header
    found |= {f"voi {name}": dataset(pixels, **voi) for name, voi in _vois().items()}
    found["view codes"] = dataset(pixels, ViewPosition=None, ViewCodeSequence=_view_codes())
    return {name: file_bytes(header) for name, header in found.items()}


def file_bytes(header: Dataset) -> bytes:
    """The data set as a DICOM file."""
    file = io.BytesIO()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    pydicom.dcmwrite(file, header, enforce_file_format=True)
    return file.getvalue()


@functools.cache
def client_documents() -> tuple[bytes, bytes, bytes]:
    """IMAGEDB, NBSS and the side-car of a woman with one image and one malignant mass on it."""
    series = {SOP: {"7": _MARK}}
    study = {"EpisodeID": "200", "StudyDate": DATE, f"{STUDY}.1": series}
    imagedb = {"ClientID": CLIENT, "Site": "adde", "STUDIES": {STUDY: study}}
    nbss = {"ClientID": CLIENT, "200": screening(SURGERY=malignant())}
    return _json(imagedb), _json(nbss), _json(side_car(_client_header()))


def json_seeds() -> dict[str, bytes]:
    """Clients as one run of bytes: a case, a healthy woman, a benign one, one with nothing."""
    imagedb, nbss, car = client_documents()
    healthy = imagedb.replace(_json({"7": _MARK}), b"null")
    benign = _json({"ClientID": CLIENT, "200": screening(BIOPSYWIDE=malignant(opinion="B2"))})
    normal = _json({"ClientID": CLIENT, "200": screening()})
    assert healthy != imagedb
    return {
        "case": SEPARATOR.join((imagedb, nbss, car)),
        "healthy": SEPARATOR.join((healthy, normal, car)),
        "benign": SEPARATOR.join((imagedb, benign, car)),
        "empty": SEPARATOR.join((b"{}", b"{}", b"{}")),
        "no side-car": SEPARATOR.join((imagedb, nbss, b"")),
    }


@functools.cache
def client_image() -> tuple[str, bytes]:
    """(path under the client, content) of the woman's DICOM file."""
    return f"{STUDY}/{SOP}.dcm", file_bytes(_client_header())


def _client_header() -> Dataset:
    identity = {"SOPInstanceUID": SOP, "StudyInstanceUID": STUDY, "PatientID": CLIENT}
    return dataset(breast(SHAPE), **identity)


def _vois() -> dict[str, dict]:
    table = Dataset()
    table.LUTDescriptor = [64, 1500, 10]
    table.LUTData = list(range(0, 1024, 16))
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    window = {"WindowCenter": [1800, 1], "WindowWidth": [1500, 2]}
    return {
        "lut": {"VOILUTSequence": [table]},
        "window": window,
        "sigmoid": {**window, "VOILUTFunction": "SIGMOID", "RescaleSlope": 2},
        "inverted": {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 0},
    }


def _view_codes() -> list[Dataset]:
    view, modifier = Dataset(), Dataset()
    view.CodeValue, modifier.CodeValue = "R-10242", "R-102D6"
    view.ViewModifierCodeSequence = [modifier]
    return [view]


def _json(content) -> bytes:
    return json.dumps(content).encode()
