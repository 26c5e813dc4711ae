"""What a row of a table says: that there is no lesion, or a lesion, its class and its place.

Coordinates are pixels of the stored image. A box's numbers are its edges; a circle's centre and a
polygon's corners are pixels, whose middle is half a pixel further. `y_from = "bottom"` counts rows
from the last one up.
"""

import dataclasses
import math
import os
import plistlib
import re
from collections.abc import Mapping, Sequence

from beam_pipelines.rejections import Reason, Rejected
from beam_pipelines.sources.base import Box, Mark
from beam_pipelines.sources.table_mapping import (
    ANY_OTHER,
    BENIGN,
    CALCIFICATION,
    MALIGNANT,
    MASS,
    NONE,
    OTHER,
    UNSAID,
    Geometry,
    TableMapping,
)
from beam_pipelines.sources.table_rows import Row, as_id, holds, raw_words, text_of, words_of
from beam_pipelines.storage import files
from cgan_tf.labels import NORMAL

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_LARGEST_PLIST = 16 << 20
_MOST_BOXES, _MOST_CORNERS = 1000, 100_000  # of a row


@dataclasses.dataclass(frozen=True)
class Shape:
    """Where a lesion is.

    Attributes:
      box, outline, mask: as in `Mark`. repairs: what was mended.
      types: of a file of regions, what this one is; empty: what the row says.
      fault: why this one of several cannot be used.
    """

    box: tuple[float, ...] = ()
    outline: tuple[float, ...] = ()
    mask: str = ""
    repairs: str = ""
    types: tuple[str, ...] = ()
    fault: Rejected | None = None


def is_healthy(mapping: TableMapping, row: Row) -> bool:
    """Whether a row says that there is no lesion; `Rejected` for a word that is not known."""
    if mapping.healthy:
        return holds(mapping.healthy, row)
    found = words_of(mapping.type, row) or words_of(mapping.pathology, row)
    return bool(found) and set(found) == {NONE}


def class_of(mapping: TableMapping, row: Row) -> str:
    """The class that a row tells by itself: normal, one of a lesion, or empty."""
    try:
        if is_healthy(mapping, row):
            return NORMAL
        mass, _, pathology = _class_of(mapping, row, ())
    except Rejected:
        return ""
    return f"{pathology}_{MASS if mass else CALCIFICATION}"


def gives(mapping: TableMapping, row: Row) -> str:
    """The class of the patches that a row can give: `class_of`, of a lesion if it has a place."""
    found = class_of(mapping, row)
    if found == NORMAL or (mapping.geometry and _texts(mapping.geometry, row, "")):
        return found
    return ""


def evidence_of(mapping: TableMapping, row: Row) -> str:
    """What the labels of a row rest on: its columns, with the words that the mapping knows."""
    said = [mapping.evidence] if mapping.evidence else []
    for value in (mapping.type, mapping.pathology):
        for word in raw_words(value, row) if value and value.words else ():
            if value and value.words and word.casefold() in value.words and word:
                said.append(f"{value.column} {word}".strip())
    for column, words in mapping.healthy.items():
        cell = as_id(row.cells[column])
        if cell in words and cell:
            said.append(f"{column} {cell}")
    return ", ".join(dict.fromkeys(said))


def marks_of(
    mapping: TableMapping, row: Row, root: str, path: str, size: tuple[int, int]
) -> list[tuple[str, Mark | Rejected]]:
    """(id, mark or why it has none) of each lesion that a row tells of.

    Args:
      root: of the data set. path: of the image, from there on. size: (H, W) of it.
    """
    try:
        shapes = shapes_of(mapping, row, root, path, size)
    except Rejected as fault:
        return [(row.name, fault)]
    names = (
        [row.name] if len(shapes) == 1 else [f"{row.name}.{n}" for n in range(1, len(shapes) + 1)]
    )
    found: list[tuple[str, Mark | Rejected]] = []
    for name, shape in zip(names, shapes, strict=True):
        try:
            found.append((name, _mark(mapping, row, name, shape)))
        except Rejected as fault:
            found.append((name, fault))
    return found


def _mark(mapping: TableMapping, row: Row, name: str, shape: Shape) -> Mark:
    mass, calcification, pathology = _class_of(mapping, row, shape.types)
    if shape.fault:
        raise shape.fault
    return Mark(
        mark_id=name,
        box=shape.box,
        patch_class=f"{pathology}_{MASS if mass else CALCIFICATION}",
        has_mass=int(mass),
        has_calcification=int(calcification),
        evidence=evidence_of(mapping, row),
        conspicuity=text_of(mapping.conspicuity, row),
        repairs=shape.repairs,
        mask=shape.mask,
        outline=shape.outline,
    )


def _class_of(mapping: TableMapping, row: Row, types: Sequence[str]) -> tuple[bool, bool, str]:
    """(mass, calcification, pathology) of a row; `Rejected` where it has no class."""
    types = types or words_of(mapping.type, row)
    pathologies = set(words_of(mapping.pathology, row))
    mass = MASS in types or "both" in types
    calcification = CALCIFICATION in types or "both" in types
    if not (mass or calcification):
        reason = Reason.NEITHER_MASS_NOR_CALCIFICATION if OTHER in types else Reason.NO_LESION_TYPE
        raise Rejected(reason, row.name)
    if MALIGNANT in pathologies:
        return mass, calcification, MALIGNANT
    if pathologies != {BENIGN}:
        raise Rejected(Reason.NO_PATHOLOGY, row.name)
    return mass, calcification, BENIGN


def shapes_of(
    mapping: TableMapping, row: Row, root: str, path: str, size: tuple[int, int]
) -> list[Shape]:
    """The places of the lesions of a row, one or more; `Rejected` where it has none."""
    geometry = mapping.geometry
    if geometry is None:
        raise Rejected(Reason.NO_PLACE, row.name)
    if geometry.kind in ("mask", "plist"):
        file = text_of(geometry.values["path"], row, path)
        if not file:
            raise Rejected(Reason.NO_PLACE, row.name)
        file = os.path.join(root, file)
        return (
            [_mask(file, row)] if geometry.kind == "mask" else _regions(geometry, file, row, size)
        )
    texts = _texts(geometry, row, path)
    if not texts:
        raise Rejected(Reason.NO_PLACE, row.name)
    if geometry.kind == "boxes":
        return _boxes(geometry, texts["numbers"], row, size)
    if geometry.kind == "polygon":
        return [_polygon(_numbers_in(texts["points"], row), geometry, row, size)]
    numbers = {name: _number(text, row) for name, text in texts.items()}
    if geometry.kind == "circle":
        return [_circle(numbers, geometry, row, size)]
    return [_box(numbers, geometry, row, size)]


def _texts(geometry: Geometry, row: Row, path: str) -> dict[str, str]:
    """The values of a geometry; none where the lesion has no place."""
    texts = {name: text_of(value, row, path) for name, value in geometry.values.items()}
    nowhere = not all(texts.values()) or set(texts.values()) & set(geometry.nowhere)
    return {} if nowhere else texts


def _number(text: str, row: Row) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) < 1e9:  # neither is what is no number
        raise Rejected(Reason.BROKEN_MARK, f"{row.name}: not a number")
    return number


def _numbers_in(text: str, row: Row) -> list[float]:
    return [_number(found, row) for found in _NUMBER.findall(text)[: 2 * _MOST_CORNERS]]


def _box(
    numbers: Mapping[str, float], geometry: Geometry, row: Row, size: tuple[int, int]
) -> Shape:
    x0, y0 = numbers["x0"], numbers["y0"]
    x1 = numbers["x1"] if "x1" in numbers else x0 + numbers["width"]
    y1 = numbers["y1"] if "y1" in numbers else y0 + numbers["height"]
    if geometry.y_from == "bottom":
        y0, y1 = size[0] - y1, size[0] - y0
    return _clipped((x0, y0, x1, y1), (), row, size)


def _boxes(geometry: Geometry, text: str, row: Row, size: tuple[int, int]) -> list[Shape]:
    numbers = _numbers_in(text, row)
    if not numbers:  # an empty list
        raise Rejected(Reason.NO_PLACE, row.name)
    if len(numbers) % 4 or len(numbers) > 4 * _MOST_BOXES:
        raise Rejected(Reason.BROKEN_MARK, f"{row.name}: {len(numbers)} numbers, not 4 a box")
    shapes = []
    for first in range(0, len(numbers), 4):
        edges = dict(zip(geometry.order, numbers[first : first + 4], strict=True))
        try:
            shapes.append(_box(edges, geometry, row, size))
        except Rejected as fault:
            shapes.append(Shape(fault=fault))
    return shapes


def _circle(
    numbers: Mapping[str, float], geometry: Geometry, row: Row, size: tuple[int, int]
) -> Shape:
    x, y, radius = numbers["x"] + 0.5, numbers["y"] + 0.5, numbers["radius"]
    if geometry.y_from == "bottom":
        y = size[0] - y
    if radius <= 0:
        raise Rejected(Reason.EMPTY_BOX, row.name)
    return _clipped((x - radius, y - radius, x + radius, y + radius), (x, y, radius), row, size)


def _polygon(
    numbers: Sequence[float], geometry: Geometry, row: Row, size: tuple[int, int]
) -> Shape:
    if len(numbers) % 2:
        raise Rejected(Reason.BROKEN_MARK, f"{row.name}: an odd number of coordinates")
    if len(numbers) < 6:
        raise Rejected(Reason.EMPTY_BOX, f"{row.name}: {len(numbers) // 2} corners")
    xs, ys = [x + 0.5 for x in numbers[0::2]], [y + 0.5 for y in numbers[1::2]]
    if geometry.y_from == "bottom":
        ys = [size[0] - y for y in ys]
    outline = tuple(edge for corner in zip(xs, ys, strict=True) for edge in corner)
    return _clipped((min(xs), min(ys), max(xs), max(ys)), outline, row, size)


def _clipped(box: Box, outline: tuple[float, ...], row: Row, size: tuple[int, int]) -> Shape:
    """The shape with its box sorted and inside the image."""
    x0, y0, x1, y1 = box
    repairs = ["swapped_corners"] if x0 > x1 or y0 > y1 else []
    box = min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)
    if box[0] == box[2] or box[1] == box[3]:
        raise Rejected(Reason.EMPTY_BOX, row.name)
    height, width = float(size[0]), float(size[1])
    inside = max(box[0], 0.0), max(box[1], 0.0), min(box[2], width), min(box[3], height)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise Rejected(Reason.BOX_OUTSIDE_IMAGE, f"{row.name}: image {size[0]}x{size[1]}")
    if inside != box:
        repairs.append("clipped_to_image")
    return Shape(inside, outline, repairs=" ".join(repairs))


def _mask(file: str, row: Row) -> Shape:
    if not files.exists(file):
        raise Rejected(Reason.NO_MASK_FILE, row.name)
    return Shape(mask=file)


def _regions(geometry: Geometry, file: str, row: Row, size: tuple[int, int]) -> list[Shape]:
    """The regions in a property list as Osirix writes it: Images, ROIs, Name and Point_px."""
    if not files.exists(file):
        raise Rejected(Reason.NO_PLACE, row.name)
    try:
        content = plistlib.loads(files.read_bytes(file, _LARGEST_PLIST))
        regions = [region for image in content["Images"] for region in image["ROIs"]]
        found = [(str(region.get("Name", "")), region["Point_px"]) for region in regions]
    except Exception as error:  # damaged XML raises nearly anything
        raise Rejected(Reason.BROKEN_MARK, f"{row.name}: {type(error).__name__}") from error
    if not found:
        raise Rejected(Reason.NO_PLACE, row.name)
    return [_region(geometry, name, points, row, size) for name, points in found]


def _region(
    geometry: Geometry, name: str, points: Sequence[object], row: Row, size: tuple[int, int]
) -> Shape:
    names = {key.casefold(): kind for key, kind in (geometry.names or {}).items()}
    kind = names.get(name.strip().casefold(), names.get(ANY_OTHER))
    try:
        if kind is None:
            raise Rejected(Reason.UNKNOWN_WORD, f"{row.name}: the name of a region")
        shape = _polygon(_numbers_in(" ".join(map(str, points)), row), geometry, row, size)
        return dataclasses.replace(shape, types=(kind,))
    except Rejected as fault:
        return Shape(types=(kind or UNSAID,), fault=fault)
