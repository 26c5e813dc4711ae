"""Labels of OMI-DB marks and episodes: pure functions of the NBSS and IMAGEDB JSON.

A label is per mark, never per client: the pathology of the linked lesions on the image's side,
else the episode's opinion of that side, else none. Values of another type than expected count as
absent.
"""

import datetime
from typing import Any

MALIGNANT, BENIGN = "malignant", "benign"
SIDES = {"L": "left_opinion", "R": "right_opinion"}

_PATHOLOGY_EVENTS = ("SURGERY", "BIOPSYWIDE", "BIOPSYFINE")
_EVENTS = (*_PATHOLOGY_EVENTS, "ASSESSMENT", "CLINICAL")
# Opinions of a lesion, as code or as text: wide-bore biopsy, vacuum excision, cytology, surgery.
_LESION_OPINIONS = {
    **dict.fromkeys(("H5", "B5", "E5", "C5"), MALIGNANT),
    **dict.fromkeys(("Hist malignant", "Malignant", "Cyt malig"), MALIGNANT),
    **dict.fromkeys(("H2", "B2", "E2", "C2"), BENIGN),
    **dict.fromkeys(("Histol benign", "Benign", "Cyt benign"), BENIGN),
}
_SIDE_OPINIONS = {
    "Benign": "OB",
    "Malignant": "OM",
    "Normal": "ON",
    "Suspicious": "OS",
    "Uncertain": "OU",
}
# Components of a cancer, as code (several are separated by spaces) or as text. Whether any other
# value means a cancer is not known, so it does not count.
_COMPONENTS = {
    "InvasiveComponents": (
        ("IDC", "ILC", "IMC", "IMU", "IPX", "ITC"),
        ("Ductal/NST", "Lobular", "Medullary like", "Mucinous", "Other component",
         "Tubular/cribriform"),
    ),
    "InSituComponents": (("NID", "NIL", "NIP"), ("Ductal", "Lobular", "Paget’s", "Paget's")),
}  # fmt: skip
_BENIGN_CALCIFICATIONS = (
    "WithCalcification",
    "Dystrophic",
    "FatNecrosis",
    "MilkOfCalcium",
    "OtherBenignCluster",
    "PlasmaCellMastitis",
    "Skin",
    "SutureCalcification",
    "Vascular",
)
_NEITHER = ("ArchitecturalDistortion", "FocalAsymmetry")


def mapping(value: Any) -> dict[str, Any]:
    """The value when it is a JSON object, an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def is_set(mark: dict[str, Any], flag: str) -> bool:
    """Whether a flag of a mark is set: any truthy value but the string "0"."""
    value = mark.get(flag)
    return bool(value) and value != "0"


def lesion_flags(mark: dict[str, Any]) -> tuple[bool, bool, bool, bool]:
    """(mass, suspicious calcification, benign calcification, neither) of a mark."""
    return (
        is_set(mark, "Mass"),
        is_set(mark, "SuspiciousCalcifications"),
        any(is_set(mark, flag) for flag in _BENIGN_CALCIFICATIONS),
        any(is_set(mark, flag) for flag in _NEITHER),
    )


def linked_lesions(mark: dict[str, Any]) -> list[str]:
    """The numbers of the NBSS lesions a mark is linked to; none for UNLINKED."""
    numbers = [number.strip() for number in _text(mark.get("LinkedNBSSLesionNumber")).split(",")]
    return [n.lstrip("0") or "0" for n in numbers if n.isascii() and n.isdecimal()]


def label_of_mark(mark: dict[str, Any], episode: dict[str, Any], side: str) -> tuple[str, str]:
    """(label, evidence) of a mark on an image of `side`; the label is empty when there is none.

    1. The pathology of the linked lesions on that side: malignant if any is, benign if any is.
    2. In an interval-cancer episode: malignant, on the side of the cancer where that is known.
    3. The episode's opinion of that side after surgery or biopsy.
    """
    numbers = linked_lesions(mark)
    found = {number: lesion_pathology(episode, side, number) for number in numbers}
    for label in (MALIGNANT, BENIGN):
        for number, (pathology, evidence) in found.items():
            if pathology == label:
                return label, f"{evidence} of lesion {number}"
    link = "linked lesion without pathology" if numbers else "unlinked"
    if has_interval_cancer(episode, side):
        return MALIGNANT, f"interval cancer, {link}"
    label, evidence = side_pathology(episode, side)
    return label, f"{evidence}, {link}" if label else ""


def lesion_pathology(episode: dict[str, Any], side: str, number: str) -> tuple[str, str]:
    """(malignant, benign or empty, evidence) of one lesion of one side."""
    benign = ("", "")
    for event in _PATHOLOGY_EVENTS:
        lesion = mapping(mapping(mapping(episode.get(event)).get(side)).get(number))
        opinion = _text(lesion.get("Opinion"))
        label = _LESION_OPINIONS.get(opinion, "")
        if label == MALIGNANT:
            return MALIGNANT, f"{event} {opinion}"
        for component in _COMPONENTS:
            if _has_component(lesion, component):
                return MALIGNANT, f"{event} {component}"
        if _text(lesion.get("MalignancyType")) in ("a", "b", "In-situ", "Invasive"):
            return MALIGNANT, f"{event} MalignancyType"
        if label == BENIGN and not benign[0]:
            benign = (BENIGN, f"{event} {opinion}")
    return benign


def _has_component(lesion: dict[str, Any], name: str) -> bool:
    value = _text(lesion.get(name))
    codes, texts = _COMPONENTS[name]
    return any(word in codes for word in value.split()) or any(text in value for text in texts)


def side_pathology(episode: dict[str, Any], side: str) -> tuple[str, str]:
    """(malignant, benign or empty, evidence) of a side by the opinions after pathology."""
    opinions = {event: side_opinion(episode, event, side) for event in _PATHOLOGY_EVENTS}
    for code, label in (("OM", MALIGNANT), ("OB", BENIGN)):
        for event, opinion in opinions.items():
            if opinion == code:
                return label, f"{event} side opinion {code}"
    return "", ""


def side_opinion(episode: dict[str, Any], event: str, side: str) -> str:
    """OB, OM, ON, OS, OU or empty."""
    value = _text(mapping(episode.get(event)).get(SIDES[side])).removeprefix("O ")
    code = _SIDE_OPINIONS.get(value, value)
    return code if code in _SIDE_OPINIONS.values() else ""


def is_interval(episode: dict[str, Any]) -> bool:
    """Whether the episode is an interval case."""
    return _text(episode.get("EpisodeType")) in ("CI", "Interval case")


def has_interval_cancer(episode: dict[str, Any], side: str) -> bool:
    """Whether an interval case is one of that side; any side where INTERVALCANCER names none."""
    if not is_interval(episode):
        return False
    known = [name for name in SIDES if _of_side(episode, "INTERVALCANCER", name)]
    return side in known or not known


def episode_status(episode: dict[str, Any]) -> str:
    """The status of an episode by its type and its events: CI, M, B, NAB, NA, N, or empty.

    CI interval cancer, M malignant, B benign, NAB normal after assessment and biopsy, NA normal
    after assessment, N normal; empty when the events do not tell.
    """
    pathology = {side_pathology(episode, side)[0] for side in SIDES}
    events = [event for event in _EVENTS if episode.get(event) is not None]
    operated = any(event in _PATHOLOGY_EVENTS for event in events)
    if is_interval(episode):
        return "CI" if MALIGNANT in pathology or not operated else ""
    if MALIGNANT in pathology:
        return "M"
    if BENIGN in pathology:
        return "B"
    if not events:
        return "N" if episode.get("SCREENING") is not None else ""
    undecided = [e for e in events if not any(side_opinion(episode, e, side) for side in SIDES)]
    if undecided or "SURGERY" in events:
        return ""
    if "ASSESSMENT" in events:
        return "NAB" if operated else "NA"
    return "N"


def events_of(episode: dict[str, Any]) -> set[str]:
    """The events that an episode has, dated or not; other screenings count as SCREENING."""
    found = {event for event in ("SCREENING", *_EVENTS) if episode.get(event) is not None}
    return found | ({"SCREENING"} if episode.get("OTHERSCREENING") else set())


def dated_events(episode: dict[str, Any]) -> dict[datetime.date, set[str]]:
    """The events of an episode by their dates; other screenings count as SCREENING."""
    found: dict[datetime.date, set[str]] = {}
    for event in ("SCREENING", *_EVENTS):
        for date in _dates(mapping(episode.get(event))):
            found.setdefault(date, set()).add(event)
    for screening in mapping(episode.get("OTHERSCREENING")).values():
        for date in _dates(mapping(screening)):
            found.setdefault(date, set()).add("SCREENING")
    return found


def _dates(event: dict[str, Any]) -> set[datetime.date]:
    values = [event.get("dateperformed")]
    for side in SIDES:
        content = mapping(event.get(side))
        values += [content.get("DateTaken")]
        values += [mapping(lesion).get("DatePerformed") for lesion in content.values()]
    return {date for value in values if (date := parse_date(value))}


def parse_date(value: Any) -> datetime.date | None:
    """A date written YYYY-MM-DD or YYYYMMDD; None for anything else."""
    digits = _text(value).replace("-", "")[:8]
    try:
        return datetime.date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def has_finding(episode: dict[str, Any], side: str) -> bool:
    """Whether an episode holds anything against calling a breast healthy."""
    if side_pathology(episode, side)[0]:
        return True
    if any(side_opinion(episode, event, side) in ("OM", "OB", "OS", "OU") for event in _EVENTS):
        return True
    numbers = {
        number for event in _PATHOLOGY_EVENTS for number in mapping(_of_side(episode, event, side))
    }
    if any(lesion_pathology(episode, side, number)[0] for number in numbers):
        return True
    return has_interval_cancer(episode, side)


def _of_side(episode: dict[str, Any], event: str, side: str) -> Any:
    return mapping(episode.get(event)).get(side)


def _text(value: Any) -> str:
    """A text or a whole number as text; anything else counts as absent."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
