"""NBSS_<client>.json of the phantom: episodes, events and lesions, as OMI-DB has them."""

import datetime
from typing import Any

from beam_pipelines.phantom_findings import PlannedLesion
from beam_pipelines.phantom_lesions import CALCIFICATION, DISTORTION, MASS, MASS_WITH_CALCIFICATION
from beam_pipelines.phantom_plan import DAYS_TO_ASSESSMENT, Client, Episode, written_date

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


def nbss(client: Client) -> dict[str, Any]:
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


def _episode(client: Client, episode: Episode) -> dict[str, Any]:
    opened = episode.date - datetime.timedelta(days=14)
    closed = episode.date + datetime.timedelta(days=120)
    content: dict[str, Any] = {
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


def _screening(client: Client, episode: Episode) -> dict[str, Any]:
    content: dict[str, Any] = {}
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
) -> dict[str, Any]:
    date = written_date(client, episode.date + datetime.timedelta(days=days))
    content: dict[str, Any] = {"L": {}, "R": {}, "dateperformed": date}
    for lesion in lesions:
        content[lesion.side][lesion.number] = _lesion_row(client, table, lesion, date)
    for side, key in (("L", "left_opinion"), ("R", "right_opinion")):
        content[key] = _word(client, SIDE_OPINIONS[side_pathology(episode, side)])
    content["diagnosticsetoutcome"] = None
    return content


def _lesion_row(client: Client, table: str, lesion: PlannedLesion, date: str) -> dict[str, Any]:
    row: dict[str, Any] = {"DatePerformed": date}
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


def _lesion_table(client: Client, episode: Episode) -> dict[str, Any]:
    content: dict[str, Any] = {"L": {}, "R": {}}
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
