"""Labels of OMI-DB's marks and episodes: pure functions of its NBSS and IMAGEDB JSON.

A label belongs to a mark, never to a patient: the pathology of the linked lesions on the image's
side, else the episode's opinion of that side, else none. Values of an unexpected type count as
absent.
"""

import datetime
import math
from typing import Any

from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.base import Box, Mark
from cgan_tf.runs.directory import Json

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


def mapping(value: Any) -> Json:
    """The value when it is a JSON object, an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def is_set(mark: Json, flag: str) -> bool:
    """Whether a flag of a mark is set: any truthy value but the string "0"."""
    value = mark.get(flag)
    return bool(value) and value != "0"


def lesion_flags(mark: Json) -> tuple[bool, bool, bool, bool]:
    """(mass, suspicious calcification, benign calcification, neither) of a mark."""
    return (
        is_set(mark, "Mass"),
        is_set(mark, "SuspiciousCalcifications"),
        any(is_set(mark, flag) for flag in _BENIGN_CALCIFICATIONS),
        any(is_set(mark, flag) for flag in _NEITHER),
    )


def linked_lesions(mark: Json) -> list[str]:
    """The numbers of the NBSS lesions a mark is linked to; none for UNLINKED."""
    numbers = [number.strip() for number in _text(mark.get("LinkedNBSSLesionNumber")).split(",")]
    return [n.lstrip("0") or "0" for n in numbers if n.isascii() and n.isdecimal()]


def label_of_mark(mark: Json, episode: Json, side: str) -> tuple[str, str]:
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


def lesion_pathology(episode: Json, side: str, number: str) -> tuple[str, str]:
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


def _has_component(lesion: Json, name: str) -> bool:
    value = _text(lesion.get(name))
    codes, texts = _COMPONENTS[name]
    return any(word in codes for word in value.split()) or any(text in value for text in texts)


def side_pathology(episode: Json, side: str) -> tuple[str, str]:
    """(malignant, benign or empty, evidence) of a side by the opinions after pathology."""
    opinions = {event: side_opinion(episode, event, side) for event in _PATHOLOGY_EVENTS}
    for code, label in (("OM", MALIGNANT), ("OB", BENIGN)):
        for event, opinion in opinions.items():
            if opinion == code:
                return label, f"{event} side opinion {code}"
    return "", ""


def side_opinion(episode: Json, event: str, side: str) -> str:
    """OB, OM, ON, OS, OU or empty."""
    value = _text(mapping(episode.get(event)).get(SIDES[side])).removeprefix("O ")
    code = _SIDE_OPINIONS.get(value, value)
    return code if code in _SIDE_OPINIONS.values() else ""


def is_interval(episode: Json) -> bool:
    """Whether the episode is an interval case."""
    return _text(episode.get("EpisodeType")) in ("CI", "Interval case")


def has_interval_cancer(episode: Json, side: str) -> bool:
    """Whether an interval case is one of that side; any side where INTERVALCANCER names none."""
    if not is_interval(episode):
        return False
    known = [name for name in SIDES if _of_side(episode, "INTERVALCANCER", name)]
    return side in known or not known


def episode_status(episode: Json) -> str:
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


def events_of(episode: Json) -> set[str]:
    """The events that an episode has, dated or not; other screenings count as SCREENING."""
    found = {event for event in ("SCREENING", *_EVENTS) if episode.get(event) is not None}
    return found | ({"SCREENING"} if episode.get("OTHERSCREENING") else set())


def dated_events(episode: Json) -> dict[datetime.date, set[str]]:
    """The events of an episode by their dates; other screenings count as SCREENING."""
    found: dict[datetime.date, set[str]] = {}
    for event in ("SCREENING", *_EVENTS):
        for date in _dates(mapping(episode.get(event))):
            found.setdefault(date, set()).add(event)
    for screening in mapping(episode.get("OTHERSCREENING")).values():
        for date in _dates(mapping(screening)):
            found.setdefault(date, set()).add("SCREENING")
    return found


def _dates(event: Json) -> set[datetime.date]:
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


def has_finding(episode: Json, side: str) -> bool:
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


def _of_side(episode: Json, event: str, side: str) -> Any:
    return mapping(episode.get(event)).get(side)


def _text(value: Any) -> str:
    """A text or a whole number as text; anything else counts as absent."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


# Images whose boxes are wrong ("X and Y bbox flipped?") in the experience of others: published code
# that works with OMI-DB lists these UIDs and leaves them out. How to mend them is not known.
_UID = "1.2.826.0.1.3680043.9.3218.1.1."
DOUBTFUL_BOXES = frozenset(
    _UID + rest
    for rest in (
        "21149576.1882.1552598184295.155.0",
        "423368237.8725.1541832007115.79.0",
        "23278785.1708.1544221170622.213.0",
        "3010695.7588.1512129590473.9978.0",
        "242205684.1858.1540020381577.17.0",
        "3370786.8916.1512165599585.7373.0",
        "3370786.8916.1512165599585.7403.0",
        "3860076.2252.1511393629935.6737.0",
        "296436949.3318.1540562694227.83.0",
    )
)
CONSPICUITIES = ("Obvious", "Subtle", "Very_subtle", "Occult", "not_recalled")


def box_of_mark(content: Any, columns: int, rows: int) -> tuple[Box, list[str]]:
    """(box, repairs): the corners sorted and clipped to an image of that size (0: unknown).

    Width and Height are not read: they may disagree with the corners. Raises `Rejected`.
    """
    if not isinstance(content, dict):
        raise Rejected(Reason.BROKEN_MARK)
    x1, y1, x2, y2 = (_corner(content.get(name)) for name in ("X1", "Y1", "X2", "Y2"))
    repairs = ["swapped_corners"] if x1 > x2 or y1 > y2 else []
    box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    if box[0] == box[2] or box[1] == box[3]:
        raise Rejected(Reason.EMPTY_BOX)
    if not (columns and rows):
        return box, repairs
    width, height = float(columns), float(rows)
    clipped = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height))
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise Rejected(Reason.BOX_OUTSIDE_IMAGE)
    return clipped, repairs + (["clipped_to_image"] if clipped != box else [])


def usable_mark(key: str, content: Any, size: tuple[int, int], episode: Json, side: str) -> Mark:
    """A mark on an image of `size` (columns, rows; 0: unknown) and `side`, with its box and class.

    Raises `Rejected` when it has none. Mass wins over calcification. The benign calcification
    flags alone never make a malignant calcification; distortion or asymmetry alone is neither.
    """
    box, repairs = box_of_mark(content, *size)
    mass, suspicious, benign_calcification, neither = lesion_flags(content)
    if not (mass or suspicious or benign_calcification):
        reason = Reason.NEITHER_MASS_NOR_CALCIFICATION if neither else Reason.NO_LESION_TYPE
        raise Rejected(reason)
    label, evidence = label_of_mark(content, episode, side)
    if not label:
        raise Rejected(Reason.NO_PATHOLOGY)
    if label == MALIGNANT and not (mass or suspicious):
        raise Rejected(Reason.BENIGN_CALCIFICATION_IN_MALIGNANT_LESION)
    conspicuity = content.get("Conspicuity")
    return Mark(
        mark_id=key,
        box=box,
        patch_class=f"{label}_{'mass' if mass else 'calcification'}",
        has_mass=int(mass),
        has_calcification=int(suspicious or benign_calcification),
        evidence=evidence,
        conspicuity=conspicuity if conspicuity in CONSPICUITIES else "",
        repairs=" ".join(repairs),
    )


def _corner(value: Any) -> float:
    if value is None or value == "":
        raise Rejected(Reason.MISSING_CORNERS)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Rejected(Reason.BROKEN_MARK, "corner") from error
    if not math.isfinite(number):
        raise Rejected(Reason.BROKEN_MARK, "corner")
    return number
