"""The account of insert_lesions: images, marks, places and draws, each used or not for a reason."""

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.insertion_setup import Setup
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Rejection, ledger
from beam_pipelines.sources import UnitIndex


def account_of(
    index: UnitIndex,
    results: Sequence[dict[str, Any]],
    rejections: Sequence[Rejection],
    setup: Setup,
) -> dict[str, Any]:
    """The manifest's numbers: `images`, `lesions`, `places`, `draws` and the `ledger`.

    A place is a patch in which a lesion was wanted. It has one, or no draw was accepted, or (for
    lesions to be inserted) the image had no room for it.
    """
    rows = [result["row"] for result in results if result["row"] is not None]
    lesions = sum(len(row["lesions"]) for row in rows)
    tried = [result for result in results if result["places"]]
    places = sum(result["places"] for result in tried)
    wanted = places if setup.removal else setup.config.lesions_per_image * len(tried)
    rejected: collections.Counter[str] = collections.Counter()
    for result in results:
        rejected.update(result["rejected_draws"])
    return {
        "images": len(rows),
        "lesions": lesions,
        "places": {
            "wanted": wanted,
            "filled": lesions,
            "no_lesion_accepted": places - lesions,
            "no_valid_place": wanted - places,
        },
        "draws": {
            "made": sum(result["draws"] for result in results),
            "accepted": lesions,
            "rejected": dict(sorted(rejected.items())),
        },
        "ledger": _ledger(index, results, rejections, setup),
    }


def _ledger(
    index: UnitIndex,
    results: Sequence[dict[str, Any]],
    rejections: Sequence[Rejection],
    setup: Setup,
) -> dict[str, Any]:
    """See `rejections.ledger`; what is fit, and was not asked for, is not needed."""
    left_out = collections.Counter(item.kind for item in rejections)
    new = left_out - collections.Counter(item.kind for item in index.rejections)
    rows = [result["row"] for result in results if result["row"] is not None]
    removed = sum(len(row["lesions"]) for row in rows) if setup.removal else 0
    marks = sum(len(image.marks) for image in index.images)
    return ledger(
        read=index.read,
        used={
            IMAGES: len(rows),
            MARKS: removed,
            FILES: index.read.get(FILES, 0) - left_out[FILES],
        },
        not_needed={
            IMAGES: len(index.images) - len(results),
            MARKS: marks - removed - new[MARKS],
        },
        rejected=list(rejections),
    )


def summary(account: dict[str, Any], setup: Setup, directory: Path) -> str:
    """What a person wants to know at the end, in a few lines."""
    places, draws, row = account["places"], account["draws"], account["ledger"][IMAGES]
    done = "removed from" if setup.removal else "inserted into"
    left_out = [f"{reason} {count}" for reason, count in row["rejected"].items()]
    rejected = [f"{reason} {count}" for reason, count in draws["rejected"].items()]
    lines = [
        f"{account['lesions']} lesions {done} {account['images']} images; {places['wanted']} "
        f"places wanted, {places['no_valid_place']} without room, "
        f"{places['no_lesion_accepted']} without an accepted lesion",
        f"draws: {draws['made']} made, {draws['accepted']} accepted"
        + (f" ({', '.join(rejected)})" if rejected else ""),
        f"images: {row['read']} read = {row['used']} used + {row['not_needed']} not needed "
        f"+ {sum(row['rejected'].values())} rejected"
        + (f" ({', '.join(left_out)})" if left_out else ""),
        f"insert_lesions: {directory} (images/, boxes.json, boxes.csv, masks/, viewer.html)",
    ]
    return "\n".join(lines)
