"""The made images as a tree in OMI-DB's own layout: IMAGEDB and NBSS for each patient.

SYNTHETIC_FILE at the root, Synthetic Data (0008,001C) in every image and side-car, and
`SYNTHETIC_KEY` in every patient's documents and every mark say that it is synthetic. No pathologist
stands behind the pathology in NBSS (H5, H2): a reader of OMI-DB needs it to call a lesion malignant
or benign.
"""

import collections
import json
import os
from collections.abc import Sequence

from pydicom.dataset import Dataset

from beam_pipelines.dicom.writing import Names
from beam_pipelines.insertion.tables import MadeImage
from beam_pipelines.sources.omidb_files import SYNTHETIC_FILE
from beam_pipelines.sources.omidb_labels import MALIGNANT, SIDES, parse_date
from beam_pipelines.storage import files
from cgan_tf.labels import MALIGNANT_CALCIFICATION, MALIGNANT_MASS
from cgan_tf.runs.directory import Json

SYNTHETIC_KEY = "SyntheticData"
_CLASS_OF = {"mass": MALIGNANT_MASS, "calcification": MALIGNANT_CALCIFICATION}
_SURGERY = {True: ("H5", "OM"), False: ("H2", "OB")}  # malignant or not: lesion, side
_UNKNOWN_DATE = "1900-01-01"


def image_path(source: str, client_id: str, names: Names) -> str:
    """Where an image is below the images' directory."""
    if source != "optimam":
        return f"{names.sop}.dcm"
    return f"IMAGES/{client_id}/{names.study}/{names.sop}.dcm"


def side_car_path(client_id: str, names: Names) -> str:
    """Where its JSON side-car is."""
    return f"DATA/{client_id}/{names.study}/{names.sop}.dcm.json"


def side_car_bytes(dataset: Dataset) -> bytes:
    """A header as DICOM JSON (PS3.18 F.2)."""
    return json.dumps(dataset.to_json_dict()).encode()


def write_documents(root: str, images: Sequence[MadeImage], task: str, about: Json) -> None:
    """The marker, then IMAGEDB_<client>.json and NBSS_<client>.json of every patient.

    Args:
      root: of the tree. about: what the marker says.
    """
    _write(os.path.join(root, SYNTHETIC_FILE), {"synthetic": True, **about})
    patients: dict[str, list[MadeImage]] = collections.defaultdict(list)
    for image in images:
        patients[image.client_id].append(image)
    for patient, members in sorted(patients.items()):
        for kind, content in zip(("IMAGEDB", "NBSS"), documents(members, task), strict=True):
            _write(os.path.join(root, "DATA", patient, f"{kind}_{patient}.json"), content)


def documents(images: Sequence[MadeImage], task: str) -> tuple[Json, Json]:
    """(IMAGEDB, NBSS) of one patient: a study of the tree is an episode."""
    patient = images[0].client_id
    studies: Json = {}
    nbss: Json = {"ClientID": patient, SYNTHETIC_KEY: "YES"}
    by_study: dict[str, list[MadeImage]] = collections.defaultdict(list)
    for image in images:
        by_study[image.study_uid].append(image)
    mark_id = 0
    for number, (study, members) in enumerate(sorted(by_study.items()), 1):
        date = _date(members)
        content: Json = {"EpisodeID": str(number), "StudyDate": date}
        lesions: dict[str, list[str]] = {side: [] for side in SIDES}
        for image in sorted(members, key=lambda image: image.name):
            marks = {}
            for patch_class, box in lesions_of(image, task):
                mark_id += 1
                lesions[image.laterality].append(patch_class)
                link = str(len(lesions[image.laterality]))
                marks[str(mark_id)] = _mark(mark_id, patch_class, box, link)
            content.setdefault(image.series_uid, {})[image.name] = marks or None
        studies[study] = content
        nbss[str(number)] = _episode(date, lesions)
    imagedb = {"ClientID": patient, "Site": "synthetic", SYNTHETIC_KEY: "YES", "STUDIES": studies}
    return imagedb, nbss


def lesions_of(image: MadeImage, task: str) -> list[tuple[str, tuple[float, ...]]]:
    """(class, box) of the lesions in an image: those of its source, and those inserted."""
    kept = [(mark.patch_class, mark.box) for mark in image.kept_marks]
    if task == "removal":
        return kept
    return kept + [(_CLASS_OF[task], lesion.box) for lesion in image.lesions]


def _mark(mark_id: int, patch_class: str, box: Sequence[float], link: str) -> Json:
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


def _episode(date: str, lesions: dict[str, list[str]]) -> Json:
    """A screening on `date`, and a surgery that found the lesions."""
    sides = {side: {"DateTaken": date} for side in SIDES}
    screening = {**sides, **dict.fromkeys(SIDES.values(), "ON")}
    episode: Json = {
        "EpisodeType": "R",
        "EpisodeOpenedDate": date,
        SYNTHETIC_KEY: "YES",
        "SCREENING": screening,
    }
    surgery: Json = {}
    for side, classes in lesions.items():
        surgeries = [_SURGERY[name.startswith(MALIGNANT)] for name in classes]
        if surgeries:
            surgery[side] = {
                str(number): {"DatePerformed": date, "Opinion": opinion, SYNTHETIC_KEY: "YES"}
                for number, (opinion, _) in enumerate(surgeries, 1)
            }
            surgery[SIDES[side]] = "OM" if ("H5", "OM") in surgeries else "OB"
    if surgery:
        episode["SURGERY"] = surgery
    return episode


def _date(members: Sequence[MadeImage]) -> str:
    """The date of a study as OMI-DB writes it."""
    dates = [date for image in members if (date := parse_date(image.study_date))]
    return min(dates).isoformat() if dates else _UNKNOWN_DATE


def _write(path: str, content: Json) -> None:
    files.write_atomically(path, json.dumps(content, indent=1).encode())
