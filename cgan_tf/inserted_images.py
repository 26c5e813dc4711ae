"""What insert_lesions leaves to look at: whole images before and after, and rows of patches.

`previews/previews.json` lists the images, `figure3/figure3.json` the rows of contiguous patches;
pictures lie beside them as grey PNG files.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgan_tf.before_after import Box
from cgan_tf.errors import UserError
from cgan_tf.run_directory import read_json

PREVIEWS, ROWS = "previews/previews.json", "figure3/figure3.json"


@dataclasses.dataclass(frozen=True)
class InsertedImage:
    """An image before and after.

    Attributes:
      name: of the image. before, after: addresses of its pictures, from the run's directory.
      width, height: of both in pixels. boxes: (box in these pixels, category) of each lesion.
    """

    name: str
    before: str
    after: str
    width: int
    height: int
    boxes: tuple[tuple[Box, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class PatchRow:
    """Contiguous patches in a row, before and after; `patches` is their number."""

    image: InsertedImage
    patches: int


def read_images(directory: str | Path) -> list[InsertedImage]:
    """The images of a run; `UserError` for a file that is missing or has another form."""
    return [_image(directory, PREVIEWS, entry) for entry in _entries(directory, PREVIEWS, "images")]


def read_rows(directory: str | Path) -> list[PatchRow]:
    """The rows of a run, none where it made none."""
    if not (Path(directory) / ROWS).exists():
        return []
    return [
        PatchRow(_image(directory, ROWS, entry), int(entry.get("patches", 1)))
        for entry in _entries(directory, ROWS, "rows")
    ]


def _entries(directory: str | Path, file: str, key: str) -> list[Mapping[str, Any]]:
    entries = read_json(Path(directory) / file).get(key)
    if not isinstance(entries, list):
        raise UserError(f"{Path(directory) / file}: expected a list of {key}, found none")
    return entries


def _image(directory: str | Path, file: str, entry: Mapping[str, Any]) -> InsertedImage:
    path, folder = Path(directory) / file, Path(file).parent
    try:
        width, height = entry["size"]
        boxes = zip(entry.get("boxes", ()), entry.get("categories", ()), strict=True)
        image = InsertedImage(
            name=str(entry["name"]),
            before=str(folder / entry["before"]),
            after=str(folder / entry["after"]),
            width=int(width),
            height=int(height),
            boxes=tuple((_box(box), str(category)) for box, category in boxes),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: expected name, before, after, size and boxes: {error}") from error
    for picture in (image.before, image.after):
        if not (Path(directory) / picture).is_file():
            raise UserError(f"{Path(directory) / picture}: expected a picture, found none")
    return image


def _box(edges: Any) -> Box:
    x0, y0, x1, y1 = map(float, edges)
    return (x0, y0, x1, y1)
