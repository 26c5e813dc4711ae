"""Where things are in a copy of OMI-DB: every layout variant, one set of paths.

    <root>/[FFDM/]DATA/<client>/IMAGEDB_<client>.json, NBSS_<client>.json
    <root>/[FFDM/]DATA/<client>/<study>/<sop>.dcm.json or <sop>.json
    <root>/[FFDM/]IMAGES/<client>/<study>/<sop>.dcm

Older copies are lower case; FFDM may be above or below DATA and IMAGES.

Synthetic images as a tree in OMI-DB's own layout: IMAGEDB and NBSS for each client.

What says that it is synthetic: SYNTHETIC_FILE at the root, Synthetic Data (0008,001C) in every
image and side-car, and `SYNTHETIC_KEY` in every client's documents and in every mark. The pathology
in NBSS (H5, H2) is no pathologist's: it is what a reader of OMI-DB needs to call a lesion
malignant or benign.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

from beam_pipelines.dicom.writing import Names
from beam_pipelines.sources.omidb_labels import MALIGNANT, SIDES, parse_date
from beam_pipelines.storage import files
from cgan_tf.labels import MALIGNANT_CALCIFICATION, MALIGNANT_MASS
from cgan_tf.runs.errors import UserError

SYNTHETIC_FILE = "SYNTHETIC.json"  # marks a tree that insert_lesions has written
_LEVEL = "ffdm"


@dataclasses.dataclass(frozen=True)
class ClientFiles:
    """The files of one client.

    Attributes:
      imagedb, nbss: paths, empty when missing.
      side_cars, images: path by (study, SOP instance uid).
      others: files that are none of these.
      folder: where images are.
    """

    imagedb: str
    nbss: str
    side_cars: dict[tuple[str, str], str]
    images: dict[tuple[str, str], str]
    others: tuple[str, ...]
    folder: str


@dataclasses.dataclass(frozen=True)
class Tree:
    """The two roots of a copy; either may be empty, not both."""

    data: str
    images: str

    def clients(self) -> list[str]:
        """Every client with data or with images."""
        return sorted({*files.directories(self.data), *files.directories(self.images)})

    def files_of(self, client: str) -> ClientFiles:
        """The files of a client."""
        data = os.path.join(self.data, client)
        inside = files.listing(data)
        documents = {name.lower(): os.path.join(data, name) for name in inside.file_names(data)}
        imagedb = documents.pop(f"imagedb_{client.lower()}.json", "")
        nbss = documents.pop(f"nbss_{client.lower()}.json", "")
        others = sorted(documents.values())
        side_cars = _by_study(inside, (".dcm.json", ".json"), others)
        folder = os.path.join(self.images or self.data, client)
        images = _by_study(files.listing(folder), (".dcm",), others) if self.images else {}
        return ClientFiles(imagedb, nbss, side_cars, images, tuple(others), folder)


def find_tree(root: str, allow_synthetic: bool = False) -> Tree:
    """The tree under `root`.

    Raises `UserError` when there is no DATA directory with clients, or when the tree is marked as
    synthetic and not allowed.
    """
    if not files.is_directory(root):
        raise UserError(f"{root}: expected a directory with DATA and IMAGES, found none")
    if not allow_synthetic and files.exists(os.path.join(root, SYNTHETIC_FILE)):
        raise UserError(f"{root}: synthetic data ({SYNTHETIC_FILE}); --allow_synthetic reads it")
    for base in (root, files.directory_named(root, _LEVEL)):
        data = _descend(base, "data")
        if data:
            tree = Tree(data, _descend(base, "images"))
            if not any(files.has_directories(part) for part in (tree.data, tree.images) if part):
                raise UserError(f"{data}: expected a directory for each client, found none")
            return tree
    raise UserError(f"{root}: expected OMI-DB's directories DATA and IMAGES, found neither")


def _descend(base: str, name: str) -> str:
    path = files.directory_named(base, name) if base else ""
    return (files.directory_named(path, _LEVEL) or path) if path else ""


def _by_study(
    client: files.Listing, endings: tuple[str, ...], others: list[str]
) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for study in client.directories(client.root):
        folder = os.path.join(client.root, study)
        for name in client.file_names(folder):
            path = os.path.join(folder, name)
            ending = next((e for e in endings if name.lower().endswith(e)), "")
            key = study, name[: -len(ending)] if ending else ""
            if not ending or key in found:
                others.append(path)
            else:
                found[key] = path
        others += [
            path
            for sub in client.directories(folder)
            for path in files.walk(os.path.join(folder, sub))
        ]
    return found


SYNTHETIC_KEY = "SyntheticData"
_CLASS_OF = {"mass": MALIGNANT_MASS, "calcification": MALIGNANT_CALCIFICATION}
_SURGERY = {True: ("H5", "OM"), False: ("H2", "OB")}  # malignant or not: lesion, side
_UNKNOWN_DATE = "1900-01-01"

Row = dict[str, Any]


def image_path(source: str, client_id: str, names: Names) -> str:
    """Where an image is below the images' directory."""
    if source != "optimam":
        return f"{names.sop}.dcm"
    return f"IMAGES/{client_id}/{names.study}/{names.sop}.dcm"


def side_car_path(client_id: str, names: Names) -> str:
    """Where its JSON side-car is."""
    return f"DATA/{client_id}/{names.study}/{names.sop}.dcm.json"


def side_car_bytes(dataset: Any) -> bytes:
    """A header as DICOM JSON (PS3.18 F.2)."""
    return json.dumps(dataset.to_json_dict()).encode()


def write_documents(root: str, rows: Sequence[Row], task: str, about: dict[str, Any]) -> None:
    """The marker, then IMAGEDB_<client>.json and NBSS_<client>.json of every client.

    Args:
      root: of the tree. rows: of `insertion.finish.finish`. about: what the marker says.
    """
    _write(os.path.join(root, SYNTHETIC_FILE), {"synthetic": True, **about})
    clients: dict[str, list[Row]] = collections.defaultdict(list)
    for row in rows:
        clients[row["client_id"]].append(row)
    for client, images in sorted(clients.items()):
        for kind, content in zip(("IMAGEDB", "NBSS"), documents(images, task), strict=True):
            _write(os.path.join(root, "DATA", client, f"{kind}_{client}.json"), content)


def documents(images: Sequence[Row], task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(IMAGEDB, NBSS) of one client: a study of the tree is an episode."""
    client = images[0]["client_id"]
    studies: dict[str, Any] = {}
    nbss: dict[str, Any] = {"ClientID": client, SYNTHETIC_KEY: "YES"}
    by_study: dict[str, list[Row]] = collections.defaultdict(list)
    for row in images:
        by_study[row["study_uid"]].append(row)
    mark_id = 0
    for number, (study, members) in enumerate(sorted(by_study.items()), 1):
        date = _date(members)
        content: dict[str, Any] = {"EpisodeID": str(number), "StudyDate": date}
        lesions: dict[str, list[str]] = {side: [] for side in SIDES}
        for row in sorted(members, key=lambda row: row["name"]):
            marks = {}
            for patch_class, box in lesions_of(row, task):
                mark_id += 1
                lesions[row["laterality"]].append(patch_class)
                link = str(len(lesions[row["laterality"]]))
                marks[str(mark_id)] = _mark(mark_id, patch_class, box, link)
            content.setdefault(row["series_uid"], {})[row["name"]] = marks or None
        studies[study] = content
        nbss[str(number)] = _episode(date, lesions)
    imagedb = {"ClientID": client, "Site": "synthetic", SYNTHETIC_KEY: "YES", "STUDIES": studies}
    return imagedb, nbss


def lesions_of(row: Row, task: str) -> list[tuple[str, list[float]]]:
    """(class, box) of the lesions in an image: those of its source, and those inserted."""
    kept = [(patch_class, box) for patch_class, box in row["kept_marks"]]
    if task == "removal":
        return kept
    return kept + [(_CLASS_OF[task], lesion["box"]) for lesion in row["lesions"]]


def _mark(mark_id: int, patch_class: str, box: Sequence[float], link: str) -> dict[str, Any]:
    x0, y0, x1, y1 = (f"{edge:g}" for edge in box)
    mass = patch_class.endswith("_mass")
    return {
        "X1": x0,
        "Y1": y0,
        "X2": x1,
        "Y2": y1,
        "Width": f"{box[2] - box[0]:g}",
        "Height": f"{box[3] - box[1]:g}",
        "MarkID": mark_id,
        "LesionID": mark_id,
        "LinkedNBSSLesionNumber": link,
        "Mass": 1 if mass else None,
        "SuspiciousCalcifications": None if mass else 1,
        SYNTHETIC_KEY: "YES",
    }


def _episode(date: str, lesions: dict[str, list[str]]) -> dict[str, Any]:
    """A screening on `date`, and a surgery that found the lesions."""
    sides = {side: {"DateTaken": date} for side in SIDES}
    screening = {**sides, **dict.fromkeys(SIDES.values(), "ON")}
    episode: dict[str, Any] = {
        "EpisodeType": "R",
        "EpisodeOpenedDate": date,
        SYNTHETIC_KEY: "YES",
        "SCREENING": screening,
    }
    surgery: dict[str, Any] = {}
    for side, classes in lesions.items():
        found = [_SURGERY[name.startswith(MALIGNANT)] for name in classes]
        if found:
            surgery[side] = {
                str(number): {"DatePerformed": date, "Opinion": opinion, SYNTHETIC_KEY: "YES"}
                for number, (opinion, _) in enumerate(found, 1)
            }
            surgery[SIDES[side]] = "OM" if ("H5", "OM") in found else "OB"
    if surgery:
        episode["SURGERY"] = surgery
    return episode


def _date(members: Sequence[Row]) -> str:
    """The date of a study as OMI-DB writes it."""
    dates = [date for row in members if (date := parse_date(row["study_date"]))]
    return min(dates).isoformat() if dates else _UNKNOWN_DATE


def _write(path: str, content: Any) -> None:
    files.write_atomically(path, json.dumps(content, indent=1).encode())
