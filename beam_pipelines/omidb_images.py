"""The images that a client's IMAGEDB lists: their files, headers, episodes and marks."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

from beam_pipelines import dicom
from beam_pipelines.dicom_header import Header, header_of_side_car, selection_fault
from beam_pipelines.omidb_labels import SIDES, dated_events, events_of, mapping, parse_date
from beam_pipelines.omidb_tree import ClientFiles
from beam_pipelines.rejections import Origin, Reason, Rejected
from beam_pipelines.sources import VIEWS


@dataclasses.dataclass(frozen=True)
class Listed:
    """An image as IMAGEDB lists it, with what its header says.

    Attributes:
      path: the file, or a name for the ledger when there is none.
      has_file: whether it exists. header: None when none can be read.
      episode_id: empty when NBSS knows none. screening: whether the study is a screening one.
    """

    client_id: str
    path: str
    has_file: bool
    study_uid: str
    sop_uid: str
    episode_id: str
    screening: bool
    marks: dict[str, Any]
    header: Header | None

    def origin(self, mark_id: str = "") -> Origin:
        """Where the image, or a mark on it, belongs."""
        side = self.header.laterality if self.header else ""
        view = self.header.view if self.header else ""
        return Origin(
            client_id=self.client_id,
            study_uid=self.study_uid,
            sop_uid=self.sop_uid,
            laterality=sys.intern(side) if side in SIDES else "",
            view=sys.intern(view) if view in VIEWS else "",
            mark_id=mark_id,
        )


def listed_images(
    client: str,
    imagedb: dict[str, Any],
    found: ClientFiles,
    episodes: dict[str, dict[str, Any]],
    document: Callable[[str], Any],
) -> Iterator[Listed]:
    """Every image of a client's IMAGEDB; `document` reads a side-car."""
    for study, study_content in sorted(mapping(imagedb.get("STUDIES")).items()):
        episode_id, screening = _episode_of(mapping(study_content), episodes)
        for sop, marks in sorted(_images_of(mapping(study_content)).items()):
            path = found.images.get((study, sop), "")
            side_car = document(found.side_cars.get((study, sop), ""))
            yield Listed(
                client_id=client,
                path=path or f"{found.folder}/{study}/{sop}.dcm",
                has_file=bool(path),
                study_uid=study,
                sop_uid=sop,
                episode_id=episode_id,
                screening=screening,
                marks=marks,
                header=_header(side_car, path),
            )


def _images_of(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The marks of a study by SOP instance uid and key.

    There is no level of series among the files: an image that two series list is one image with
    the marks of both.
    """
    images: dict[str, dict[str, Any]] = {}
    for series, content in study.items():
        for sop, marks in mapping(content).items():
            known = images.setdefault(sop, {})
            # Marks that cannot be told apart are one broken mark: the image is not without any.
            listed = {} if marks is None else marks if isinstance(marks, dict) else {"": marks}
            for key, mark in listed.items():
                if known.setdefault(key, mark) != mark:
                    known[f"{key} of series {series}"] = mark
    return images


def _header(side_car: Any, path: str) -> Header | None:
    """From the side-car where it says what the image is, else from the file."""
    header = header_of_side_car(side_car) if side_car else None
    told = header and header.sop_class and header.rows and header.laterality and header.view
    if told or not path:
        return header
    try:
        return dicom.read_header(path)
    except Rejected:
        return header


def _episode_of(study: dict[str, Any], episodes: dict[str, dict[str, Any]]) -> tuple[str, bool]:
    """The episode of a study, and whether the study belongs to a screening event.

    By EpisodeID, else by the date of an event. A study is a screening one when its date is that
    of a screening, or when the episode holds nothing but screening.
    """
    date = parse_date(study.get("StudyDate"))
    episode_id = str(study.get("EpisodeID") or "")
    if episode_id not in episodes:
        matches = [key for key, episode in episodes.items() if date in dated_events(episode)]
        episode_id = matches[0] if date and matches else ""
    if not episode_id:
        return "", False
    on_the_day = dated_events(episodes[episode_id]).get(date) if date else None
    if on_the_day:
        return episode_id, "SCREENING" in on_the_day
    return episode_id, events_of(episodes[episode_id]) == {"SCREENING"}


def unfit(item: Listed, allow_synthetic: bool = False) -> tuple[Reason, str] | None:
    """Why an image is no screening mammogram of a known episode; None when it is one."""
    if not item.sop_uid:
        return Reason.NO_SOP_UID, ""
    if not item.has_file:
        return Reason.NO_IMAGE_FILE, ""
    if item.header is None:
        return Reason.NO_HEADER, ""
    fault = selection_fault(item.header, allow_synthetic=allow_synthetic)
    if fault:
        return fault
    if not item.episode_id:
        return Reason.NO_EPISODE, ""
    return None if item.screening else (Reason.NOT_SCREENING, "")
