"""Two pictures of one size in one place, with an edge between them that moves.

The picture before is left of the edge, the one after right of it. The edge follows a mouse, a
finger or the arrow keys: it is a range input. Boxes and further pictures lie over the two, with a
check box each. `STYLE` and `SCRIPT` belong on the page once.
"""

import dataclasses
from collections.abc import Sequence

from cgan_tf.pages.templates import asset, data_address, macro

Box = tuple[float, ...]  # x0, y0, x1, y1 in pixels of the picture

STYLE, SCRIPT = asset("before_after.css"), asset("before_after.js")
SWITCHES = 3  # boxes and layers of one comparison that STYLE knows of


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG for a page: its address there, and its size in pixels."""

    address: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two pictures of one size to be compared.

    Raises `ValueError` for pictures of different sizes and for more than `SWITCHES` switches.

    Attributes:
      key: unique on the page. title: what they show, for screen readers.
      caption: stands under them. labels: of the pictures before and after.
      boxes: (a box in pixels of the pictures, what is in it) each. boxes_label: of their switch.
      layers: (label of the switch, picture) each: shown over both, at first off.
      start: first place of the edge, a percentage of the width.
    """

    key: str
    title: str
    caption: str
    before: Picture
    after: Picture
    labels: tuple[str, str] = ("before", "after")
    boxes: Sequence[tuple[Box, str]] = ()
    boxes_label: str = "Boxes"
    layers: Sequence[tuple[str, Picture]] = ()
    start: int = 50

    def __post_init__(self) -> None:
        pictures = [self.before, self.after, *(picture for _, picture in self.layers)]
        if {(picture.width, picture.height) for picture in pictures} != {(self.width, self.height)}:
            raise ValueError(f"{self.key}: expected pictures of one size")
        if len(self.switches) > SWITCHES:
            raise ValueError(f"{self.key}: expected {SWITCHES} switches at most")

    @property
    def width(self) -> int:
        """Of every picture, in pixels."""
        return self.before.width

    @property
    def height(self) -> int:
        """Of every picture, in pixels."""
        return self.before.height

    @property
    def switches(self) -> list[str]:
        """Labels of the check boxes: that of the boxes, if there are any, then the layers'."""
        return [self.boxes_label] * bool(self.boxes) + [label for label, _ in self.layers]


def embedded(png: bytes) -> Picture:
    """A PNG inside the page."""
    width, height = (int.from_bytes(png[place : place + 4]) for place in (16, 20))  # its header
    return Picture(data_address(png), width, height)


def middle_of(boxes: Sequence[Box], width: int) -> int:
    """A `start` in the middle of all boxes in a picture `width` pixels wide, or of the picture."""
    if not boxes:
        return 50
    return round(50 * (min(box[0] for box in boxes) + max(box[2] for box in boxes)) / width)


def compare(content: Comparison) -> str:
    """The comparison as HTML."""
    return macro("before_after.html.j2", "compare")(content)
