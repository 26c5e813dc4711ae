"""IMAGEDB_<client>.json of the phantom: studies, images and marks, as OMI-DB has them."""

import dataclasses
from typing import Any

import numpy as np

from beam_pipelines.phantom_findings import PlannedLesion
from beam_pipelines.phantom_lesions import CALCIFICATION, DISTORTION, MASS, MASS_WITH_CALCIFICATION
from beam_pipelines.phantom_plan import Client, Episode, Study, written_date

FLAGS = (
    "ArchitecturalDistortion",
    "Dystrophic",
    "FatNecrosis",
    "FocalAsymmetry",
    "MilkOfCalcium",
    "OtherBenignCluster",
    "PlasmaCellMastitis",
    "Skin",
    "SuspiciousCalcifications",
    "SutureCalcification",
    "Vascular",
    "WithCalcification",
)


@dataclasses.dataclass(frozen=True)
class Mark:
    """A box as a radiologist drew it, before any quirk of writing.

    Attributes:
      box: (x0, y0, x1, y1), x1 and y1 exclusive. numbers: linked NBSS lesions.
    """

    mark_id: int
    lesion: PlannedLesion
    numbers: tuple[str, ...]
    box: tuple[int, int, int, int]
    quirk: str | None


def imagedb(client: Client, marks: dict[str, list[Mark]], columns: int) -> dict[str, Any]:
    """IMAGEDB_<client>.json; `marks` by SOP instance UID, `columns` of the images."""
    studies = {}
    for episode in client.episodes:
        for study in episode.studies:
            studies[study.uid] = _study(client, episode, study, marks, columns)
    content = {"ClientID": client.client_id, "Site": client.site, "STUDIES": studies}
    if client.quirk == "no_site":
        del content["Site"]
    return content


def _study(
    client: Client,
    episode: Episode,
    study: Study,
    marks: dict[str, list[Mark]],
    columns: int,
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "EpisodeID": episode.episode_id,
        "StudyDate": written_date(client, study.date),
    }
    for image in study.images:
        found = {str(m.mark_id): mark_json(m, columns) for m in marks.get(image.sop_uid, [])}
        content[image.series_uid] = {image.sop_uid: found or None}
    if client.odd_keys:
        content["StudyDescription"] = "Breast Screening"
        content[study.images[0].series_uid][""] = None
    return content


def mark_json(mark: Mark, columns: int) -> dict[str, Any]:
    """One mark in OMI-DB's words, its quirk applied."""
    lesion = mark.lesion
    x0, y0, x1, y1 = mark.box
    if mark.quirk == "outside":
        x0, x1 = x0 + columns, x1 + columns
    corners: dict[str, Any] = {"X1": str(x0), "Y1": str(y0), "X2": str(x1), "Y2": str(y1)}
    if mark.quirk == "partly_outside":
        corners["X1" if x0 < columns // 2 else "X2"] = str(
            -15 if x0 < columns // 2 else columns + 15
        )
    if mark.quirk == "swapped_corners":
        corners |= {"X1": str(x1), "X2": str(x0)}
    if mark.quirk == "decimal_corners":
        corners |= {"X1": f"{x0}.5", "Y2": f"{y1}.5"}
    if mark.quirk == "null_corners":
        corners = dict.fromkeys(corners)
    content: dict[str, Any] = {
        **corners,
        "Width": str(x1 - x0),
        "Height": str(y1 - y0),
        "MarkID": mark.mark_id,
        "LesionID": mark.mark_id // 10,
        "LinkedNBSSLesionNumber": ",".join(mark.numbers),
        "Mass": 1 if lesion.look.kind in (MASS, MASS_WITH_CALCIFICATION) else None,
        "MassClassification": None,
        "BenignClassification": None,
        "Conspicuity": lesion.conspicuity,
        **dict.fromkeys(FLAGS),
    }
    if mark.quirk == "unlinked":
        content["LinkedNBSSLesionNumber"] = "UNLINKED"
    _set_flags(content, lesion)
    if mark.quirk == "flag_names":
        content |= {name: name for name in FLAGS if content[name]}
    if mark.quirk == "unset_flags":
        content |= {name: "0" for name in FLAGS if not content[name]}
    if mark.quirk == "no_mark_id":
        del content["MarkID"]
    return content


def _set_flags(content: dict[str, Any], lesion: PlannedLesion) -> None:
    look = lesion.look
    if content["Mass"]:
        content["MassClassification"] = look.margin
    if look.kind == MASS_WITH_CALCIFICATION:
        content["WithCalcification"] = 1
        if lesion.pathology == "malignant":
            content["SuspiciousCalcifications"] = 1
    if look.kind == CALCIFICATION:
        if lesion.pathology == "malignant" or look.morphology != "round":
            content["SuspiciousCalcifications"] = 1
        else:
            content["OtherBenignCluster"] = 1
            content["BenignClassification"] = "round_and_punctate"
    if look.kind == DISTORTION:
        content["ArchitecturalDistortion"] = 1


def draw_box(
    rng: np.random.Generator, box: tuple[int, int, int, int], shape: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The true box with a radiologist's looseness, inside the image."""
    loose = rng.integers(0, max(2, (box[2] - box[0]) // 10), 4)
    return (
        max(0, box[0] - int(loose[0])),
        max(0, box[1] - int(loose[1])),
        min(shape[1], box[2] + int(loose[2])),
        min(shape[0], box[3] + int(loose[3])),
    )
