"""What the readers promise for any bytes at all: functions that raise when it is broken.

The fuzzer calls them with what it makes up, `tests/end_to_end/test_fuzz.py` with what it
found before, and `tests/end_to_end/test_damaged_inputs.py` with files that Hypothesis damages.
"""

import dataclasses
import functools
import json
import tempfile
from pathlib import Path

import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.pixels import LARGEST_IMAGE
from beam_pipelines.patches.ledger import index_ledger_json
from beam_pipelines.patches.listing import TABLES, table
from beam_pipelines.patches.plan import quotas_of
from beam_pipelines.patches.shards import work_item
from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.base import SIDES, VIEWS, Image, UnitIndex, merge
from beam_pipelines.sources.omidb_files import Tree
from beam_pipelines.sources.optimam import Optimam
from cgan_tf.config import PatchesConfig
from cgan_tf.labels import LESION_CLASSES
from tests.fuzz.seeds import CLIENT, SEPARATOR, client_documents, client_image

LONGEST_DETAIL = 80  # characters of a rejection's detail


def read_dicom(data: bytes) -> None:
    """Any bytes are a mammogram in grey levels or a rejection with a reason."""
    try:
        mammogram = reading.read_mammogram(data, strict=False)
    except Rejected as fault:
        _check_rejection(fault)
        return
    grey, header = mammogram.grey[:], mammogram.header
    assert grey.dtype == np.float32
    assert grey.shape == (header.rows, header.columns)
    assert 0 < grey.size <= LARGEST_IMAGE
    assert np.abs(grey).max() <= 1  # false for what is no number, too
    json.dumps(dataclasses.asdict(header), ensure_ascii=False).encode()


def read_client(data: bytes) -> None:
    """Any bytes in a client's JSON files are images and marks, all accounted for."""
    root = _client_on_disk()
    for path, content in zip(_documents(root), _split(data), strict=True):
        path.write_bytes(content)
    tree = Tree(str(root / "DATA"), str(root / "IMAGES"))
    index = Optimam(tree, normals_from_cases=True).read_unit(CLIENT)
    for image in index.images:
        _check_image(image)
    _check_account(index)


def _check_rejection(fault: Rejected) -> None:
    assert isinstance(fault.reason, Reason)
    assert fault.detail != "MemoryError"
    assert len(fault.detail) <= LONGEST_DETAIL
    fault.detail.encode()


def _check_image(image: Image) -> None:
    assert image.laterality in SIDES
    assert image.view in VIEWS
    for mark in image.marks:
        x0, y0, x1, y1 = mark.box
        assert 0 <= x0 < x1
        assert 0 <= y0 < y1
        assert mark.patch_class in LESION_CLASSES
    json.dumps(work_item(image, []), ensure_ascii=False, allow_nan=False).encode()


def _check_account(index: UnitIndex) -> None:
    """Adds up, or fails by itself; and everything can be written down."""
    merged = merge([index])
    for row in index_ledger_json(merged).values():
        assert row["read"] == row["usable"] + sum(row["rejected"].values())
    config = PatchesConfig()
    quotas_of(merged.images, config)
    for name in TABLES:
        for part in table(name, merged, config):
            part.decode()


def _split(data: bytes) -> list[bytes]:
    """The three documents in `data`; one that is missing is a sound one."""
    parts = data.split(SEPARATOR, 2)
    return [*parts, *client_documents()[len(parts) :]]


@functools.cache
def _client_on_disk() -> Path:
    shared = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="fuzz", dir=shared if shared.is_dir() else None))
    for path in _documents(root):
        path.parent.mkdir(parents=True, exist_ok=True)
    name, content = client_image()
    image = root / "IMAGES" / CLIENT / name
    image.parent.mkdir(parents=True)
    image.write_bytes(content)
    return root


def _documents(root: Path) -> list[Path]:
    """IMAGEDB, NBSS, side-car."""
    data = root / "DATA" / CLIENT
    return [
        data / f"IMAGEDB_{CLIENT}.json",
        data / f"NBSS_{CLIENT}.json",
        data / f"{client_image()[0]}.json",
    ]
