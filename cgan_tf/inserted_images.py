"""What insert_lesions leaves to look at: whole images before and after, and rows of patches.

`previews.json` lists them; the pictures are grey PNG files in `previews/` and `figure3/`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cgan_tf.before_after import Box
from cgan_tf.errors import UserError
from cgan_tf.run_directory import read_json

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
        for shown in (image, *([image.row] if image.row else [])):
            for address in (shown.before, shown.after):
                if not (path.parent / address).is_file():
                    raise UserError(f"{path.parent / address}: expected a picture, found none")
    return images


def _image(entry: Mapping[str, Any]) -> InsertedImage:
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
