"""Two pictures of one size in one place, with an edge between them that moves, as HTML.

Left of the edge is the picture before, right of it the one after. The edge follows a mouse, a
finger, or the arrow keys, for it is a range input; boxes and further pictures lie over the two and
have a check box each. `STYLE` and `SCRIPT` belong on the page once. Without the script, and on
paper, the pictures stand side by side. Every string that comes in is escaped.
"""

import base64
import dataclasses
import hashlib
from collections.abc import Sequence
from html import escape

Box = tuple[float, ...]  # x0, y0, x1, y1 in pixels of the picture
_SWITCHES = 3  # boxes and layers of one comparison that STYLE knows of

STYLE = """
.compare { margin: 0; min-width: 0; }
.compare .views { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; position: relative;
  max-width: calc(2px * var(--w)); }
.compare .views > * { grid-row: 1; }
.compare .view { position: relative; grid-column: 1; }
.compare .after, .compare .over { grid-column: 2; }
.compare .over { position: relative; z-index: 2; width: 100%; height: 100%; }
.compare img { display: block; width: 100%; height: auto; aspect-ratio: var(--w) / var(--h); }
.compare .view span { position: absolute; bottom: 0; left: 0; padding: .05rem .45rem;
  font-size: .75rem; color: #fff; background: rgb(0 0 0 / .65); }
.compare rect { fill: none; stroke: #ffb000; stroke-width: 2; vector-effect: non-scaling-stroke; }
.compare .place, .compare .edge { display: none; }
.compare figcaption { margin-top: .3rem; overflow-wrap: anywhere; }
.compare label { display: inline-block; padding: .3rem 1rem .3rem .35rem; font-size: .85rem; }
.compare input[type=checkbox] { width: 1.05rem; height: 1.05rem; margin: 0;
  vertical-align: -.15rem; accent-color: #9a3b26; }
.compare input:nth-of-type(1):not(:checked) ~ .views .over-1,
.compare input:nth-of-type(2):not(:checked) ~ .views .over-2,
.compare input:nth-of-type(3):not(:checked) ~ .views .over-3 { display: none; }
@media screen {
  .compare.live .views { display: block; overflow: hidden; cursor: ew-resize; touch-action: pan-y;
    user-select: none; -webkit-user-select: none;
    max-width: min(100%, 92vh * var(--w) / var(--h)); }
  .compare.live .views * { pointer-events: none; }
  .compare.live .before, .compare.live .over { position: absolute; inset: 0; }
  .compare.live .before { z-index: 1; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
  .compare.live .after span { left: auto; right: 0; }
  .compare.live .place { display: block; position: absolute; inset: 0; z-index: 3; margin: 0;
    width: 100%; height: 100%; opacity: 0; }
  .compare.live .edge { display: block; position: absolute; inset: 0 auto 0 var(--at); z-index: 3;
    width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 3px rgb(0 0 0 / .8); }
  .compare.live .edge::after { content: "\\2194"; position: absolute; top: 50%; left: 50%;
    width: 1.7rem; transform: translate(-50%, -50%); border-radius: 50%; background: #fff;
    color: #1d1d1f; font: 1rem/1.7rem sans-serif; text-align: center;
    box-shadow: 0 0 3px rgb(0 0 0 / .8); }
  .compare.live .place:focus-visible + .edge::after { outline: 3px solid #ffb000; }
}
@media print {
  .compare { break-inside: avoid; }
  .compare input, .compare label { display: none; }
}
"""

SCRIPT = """
for (const figure of document.querySelectorAll(".compare")) {
  const views = figure.querySelector(".views"), place = figure.querySelector(".place");
  const show = (percent) => {
    views.style.setProperty("--at", percent + "%");
    place.setAttribute("aria-valuetext", Math.round(percent) + "% " + place.dataset.before);
  };
  const follow = (event) => {
    const edges = views.getBoundingClientRect();
    const percent = 100 * (event.clientX - edges.left) / edges.width;
    place.value = percent;
    show(Math.min(100, Math.max(0, percent)));
  };
  place.addEventListener("input", () => show(place.valueAsNumber));
  views.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    views.setPointerCapture(event.pointerId);
    follow(event);
  });
  views.addEventListener("pointermove", (event) => {
    if (views.hasPointerCapture(event.pointerId)) follow(event);
  });
  show(place.valueAsNumber);
  figure.classList.add("live");
}
for (const chosen of document.querySelectorAll(".compare input[type=checkbox]")) {
  chosen.addEventListener("change", () => {
    for (const other of document.getElementsByName(chosen.name)) other.checked = chosen.checked;
  });
}
"""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG for a page: its address there, and its size in pixels."""

    address: str
    width: int
    height: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two pictures of one size to be compared.

    Attributes:
      key: unique on the page. title: what they show, for who does not see them.
      caption: stands under them. labels: of the pictures before and after.
      boxes: (a box in pixels of the pictures, what is in it) each. boxes_label: of their switch.
      layers: (label of the switch, picture) each: shown over both, at first off.
      start: where the edge is at first, a percentage of the width.
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


def embedded(png: bytes) -> Picture:
    """A PNG inside the page."""
    width, height = (int.from_bytes(png[place : place + 4]) for place in (16, 20))  # its header
    return Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", width, height)


def middle_of(boxes: Sequence[Box], width: int) -> int:
    """A `start` in the middle of all boxes of a picture, or of the picture."""
    if not boxes:
        return 50
    return round(50 * (min(box[0] for box in boxes) + max(box[2] for box in boxes)) / width)


def script_source() -> str:
    """`SCRIPT` in the terms of a Content-Security-Policy, which then lets no other script run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"


def compare(content: Comparison) -> str:
    """The comparison as a figure; `ValueError` for pictures of different sizes."""
    pictures = [content.before, content.after, *(picture for _, picture in content.layers)]
    width, height = content.before.width, content.before.height
    if {(picture.width, picture.height) for picture in pictures} != {(width, height)}:
        raise ValueError(f"{content.key}: expected pictures of one size")
    before, after = map(escape, content.labels)
    views = "".join(
        f'<div class="view {kind}">{_image(picture, f"{content.title}, {label}")}'
        f"<span>{escape(label)}</span></div>"
        for kind, picture, label in zip(("before", "after"), pictures, content.labels, strict=False)
    )
    switches, layers = _switched(content)
    key = escape(content.key)
    return (
        f'<figure class="compare" id="{key}" style="--w:{width};--h:{height}">{switches}\n'
        f'<div class="views">{views}{layers}\n'
        f'<input class="place" type="range" value="{content.start}" data-before="{before}" '
        f'aria-label="{escape(content.title)}: {before} or {after}"><i class="edge"></i></div>\n'
        f"<figcaption>{escape(content.caption)}</figcaption></figure>"
    )


def _switched(content: Comparison) -> tuple[str, str]:
    """(check boxes, what they show): boxes first, if there are any."""
    labels = [content.boxes_label] * bool(content.boxes) + [label for label, _ in content.layers]
    if len(labels) > _SWITCHES:
        raise ValueError(f"{content.key}: expected {_SWITCHES} switches at most")
    kinds = [f"over over-{number}" for number in range(1, len(labels) + 1)]
    shown = [_boxes(content, kinds[0])] if content.boxes else []
    shown += [
        _image(picture, f"{content.title}, {label}", kind)
        for (label, picture), kind in zip(content.layers, kinds[len(shown) :], strict=True)
    ]
    switches = [
        _switch(f"{content.key}-{number}", label, on=number == 1 and bool(content.boxes))
        for number, label in enumerate(labels, 1)
    ]
    return "".join(switches), "".join(shown)


def _switch(key: str, label: str, on: bool) -> str:
    key, label = escape(key), escape(label)
    box = f'<input type="checkbox" id="{key}" name="{label}"{" checked" if on else ""}>'
    return f'\n{box}<label for="{key}">{label}</label>'


def _boxes(content: Comparison, kind: str) -> str:
    rectangles = "".join(
        f'<rect x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}">'
        f"<title>{escape(what)}</title></rect>"
        for (x0, y0, x1, y1), what in content.boxes
    )
    size = f"0 0 {content.before.width} {content.before.height}"
    what = f"{content.boxes_label}: {', '.join(what for _, what in content.boxes)}"
    return (
        f'<svg class="{kind}" viewBox="{size}" role="img" aria-label="{escape(what)}">'
        f"{rectangles}</svg>"
    )


def _image(picture: Picture, alternative: str, kind: str = "") -> str:
    lazy = "" if picture.address.startswith("data:") else ' loading="lazy"'
    named = f' class="{kind}"' if kind else ""
    return f'<img{named} src="{escape(picture.address)}" alt="{escape(alternative)}"{lazy}>'
