"""What insert_lesions works on: which images, alone or both views of a breast, and where listed."""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence

from beam_pipelines.insertion.generator import Setup
from beam_pipelines.insertion.targets import ListedPlace, read_places
from beam_pipelines.rejections import IMAGES, Reason, Rejection, left_out
from beam_pipelines.sources.base import LESION, SIDES, VIEWS, Image, UnitIndex
from cgan_tf.data.keyed import unit_hash
from cgan_tf.labels import MALIGNANT_CLASSES
from cgan_tf.runs.errors import UserError

HAS_LESIONS, UNKNOWN_IMAGE = "has_lesions", "unknown_image"


@dataclasses.dataclass(frozen=True)
class Task:
    """One image, or the CC and the MLO view of a breast.

    Attributes:
      listed: the places of a file, for each image.
      wanted: how many places are asked for; 0: those of the marks.
    """

    images: tuple[Image, ...]
    listed: tuple[tuple[ListedPlace, ...], ...]
    wanted: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The tasks in the order of the draw.

    Attributes:
      rejections: images without their other view, where both are wanted.
      left_out: listed places on images of no use, by reason.
    """

    tasks: tuple[Task, ...]
    rejections: tuple[Rejection, ...] = ()
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)


def planned(index: UnitIndex, setup: Setup) -> Plan:
    """What to do with the images of an index; `UserError` where there is nothing."""
    images = fitting(index, setup)
    listed, left = _listed(images, index, setup) if setup.listed else ({}, {})
    if setup.listed and not listed:
        reasons = ", ".join(f"{reason} {count}" for reason, count in left.items())
        raise UserError(
            f"--places={setup.config.places}: expected places on healthy images of "
            f"{setup.config.input_dir}, found none; left out: {reasons}"
        )
    rejections: list[Rejection] = []
    if setup.config.both_views:
        groups = _both_views(images, rejections)
        if not groups:
            raise UserError(
                f"{setup.config.input_dir}: expected a breast with one CC and one MLO view, found "
                f"none{left_out(rejections)}"
            )
    else:
        groups = [(image,) for image in images]
    tasks = [_task(group, listed, setup) for group in groups]
    if setup.listed:
        tasks = [task for task in tasks if task.wanted]
    return Plan(tuple(tasks), tuple(rejections), left)


def _task(group: tuple[Image, ...], listed: Mapping[str, list[ListedPlace]], setup: Setup) -> Task:
    rows = tuple(tuple(listed.get(image.sop_uid, ())) for image in group)
    if setup.removal:
        return Task(group, rows, 0)
    count = setup.config.lesions_per_image
    if setup.listed:
        names = [place.lesion for places in rows for place in places]
        named = [name for name in names if name]
        # On both views a named lesion is one, wherever it is listed.
        count = len(names) - (len(named) - len({*named}) if len(group) > 1 else 0)
    return Task(group, rows, len(group) * count)


def fitting(index: UnitIndex, setup: Setup) -> list[Image]:
    """The images that lesions can be inserted into or removed from, in the order of the draw.

    Lesions are inserted into images without lesions, as far as is known, and removed from images
    with a malignant mark. Raises `UserError` if there are none.
    """
    if setup.removal:
        images = [
            image
            for image in index.images
            if image.use == LESION and any(m.patch_class in MALIGNANT_CLASSES for m in image.marks)
        ]
    else:
        images = [image for image in index.images if image.use != LESION]
    if not images:
        wanted = "an image with a malignant mark" if setup.removal else "a healthy image"
        raise UserError(
            f"{setup.config.input_dir}: expected {wanted}, found none{left_out(index.rejections)}"
        )
    seed = setup.config.seed
    return sorted(images, key=lambda image: unit_hash(seed, "insertion", image.sop_uid))


def _both_views(images: Sequence[Image], rejections: list[Rejection]) -> list[tuple[Image, ...]]:
    """(CC, MLO) of each breast that has one of both in a study; other images are rejected."""
    breasts: dict[tuple[str, ...], list[Image]] = collections.defaultdict(list)
    for image in images:
        breasts[image.client_id, image.study_uid, image.laterality].append(image)
    pairs = []
    for (_, study, side), views in breasts.items():
        pair = tuple(sorted(views, key=lambda image: image.view))
        if study and side in SIDES and tuple(image.view for image in pair) == VIEWS:
            pairs.append(pair)
            continue
        found = ", ".join(image.view or "unknown" for image in pair)
        detail = f"views of the {side or 'unknown'} breast in the study: {found}"
        rejections += [
            Rejection(IMAGES, image.path, Reason.NO_OTHER_VIEW, detail, image.origin())
            for image in pair
        ]
    return pairs


def _listed(
    images: Sequence[Image], index: UnitIndex, setup: Setup
) -> tuple[dict[str, list[ListedPlace]], dict[str, int]]:
    """(places by SOP instance uid, how many others there are by reason)."""
    named = _named(images)
    lesions = _named([image for image in index.images if image.use == LESION])
    rejected: dict[str, str] = {}
    for item in index.rejections:
        if item.kind == IMAGES:
            uid = item.origin.sop_uid if item.origin else ""
            rejected |= dict.fromkeys((uid, os.path.basename(item.name)), item.reason.value)
    places: dict[str, list[ListedPlace]] = {}
    left: collections.Counter[str] = collections.Counter()
    for name, rows in read_places(setup.config.places).items():
        found = named.get(name, [])
        if len(found) > 1:
            raise UserError(
                f"--places={setup.config.places}: {name} names {len(found)} files of "
                f"{setup.config.input_dir}; expected their SOP instance uid"
            )
        if found:
            places.setdefault(found[0].sop_uid, []).extend(rows)
        else:
            reason = HAS_LESIONS if name in lesions else rejected.get(name, UNKNOWN_IMAGE)
            left[reason] += len(rows)
    return places, dict(sorted(left.items()))


def _named(images: Sequence[Image]) -> dict[str, list[Image]]:
    """Images by SOP instance uid and by the name of their file."""
    named: dict[str, list[Image]] = collections.defaultdict(list)
    for image in images:
        for name in {image.sop_uid, os.path.basename(image.path)}:
            named[name].append(image)
    return dict(named)
