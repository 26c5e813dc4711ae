"""Tiny OMI-DB trees and DICOM files for tests: every value can be set, nothing is random."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
SHAPE = (200, 160)
DATE = "2012-03-01"
MARK = {"X1": "20", "Y1": "90", "X2": "50", "Y2": "120", "MarkID": 7, "Mass": 1,
        "LinkedNBSSLesionNumber": "1", "Conspicuity": "Obvious"}  # fmt: skip


def breast(shape: tuple[int, int] = SHAPE, seed: int = 0) -> np.ndarray:
    """uint16 [H, W], 12 bits: a textured half disc at the left edge on a black background."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    inside = (rows - shape[0] / 2) ** 2 + columns**2 < (0.47 * shape[0]) ** 2
    texture = np.random.default_rng(seed).integers(1500, 2500, shape)
    return (inside * texture).astype(np.uint16)


def dataset(pixels: np.ndarray | None = None, **attributes: Any) -> Dataset:
    """An uncompressed mammogram for presentation; an attribute of None is left out."""
    pixels = breast() if pixels is None else pixels
    header = Dataset()
    values = {
        "SOPClassUID": PRESENTATION,
        "SOPInstanceUID": "1.2.3",
        "StudyInstanceUID": "1.2",
        "PatientID": "demd1",
        "Modality": "MG",
        "Manufacturer": "ACME",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageLaterality": "L",
        "ViewPosition": "CC",
        "ImagerPixelSpacing": [0.1, 0.1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": 12 if pixels.dtype.itemsize == 2 else 8,
        "PixelRepresentation": 0,
    }
    values |= attributes
    values.setdefault("HighBit", values["BitsStored"] - 1)
    for name, value in values.items():
        if value is not None:
            setattr(header, name, value)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.PixelData = pixels.tobytes()
    return header


def compressed(header: Dataset, syntax: str, stream: bytes) -> Dataset:
    """The same data set with its pixels as one encapsulated frame."""
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate([stream])
    header["PixelData"].is_undefined_length = True
    return header


def write(path: Path, header: Dataset) -> Path:
    """Writes a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    pydicom.dcmwrite(path, header, enforce_file_format=True)
    return path


def write_json(path: Path, content: Any) -> Path:
    """Writes a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def screening(**events: Any) -> dict[str, Any]:
    """An NBSS episode with a screening on `DATE`, and what else it had."""
    return {
        "EpisodeType": "R",
        "EpisodeOpenedDate": DATE,
        "SCREENING": {
            "L": {"DateTaken": DATE},
            "R": {"DateTaken": DATE},
            "left_opinion": "ON",
            "right_opinion": "ON",
        },
        **events,
    }


def malignant(side: str = "L", number: str = "1", opinion: str = "H5") -> dict[str, Any]:
    """A SURGERY event with one lesion."""
    names = {"L": "left_opinion", "R": "right_opinion"}
    return {
        side: {number: {"DatePerformed": "2012-05-01", "Opinion": opinion}},
        names[side]: "OM" if opinion.endswith("5") else "OB",
        "dateperformed": "2012-05-01",
    }


class Tree:
    """A tree under a directory; `lower` and `ffdm` choose the older layouts."""

    def __init__(self, root: Path, lower: bool = False, ffdm: bool = False):
        base = root / "FFDM" if ffdm else root
        self.root = root
        self.lower = lower
        self.data = base / ("data" if lower else "DATA")
        self.images = base / ("images" if lower else "IMAGES")

    def client(
        self,
        name: str,
        images: dict[str, Any],
        episode: dict[str, Any] | None = None,
        headers: dict[str, dict[str, Any]] | None = None,
        side_cars: bool = True,
        shape: tuple[int, int] = SHAPE,
    ) -> Path:
        """One client with one study.

        Args:
          images: marks (or None) by "LCC", "RMLO" and so on.
          episode: of NBSS, normal when left out.
          headers: attributes of an image's DICOM file by the same names.
          shape: (rows, columns) of the images.

        Returns:
          The directory of its DICOM files.
        """
        study = f"1.2.826.{'do'.index(name[0])}.{name[4:]}"
        content: dict[str, Any] = {"EpisodeID": "200", "StudyDate": DATE}
        folder = self.images / name / study
        for number, (image, marks) in enumerate(images.items(), 1):
            sop = f"{study}.{number}.1"
            content[f"{study}.{number}"] = {sop: marks}
            attributes = {
                "SOPInstanceUID": sop,
                "StudyInstanceUID": study,
                "PatientID": name,
                "ImageLaterality": image[0],
                "ViewPosition": image[1:],
            }
            header = dataset(breast(shape, number), **attributes | (headers or {}).get(image, {}))
            write(folder / f"{sop}.dcm", header)
            if side_cars:
                ending = ".json" if self.lower else ".dcm.json"
                write_json(self.data / name / study / f"{sop}{ending}", side_car(header))
        self.document(
            "IMAGEDB", name, {"ClientID": name, "Site": "adde", "STUDIES": {study: content}}
        )
        self.document("NBSS", name, {"ClientID": name, "200": episode or screening()})
        return folder

    def document(self, kind: str, name: str, content: Any) -> Path:
        """IMAGEDB_<client>.json or NBSS_<client>.json."""
        kind = kind.lower() if self.lower else kind
        return write_json(self.data / name / f"{kind}_{name}.json", content)


def side_car(header: Dataset) -> dict[str, Any]:
    """The JSON of a header without its pixels."""
    content = header.to_json_dict()
    content.pop("7FE00010", None)
    return content
