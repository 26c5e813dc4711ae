"""The plan of the phantom, before anything is drawn: who has which lesions and images.

A plan is a pure function of the seed and the patient's number. Kinds of patient are dealt in blocks
of twenty, quirks of the annotation in turn over the cases, so that small phantoms have the mix too.
Benign and malignant lesions come from overlapping distributions, so that telling them apart is
possible but not trivial.
"""

import dataclasses
import datetime

import numpy as np

from beam_pipelines.phantom.breast import Body, draw_body
from beam_pipelines.phantom.lesions import (
    CALCIFICATION,
    DISTORTION,
    MASS,
    MASS_WITH_CALCIFICATION,
    LesionLook,
)
from beam_pipelines.phantom.screening import faded, screening_look
from cgan_tf.data.keyed import keyed_generator

MALIGNANT_KINDS = {
    MASS: 0.45,
    CALCIFICATION: 0.33,
    MASS_WITH_CALCIFICATION: 0.15,
    DISTORTION: 0.07,
}
BENIGN_KINDS = {MASS: 0.55, CALCIFICATION: 0.45}
# 81% of spiculated masses at biopsy are malignant, but few circumscribed ones (Liberman et al.,
# AJR 171:35, 1998): overlapping, never separate.
MALIGNANT_MARGINS = {"spiculated": 0.50, "ill_defined": 0.38, "well_defined": 0.12}
BENIGN_MARGINS = {"spiculated": 0.08, "ill_defined": 0.32, "well_defined": 0.60}
MALIGNANT_MORPHOLOGY = {"pleomorphic": 0.60, "linear": 0.25, "round": 0.15}
BENIGN_MORPHOLOGY = {"pleomorphic": 0.25, "linear": 0.05, "round": 0.70}
# Half of screen-detected invasive cancers in the UK are below 15 mm.
SIZE_MM = {"malignant": (13.5, 0.30), "benign": (11.0, 0.33), "uncertain": (11.5, 0.33)}
SMALLEST_MM, LARGEST_MM = 6.0, 24.0
# Tumour against fat: 0.844 - 0.456 per cm at 20 keV (Johns and Yaffe, Phys Med Biol 32:675, 1987);
# a display range of 0.9 for 5 cm of fat against gland (0.346 per cm). Doubled twice over: for the
# manufacturers' local contrast enhancement, and because minutes of training must be enough to
# learn these lesions: most are plain to the eye, more so than a screening population's.
CONTRAST_PER_MM = 0.0388 * 0.52 * 2.4
# A cluster is smaller than a mass. The density it lies in is plainer than in most women: the paper
# keeps one connected object of the lesion channel, so specks alone could not be learned and kept.
CLUSTER_SHARE = 0.75
CLUSTER_DENSITY = {"malignant": (0.26, 0.42), "benign": (0.18, 0.32), "uncertain": (0.18, 0.32)}
CONTRAST_RANGE = {
    "malignant": (0.48, 0.80),
    "benign": (0.32, 0.60),
    "uncertain": (0.32, 0.60),
}
INTERVAL_CONTRAST = 0.7  # of the screening population's
SUBTLE_SHARE = 0.18
SECOND_LESION_SHARE = 0.25
UNCERTAIN_SHARE = 0.1  # of benign lesions are B3: neither malignant nor benign
# Where NBSS says what a lesion is.
EVIDENCE = {
    "surgery": 0.45,
    "biopsy_wide": 0.25,
    "vacuum": 0.08,
    "biopsy_fine": 0.07,
    "components": 0.05,
    "opinion": 0.10,
}


@dataclasses.dataclass(frozen=True)
class PlannedLesion:
    """A lesion: where NBSS has it, what it is, where it lies.

    Attributes:
      side, number: of NBSS' LESION table. pathology: malignant, benign or uncertain.
      forward: 0 at the nipple, 1 at the chest wall. lateral: -1 to 1 across the breast, by view.
      conspicuity: as in the mark. evidence: which NBSS table says what it is.
    """

    side: str
    number: str
    pathology: str
    look: LesionLook
    forward: float
    lateral: dict[str, float]
    conspicuity: str
    evidence: str


def plan_lesions(
    rng: np.random.Generator, kind: str, quirk: str | None, difficulty: str = "easy"
) -> tuple[PlannedLesion, ...]:
    """The lesions of a client's last episode; some quirks need two of them at set places."""
    if kind == "normal":
        return ()
    pathology = "benign" if kind == "benign" else "malignant"
    if pathology == "benign" and rng.uniform() < UNCERTAIN_SHARE:
        pathology = "uncertain"
    side = "LR"[int(rng.integers(2))]
    first = _plan_lesion(rng, side, "1", pathology, kind == "interval", difficulty)
    if quirk == "both_sides":
        other = "benign" if pathology == "malignant" else "malignant"
        return (first, _plan_lesion(rng, "LR"["RL".index(side)], "1", other, False, difficulty))
    if quirk == "linked_two":
        second = _plan_lesion(rng, side, "2", pathology, False, difficulty)
        near = {view: place + 0.05 for view, place in first.lateral.items()}
        return (first, dataclasses.replace(second, forward=first.forward, lateral=near))
    if rng.uniform() < SECOND_LESION_SHARE:
        second = _plan_lesion(rng, side, "2", pathology, kind == "interval", difficulty)
        return (first, _far_from(first, second))
    return (first,)


def _far_from(first: PlannedLesion, second: PlannedLesion) -> PlannedLesion:
    """The second lesion at a place in the same breast away from the first."""
    lateral = {view: -place for view, place in first.lateral.items()}
    forward = 0.75 if first.forward < 0.5 else 0.3
    return dataclasses.replace(second, forward=forward, lateral=lateral)


def _plan_lesion(
    rng: np.random.Generator,
    side: str,
    number: str,
    pathology: str,
    interval: bool,
    difficulty: str,
) -> PlannedLesion:
    look = (_easy_look if difficulty == "easy" else _screening_look)(rng, pathology, interval)
    lateral = float(rng.uniform(-0.6, 0.6))
    return PlannedLesion(
        side=side,
        number=number,
        pathology=pathology,
        look=look,
        forward=float(rng.uniform(0.28, 0.72)),
        lateral={"CC": lateral, "MLO": float(rng.uniform(-0.6, 0.6))},
        conspicuity=_conspicuity(rng, look, interval),
        evidence=_pick(rng, EVIDENCE),
    )


def _screening_look(rng: np.random.Generator, pathology: str, interval: bool) -> LesionLook:
    look = screening_look(rng, pathology)
    return faded(look, INTERVAL_CONTRAST) if interval else look


def _easy_look(rng: np.random.Generator, pathology: str, interval: bool) -> LesionLook:
    malignant = pathology == "malignant"
    kind = _pick(rng, MALIGNANT_KINDS if malignant else BENIGN_KINDS)
    median, spread = SIZE_MM[pathology]
    size = float(np.clip(median * np.exp(rng.normal(0, spread)), SMALLEST_MM, LARGEST_MM))
    faint = 0.45 if interval or rng.uniform() < SUBTLE_SHARE else 1.0
    contrast = CONTRAST_PER_MM * size * np.exp(rng.normal(0, 0.2))
    contrast = float(np.clip(contrast, *CONTRAST_RANGE[pathology])) * faint
    if kind == CALCIFICATION:
        size = max(SMALLEST_MM, CLUSTER_SHARE * size)
        present = malignant or rng.uniform() < 0.5
        contrast = present * faint * float(rng.uniform(*CLUSTER_DENSITY[pathology]))
    specks = int(rng.integers(8, 26) if malignant else rng.integers(4, 16))
    return LesionLook(
        kind=kind,
        margin=_pick(rng, MALIGNANT_MARGINS if malignant else BENIGN_MARGINS),
        morphology=_pick(rng, MALIGNANT_MORPHOLOGY if malignant else BENIGN_MORPHOLOGY),
        size_mm=size,
        contrast=contrast,
        specks=specks,
        speck_contrast=float(rng.uniform(0.45, 0.85)) * (0.6 if faint < 1 else 1.0),
    )


def _conspicuity(rng: np.random.Generator, look: LesionLook, interval: bool) -> str:
    if interval:
        return ("Very_subtle", "Occult", "not_recalled")[int(rng.integers(3))]
    strength = max(look.contrast, 0.5 * look.speck_contrast * (look.kind == CALCIFICATION))
    return "Obvious" if strength > 0.27 else "Subtle" if strength > 0.15 else "Very_subtle"


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    return list(weights)[int(rng.choice(len(weights), p=list(weights.values())))]


# Twenty clients: 45% malignant (one an interval case), 20% benign, 35% normal.
BLOCK = ("malignant",) * 8 + ("interval",) + ("benign",) * 4 + ("normal",) * 7
# A lean phantom has what an experiment on cancer or no cancer learns from and is scored on.
LEAN_BLOCK = ("malignant",) * 10 + ("interval",) + ("normal",) * 9
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
    difficulty: str
    episodes: tuple[Episode, ...]


def plan_client(
    seed: int,
    index: int,
    damages: tuple[str, ...] = (),
    difficulty: str = "easy",
    lean: bool = False,
) -> Client:
    """The plan of client number `index`; `damages` go to its first images.

    A `lean` client has the two views of one breast, every lesion marked without a quirk, and
    nothing else.
    """
    kind, case = _deal(seed, index, LEAN_BLOCK if lean else BLOCK)
    rng = keyed_generator(seed, index, "client")
    client_id = f"{'optm' if rng.uniform() < 0.3 else 'demd'}{100003 + 17 * index}"
    quirk = QUIRKS[case % len(QUIRKS)] if case is not None else None
    boxes = case is not None and (case % CASES_WITHOUT_BOXES != CASES_WITHOUT_BOXES - 1)
    if lean:
        boxes, quirk = case is not None, None
    quirk = quirk if boxes else None
    if lean:
        episodes = _plan_lean_episode(seed, index, kind, damages, difficulty)
    else:
        episodes = _plan_episodes(seed, index, kind, quirk, damages, difficulty)
    return Client(
        index=index,
        client_id=client_id,
        kind=kind,
        site=SITES[int(rng.integers(3))],
        body=draw_body(rng),
        boxes=boxes,
        quirk=quirk,
        manufacturer=int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15))),
        age=int(rng.integers(50, 71)),
        compact_dates=bool(rng.uniform() < 0.25),
        text_codes=bool(rng.uniform() < 0.15),
        older_sidecars=bool(rng.uniform() < 0.4),
        odd_keys=bool(rng.uniform() < 0.1),
        difficulty=difficulty,
        episodes=episodes,
    )


def _deal(seed: int, index: int, block: tuple[str, ...]) -> tuple[str, int | None]:
    """The client's kind and, for a case, its number among all cases."""
    number, place = divmod(index, len(block))
    order = keyed_generator(seed, "block", number).permutation(len(block))
    kinds = [block[i] for i in order]
    if kinds[place] == "normal":
        return "normal", None
    cases = [kind != "normal" for kind in kinds]
    return kinds[place], number * sum(cases) + sum(cases[:place])


def _plan_episodes(
    seed: int,
    index: int,
    kind: str,
    quirk: str | None,
    damages: tuple[str, ...],
    difficulty: str,
) -> tuple[Episode, ...]:
    rng = keyed_generator(seed, index, "episodes")
    date = datetime.date(2011, 1, 3) + datetime.timedelta(days=int(rng.integers(0, 2500)))
    lesions = plan_lesions(rng, kind, quirk, difficulty)
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


def _plan_lean_episode(
    seed: int, index: int, kind: str, damages: tuple[str, ...], difficulty: str
) -> tuple[Episode, ...]:
    rng = keyed_generator(seed, index, "episodes")
    date = datetime.date(2011, 1, 3) + datetime.timedelta(days=int(rng.integers(0, 2500)))
    lesions = plan_lesions(rng, kind, None, difficulty)
    side = lesions[0].side if lesions else "LR"[int(rng.integers(2))]
    uid = _study_uid(rng, index, 200)
    images = [
        _plan_image(
            rng, uid, place, side, view, damage=damages[place] if place < len(damages) else ""
        )
        for place, view in enumerate(("CC", "MLO"))
    ]
    study = Study(uid, "SCREENING", date, tuple(images))
    return (Episode("200", kind, date, kind == "malignant", lesions, (study,)),)


def _plan_screening(
    rng: np.random.Generator,
    index: int,
    number: int,
    date: datetime.date,
    lesions: tuple[PlannedLesion, ...],
    damages: tuple[str, ...],
) -> Study:
    uid = _study_uid(rng, index, number)
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


def _study_uid(rng: np.random.Generator, index: int, number: int) -> str:
    return f"{UID_PREFIX}.{100003 + 17 * index}.{number}.{int(rng.integers(1000, 9999))}"


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
