"""The work on one image, as an item that Beam can carry and as the function that does it."""

import dataclasses
import os
from collections.abc import Iterable
from typing import Any

from beam_pipelines import files, spills
from beam_pipelines.cutting import cut_image
from beam_pipelines.plan import Draw
from beam_pipelines.sources import Image, Mark, digest
from cgan_tf.config import PatchesConfig


@dataclasses.dataclass(frozen=True)
class CutToSpill:
    """Cuts every patch planned for an image into one spill file."""

    config: PatchesConfig
    directory: str

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """Returns the name of the spill file with its rows and rejections."""
        name = item["name"]
        if not files.exists(os.path.join(self.directory, name)):
            image = _image_from(item["image"])
            draws = [Draw(*values) for values in item["draws"]]
            spills.write_spill(self.directory, name, cut_image(image, draws, self.config))
        return spills.read_trailer(self.directory, name)


def by_image(batch: Iterable[tuple[Image, Draw]]) -> list[tuple[Image, list[Draw]]]:
    """The draws of each image, images in the order of their SOP instance uid."""
    found: dict[str, tuple[Image, list[Draw]]] = {}
    for image, draw in batch:
        found.setdefault(image.sop_uid, (image, []))[1].append(draw)
    return [found[uid] for uid in sorted(found)]


def spill_name(image: Image, draws: list[Draw]) -> str:
    """The spill file of these draws: the same in every run that asks for them."""
    return f"{digest(image.sop_uid, *sorted(draw.key for draw in draws)).hex()}.spill"


def work_item(image: Image, draws: list[Draw]) -> dict[str, Any]:
    """What `CutToSpill` is given, ready for JSON."""
    return {
        "name": spill_name(image, draws),
        "image": dataclasses.asdict(image),
        "draws": [dataclasses.astuple(draw) for draw in draws],
    }


def _image_from(values: dict[str, Any]) -> Image:
    marks = tuple(Mark(**{**mark, "box": tuple(mark["box"])}) for mark in values["marks"])
    return Image(**{**values, "marks": marks, "splits": tuple(values["splits"])})
