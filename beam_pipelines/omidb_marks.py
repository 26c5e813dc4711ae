"""One OMI-DB mark to a box and a class, or the reason why not."""

import math
from typing import Any

from beam_pipelines.omidb_labels import MALIGNANT, label_of_mark, lesion_flags
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources import Mark

Box = tuple[float, float, float, float]

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


def usable_mark(
    key: str, content: Any, size: tuple[int, int], episode: dict[str, Any], side: str
) -> Mark:
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
