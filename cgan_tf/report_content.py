"""What a section of the report holds: text, plots and tables, before they become HTML or files."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from cgan_tf import report_style
from cgan_tf.before_after import Comparison


@dataclasses.dataclass(frozen=True, eq=False)
class Plot:
    """A figure with its caption; `name` is that of its files, e.g. figure_4_tsne."""

    name: str
    figure: Figure
    caption: str

    @functools.cached_property
    def png(self) -> bytes:
        """Rendered once, for the page and for the file."""
        return report_style.png(self.figure)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table; the first column is text, the others are figures.

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


Part = str | Plot | Table | Gallery | Sliders | Document  # text is HTML already


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it."""

    title: str
    parts: tuple[Part, ...]


def section(title: str, *parts: Part) -> Section | None:
    """A section of the parts that are not empty; None without any."""
    filled = tuple(part for part in parts if part != "")
    return Section(title, filled) if filled else None
