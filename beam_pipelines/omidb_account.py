"""The account of one client of OMI-DB: what is read, and why it is rejected."""

import collections
import json
from collections.abc import Iterator, Sequence
from typing import Any

from beam_pipelines import files
from beam_pipelines.omidb_images import Listed, unfit
from beam_pipelines.omidb_marks import DOUBTFUL_BOXES, usable_mark
from beam_pipelines.omidb_tree import ClientFiles
from beam_pipelines.rejections import (
    FILES,
    IMAGES,
    MARKS,
    Origin,
    Reason,
    Rejected,
    Rejection,
)
from beam_pipelines.sources import Image, Mark, UnitIndex

_LARGEST_JSON = 16 << 20  # bytes; as objects it takes up to 40 times as much


class Account:
    """Collects what is read and rejected of one client.

    `allow_synthetic`: whether images that are marked as synthetic data are as good as others.
    """

    def __init__(self, allow_synthetic: bool = False) -> None:
        self.allow_synthetic = allow_synthetic
        self.rejections: list[Rejection] = []
        self.read: collections.Counter[str] = collections.Counter()

    def index(self, images: Iterator[Image]) -> UnitIndex:
        """The client's index."""
        return UnitIndex(tuple(images), tuple(self.rejections), dict(self.read))

    def reject(self, item: Listed, reason: Reason, detail: str = "") -> None:
        """Rejects an image whose marks are accounted for."""
        self.rejections.append(Rejection(IMAGES, item.path, reason, detail, item.origin()))

    def reject_mark(self, item: Listed, key: str, reason: Reason, detail: str = "") -> None:
        """Rejects a mark."""
        name = f"{item.path}#{key}"
        self.rejections.append(Rejection(MARKS, name, reason, detail, item.origin(key)))

    def reject_file(self, path: str, reason: Reason) -> None:
        """Counts and rejects a file that is neither image nor readable JSON."""
        self.read[FILES] += 1
        self.rejections.append(Rejection(FILES, path, reason))

    def reject_unlisted(self, path: str, reason: Reason, origin: Origin) -> None:
        """Counts and rejects an image that IMAGEDB does not speak of."""
        self.read[IMAGES] += 1
        self.rejections.append(Rejection(IMAGES, path, reason, "", origin))

    def reject_unfit(self, item: Listed) -> bool:
        """Counts a listed image; whether it is rejected as no screening mammogram of a known
        episode, its marks with it."""
        self.read.update({IMAGES: 1, MARKS: len(item.marks)})
        fault = unfit(item, self.allow_synthetic)
        if fault:
            self.reject(item, *fault)
            for key in item.marks:
                self.reject_mark(item, key, Reason.IMAGE_REJECTED, fault[0].value)
        return fault is not None

    def document(self, path: str) -> Any:
        """The content of a JSON file; None when it is missing or broken."""
        if not path:
            return None
        try:
            content = _json_object(files.read_bytes(path, _LARGEST_JSON))
        except OSError:
            self.reject_file(path, Reason.UNREADABLE_FILE)
        except (ValueError, RecursionError):
            self.reject_file(path, Reason.BROKEN_JSON)
        else:
            self.read[FILES] += 1
            return content
        return None

    def marks(self, item: Listed, episode: dict[str, Any]) -> Iterator[Mark]:
        """The usable marks of an image; the others are rejected."""
        header = item.header
        assert header
        size = header.columns, header.rows
        for key, content in sorted(item.marks.items()):
            try:
                if item.sop_uid in DOUBTFUL_BOXES:
                    raise Rejected(Reason.DOUBTFUL_BOX)
                yield usable_mark(key, content, size, episode, header.laterality)
            except Rejected as fault:
                self.reject_mark(item, key, fault.reason, fault.detail)

    def reject_the_rest(
        self, client: str, listed: Sequence[Listed], found: ClientFiles, has_imagedb: bool
    ) -> None:
        """Counts and rejects the files that IMAGEDB does not speak of."""
        known = {(item.study_uid, item.sop_uid) for item in listed}
        reason = Reason.NOT_IN_IMAGEDB if has_imagedb else Reason.CLIENT_WITHOUT_IMAGEDB
        for (study, sop), path in found.images.items():
            if (study, sop) not in known:
                self.reject_unlisted(path, reason, Origin(client, study, sop))
        for key, path in found.side_cars.items():
            if key not in known:
                self.reject_file(path, Reason.SIDE_CAR_WITHOUT_IMAGE)
        for path in found.others:
            self.reject_file(path, Reason.UNEXPECTED_FILE)


def _json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; `ValueError` when there is none that can be written again."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("no object")
    if b"\\u" in data:
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is no text
    return content
