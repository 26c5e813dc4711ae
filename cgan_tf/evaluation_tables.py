"""The tables of an evaluation: scores.csv and synthetic_scores.csv."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cgan_tf.config import MALIGNANT_CALCIFICATION, MALIGNANT_MASS
from cgan_tf.records import PatchRecord
from cgan_tf.run_directory import write_bytes

TEST_COLUMNS = (
    "patch_id",
    "client_id",
    "label",
    "patch_class",
    "lesion_type",
    "logit",
    "manufacturer",
    "lesion_size_mm",
    "conspicuity",
    "breast_density",
)
SYNTHETIC_COLUMNS = (
    "patch_id",
    "client_id",
    "task",
    "split",
    "patch_class",
    "logit",
    "source_patch_id",
    "source_class",
    "source_logit",
)
_LESION_TYPES = {MALIGNANT_MASS: "mass", MALIGNANT_CALCIFICATION: "calcification"}
LESION_TYPES = tuple(_LESION_TYPES.values())


def score_row(record: PatchRecord, logit: float) -> dict[str, Any]:
    """The row of a normal or malignant patch; what the record does not know is empty."""
    return {
        "patch_id": record.patch_id,
        "client_id": record.client_id,
        "label": int(record.patch_class != "normal"),
        "patch_class": record.patch_class,
        "lesion_type": _LESION_TYPES.get(record.patch_class, ""),
        "logit": float(logit),
        "manufacturer": record.manufacturer,
        "lesion_size_mm": round(record.lesion_size_mm, 2) or "",
        "conspicuity": record.conspicuity,
        "breast_density": record.breast_density,
    }


def synthetic_row(
    record: PatchRecord, split: str, logit: float, source: PatchRecord, source_logit: float
) -> dict[str, Any]:
    """The row of a synthetic patch, beside the patch that it was made from."""
    return {
        "patch_id": record.patch_id,
        "client_id": record.client_id,
        "task": record.task,
        "split": split,
        "patch_class": record.patch_class,
        "logit": float(logit),
        "source_patch_id": record.source_patch_id,
        "source_class": source.patch_class,
        "source_logit": float(source_logit),
    }


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Rows as CSV, in the order of `columns`; other values are left out."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_bytes(path, text.getvalue().encode())
