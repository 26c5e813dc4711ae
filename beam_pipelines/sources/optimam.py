"""OMI-DB (OPTIMAM): reads the images of a patient, with labels or the reason for leaving them out.

IMAGEDB lists a patient's studies, images and marks; NBSS says what the screening found. One patient
is read at a time.
"""

import collections
import dataclasses
import datetime
import functools
import json
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.header import Header, header_of_side_car, selection_fault
from beam_pipelines.rejections import FILES, IMAGES, MARKS, Origin, Reason, Rejected, Rejection
from beam_pipelines.sources.base import (
    HEALTHY,
    LESION,
    VIEWS,
    FileFacts,
    Image,
    Mark,
    UnitIndex,
)
from beam_pipelines.sources.omidb_files import PatientFiles, Tree, find_tree
from beam_pipelines.sources.omidb_labels import (
    DOUBTFUL_BOXES,
    SIDES,
    dated_events,
    episode_status,
    events_of,
    has_finding,
    mapping,
    parse_date,
    usable_mark,
)
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.data.acquisition import age_band, site_code
from cgan_tf.runs.directory import Json


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
    marks: Json
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
    patient: str,
    imagedb: Json,
    paths: PatientFiles,
    episodes: dict[str, Json],
    document: Callable[[str], Any],
) -> Iterator[Listed]:
    """Every image of a patient's IMAGEDB; `document` reads a side-car."""
    for study, study_content in sorted(mapping(imagedb.get("STUDIES")).items()):
        episode_id, screening = _episode_of(mapping(study_content), episodes)
        for sop, marks in sorted(_images_of(mapping(study_content)).items()):
            path = paths.images.get((study, sop), "")
            side_car = document(paths.side_cars.get((study, sop), ""))
            yield Listed(
                client_id=patient,
                path=path or f"{paths.folder}/{study}/{sop}.dcm",
                has_file=bool(path),
                study_uid=study,
                sop_uid=sop,
                episode_id=episode_id,
                screening=screening,
                marks=marks,
                header=_header(side_car, path),
            )


def _images_of(study: Json) -> dict[str, Json]:
    """The marks of a study by SOP instance uid and key.

    The files have no level for series: an image that two series list is one image with the marks of
    both.
    """
    images: dict[str, Json] = {}
    for series, content in study.items():
        for sop, marks in mapping(content).items():
            known = images.setdefault(sop, {})
            # What is no mapping counts as one broken mark: the image must not pass for unmarked.
            listed = {} if marks is None else marks if isinstance(marks, dict) else {"": marks}
            for key, mark in listed.items():
                if known.setdefault(key, mark) != mark:
                    known[f"{key} of series {series}"] = mark
    return images


def _header(side_car: Any, path: str) -> Header | None:
    """From the side-car if it says what the image is, otherwise from the file."""
    header = header_of_side_car(side_car) if side_car else None
    complete = header and header.sop_class and header.rows and header.laterality and header.view
    if complete or not path:
        return header
    try:
        return reading.read_header(path)
    except Rejected:
        return header


def _episode_of(study: Json, episodes: dict[str, Json]) -> tuple[str, bool]:
    """The episode of a study, and whether the study belongs to a screening event.

    The episode is found by EpisodeID, otherwise by the date of an event. A study is a screening
    study if it has the date of a screening event, or if its episode has no other events.
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


def unfit(
    item: Listed, allow_synthetic: bool = False, admitted: Collection[str] = ()
) -> tuple[Reason, str] | None:
    """Why an image is not a screening mammogram of a known episode; None when it is."""
    if not item.sop_uid:
        return Reason.NO_SOP_UID, ""
    if not item.has_file:
        return Reason.NO_IMAGE_FILE, ""
    if item.header is None:
        return Reason.NO_HEADER, ""
    fault = selection_fault(item.header, allow_synthetic=allow_synthetic, admitted=admitted)
    if fault:
        return fault
    if not item.episode_id:
        return Reason.NO_EPISODE, ""
    return None if item.screening else (Reason.NOT_SCREENING, "")


_LARGEST_JSON = 16 << 20  # bytes; as objects it takes up to 40 times as much


class PatientLedger:
    """Collects what is read and rejected of one patient.

    Images marked as synthetic data are used if `allow_synthetic`, and those of
    `header.SPECIAL_IMAGES` that are `admitted`.
    """

    def __init__(self, allow_synthetic: bool = False, admitted: Collection[str] = ()) -> None:
        self.allow_synthetic, self.admitted = allow_synthetic, admitted
        self.rejections: list[Rejection] = []
        self.read: collections.Counter[str] = collections.Counter()

    def index(self, images: Iterator[Image]) -> UnitIndex:
        """The patient's index."""
        return UnitIndex(tuple(images), tuple(self.rejections), dict(self.read))

    def reject(self, item: Listed, reason: Reason, detail: str = "") -> None:
        """Rejects an image, but not its marks."""
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
        """Counts and rejects an image that IMAGEDB does not list."""
        self.read[IMAGES] += 1
        self.rejections.append(Rejection(IMAGES, path, reason, "", origin))

    def reject_unfit(self, item: Listed) -> bool:
        """Counts a listed image; true if it is rejected, with its marks, because it is not a
        screening mammogram of a known episode."""
        self.read.update({IMAGES: 1, MARKS: len(item.marks)})
        fault = unfit(item, self.allow_synthetic, self.admitted)
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

    def marks(self, item: Listed, episode: Json) -> Iterator[Mark]:
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
        self, patient: str, listed: Sequence[Listed], paths: PatientFiles, has_imagedb: bool
    ) -> None:
        """Counts and rejects the files that IMAGEDB does not list."""
        known = {(item.study_uid, item.sop_uid) for item in listed}
        reason = Reason.NOT_IN_IMAGEDB if has_imagedb else Reason.CLIENT_WITHOUT_IMAGEDB
        for (study, sop), path in paths.images.items():
            if (study, sop) not in known:
                self.reject_unlisted(path, reason, Origin(patient, study, sop))
        for key, path in paths.side_cars.items():
            if key not in known:
                self.reject_file(path, Reason.SIDE_CAR_WITHOUT_IMAGE)
        for path in paths.others:
            self.reject_file(path, Reason.UNEXPECTED_FILE)


def _json_object(data: bytes) -> Json:
    """The JSON object in `data`; `ValueError` if there is none, or it cannot be written as text."""
    content = json.loads(data)
    if not isinstance(content, dict):
        raise ValueError("no object")
    if b"\\u" in data:
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate pair is not text
    return content


_NORMAL = ("N", "NA", "NAB")
_NOT_MALIGNANT = (*_NORMAL, "B")


@dataclasses.dataclass(frozen=True)
class Optimam:
    """A copy of OMI-DB; its units are the patients.

    Attributes:
      normals_from_cases: whether healthy breasts of patients with a lesion elsewhere are normals.
      normal_follow_up: whether a normal needs a later episode without malignancy.
      allow_synthetic: whether images that are marked as synthetic data are used.
      normals_beside: whether normals are cut far from the boxes of lesion images too, where every
        mark of the image can be used.
      admitted: those of `header.SPECIAL_IMAGES` that are used.
    """

    tree: Tree
    normals_from_cases: bool = False
    normal_follow_up: bool = False
    allow_synthetic: bool = False
    normals_beside: bool = False
    admitted: tuple[str, ...] = ()
    labelled = True

    def units(self) -> list[str]:
        """The client ids."""
        return self.tree.patients()

    def read_unit(self, unit: str) -> UnitIndex:
        """One patient."""
        ledger = PatientLedger(self.allow_synthetic, self.admitted)
        paths = self.tree.files_of(unit)
        imagedb = ledger.document(paths.imagedb)
        episodes = _episodes(ledger.document(paths.nbss))
        listed = list(listed_images(unit, mapping(imagedb), paths, episodes, ledger.document))
        ledger.reject_the_rest(unit, listed, paths, imagedb is not None)
        screened = [item for item in listed if not ledger.reject_unfit(item)]
        cases = _case_sides(listed, episodes)
        site = site_code(mapping(imagedb).get("Site"))
        images = [self._image(item, site, episodes, cases, ledger) for item in screened]
        return ledger.index(image for image in images if image)

    def _image(
        self,
        item: Listed,
        site: str,
        episodes: dict[str, Json],
        cases: set[str],
        ledger: PatientLedger,
    ) -> Image | None:
        """A screening mammogram and its use; None if it has none."""
        assert item.header
        image = Image(
            path=item.path,
            client_id=item.client_id,
            study_uid=item.study_uid,
            sop_uid=item.sop_uid,
            laterality=sys.intern(item.header.laterality),  # millions of images share the words
            view=sys.intern(item.header.view),
            use=HEALTHY,
            synthetic=item.header.synthetic,
            facts=_facts(site, age_band(episodes[item.episode_id].get("PatientAge"))),
        )
        if item.marks:
            marks = tuple(ledger.marks(item, episodes[item.episode_id]))
            if marks:
                beside = self.normals_beside and len(marks) == len(item.marks)
                return dataclasses.replace(image, use=LESION, marks=marks, normals_beside=beside)
            ledger.reject(item, Reason.NO_USABLE_MARK)
            return None
        reason = self._not_healthy(image.laterality, item.episode_id, episodes, cases)
        if reason:
            ledger.reject(item, *reason)
            return None
        status = episode_status(episodes[item.episode_id])
        return dataclasses.replace(image, evidence=sys.intern(f"episode status {status}"))

    def _not_healthy(
        self, side: str, episode_id: str, episodes: dict[str, Json], cases: set[str]
    ) -> tuple[Reason, str] | None:
        """Why an unmarked breast does not count as healthy; None if it does.

        A breast is healthy if no episode of the patient speaks against it. The healthy breast of a
        patient with a finding in the other one counts only with `normals_from_cases`.
        """
        if has_finding(episodes[episode_id], side):
            return Reason.CASE_WITHOUT_BOX, ""
        if side in cases:
            return Reason.CASE_IN_OTHER_IMAGE, ""
        if cases and not self.normals_from_cases:
            return Reason.CONTRALATERAL_OF_CASE, ""
        status = episode_status(episodes[episode_id])
        if not cases and status not in _NORMAL:
            return Reason.NOT_NORMAL, f"episode status {status or 'unknown'}"
        if self.normal_follow_up and not _followed_up(episode_id, episodes):
            return Reason.NO_FOLLOW_UP, ""
        return None


def open_source(config: PatchesConfig) -> Optimam:
    """The copy of OMI-DB in `--input_dir`."""
    return Optimam(
        find_tree(config.input_dir, config.allow_synthetic),
        config.normals_from_cases,
        config.normal_follow_up,
        config.allow_synthetic,
        bool(config.normals_from_lesion_images),
        config.admit_special,
    )


@functools.lru_cache
def _facts(site: str, age_band: str) -> FileFacts:
    """One object for the millions of images that have the same facts."""
    return FileFacts(site=site, age_band=age_band)


def _case_sides(listed: list[Listed], episodes: dict[str, Json]) -> set[str]:
    """The sides with a mark or a finding in any episode of the patient.

    A mark on an image of unknown side counts for both.
    """
    sides = {item.header.laterality if item.header else "" for item in listed if item.marks}
    marked = set(SIDES) if sides - set(SIDES) else sides
    in_nbss = {
        side for side in SIDES for episode in episodes.values() if has_finding(episode, side)
    }
    return {side for side in SIDES if side in marked | in_nbss}


def _episodes(nbss: Any) -> dict[str, Json]:
    return {key: value for key, value in mapping(nbss).items() if isinstance(value, dict)}


def _followed_up(episode_id: str, episodes: dict[str, Json]) -> bool:
    """Whether a later episode was without malignancy."""
    start = _first_date(episodes[episode_id])
    later = [
        episode_status(episode)
        for key, episode in episodes.items()
        if key != episode_id and start and (_first_date(episode) or start) > start
    ]
    return bool(later) and all(status in _NOT_MALIGNANT for status in later)


def _first_date(episode: Json) -> datetime.date | None:
    dates = list(dated_events(episode))
    opened = parse_date(episode.get("EpisodeOpenedDate"))
    return min([*dates, opened]) if opened else min(dates, default=None)
