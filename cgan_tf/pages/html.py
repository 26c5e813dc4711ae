"""What pages are made of: sections of text, plots, tables and pictures, and the page itself.

Every part is a dataclass, and assets/parts.html.j2 has a macro of its name.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from cgan_tf.pages import before_after, style
from cgan_tf.pages.before_after import Comparison
from cgan_tf.pages.templates import asset, render

PLOT_SCALE = 0.63  # pixels on the page for a pixel of a plot, which is drawn for dense screens


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
    """A plot with its caption; `name` is that of its files, e.g. figure_4_tsne."""

    name: str
    figure: Figure
    caption: str

    @functools.cached_property
    def png(self) -> bytes:
        """Rendered once, for the page and for the file."""
        return style.png(self.figure)

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
    """

    name: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    records: Sequence[Mapping[str, object]] = ()


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Pictures in a grid: (PNG, what it shows) each; `name` is that of their sheet's files."""

    name: str
    pictures: Sequence[tuple[bytes, str]]


@dataclasses.dataclass(frozen=True)
class Sliders:
    """Pictures before and after with an edge between them that moves; `large`: few a row."""

    comparisons: Sequence[Comparison]
    large: bool = False


@dataclasses.dataclass(frozen=True)
class Document:
    """A Markdown file, linked from the page and folded into it; `name` is that of the file."""

    name: str
    title: str
    text: str


Part = (
    Heading | Paragraph | Notes | Facts | Links | Details
    | Plot | Table | Gallery | Sliders | Document
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it."""

    title: str
    parts: Sequence[Part]

    @property
    def anchor(self) -> str:
        """The section's place on the page: its title in small letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    @property
    def folded(self) -> bool:
        """Whether nothing of it shows before it is opened: on paper it cannot be."""
        return all(isinstance(part, Document | Details) for part in self.parts)


def section_of(title: str, *parts: Part) -> Section | None:
    """A section of these parts; None without any."""
    return Section(title, parts) if parts else None


def page(
    title: str,
    opening: Sequence[Part],
    sections: Sequence[Section | None],
    files: str = "files",
    images: str = "data:",
) -> str:
    """The whole document. It needs no network, and its Content-Security-Policy allows none.

    Args:
      title: also the first heading. opening: under it, before the sections.
      files: the folder beside the page that its documents are in.
      images: where pictures may come from, in the terms of a Content-Security-Policy.
    """
    filled = [section for section in sections if section]
    moving = any(isinstance(part, Sliders) for section in filled for part in section.parts)
    return render(
        "page.html.j2",
        title=title,
        opening=opening,
        sections=filled,
        files=files,
        images=images,
        styles=[asset("page.css"), *([before_after.STYLE] if moving else [])],
        scripts=[before_after.SCRIPT] if moving else [],
    )
