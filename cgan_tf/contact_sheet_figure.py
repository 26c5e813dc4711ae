"""Patches side by side, each with its lesion marked and a caption of two lines.

Everything is placed in pixels of the sheet, and every patch is shown at a whole multiple of its
size, so that a line is where the record says.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from cgan_tf.display import enlarge, mosaic, patch_levels, shown_factor
from cgan_tf.records import PatchRecord
from cgan_tf.report_style import DPI, house_style, png

COLUMNS = 8
HEADER = 74  # pixels above the patches
GAP = 6  # pixels on every side of a patch
CAPTION = 34  # pixels for the two lines under a patch
LINE = 15  # pixels from line to line of a caption
CAPTION_TEXT, TITLE_TEXT = 11, 20  # pixels, heights of letters with their space
PNG_EFFORT = 3  # 0 to 9: the usual 6 takes three times as long for 5% less
_LETTER = 0.6  # mean width of a letter, as a share of its height
BOX_COLOUR, MASK_COLOUR = "#ffb000", "#28c8c8"
_WHITE = 255


def sheet_png(title: str, subtitle: str, records: Sequence[PatchRecord]) -> bytes:
    """One sheet; the same records give the same bytes. `records` are of one size."""
    return png(sheet_figure(title, subtitle, records), PNG_EFFORT)


@house_style
def sheet_figure(title: str, subtitle: str, records: Sequence[PatchRecord]) -> Figure:
    """The sheet as a figure whose data coordinates are pixels from its top left corner."""
    picture = tiles_picture(records)
    height, width = picture.shape
    # A hundredth more: a size that comes out a hair below a whole pixel would be rounded down.
    figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    figure.add_artist(_Pixels(picture))
    _write(axes, GAP, GAP + TITLE_TEXT, title, TITLE_TEXT, weight="bold")
    _write(axes, GAP, GAP + TITLE_TEXT + 1.4 * LINE, subtitle, CAPTION_TEXT + 1)
    _write(axes, GAP, GAP + TITLE_TEXT + 2.6 * LINE, legend_of(records), CAPTION_TEXT + 1)
    for number, record in enumerate(records):
        left, top = corner_of(number, len(record.patch))
        _mark_lesion(axes, record, left, top)
        side = len(record.patch) * shown_factor(len(record.patch))
        for line, text in enumerate(caption(record)):
            baseline = top + side + LINE * (line + 1) - 2
            _write(axes, left, baseline, shortened(text, side), CAPTION_TEXT)
    return figure


class _Pixels(Artist):
    """A picture under everything else, each of its pixels a pixel of the sheet: `imshow` and
    `figimage` would resample it, for as long as all the rest takes."""

    def __init__(self, picture: np.ndarray):
        super().__init__()
        self.set_zorder(-1)
        grey = picture[::-1]  # the lowest row first, as renderers ask for
        self._colours = np.dstack([grey, grey, grey, np.full_like(grey, _WHITE)])

    def draw(self, renderer: RendererBase) -> None:
        """Draws it from the lower left corner."""
        context = renderer.new_gc()
        renderer.draw_image(context, 0, 0, self._colours)
        context.restore()


def tiles_picture(records: Sequence[PatchRecord]) -> np.ndarray:
    """The patches on white without lines or letters, uint8 [height, width] of the whole sheet."""
    levels = np.stack([enlarge(patch_levels(record.patch)) for record in records])
    framed = np.pad(levels, ((0, 0), (GAP, CAPTION), (GAP, GAP)), constant_values=_WHITE)
    return np.pad(mosaic(framed, COLUMNS, _WHITE), ((HEADER, 0), (0, 0)), constant_values=_WHITE)


def corner_of(number: int, size: int) -> tuple[int, int]:
    """Left and top pixel of a patch of `size` pixels a side on the sheet."""
    side = size * shown_factor(size)
    row, column = divmod(number, COLUMNS)
    return GAP + column * (side + 2 * GAP), HEADER + GAP + row * (side + GAP + CAPTION)


def caption(record: PatchRecord) -> tuple[str, str]:
    """Who and where; what the label rests on."""
    first = [record.client_id, f"{record.laterality} {record.view}".strip()]
    if record.pixel_spacing_mm and record.window:
        first.append(f"{record.window[2] * record.pixel_spacing_mm:.0f} mm")
    second = [record.label_evidence.partition(" of lesion ")[0]]  # its number says nothing here
    if record.lesion_size_mm:
        second.insert(0, f"{record.lesion_size_mm:.0f} mm")
    if record.lesion_area_px:
        second = [f"change: {record.lesion_area_px / record.patch.size:.0%} of the patch"]
    return _joined(first), _joined(second)


def legend_of(records: Sequence[PatchRecord]) -> str:
    """What lines and captions mean, as far as these records have them."""
    parts = ["Under each patch: client, view, side of the patch"]
    if any(record.lesion_size_mm for record in records):
        parts.append("longer side of the lesion")
    if not any(record.task for record in records):
        parts.append("what the label rests on")
    lines = []
    if any(record.box for record in records):
        lines.append("Yellow: the lesion's box")
    if any(record.mask is not None for record in records):
        lines.append("Blue-green: the edge of the change, where its soft mask is one half")
    return ". ".join([", ".join(parts), *lines]) + "."


def shortened(text: str, pixels: int) -> str:
    """A text that fits into a width, cut at its end."""
    letters = int(pixels / (_LETTER * CAPTION_TEXT))
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def mask_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Closed lines float [n, 2] (x, y) around the part of a soft mask that is one half or more.

    Coordinates are pixels from the corner of the mask, so the middle of its first pixel is 0.5.
    """
    inside = (mask >= 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [contour[:, 0].astype(np.float64) + 0.5 for contour in contours]


def _mark_lesion(axes: Axes, record: PatchRecord, left: int, top: int) -> None:
    factor = shown_factor(len(record.patch))
    if record.mask is not None:
        for outline in mask_outlines(record.mask):
            _draw(axes, Polygon(outline * factor + (left, top)), MASK_COLOUR)
    if record.box:
        x0, y0, x1, y1 = (factor * value for value in record.box)
        _draw(axes, Rectangle((left + x0, top + y0), x1 - x0, y1 - y0), BOX_COLOUR)


def _draw(axes: Axes, shape: Polygon | Rectangle, colour: str) -> None:
    shape.set(fill=False, edgecolor=colour, linewidth=1.5 * 72 / DPI)
    axes.add_artist(shape)


def _write(
    axes: Axes, x: float, baseline: float, text: str, pixels: float, weight: str = "normal"
) -> None:
    # Client ids and evidence come from the data: a dollar sign is no formula.
    axes.text(x, baseline, text, fontsize=pixels * 72 / DPI, fontweight=weight, parse_math=False)


def _joined(parts: Sequence[str]) -> str:
    return " · ".join(
        "".join(c if c.isascii() and c.isprintable() else "?" for c in part)
        for part in parts
        if part
    )
