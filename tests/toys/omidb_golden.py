"""The golden tree: every quirk of OMI-DB that the reader knows, in any layout.

tests/golden/omidb/*.json hold the clients by topic. Of each client:
  about: the quirk.
  IMAGEDB, NBSS: the documents, or their text where it is no JSON; a missing key is a missing file.
  headers: what the header of each study/image says, in the DICOM file and in the side-car.
  side_cars, dicoms: exceptions by study/image: null for no file, a text for a damaged file, for
    side-cars also attributes that differ from the file's (null removes one).
  side_car_ending: .dcm.json unless given. others: texts of further files.

images.csv, marks.csv and files.csv beside them are what a listing must say. They were written down
from the rules in docs/data.md, client by client, not taken from a listing.
"""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.toys.omidb_tree import SHAPE, dataset, side_car, write, write_json

GOLDEN = Path(__file__).parents[1] / "golden" / "omidb"
LAYOUTS = ("{kind}", "{lower}", "FFDM/{kind}", "ffdm/{lower}", "{kind}/FFDM", "{lower}/ffdm")


@functools.cache
def clients() -> dict[str, dict[str, Any]]:
    """Every client by its id."""
    found = {}
    for path in sorted(GOLDEN.glob("*.json")):
        found |= json.loads(path.read_text(encoding="utf-8"))
    return found


def write_golden(root: Path, layout: str = LAYOUTS[0]) -> Path:
    """Writes the tree in one of `LAYOUTS`; the DICOM files are headers without pixels."""
    for name in clients():
        write_client(root, name, layout)
    return root


def write_client(root: Path, name: str, layout: str = LAYOUTS[0]) -> None:
    """Writes one client."""
    client = clients()[name]
    data, images = (root / directory(kind, layout) for kind in ("DATA", "IMAGES"))
    for kind in ("IMAGEDB", "NBSS"):
        if kind in client:
            file = f"{kind if layout == layout.replace('lower', '') else kind.lower()}_{name}.json"
            _write(data / name / file, client[kind])
    for place, attributes in client.get("headers", {}).items():
        header = _header(name, place, attributes)
        dicom = client.get("dicoms", {}).get(place, header)
        _write(images / name / f"{place}.dcm", dicom)
        ending = client.get("side_car_ending", ".dcm.json")
        other = client.get("side_cars", {}).get(place, {})
        if isinstance(other, dict):
            other = side_car(_header(name, place, attributes | other))
        _write(data / name / f"{place}{ending}", other)
    for path, text in client.get("others", {}).items():
        kind, _, rest = path.partition("/")
        _write(root / directory(kind, layout) / rest, text)


def directory(kind: str, layout: str) -> str:
    """DATA or IMAGES in a layout."""
    return layout.format(kind=kind, lower=kind.lower())


def expected(table: str, layout: str = LAYOUTS[0]) -> str:
    """A table of the listing for a layout."""
    text = (GOLDEN / table).read_text(encoding="utf-8")
    for kind in ("DATA", "IMAGES"):
        text = text.replace(f"{kind}/", f"{directory(kind, layout)}/")
    if "lower" in layout:
        text = text.replace("/IMAGEDB_", "/imagedb_").replace("/NBSS_", "/nbss_")
    return text


def _header(client: str, place: str, attributes: dict[str, Any]) -> Dataset:
    study, _, sop = place.partition("/")
    values = {"StudyInstanceUID": study, "SOPInstanceUID": sop, "PatientID": client}
    return _dataset(values | attributes)


def _dataset(values: dict[str, Any]) -> Dataset:
    lists = {name: v for name, v in values.items() if isinstance(v, list) and name != "ImageType"}
    header = dataset(_blank(), **{name: v for name, v in values.items() if name not in lists})
    for name, items in lists.items():
        setattr(header, name, [_item(item) for item in items])
    return header


def _item(values: dict[str, Any]) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        nested = [_item(inner) for inner in value] if isinstance(value, list) else value
        setattr(item, name, nested)
    return item


@functools.cache
def _blank() -> np.ndarray:
    return np.zeros(SHAPE, np.uint16)


def _write(path: Path, content: Any) -> None:
    """A DICOM header without pixels, a JSON object, or a text; nothing for None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Dataset):
        del content.PixelData
        write(path, content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif content is not None:
        write_json(path, content)
