"""The plan of the phantom: who has what, before anything is drawn.

A plan is a pure function of the seed and the client's number. Kinds of client are dealt in blocks
of twenty, quirks of the annotation in turn over the cases, so that small phantoms have the mix too.
"""

import dataclasses
import datetime

import numpy as np

from beam_pipelines.phantom_findings import PlannedLesion, plan_lesions
from beam_pipelines.phantom_noise import keyed_generator
from beam_pipelines.phantom_outline import Body, draw_body

# Twenty clients: 45% malignant (one an interval case), 20% benign, 35% normal.
BLOCK = ("malignant",) * 8 + ("interval",) + ("benign",) * 4 + ("normal",) * 7
CASES_OF_A_BLOCK = sum(kind != "normal" for kind in BLOCK)
# The paper: "Approximately half of the cancer and benign cases contain ... bounding box labels";
# the phantom is more generous, because it is small.
CASES_WITHOUT_BOXES = 4  # every fourth case
PRIOR_EPISODE_SHARE = 0.12
LATER_EPISODE_SHARE = 0.3  # of normal clients have a later normal episode without images
RECALLED_SHARE = 0.15  # of normal clients were recalled to assessment and found normal
MISSING_VIEW_SHARE = 0.08
PROCESSING_SHARE = 0.3  # of studies hold one FOR PROCESSING twin
# Screening images that no patch may come from, and why.
ODD_SHOT_SHARE = 0.15
ODD_SHOTS = (
    "magnification",
    "spot",
    "implant",
    "tomosynthesis",
    "generated_2d",
    "other_view",
    "both_sides",
)
ASSESSMENT_STUDY_SHARE = 0.2  # of recalled women have an image of the assessment too
DAYS_TO_ASSESSMENT = 18
# One mark of the case (or its NBSS) is written this way; None: as it should be. Every fourth case
# has no boxes, so every fourth place is None.
QUIRKS = (
    *(None, "unlinked", "swapped_corners", None),
    *("linked_two", "null_corners", "both_sides", None),
    *("decimal_corners", "outside", "flag_names", None),
    *("partly_outside", "unset_flags", None, None),
    *("no_site", "no_mark_id", "unknown_side", None),
)
SITES = ("adde", "jarv", "stge")
VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
UID_PREFIX = "1.2.826.0.1.3680043.9.3218.1.1"


@dataclasses.dataclass(frozen=True)
class PlannedImage:
    """One image file.

    Attributes:
      purpose: presentation or processing. shot: standard, or why it must be rejected.
      damage: what is broken about its files, or empty.
    """

    series_uid: str
    sop_uid: str
    side: str
    view: str
    purpose: str = "presentation"
    shot: str = "standard"
    damage: str = ""


@dataclasses.dataclass(frozen=True)
class Study:
    """One study of an episode; `event` is SCREENING or ASSESSMENT."""

    uid: str
    event: str
    date: datetime.date
    images: tuple[PlannedImage, ...]


@dataclasses.dataclass(frozen=True)
class Episode:
    """One NBSS episode; `recalled`: the woman came to assessment; `date`: of the screening."""

    episode_id: str
    kind: str
    date: datetime.date
    recalled: bool
    lesions: tuple[PlannedLesion, ...]
    studies: tuple[Study, ...]


@dataclasses.dataclass(frozen=True)
class Client:
    """One woman."""

    index: int
    client_id: str
    kind: str
    site: str
    body: Body
    boxes: bool
    quirk: str | None
    manufacturer: int
    age: int
    compact_dates: bool
    text_codes: bool
    older_sidecars: bool
    odd_keys: bool
    episodes: tuple[Episode, ...]


def plan_client(seed: int, index: int, damages: tuple[str, ...] = ()) -> Client:
    """The plan of client number `index`; `damages` go to its first images."""
    kind, case = _deal(seed, index)
    rng = keyed_generator(seed, index, "client")
    client_id = f"{'optm' if rng.uniform() < 0.3 else 'demd'}{100003 + 17 * index}"
    quirk = QUIRKS[case % len(QUIRKS)] if case is not None else None
    boxes = case is not None and (case % CASES_WITHOUT_BOXES != CASES_WITHOUT_BOXES - 1)
    return Client(
        index=index,
        client_id=client_id,
        kind=kind,
        site=SITES[int(rng.integers(3))],
        body=draw_body(rng),
        boxes=boxes,
        quirk=quirk if boxes else None,
        manufacturer=int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15))),
        age=int(rng.integers(50, 71)),
        compact_dates=bool(rng.uniform() < 0.25),
        text_codes=bool(rng.uniform() < 0.15),
        older_sidecars=bool(rng.uniform() < 0.4),
        odd_keys=bool(rng.uniform() < 0.1),
        episodes=_plan_episodes(seed, index, kind, quirk if boxes else None, damages),
    )


def _deal(seed: int, index: int) -> tuple[str, int | None]:
    """The client's kind and, for a case, its number among all cases."""
    block, place = divmod(index, len(BLOCK))
    order = keyed_generator(seed, "block", block).permutation(len(BLOCK))
    kinds = [BLOCK[i] for i in order]
    if kinds[place] == "normal":
        return "normal", None
    before = sum(kind != "normal" for kind in kinds[:place])
    return kinds[place], block * CASES_OF_A_BLOCK + before


def _plan_episodes(
    seed: int, index: int, kind: str, quirk: str | None, damages: tuple[str, ...]
) -> tuple[Episode, ...]:
    rng = keyed_generator(seed, index, "episodes")
    date = datetime.date(2011, 1, 3) + datetime.timedelta(days=int(rng.integers(0, 2500)))
    lesions = plan_lesions(rng, kind, quirk)
    recalled = kind in ("benign", "malignant") or (
        kind == "normal" and rng.uniform() < RECALLED_SHARE
    )
    studies = [_plan_screening(rng, index, 200, date, lesions, damages)]
    if recalled and rng.uniform() < ASSESSMENT_STUDY_SHARE:
        studies.append(_plan_assessment(rng, index, date, lesions))
    episodes = [Episode("200", kind, date, recalled, lesions, tuple(studies))]
    if rng.uniform() < PRIOR_EPISODE_SHARE:
        earlier = date - datetime.timedelta(days=int(rng.integers(1000, 1180)))
        study = _plan_screening(rng, index, 100, earlier, (), ())
        episodes.insert(0, Episode("100", "normal", earlier, False, (), (study,)))
    if kind == "normal" and rng.uniform() < LATER_EPISODE_SHARE:
        later = date + datetime.timedelta(days=int(rng.integers(1000, 1180)))
        episodes.append(Episode("300", "normal", later, False, (), ()))
    return tuple(episodes)


def _plan_screening(
    rng: np.random.Generator,
    index: int,
    number: int,
    date: datetime.date,
    lesions: tuple[PlannedLesion, ...],
    damages: tuple[str, ...],
) -> Study:
    uid = f"{UID_PREFIX}.{100003 + 17 * index}.{number}.{int(rng.integers(1000, 9999))}"
    views = list(VIEWS)
    if rng.uniform() < MISSING_VIEW_SHARE and not lesions:
        views.pop(int(rng.integers(4)))
    images = [
        _plan_image(rng, uid, place, *names, damage=damages[place] if place < len(damages) else "")
        for place, names in enumerate(views)
    ]
    if rng.uniform() < PROCESSING_SHARE:
        names = views[int(rng.integers(len(views)))]
        images.append(_plan_image(rng, uid, len(images), *names, purpose="processing"))
    if rng.uniform() < ODD_SHOT_SHARE:
        names = views[int(rng.integers(len(views)))]
        shot = ODD_SHOTS[int(rng.integers(len(ODD_SHOTS)))]
        images.append(_plan_image(rng, uid, len(images), *names, shot=shot))
    return Study(uid, "SCREENING", date, tuple(images))


def _plan_assessment(
    rng: np.random.Generator,
    index: int,
    date: datetime.date,
    lesions: tuple[PlannedLesion, ...],
) -> Study:
    """One more MLO image of the recalled breast, two weeks after the screening."""
    uid = f"{UID_PREFIX}.{100003 + 17 * index}.250.{int(rng.integers(1000, 9999))}"
    side = lesions[0].side if lesions else "L"
    day = date + datetime.timedelta(days=DAYS_TO_ASSESSMENT)
    return Study(uid, "ASSESSMENT", day, (_plan_image(rng, uid, 7, side, "MLO"),))


def _plan_image(
    rng: np.random.Generator,
    study_uid: str,
    place: int,
    side: str,
    view: str,
    purpose: str = "presentation",
    shot: str = "standard",
    damage: str = "",
) -> PlannedImage:
    series = f"{study_uid}.{place + 1}"
    sop = f"{series}.{int(rng.integers(10000, 99999))}"
    return PlannedImage(series, sop, side, view, purpose, shot, damage)


def written_date(client: Client, date: datetime.date) -> str:
    """A date as this client's JSON has it: 2012-03-01 or 20120301."""
    return date.strftime("%Y%m%d" if client.compact_dates else "%Y-%m-%d")
