"""Two pages of pictures before and after: whole mammograms, and the patches of a synthetic set.

insert_lesions lists its pictures in `previews.json`; they are grey PNG files in `previews/` and
`figure3/` beside it. The pages need no network.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cgan_tf.pages import html
from cgan_tf.pages.html import (
    Box,
    Comparison,
    Links,
    Paragraph,
    Part,
    Picture,
    Section,
    Sliders,
    middle_of,
)
from cgan_tf.pages.patches import Pair, pair_comparison
from cgan_tf.runs.directory import Json, read_json, write_bytes
from cgan_tf.runs.errors import UserError

PREVIEWS = "previews.json"


@dataclasses.dataclass(frozen=True)
class PatchRow:
    """Contiguous patches in a row.

    Attributes:
      before, after: addresses of its pictures, from the run's directory. patches: their number.
    """

    before: str
    after: str
    patches: int


@dataclasses.dataclass(frozen=True)
class InsertedImage:
    """An image before and after.

    Attributes:
      name: of the image made. view: its side and projection. category: of its lesions.
      before, after: addresses of its pictures, from the run's directory.
      width, height: of both in pixels. boxes: of the lesions, in these pixels.
      row: the patches of Figure 3 that were cut out of it, if there are any.
    """

    name: str
    view: str
    category: str
    before: str
    after: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    row: PatchRow | None = None


def read_images(directory: str | Path) -> list[InsertedImage]:
    """The images of a run that have pictures.

    Raises `UserError` for a list or a picture that is missing, or for a list of another form.
    """
    path = Path(directory) / PREVIEWS
    try:
        images = [_image(entry) for entry in read_json(path)["images"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected the previews of insert_lesions: {error!r}") from error
    for image in images:
        pictures = [image.before, image.after]
        if image.row:
            pictures += [image.row.before, image.row.after]
        for address in pictures:
            if not (path.parent / address).is_file():
                raise UserError(f"{path.parent / address}: expected a picture, found none")
    return images


def _image(entry: Json) -> InsertedImage:
    row = entry.get("figure3")
    return InsertedImage(
        name=str(entry["name"]),
        view=f"{entry['laterality']} {entry['view']}".strip(),
        category=str(entry["category"]),
        before=str(entry["before"]),
        after=str(entry["after"]),
        width=int(entry["width"]),
        height=int(entry["height"]),
        boxes=tuple(_box(edges) for edges in entry["boxes"]),
        row=PatchRow(str(row["before"]), str(row["after"]), int(row["patches"])) if row else None,
    )


def _box(edges: Any) -> Box:
    x0, y0, x1, y1 = map(float, edges)
    return (x0, y0, x1, y1)


VIEWER = "viewer.html"
TITLE = "Mammograms before and after"
HOW_TO_VIEW = (
    "Drag the edge in a picture, or move it with the arrow keys: the image before is on its left, "
    "the one after on its right. The switch shows and hides the boxes of all images. Pictures are "
    "reduced for the screen; the DICOM files have every pixel."
)


def write_viewer(directory: str | Path) -> Path:
    """Writes viewer.html for the previews of a run; `UserError` where they are missing."""
    path = Path(directory) / VIEWER
    write_bytes(path, viewer_page(read_images(directory)).encode())
    return path


def viewer_page(images: Sequence[InsertedImage]) -> str:
    """The page; its pictures are files beside it, loaded when they are scrolled to."""
    comparisons = [_comparison(image, f"image-{n}") for n, image in enumerate(images, 1)]
    parts: list[Part] = [Sliders(comparisons, large=True)]
    if len(images) > 1:
        parts.insert(0, Links([(each.title, f"#{each.key}") for each in comparisons]))
    opening = [Paragraph(_facts(images), "lead"), Paragraph(HOW_TO_VIEW, "lead")]
    # To some browsers a file on disk is not 'self'.
    return html.page(TITLE, opening, [Section("Images", parts)], images="'self' file:")


def _facts(images: Sequence[InsertedImage]) -> str:
    counts = Counter(image.category for image in images for _ in image.boxes)
    lesions = ", ".join(f"{count:,} {category}" for category, count in sorted(counts.items()))
    return f"{len(images):,} images, lesions: {lesions or 'none'}."


def image_comparison(
    image: InsertedImage, key: str, before: Picture, after: Picture, boxes: Sequence[Box]
) -> Comparison:
    """An image in two pictures, with its boxes in their pixels."""
    name = f"{image.view} {image.name}".strip()
    lesions = f"{len(boxes)} {image.category}" if boxes else "no lesion"
    named = [(box, image.category) for box in boxes]
    start = middle_of(boxes, before.width)
    return Comparison(key, name, f"{name}: {lesions}", before, after, boxes=named, start=start)


def _comparison(image: InsertedImage, key: str) -> Comparison:
    before, after = (
        Picture(quote(address), image.width, image.height)
        for address in (image.before, image.after)
    )
    return image_comparison(image, key, before, after, image.boxes)


HOW_TO_LOOK = (
    "Drag the edge in a picture, or move it with the arrow keys: the source patch is on its left, "
    "the synthetic one on its right. The switches show the lesion's box and the lesion channel, "
    "where zero is mid-grey. The patches are drawn at random, not chosen."
)


def gallery_page(title: str, facts: str, pairs: Sequence[Pair]) -> bytes:
    """The page in UTF-8, whole in one file; the same pairs give the same bytes."""
    comparisons = [pair_comparison(pair, f"pair-{n}") for n, pair in enumerate(pairs, 1)]
    opening = [Paragraph(facts, "lead"), Paragraph(HOW_TO_LOOK, "lead")]
    sections = [Section("Before and after", [Sliders(comparisons)])]
    return html.page(title, opening, sections).encode()
