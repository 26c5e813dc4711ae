"""The few pieces of HTML that the report is made of. Every string that comes in is escaped.

What a section of the report holds: text, plots and tables, before they become HTML or files.
"""

import base64
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from matplotlib.figure import Figure

from cgan_tf.pages import before_after
from cgan_tf.pages import style as pages_style
from cgan_tf.pages.before_after import Comparison


@dataclasses.dataclass(frozen=True, eq=False)
class Plot:
    """A figure with its caption; `name` is that of its files, e.g. figure_4_tsne."""

    name: str
    figure: Figure
    caption: str

    @functools.cached_property
    def png(self) -> bytes:
        """Rendered once, for the page and for the file."""
        return pages_style.png(self.figure)


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

    @property
    def anchor(self) -> str:
        """The section's place on the page: its title in small letters, digits and hyphens."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def section_of(title: str, *parts: Part) -> Section | None:
    """A section of the parts that are not empty; None without any."""
    filled = tuple(part for part in parts if part != "")
    return Section(title, filled) if filled else None


PLOT_SCALE = 0.63  # pixels on the page for a pixel of a plot, which is drawn for dense screens

STYLE = """
:root { --ink: #1d1d1f; --soft: #5f6368; --rule: #d9d7d2; --accent: #9a3b26; --paper: #fff; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font: 600 1.9rem/1.2 Georgia, "Times New Roman", serif; margin: 0 0 .5rem; }
h2 { font: 600 1.25rem/1.3 Georgia, "Times New Roman", serif; margin: 3rem 0 .75rem;
  padding-top: .9rem; border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; font-weight: 600; margin: 1.5rem 0 .5rem; }
p { max-width: 46rem; margin: .5rem 0; overflow-wrap: anywhere; }
.lead, figcaption, .note { color: var(--soft); font-size: .88rem; max-width: 46rem; }
.notice { border-left: 3px solid var(--accent); padding: .6rem .9rem; margin: 1rem 0;
  background: #faf6f2; max-width: none; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  gap: 0 2rem; margin: 1.5rem 0 0; }
.facts div { padding: .7rem 0; border-top: 1px solid var(--rule); }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-size: .8rem; color: var(--soft); }
figure { margin: 1.2rem 0; }
figure > img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: .5rem; }
.pairs { display: grid; gap: .9rem 1.6rem; margin: .4rem 0 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); }
.pairs img { display: block; width: 100%; height: auto; }
.sliders { display: grid; gap: 1.2rem 1.6rem; margin: .4rem 0 1.4rem;
  grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); }
.sliders.large { grid-template-columns: repeat(auto-fill, minmax(min(28rem, 100%), 1fr)); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums;
  margin: .6rem 0; min-width: 50%; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--ink); }
th, td { padding: .32rem 1.1rem .32rem 0; vertical-align: bottom; }
td { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
th:not(:first-child), td:not(:first-child) { text-align: right; }
td { border-bottom: 1px solid var(--rule); }
tr:last-child td { border-bottom: 1px solid var(--ink); }
ul.notes { padding: 0; list-style: none; }
ul.notes li { margin: .35rem 0; }
details { margin: .4rem 0; } summary { cursor: pointer; font-size: .9rem; }
pre { font: .78rem/1.45 ui-monospace, Menlo, Consolas, monospace; overflow-x: auto;
  background: #f7f6f3; padding: .8rem; }
footer { margin-top: 3rem; }
@media (max-width: 40rem) {  /* letters in a plot would shrink with it: let it be pushed aside */
  figure { overflow-x: auto; } figure > img { max-width: 44rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2, h3 { break-after: avoid; } figure, tr, .pairs img, .facts div { break-inside: avoid; }
  .pairs { grid-template-columns: repeat(2, 1fr); }
  details:not([open]), section.folded { display: none; }
  .wide { overflow: visible; } table { font-size: 7.5pt; width: 100%; break-inside: avoid; }
  td:not(:first-child) { white-space: normal; } th, td { padding-right: .6rem; }
  p, li, figcaption { orphans: 3; widows: 3; }
  @page { margin: 16mm; }
}
"""


def page(
    title: str,
    opening: str,
    sections: Sequence[Section | None],
    files: str = "files",
    images: str = "data:",
) -> str:
    """The whole document; nothing in it asks for the network, and the browser is told so.

    `files` is the folder beside the page that its documents are in; `images` where pictures may
    come from, in the terms of a Content-Security-Policy.
    """
    parts = [part for section in sections if section for part in section.parts]
    moving = any(isinstance(part, Sliders) for part in parts)
    style = STYLE + before_after.STYLE if moving else STYLE
    script = f"<script>{before_after.SCRIPT}</script>\n" if moving else ""
    scripts = before_after.script_source() if moving else "'none'"
    body = "\n".join([opening, *(_section(section, files) for section in sections if section)])
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        f"img-src {images}; style-src 'unsafe-inline'; script-src {scripts}\">\n"
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n{body}\n{script}</body>\n</html>\n"
    )


def _section(section: Section, files: str) -> str:
    content = "\n".join(_part(part, files) for part in section.parts)
    kind = ' class="folded"' if all(map(_is_folded, section.parts)) else ""
    heading = f"<h2>{escape(section.title)}</h2>"
    return f'<section id="{section.anchor}"{kind}>\n{heading}\n{content}\n</section>'


def _is_folded(part: Part) -> bool:
    """Whether nothing of it shows before it is opened: paper cannot be."""
    return isinstance(part, Document) or (isinstance(part, str) and part.startswith("<details"))


def _part(part: Part, files: str) -> str:
    match part:
        case Plot():
            return figure(part)
        case Table():
            return table(part)
        case Gallery():
            return gallery(part)
        case Sliders():
            return sliders(part)
        case Document():
            return document(part, files)
    return part


def heading(text: str) -> str:
    """A heading inside a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; kind: lead, note or notice."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def notes(texts: Sequence[str]) -> str:
    """Notes under a table."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="notes note">{items}</ul>'


def facts(rows: Sequence[tuple[str, str, str]]) -> str:
    """(what, figure, remark) as a grid."""
    items = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(figure)}<small>{escape(remark)}</small></dd></div>"
        for what, figure, remark in rows
    )
    return f'<dl class="facts">{items}</dl>'


def table(content: Table) -> str:
    """A table; the first column is text, the others are figures."""
    head = "".join(f"<th>{escape(str(text))}</th>" for text in content.headings)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in content.rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def picture(png: bytes, alternative: str) -> str:
    """An image inside the page."""
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alternative)}">'


def figure(plot: Plot) -> str:
    """A plot and its caption; text in every plot comes out at the same size."""
    width = round(int.from_bytes(plot.png[16:20]) * PLOT_SCALE)  # the width in a PNG's header
    image = picture(plot.png, plot.caption).replace("<img ", f'<img width="{width}" ', 1)
    return f"<figure>{image}<figcaption>{escape(plot.caption)}</figcaption></figure>"


def gallery(content: Gallery) -> str:
    """Pictures in a grid that follows the width of the screen."""
    items = "".join(picture(png, alternative) for png, alternative in content.pictures)
    return f'<div class="pairs">{items}</div>'


def sliders(content: Sliders) -> str:
    """Comparisons in a grid; see `before_after.compare`."""
    items = "\n".join(map(before_after.compare, content.comparisons))
    return f'<div class="sliders{" large" if content.large else ""}">{items}</div>'


def links(named: Sequence[tuple[str, str]]) -> str:
    """(text, address) each, to places on the page."""
    items = " · ".join(f'<a href="{escape(to)}">{escape(text)}</a>' for text, to in named)
    return f'<p class="note">{items}</p>'


def details(summary: str, text: str) -> str:
    """Text to be opened, as written."""
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"


def document(content: Document, files: str) -> str:
    """A file's text to be opened in the page, and a link to the file beside the page."""
    address = f"{quote(files)}/{quote(content.name)}.md"
    return (
        f"{details(content.title, content.text)}"
        f'<p class="note"><a href="{escape(address)}">{escape(content.name)}.md</a></p>'
    )
