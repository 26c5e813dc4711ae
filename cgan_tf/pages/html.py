"""What pages are made of: sections of text, plots, tables and pictures, and the page itself.

Every part is a dataclass, and assets/parts.html.j2 has a macro of its name. Templates escape every
string; a name that a template does not know is an error.
"""

import base64
import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from cgan_tf.pages import style

_PACKAGE = "cgan_tf.pages"
PLOT_SCALE = 0.63  # pixels on the page for a pixel of a plot, which is drawn for dense screens

Box = tuple[float, ...]  # x0, y0, x1, y1 in pixels of the picture


def asset(name: str) -> Markup:
    """A style or script of ours, which stands on a page as it is."""
    return Markup(resources.files(_PACKAGE).joinpath("assets", name).read_text(encoding="utf-8"))


def render(template: str, **values: object) -> str:
    """A template as text; `jinja2.UndefinedError` where it asks for a value that is not there."""
    return _environment().get_template(template).render(values)


def data_address(png: bytes) -> str:
    """A PNG as an address that holds it, for pages that are whole in one file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def script_source(script: str) -> str:
    """A script in the terms of a Content-Security-Policy, which then lets no other one run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


# They belong on a page once, however many comparisons it has.
COMPARISON_STYLE, COMPARISON_SCRIPT = asset("before_after.css"), asset("before_after.js")
PAGE_SCRIPT = asset("page.js")
SWITCHES = 3  # boxes and layers of a group of comparisons that COMPARISON_STYLE knows of
RESEARCH_ONLY = "For research only, not for diagnosis."


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG for a page: its address there, and its size in pixels."""

    address: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two pictures of one size in one place, with an edge between them that moves.

    The picture before is left of the edge, the one after right of it. The edge follows a mouse, a
    finger or the arrow keys: it is a range input. Boxes and further pictures lie over the two, with
    a check box each.

    Raises `ValueError` for pictures of different sizes and for more than `SWITCHES` switches.

    Attributes:
      key: unique on the page. title: what they show, for screen readers.
      caption: stands under them. labels: of the pictures before and after.
      boxes: (a box in pixels of the pictures, what is in it) each. boxes_label: of their switch.
      layers: (label of the switch, picture) each: shown over both, at first off.
      start: first place of the edge, a percentage of the width.
      source: id of what is shown, for those who look it up.
      origin: what both pictures are; a label that stays in view. Empty: none.
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
    source: str = ""
    origin: str = ""

    @property
    def shown(self) -> str:
        """The title and the origin: what both pictures show."""
        return f"{self.title}, {self.origin}" if self.origin else self.title

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


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph; kind: lead, note, notice, or nothing."""

    text: str
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Notes:
    """Notes under a table."""

    texts: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Facts:
    """(what, value, remark) each, in a grid."""

    rows: Sequence[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Links:
    """(text, address) each, to places on the page."""

    targets: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Details:
    """Text to be opened, as written."""

    summary: str
    text: str


@dataclasses.dataclass(frozen=True, eq=False)
class Plot:
    """A plot with its caption; `name` is that of its files, e.g. figure_4_tsne.

    Its files have the caption as their title, and a phantom's say so.
    """

    name: str
    figure: Figure
    caption: str

    def __post_init__(self) -> None:
        self.figure.set_label(self.caption)

    @functools.cached_property
    def png(self) -> bytes:
        """Rendered once, for the page and for the file."""
        return style.png(self.figure)

    @property
    def has_pictures(self) -> bool:
        """Whether it shows patches, whose grey levels a dark page must not turn over."""
        axes = self.figure.axes
        return bool(self.figure.images) or any(axis.images for axis in axes)

    @property
    def shown_width(self) -> int:
        """Pixels on the page; text in every plot comes out at the same size."""
        return round(int.from_bytes(self.png[16:20]) * PLOT_SCALE)  # the width in a PNG's header


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first column is text, the others are numbers.

    Attributes:
      name: of its CSV file. headings, rows: what the page shows.
      records: what the file holds, one mapping a row, where plain numbers serve better than what
        the page shows; empty: the same.
      caption: above it; empty: the heading that it stands under.
      text: whether all columns are text, which may be long.
    """

    name: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    records: Sequence[Mapping[str, object]] = ()
    caption: str = ""
    text: bool = False


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Pictures in a grid: (PNG, what it shows) each; `name` is that of their sheet's files.

    `small`: many a row, for single patches.
    """

    name: str
    pictures: Sequence[tuple[bytes, str]]
    small: bool = False


@dataclasses.dataclass(frozen=True)
class Sliders:
    """Pictures before and after with an edge between them that moves; `large`: few a row."""

    comparisons: Sequence[Comparison]
    large: bool = False

    @property
    def switches(self) -> list[str]:
        """Labels of the check boxes, each of which serves all comparisons."""
        return list(dict.fromkeys(name for each in self.comparisons for name in each.switches))

    @property
    def shown_first(self) -> set[str]:
        """Those switched on at first: boxes."""
        return {each.boxes_label for each in self.comparisons if each.boxes}


@dataclasses.dataclass(frozen=True)
class Document:
    """A Markdown file, linked from the page and folded into it; `name` is that of the file."""

    name: str
    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Checks:
    """(whether a fault is seen: None where nobody can say, its name, the numbers behind it) each,
    in a table with the faults that are seen first."""

    rows: Sequence[tuple[bool | None, str, str]]

    @property
    def ordered(self) -> list[tuple[str, str, str, str]]:
        """(state, mark, name, numbers) each: seen, not measured, not seen."""
        states = {True: ("seen", "✗"), None: ("not measured", "?"), False: ("not seen", "✓")}
        return [
            (*states[seen], name, text)
            for state in states
            for seen, name, text in self.rows
            if seen is state
        ]


@dataclasses.dataclass(frozen=True)
class Fold:
    """Parts under a line that opens and closes them."""

    summary: str
    parts: "Sequence[Part]"


Part = (
    Heading | Paragraph | Notes | Facts | Links | Details
    | Plot | Table | Gallery | Sliders | Document | Checks | Fold
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it; `closed`: opened by a click on the heading."""

    title: str
    parts: Sequence[Part]
    closed: bool = False

    @property
    def anchor(self) -> str:
        """The section's place on the page: its title in small letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def section_of(title: str, *parts: Part) -> Section | None:
    """A section of these parts; None without any."""
    return Section(title, parts) if parts else None


def unfolded(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts in their order, those in folds too."""
    for part in parts:
        yield part
        if isinstance(part, Fold):
            yield from unfolded(part.parts)


def numbered(sections: Sequence[Section]) -> dict[tuple[str, str], tuple[str, str]]:
    """(number, caption) of every plot and table, by ("Figure" or "Table", its name).

    A caption that begins with a number of the paper, "Figure 4. …" or "Table 1. …", keeps it; the
    others are Figures and Tables S1, S2, …
    """
    labels: dict[tuple[str, str], tuple[str, str]] = {}
    count = dict.fromkeys(("Figure", "Table"), 0)
    for section in sections:
        heading = section.title
        for part in unfolded(section.parts):
            if isinstance(part, Heading | Fold):
                heading = part.text if isinstance(part, Heading) else part.summary
            if not isinstance(part, Plot | Table):
                continue
            kind = "Figure" if isinstance(part, Plot) else "Table"
            caption = part.caption or _NUMBERED.sub("", heading)
            own = _NUMBERED.match(caption)
            number = own["number"] if own else ""
            if not number:
                count[kind] += 1
                number = f"{kind} S{count[kind]}"
            labels[kind, part.name] = (number, _NUMBERED.sub("", caption))
    return labels


def marked_as_phantom(parts: Sequence[Part]) -> list[Part]:
    """The same parts, in which every plot and picture says that it shows a phantom."""
    marked: list[Part] = []
    for part in parts:
        if isinstance(part, Plot):
            style.mark_as_phantom(part.figure)
        if isinstance(part, Fold):
            part = dataclasses.replace(part, parts=marked_as_phantom(part.parts))
        if isinstance(part, Sliders):
            part = dataclasses.replace(part, comparisons=[_marked(c) for c in part.comparisons])
        marked.append(part)
    return marked


def _marked(comparison: Comparison) -> Comparison:
    return dataclasses.replace(comparison, origin="phantom")


_NUMBERED = re.compile(r"^(?P<number>(Figures?|Table) \d+)( and \d+| by arm)?\. ")


def page(
    title: str,
    opening: Sequence[Part],
    sections: Sequence[Section | None],
    files: str = "files",
    images: str = "data:",
    notice: str = "",
) -> str:
    """The whole document. It needs no network, and its Content-Security-Policy allows none.

    Args:
      title: also the first heading. opening: under it, before the sections.
      files: the folder beside the page that its documents are in.
      images: where pictures may come from, in the terms of a Content-Security-Policy.
      notice: what the data are; stands under the title and on every printed page.
    """
    filled = [section for section in sections if section]
    every = [part for section in filled for part in unfolded(section.parts)]
    moving = any(isinstance(part, Sliders) for part in every)
    folds = any(section.closed for section in filled) or any(isinstance(p, Fold) for p in every)
    return render(
        "page.html.j2",
        title=title,
        opening=opening,
        sections=filled,
        files=files,
        images=images,
        notice=notice,
        research_only=RESEARCH_ONLY,
        labels=numbered(filled),
        styles=[asset("page.css"), *([COMPARISON_STYLE] if moving else [])],
        scripts=[*([PAGE_SCRIPT] if folds else []), *([COMPARISON_SCRIPT] if moving else [])],
    )


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE, "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "data_address": data_address,
        "macro": lambda part: type(part).__name__.lower(),
        "quote": quote,
        "css_string": lambda text: json.dumps(text, ensure_ascii=False).replace("<", "\\3c "),
        "script_source": script_source,
    }
    return environment
