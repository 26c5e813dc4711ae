"""The work on one image, as an item that Beam can carry and as the function that does it."""

import dataclasses
import os
import time
from collections.abc import Iterable
from typing import Any

from beam_pipelines import files, metrics, spills
from beam_pipelines.cutting import Outcome, cut_image
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
        if files.exists(os.path.join(self.directory, name)):
            metrics.count("images_found_cut")
            return spills.read_trailer(self.directory, name)
        start = time.perf_counter()
        draws = [Draw(*values) for values in item["draws"]]
        outcome = cut_image(image_from(item["image"]), draws, self.config)
        trailer = spills.write_spill(self.directory, name, outcome)
        _measure(outcome, time.perf_counter() - start)
        return trailer


def _measure(outcome: Outcome, seconds: float) -> None:
    metrics.count("images_cut")
    metrics.count("patches_cut", len(outcome.cuts))
    metrics.observe("image_ms", 1000 * seconds)
    if outcome.decode_seconds:
        metrics.observe("decode_ms", 1000 * outcome.decode_seconds)
    for cut in outcome.cuts:
        metrics.observe("tissue_thousandths", 1000 * cut.record.tissue_fraction)
    for item in outcome.rejections:
        metrics.count(f"rejected_{item.kind}_{item.reason.value}")


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


def image_from(values: dict[str, Any]) -> Image:
    """The image of a work item."""
    marks = tuple(Mark(**{**mark, "box": tuple(mark["box"])}) for mark in values["marks"])
    return Image(**{**values, "marks": marks, "splits": tuple(values["splits"])})
