"""IMAGEDB_<client>.json and NBSS_<client>.json of the phantom, as OMI-DB has them."""

import dataclasses
import datetime

import numpy as np

from beam_pipelines.phantom.lesions import CALCIFICATION, DISTORTION, MASS, MASS_WITH_CALCIFICATION
from beam_pipelines.phantom.plan import (
    DAYS_TO_ASSESSMENT,
    Client,
    Episode,
    PlannedLesion,
    Study,
    written_date,
)
from cgan_tf.runs.directory import Json

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


def imagedb(client: Client, marks: dict[str, list[Mark]], columns: int) -> Json:
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
) -> Json:
    content: Json = {
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


def mark_json(mark: Mark, columns: int) -> Json:
    """One mark in OMI-DB's words, its quirk applied."""
    lesion = mark.lesion
    x0, y0, x1, y1 = mark.box
    if mark.quirk == "outside":
        x0, x1 = x0 + columns, x1 + columns
    corners: Json = {"X1": str(x0), "Y1": str(y0), "X2": str(x1), "Y2": str(y1)}
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
    content: Json = {
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


def _set_flags(content: Json, lesion: PlannedLesion) -> None:
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


DESCRIPTIONS = {
    MASS: ("MA", "Mass"),
    CALCIFICATION: ("CA", "Calcification only"),
    MASS_WITH_CALCIFICATION: ("MC", "Mass with calcification"),
    DISTORTION: ("DS", "Distortion"),
}
EPISODE_TYPES = {
    "normal": ("R", "Routine Recall"),
    "benign": ("F", "First Call"),
    "malignant": ("R", "Routine Recall"),
    "interval": ("CI", "Interval case"),
}
SIDE_OPINIONS = {
    "malignant": ("OM", "Malignant"),
    "benign": ("OB", "Benign"),
    "normal": ("ON", "Normal"),
    "uncertain": ("OU", "Uncertain"),
}
LESION_OPINIONS = {  # by table: malignant, benign
    "SURGERY": {"malignant": ("H5", "Hist malignant"), "benign": ("H2", "Histol benign")},
    "BIOPSYWIDE": {"malignant": ("B5", "Malignant"), "benign": ("B2", "Benign")},
    "BIOPSYFINE": {"malignant": ("C5", "Cyt malig"), "benign": ("C2", "Cyt benign")},
    "VACUUM": {"malignant": ("E5", "E5"), "benign": ("E2", "E2")},
}


def nbss(client: Client) -> Json:
    """NBSS_<client>.json."""
    classification = {"normal": "N", "benign": "B", "malignant": "M", "interval": "CI"}[client.kind]
    return {
        "ClientID": client.client_id,
        "Classification": classification,
        **{episode.episode_id: _episode(client, episode) for episode in client.episodes},
    }


def episode_status(episode: Episode) -> str:
    """The episode in OMI-DB's words: CI, M, B, NAB (biopsied), NA (assessed) or N."""
    found = {lesion.pathology for lesion in episode.lesions}
    if episode.kind == "interval":
        return "CI"
    if found:
        return "M" if "malignant" in found else "B" if "benign" in found else "NAB"
    return "NA" if episode.recalled else "N"


def side_pathology(episode: Episode, side: str) -> str:
    """The worst finding of a side: malignant, uncertain, benign or normal."""
    found = {lesion.pathology for lesion in episode.lesions if lesion.side == side}
    return next((p for p in ("malignant", "uncertain", "benign") if p in found), "normal")


def _episode(client: Client, episode: Episode) -> Json:
    opened = episode.date - datetime.timedelta(days=14)
    closed = episode.date + datetime.timedelta(days=120)
    content: Json = {
        "EpisodeType": _word(client, EPISODE_TYPES[episode.kind]),
        "EpisodeAction": "RR" if not episode.lesions else "ST",
        "EpisodeIsClosed": "Y",
        "EpisodeOpenedDate": written_date(client, opened),
        "EpisodeClosedDate": written_date(client, closed),
        "IntervalCancerDateOfDiagnosis": None,
        "ActualEpisodeOpenedYear": str(opened.year),
        "PatientAge": client.age,
        "StudyList": [study.uid for study in episode.studies] or None,
        "SCREENING": _screening(client, episode),
    }
    if episode.recalled:
        content["ASSESSMENT"] = _event(
            client, episode, "ASSESSMENT", episode.lesions, DAYS_TO_ASSESSMENT
        )
    if not episode.lesions:
        return content
    for table in ("BIOPSYWIDE", "BIOPSYFINE", "SURGERY"):
        lesions = tuple(item for item in episode.lesions if _table(item) == table)
        if lesions:
            days = {"BIOPSYFINE": 25, "BIOPSYWIDE": 26, "SURGERY": 60}[table]
            days += 400 if episode.kind == "interval" else 0
            content[table] = _event(client, episode, table, lesions, days)
    content["LESION"] = _lesion_table(client, episode)
    if episode.kind == "interval":
        diagnosed = episode.date + datetime.timedelta(days=400)
        content["IntervalCancerDateOfDiagnosis"] = written_date(client, diagnosed)
        content["INTERVALCANCER"] = _event(client, episode, "INTERVALCANCER", episode.lesions, 400)
    return content


def _table(lesion: PlannedLesion) -> str:
    """The NBSS table that says what the lesion is."""
    if lesion.pathology == "uncertain":
        return "BIOPSYWIDE"
    return {"surgery": "SURGERY", "biopsy_fine": "BIOPSYFINE"}.get(lesion.evidence, "BIOPSYWIDE")


def _screening(client: Client, episode: Episode) -> Json:
    content: Json = {}
    for side, key in (("L", "left_opinion"), ("R", "right_opinion")):
        lesions = [item for item in episode.lesions if item.side == side]
        recalled = bool(lesions) and episode.recalled
        content[side] = {
            "DateTaken": written_date(client, episode.date),
            "EquipmentMakeModel": None,
            "Opinion": ("RM" if recalled else "RN") if not client.text_codes else None,
            "AgeAtScreening": client.age,
            "SizeMm": f"{max(i.look.size_mm for i in lesions):.0f}" if recalled else None,
            "Mass": "Y" if recalled and any(i.look.kind == MASS for i in lesions) else None,
            "Microcalcification": None,
            "MicrocalcWithMass": None,
        }
        content[key] = _word(client, SIDE_OPINIONS["normal" if not recalled else "uncertain"])
    return content


def _event(
    client: Client, episode: Episode, table: str, lesions: tuple[PlannedLesion, ...], days: int
) -> Json:
    date = written_date(client, episode.date + datetime.timedelta(days=days))
    content: Json = {"L": {}, "R": {}, "dateperformed": date}
    for lesion in lesions:
        content[lesion.side][lesion.number] = _lesion_row(client, table, lesion, date)
    for side, key in (("L", "left_opinion"), ("R", "right_opinion")):
        content[key] = _word(client, SIDE_OPINIONS[side_pathology(episode, side)])
    content["diagnosticsetoutcome"] = None
    return content


def _lesion_row(client: Client, table: str, lesion: PlannedLesion, date: str) -> Json:
    row: Json = {"DatePerformed": date}
    if table == "ASSESSMENT":
        row["Opinion"] = "R4" if lesion.pathology == "malignant" else "R3"
    if table not in ("BIOPSYWIDE", "BIOPSYFINE", "SURGERY"):
        return row
    if lesion.pathology == "uncertain":
        return row | {"Opinion": "B3"}
    if lesion.evidence == "components":
        malignant = lesion.pathology == "malignant"
        return (
            row
            | {"Opinion": None if malignant else "B2"}
            | ({"InvasiveComponents": "IDC", "MalignancyType": "b"} if malignant else {})
        )
    if lesion.evidence == "opinion":
        return row | {"Opinion": None}
    names = LESION_OPINIONS["VACUUM" if lesion.evidence == "vacuum" else table]
    row["Opinion"] = _word(client, names[lesion.pathology])
    if table == "SURGERY" and lesion.pathology == "malignant":
        row |= {"InvasiveComponents": "IDC", "DiseaseGrade": "G2", "InSituComponents": ""}
    return row


def _lesion_table(client: Client, episode: Episode) -> Json:
    content: Json = {"L": {}, "R": {}}
    for lesion in episode.lesions:
        content[lesion.side][lesion.number] = {
            "LesionDescription": _word(client, DESCRIPTIONS[lesion.look.kind]),
            "LesionPosition": f"{lesion.side}A{1 + int(4 * abs(lesion.lateral['CC'])) % 4}",
            "CystAspirated": None,
            "LesionNotes": None,
        }
    if client.quirk == "unknown_side":
        content["U"] = {"9": {"LesionDescription": "ZZ", "LesionPosition": None}}
    return content


def _word(client: Client, names: tuple[str, str]) -> str:
    """A code, or its text in the copies that have texts."""
    return names[1] if client.text_codes else names[0]
