"""Boxes of many images as COCO's JSON and as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from beam_pipelines.mask_runs import whole_runs
from cgan_tf.config import TASKS

# The same number in every set, so that sets can be merged.
CATEGORIES = {task: number for number, task in enumerate(TASKS, 1)}
COLUMNS = (
    "file", "mask", "label", "category", "x0", "y0", "x1", "y1", "area_px", "client_id",
    "study_uid", "sop_uid", "source_sop_uid", "laterality", "view", "width", "height",
    "spacing_mm", "place", "patch_left", "patch_top", "draw", "object_px", "removed_class",
)  # fmt: skip

Row = dict[str, Any]


def coco(rows: Sequence[Row], task: str, about: dict[str, Any]) -> dict[str, Any]:
    """The object-detection format of cocodataset.org; x, y, width, height in stored pixels.

    Segmentations are uncompressed run lengths. A box of category removal is where a lesion was:
    the image has none there.
    """
    images, annotations = [], []
    for number, row in enumerate(rows, 1):
        images.append(
            {
                "id": number,
                "file_name": row["file"],
                "width": row["width"],
                "height": row["height"],
                "client_id": row["client_id"],
                "laterality": row["laterality"],
                "view": row["view"],
                "source_sop_uid": row["source_sop_uid"],
                "synthetic": True,
            }
        )
        for lesion in row["lesions"]:
            annotations.append(_annotation(len(annotations) + 1, number, row, lesion, task))
    categories = [
        {"id": number, "name": name, "supercategory": "lesion"}
        for name, number in CATEGORIES.items()
    ]
    info = {"description": "Synthetic lesions in mammograms, for research only", **about}
    return {
        "info": info,
        "licenses": [],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }


def boxes_csv(rows: Sequence[Row], task: str) -> Iterator[bytes]:
    """One row a lesion, an image at a time; x1 and y1 are exclusive."""
    yield (",".join(COLUMNS) + "\n").encode()
    for row in rows:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        for lesion in row["lesions"]:
            edges = dict(zip(("x0", "y0", "x1", "y1"), lesion["box"], strict=True))
            left, top = lesion["patch"]
            place = {"patch_left": left, "patch_top": top, "category": task}
            writer.writerow({**row, **lesion, **edges, **place, "sop_uid": row["name"]})
        yield text.getvalue().encode()


def _annotation(number: int, image: int, row: Row, lesion: Row, task: str) -> dict[str, Any]:
    x0, y0, x1, y1 = lesion["box"]
    height, width = row["height"], row["width"]
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORIES[task],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": lesion["area_px"],
        "iscrowd": 0,
        "segmentation": {
            "size": [height, width],
            "counts": whole_runs(lesion["runs"], height, width),
        },
    }
