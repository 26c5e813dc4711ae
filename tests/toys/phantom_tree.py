"""A small phantom for tests, and its truth tables."""

import csv
import hashlib
from pathlib import Path

from beam_pipelines.phantom.job import run
from cgan_tf.config import PhantomConfig

DAMAGED = 8  # files of the phantom that tests share: one of each kind


def write_phantom(directory: Path, **flags: object) -> Path:
    """Draws a phantom of small images and returns its root."""
    run(PhantomConfig(output_dir=str(directory), image_size="small", **flags))
    return directory


def truth(root: Path, table: str) -> list[dict[str, str]]:
    """The rows of truth/<table>.csv."""
    with (root / "truth" / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def dicom_path(root: Path, row: dict[str, str]) -> Path:
    """The DICOM file of a row of images.csv."""
    return root / "IMAGES" / row["client"] / row["study"] / f"{row['sop']}.dcm"


def sidecar_path(root: Path, row: dict[str, str]) -> Path:
    """The JSON side-car of a row of images.csv."""
    ending = ".json" if row["older_sidecar"] == "1" else ".dcm.json"
    return root / "DATA" / row["client"] / row["study"] / f"{row['sop']}{ending}"


def tree_digest(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the tree and of the truth."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("DATA", "IMAGES", "truth")
        for path in sorted((root / part).rglob("*"))
        if path.is_file()
    }
