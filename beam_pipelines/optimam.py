"""OMI-DB (OPTIMAM): its JSON to images and marks with labels, every rejection named."""

import dataclasses
import datetime
import sys
from typing import Any

from beam_pipelines.omidb_account import Account
from beam_pipelines.omidb_images import Listed, listed_images
from beam_pipelines.omidb_labels import (
    SIDES,
    dated_events,
    episode_status,
    has_finding,
    mapping,
    parse_date,
)
from beam_pipelines.omidb_tree import Tree, find_tree
from beam_pipelines.rejections import Reason
from beam_pipelines.sources import HEALTHY, LESION, Image, UnitIndex
from cgan_tf.config import PatchesConfig

_NORMAL = ("N", "NA", "NAB")
_NOT_MALIGNANT = (*_NORMAL, "B")


@dataclasses.dataclass(frozen=True)
class Optimam:
    """A copy of OMI-DB; its units are the clients.

    Attributes:
      normals_from_cases: whether healthy breasts of women with a lesion elsewhere are normals.
      normal_follow_up: whether a normal needs a later episode without malignancy.
      allow_synthetic: whether images that are marked as synthetic data are used.
      normals_beside: whether normals are cut far from the boxes of lesion images too, where every
        mark of the image can be used.
    """

    tree: Tree
    normals_from_cases: bool = False
    normal_follow_up: bool = False
    allow_synthetic: bool = False
    normals_beside: bool = False
    labelled = True

    def units(self) -> list[str]:
        """The clients."""
        return self.tree.clients()

    def read_unit(self, unit: str) -> UnitIndex:
        """One client."""
        account = Account(self.allow_synthetic)
        found = self.tree.files_of(unit)
        imagedb = account.document(found.imagedb)
        episodes = _episodes(account.document(found.nbss))
        listed = list(listed_images(unit, mapping(imagedb), found, episodes, account.document))
        account.reject_the_rest(unit, listed, found, imagedb is not None)
        screened = [item for item in listed if not account.reject_unfit(item)]
        cases = _case_sides(listed, episodes)
        images = [self._image(item, episodes, cases, account) for item in screened]
        return account.index(image for image in images if image)

    def _image(
        self,
        item: Listed,
        episodes: dict[str, dict[str, Any]],
        cases: set[str],
        account: Account,
    ) -> Image | None:
        """A screening mammogram with what it is good for; None when it is good for nothing."""
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
        )
        if item.marks:
            marks = tuple(account.marks(item, episodes[item.episode_id]))
            if marks:
                beside = self.normals_beside and len(marks) == len(item.marks)
                return dataclasses.replace(image, use=LESION, marks=marks, normals_beside=beside)
            account.reject(item, Reason.NO_USABLE_MARK)
            return None
        reason = self._not_healthy(image.laterality, item.episode_id, episodes, cases)
        if reason:
            account.reject(item, *reason)
            return None
        status = episode_status(episodes[item.episode_id])
        return dataclasses.replace(image, evidence=sys.intern(f"episode status {status}"))

    def _not_healthy(
        self, side: str, episode_id: str, episodes: dict[str, dict[str, Any]], cases: set[str]
    ) -> tuple[Reason, str] | None:
        """Why a breast without a mark is not called healthy.

        A breast is healthy when none of the woman's episodes holds anything against it. The other
        breast of a woman with a finding counts only with `normals_from_cases`.
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
    )


def _case_sides(listed: list[Listed], episodes: dict[str, dict[str, Any]]) -> set[str]:
    """The sides with a mark or a finding in any episode of the woman.

    A mark on an image whose side nobody can read may be on either.
    """
    sides = {item.header.laterality if item.header else "" for item in listed if item.marks}
    marked = set(SIDES) if sides - set(SIDES) else sides
    found = {side for side in SIDES for episode in episodes.values() if has_finding(episode, side)}
    return {side for side in SIDES if side in marked | found}


def _episodes(nbss: Any) -> dict[str, dict[str, Any]]:
    return {key: value for key, value in mapping(nbss).items() if isinstance(value, dict)}


def _followed_up(episode_id: str, episodes: dict[str, dict[str, Any]]) -> bool:
    """Whether a later episode was without malignancy."""
    start = _first_date(episodes[episode_id])
    later = [
        episode_status(episode)
        for key, episode in episodes.items()
        if key != episode_id and start and (_first_date(episode) or start) > start
    ]
    return bool(later) and all(status in _NOT_MALIGNANT for status in later)


def _first_date(episode: dict[str, Any]) -> datetime.date | None:
    dates = list(dated_events(episode))
    opened = parse_date(episode.get("EpisodeOpenedDate"))
    return min([*dates, opened]) if opened else min(dates, default=None)
