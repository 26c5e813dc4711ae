"""Two pages of pictures before and after: whole mammograms, and the patches of a synthetic set.

insert_lesions lists its pictures in `previews.json`; they are grey PNG files in `previews/`,
`figure3/` and `details/` beside it. The pages need no network.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cgan_tf.data.provenance import PHANTOM_NOTICE, attribution
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
      boxes: of what was changed, in pixels of the pictures.
    """

    before: str
    after: str
    patches: int
    boxes: tuple[Box, ...] = ()


@dataclasses.dataclass(frozen=True)
class Detail:
    """A lesion and what is around it in native pixels; the attributes are those of an image."""

    before: str
    after: str
    width: int
    height: int
    boxes: tuple[Box, ...]


@dataclasses.dataclass(frozen=True)
class InsertedImage:
    """An image before and after.

    Attributes:
      name: of the image made. view: its side and projection. category: of its lesions.
      before, after: addresses of its pictures, from the run's directory.
      width, height: of both in pixels. boxes: of the lesions, in these pixels.
      row: the patches of Figure 3 that were cut out of it, if there are any.
      source_file: the name of the file that it was made from, as the user gave it; or empty.
      details: in which every lesion of it is seen in native pixels.
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
    source_file: str = ""
    details: tuple[Detail, ...] = ()

    @property
    def pictures(self) -> list[str]:
        """Addresses of all its pictures."""
        row = [self.row.before, self.row.after] if self.row else []
        details = (name for each in self.details for name in (each.before, each.after))
        return [self.before, self.after, *row, *details]

    @property
    def title(self) -> str:
        """View and file; the middle of a long file name is left out."""
        return f"{self.view} {shortened(self.source_file or self.name)}".strip()


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
        for address in image.pictures:
            if not (path.parent / address).is_file():
                raise UserError(f"{path.parent / address}: expected a picture, found none")
    return images


def _image(entry: Json) -> InsertedImage:
    row = entry.get("figure3")
    if row:
        before, after = str(row["before"]), str(row["after"])
        boxes = tuple(_box(edges) for edges in row["boxes"])
        row = PatchRow(before, after, int(row["patches"]), boxes)
    return InsertedImage(
        name=str(entry["name"]),
        view=f"{entry['laterality']} {entry['view']}".strip(),
        category=str(entry["category"]),
        before=str(entry["before"]),
        after=str(entry["after"]),
        width=int(entry["width"]),
        height=int(entry["height"]),
        boxes=tuple(_box(edges) for edges in entry["boxes"]),
        row=row or None,
        source_file=str(entry.get("source_file", "")),
        details=tuple(_detail(detail) for detail in entry.get("details", ())),
    )


def _detail(entry: Json) -> Detail:
    return Detail(
        before=str(entry["before"]),
        after=str(entry["after"]),
        width=int(entry["width"]),
        height=int(entry["height"]),
        boxes=tuple(_box(edges) for edges in entry["boxes"]),
    )


def _box(edges: Any) -> Box:
    x0, y0, x1, y1 = map(float, edges)
    return (x0, y0, x1, y1)


def shortened(name: str) -> str:
    """A name as it is up to `NAME_LETTERS`, or its ends."""
    return name if len(name) <= NAME_LETTERS else f"{name[:12]}…{name[-12:]}"


NAME_LETTERS = 32
VIEWER = "viewer.html"
TITLE = "Mammograms before and after"
HOW_TO_VIEW = (
    "Drag the divider in a picture, or move it with the arrow keys: the image before is on its "
    "left, the one after on its right. The switch shows and hides the boxes of all images. "
    "Whole images are reduced for the screen; what was changed follows each in native pixels."
)
GENERATOR_NOTICE = "The generator has learnt from a phantom: lesions drawn by a computer."
CHANGES = {  # by task: what one and several of them are called, and what was done
    "mass": ("mass", "masses", "inserted"),
    "calcification": ("calcification", "calcifications", "inserted"),
    "removal": ("lesion", "lesions", "removed"),
}


def write_viewer(directory: str | Path) -> Path:
    """Writes viewer.html for the previews of a run; `UserError` where they are missing."""
    path = Path(directory) / VIEWER
    content = read_json(Path(directory) / PREVIEWS)
    drawn = bool(content.get("phantom"))
    notices = [PHANTOM_NOTICE] if drawn else []
    if content.get("generator_phantom") and not drawn:
        notices.append(GENERATOR_NOTICE)
    page = viewer_page(read_images(directory), " ".join(notices), drawn)
    write_bytes(path, page.encode())
    return path


def viewer_page(images: Sequence[InsertedImage], notice: str = "", phantom: bool = False) -> str:
    """The page; its pictures are files beside it, loaded when they are scrolled to.

    `notice`: what the data are. `phantom`: whether the images are drawn: every picture says so.
    """
    comparisons = [
        comparison
        for number, image in enumerate(images, 1)
        for comparison in _comparisons(image, f"image-{number}")
    ]
    parts: list[Part] = [Sliders(comparisons, large=True)]
    if len(images) > 1:
        targets = [(f"{n}. {image.title}", f"#image-{n}") for n, image in enumerate(images, 1)]
        parts.insert(0, Links(targets))
    opening = [Paragraph(_facts(images), "lead"), Paragraph(HOW_TO_VIEW, "lead")]
    # To some browsers a file on disk is not 'self'.
    sections = [Section("Images", html.marked_as_phantom(parts) if phantom else parts)]
    return html.page(TITLE, opening, sections, images="'self' file:", notice=notice)


def _facts(images: Sequence[InsertedImage]) -> str:
    counts = Counter(image.category for image in images for _ in image.boxes)
    lesions = ", ".join(changes(category, count) for category, count in sorted(counts.items()))
    return f"{len(images):,} images: {lesions or 'nothing changed'}."


def changes(category: str, count: int) -> str:
    """1 mass inserted, 5 calcifications inserted, 2 lesions removed."""
    one, several, done = CHANGES.get(category, (category, category, "inserted"))
    return f"{count:,} {one if count == 1 else several} {done}"


def image_comparison(
    image: InsertedImage, key: str, before: Picture, after: Picture, boxes: Sequence[Box]
) -> Comparison:
    """An image in two pictures, with its boxes in their pixels."""
    done = changes(image.category, len(boxes)) if boxes else "nothing changed"
    text = f"{image.view} {image.source_file or image.name}".strip()
    named = [(box, image.category) for box in boxes]
    start = middle_of(boxes, before.width)
    return Comparison(key, image.title, f"{text}: {done}", before, after, boxes=named, start=start)


def _comparisons(image: InsertedImage, key: str) -> list[Comparison]:
    """The image, and every lesion of it."""
    shown = [image_comparison(image, key, *_files_of(image), image.boxes)]
    for number, detail in enumerate(image.details, 1):
        what = f"{image.title}, detail {number}"
        named = [(box, image.category) for box in detail.boxes]
        caption = (
            f"{what} of {len(image.details)}, pixel for pixel ({detail.width} × {detail.height})"
        )
        pictures = _files_of(detail)
        shown.append(Comparison(f"{key}-{number}", what, caption, *pictures, boxes=named))
    return shown


def _files_of(shown: InsertedImage | Detail) -> tuple[Picture, Picture]:
    before, after = (
        Picture(quote(address), shown.width, shown.height)
        for address in (shown.before, shown.after)
    )
    return before, after


HOW_TO_LOOK = (
    "Drag the divider in a picture, or move it with the arrow keys: the source patch is on its "
    "left, the synthetic one on its right. The switches show the lesion's box and the lesion "
    "channel, where zero is mid-grey. The patches are drawn at random, not chosen."
)


def gallery_page(title: str, facts: str, pairs: Sequence[Pair], notice: str = "") -> bytes:
    """The page in UTF-8, whole in one file; the same pairs give the same bytes.

    `notice`: what the data are, e.g. `provenance.PHANTOM_NOTICE`.
    """
    comparisons = [
        pair_comparison(pair, f"pair-{n}", f"Pair {n}") for n, pair in enumerate(pairs, 1)
    ]
    opening = [Paragraph(facts, "lead"), Paragraph(HOW_TO_LOOK, "lead")]
    if source := attribution(pair.source.sop_uid for pair in pairs):
        opening.append(Paragraph(source, "lead"))
    parts: list[Part] = [Sliders(comparisons)]
    sections = [Section("Before and after", html.marked_as_phantom(parts) if notice else parts)]
    return html.page(title, opening, sections, notice=notice).encode()
