"""The plan: which image gives which draws, so that every split and class has its count.

The draws of a class are put in one order: first every image's draw 0, then every image's draw 1
and so on (`--image_sampling=even`), each round in the order of the draws' keys. A set of n patches
is the first n draws of that order that could be cut: where an image is damaged, the next draws move
up and nothing else changes. With `--image_sampling=random` an image's draws have places of their
own in the order, so that the same holds.
"""

import dataclasses
import heapq
import itertools
import math
import re
from collections.abc import Iterator, Sequence

from beam_pipelines.patches.windows import draw_key
from beam_pipelines.sources.base import HEALTHY, LESION, Image, split_of
from cgan_tf.config import PatchesConfig
from cgan_tf.data.keyed import unit_hash
from cgan_tf.labels import LESION_CLASSES, NORMAL, SOURCE, SPLITS, UNLABELLED
from cgan_tf.runs.errors import UserError

_MARGIN = 0.02  # more draws than wanted in the first round, for images that cannot be cut


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """One patch to be cut from one image.

    Attributes:
      group: the quota it counts for, see `Quota.group`.
      index: of the draw among those of its image and class.
      key: 32 hexadecimal digits, see `sampling.draw_key`.
      place: in the order of the group's draws; keys decide between equal ones.
    """

    group: str
    split: str
    patch_class: str
    index: int
    key: str
    place: float


@dataclasses.dataclass(frozen=True)
class Quota:
    """How many patches of a class are wanted.

    Attributes:
      split: or empty when the images of all splits count together.
      images: those that may give the patches.
    """

    split: str
    patch_class: str
    count: int
    images: tuple[Image, ...]

    @property
    def group(self) -> str:
        return f"{self.split or 'any'}/{self.patch_class}"


def quotas_of(images: Sequence[Image], config: PatchesConfig, labelled: bool = True) -> list[Quota]:
    """The quotas of a run on a source that is `labelled`; those whose count is 0 are left out."""
    if not labelled:
        name = NORMAL if config.assume_normal else UNLABELLED
        quotas = [Quota("", name, config.folder_patches, tuple(images))]
    else:
        by_split: dict[str, list[Image]] = {split: [] for split in SPLITS}
        for image in images:
            by_split[split_of(image.client_id, config, image.splits)].append(image)
        by_split["train"] = of_lesion_clients(by_split["train"], config)
        quotas = [
            Quota(split, name, count, _eligible(by_split[split], split, name, config))
            for split in SPLITS
            for name, count in _counts(split, config).items()
        ]
    return [quota for quota in quotas if quota.count > 0]


def lesion_clients(config: PatchesConfig) -> tuple[int, int] | None:
    """(first, end) of --train_lesion_clients; None for all. Raises `UserError`."""
    if not config.train_lesion_clients:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", config.train_lesion_clients)
    bounds = (int(match[1]), int(match[2])) if match else (0, 0)
    if bounds[0] >= bounds[1]:
        raise UserError(
            "--train_lesion_clients: expected FIRST:END, such as 0:20, found "
            f"'{config.train_lesion_clients}'"
        )
    return bounds


def of_lesion_clients(images: Sequence[Image], config: PatchesConfig) -> list[Image]:
    """Training images without those with lesions of clients that --train_lesion_clients leaves
    out. A hash orders the clients, so that sets with the same seed share an order."""
    bounds = lesion_clients(config)
    if bounds is None:
        return list(images)
    clients = {image.client_id for image in images if image.use == LESION}
    order = sorted(clients, key=lambda client: unit_hash(config.seed, "lesion clients", client))
    if bounds[1] > len(order):
        raise UserError(
            f"--train_lesion_clients={config.train_lesion_clients}: the training split has "
            f"{len(order)} clients with lesions"
        )
    chosen = set(order[slice(*bounds)])
    return [image for image in images if image.use != LESION or image.client_id in chosen]


def draws_of(quota: Quota, config: PatchesConfig) -> Iterator[tuple[Image, Draw]]:
    """The endless order of a quota's draws (see above); nothing without images."""
    if config.image_sampling == "random":
        yield from _random_draws(quota, config)
        return
    index = 0
    while quota.images:
        pairs = [(image, _draw(quota, image, index, index, config)) for image in quota.images]
        yield from sorted(pairs, key=lambda pair: pair[1].key)
        index += 1


def next_draws(
    quota: Quota,
    order: Iterator[tuple[Image, Draw]],
    missing: int,
    dead: set[str],
    number: int,
) -> list[tuple[Image, Draw]]:
    """The next draws of a quota in round `number`, from images not known to be unfit (`dead`)."""
    alive = sum(image.path not in dead for image in quota.images)
    if not alive:
        return []
    # After the first round draws of live images have failed too: ask each of them again.
    wanted = missing + int(missing * _MARGIN) + 2 if number == 0 else max(missing, alive)
    return list(itertools.islice((pair for pair in order if pair[0].path not in dead), wanted))


def _random_draws(quota: Quota, config: PatchesConfig) -> Iterator[tuple[Image, Draw]]:
    """Images with replacement: 'a random mammogram image', literally.

    Every image comes up at the times of a Poisson process of its own. Taken together in the order
    of time these are independent uniform draws, yet no image's times depend on another image.
    """

    def wait(image: Image, index: int) -> float:
        drawn = unit_hash(config.seed, "image", quota.group, image.sop_uid, index)
        return -math.log1p(-drawn)

    queue = [(wait(image, 0), number, 0) for number, image in enumerate(quota.images)]
    heapq.heapify(queue)
    while queue:
        time, number, index = queue[0]
        image = quota.images[number]
        yield image, _draw(quota, image, index, time, config)
        heapq.heapreplace(queue, (time + wait(image, index + 1), number, index + 1))


def _draw(quota: Quota, image: Image, index: int, place: float, config: PatchesConfig) -> Draw:
    split = quota.split or split_of(image.client_id, config, image.splits)
    key = draw_key(config.seed, split, image.sop_uid, quota.patch_class, index)
    return Draw(quota.group, split, quota.patch_class, index, key.hex(), place)


def _counts(split: str, config: PatchesConfig) -> dict[str, int]:
    prefix = "train" if split == "train" else "eval"
    names = (NORMAL, *LESION_CLASSES, SOURCE)
    return {name: getattr(config, f"{prefix}_{name}", 0) for name in names}


def _eligible(
    images: list[Image], split: str, patch_class: str, config: PatchesConfig
) -> tuple[Image, ...]:
    if patch_class in LESION_CLASSES:
        return tuple(
            image
            for image in images
            if image.use == LESION and any(m.patch_class == patch_class for m in image.marks)
        )
    healthy = [image for image in images if image.use == HEALTHY or image.normals_beside]
    reserved = _reserved(healthy, split, config)
    return tuple(im for im in healthy if (im.sop_uid in reserved) == (patch_class == SOURCE))


def _reserved(healthy: list[Image], split: str, config: PatchesConfig) -> set[str]:
    """Images with normal tissue set aside for class source: whole images, so that no source window
    overlaps a normal patch; at least one, and at least one is left, where there are two."""
    if split != "train" or not config.train_source or not healthy:
        return set()
    if not config.train_normal:
        return {image.sop_uid for image in healthy}
    share = config.train_source / (config.train_source + config.train_normal)
    places = {im.sop_uid: unit_hash(config.seed, "source", im.sop_uid) for im in healthy}
    reserved = {uid for uid, place in places.items() if place < share}
    if len(places) > 1:
        ordered = sorted(places, key=places.__getitem__)
        reserved |= {ordered[0]}
        reserved -= {ordered[-1]}
    return reserved
