"""Contact sheets of a patch set: random patches of every split and class, with lesions marked.

Everything is placed in pixels of the sheet, and patches are shown at whole multiples of their size,
so that a line is where the record says.
"""

import collections
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from cgan_tf.config import ShowPatchesConfig
from cgan_tf.data.patch_sets import PatchIndex, PatchSet
from cgan_tf.data.provenance import are_drawn
from cgan_tf.data.records import PatchRecord, decode_text
from cgan_tf.labels import PATCH_CLASSES, SPLITS
from cgan_tf.pages.patches import caption, enlarge, mosaic, patch_levels, shown_factor
from cgan_tf.pages.style import DPI, house_style, png
from cgan_tf.runs.console import progress_bar
from cgan_tf.runs.directory import Json, Run, finish_run, run_to_the_end, write_bytes
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

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


def sheet_png(
    title: str, subtitle: str, records: Sequence[PatchRecord], legend: str | None = None
) -> bytes:
    """One sheet; the same records give the same bytes. `records` are of one size; `legend` stands
    in the place of `legend_of` them."""
    return png(sheet_figure(title, subtitle, records, legend), PNG_EFFORT)


@house_style
def sheet_figure(
    title: str, subtitle: str, records: Sequence[PatchRecord], legend: str | None = None
) -> Figure:
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
    legend = legend_of(records) if legend is None else legend
    _write(axes, GAP, GAP + TITLE_TEXT + 1.4 * LINE, subtitle, CAPTION_TEXT + 1)
    _write(axes, GAP, GAP + TITLE_TEXT + 2.6 * LINE, legend, CAPTION_TEXT + 1)
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


def legend_of(records: Sequence[PatchRecord]) -> str:
    """What lines and captions on a sheet of these records mean."""
    parts = ["Under each patch: client, view, width of the patch"]
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
    # Client ids and evidence come from the data: a dollar sign starts no formula.
    axes.text(x, baseline, text, fontsize=pixels * 72 / DPI, fontweight=weight, parse_math=False)


PROGRAM = "show_patches"
FOLDER = "contact_sheets"  # in the patch set, when no other place is asked for
# Patches looked at for each one shown: enough to find other women, few enough for a large set.
CANDIDATES = 8


def show_patches(config: ShowPatchesConfig) -> None:
    """Writes a PNG for every split and class that has patches, and a manifest that lists them.

    Raises `UserError` for a directory that is no finished patch set, unknown or absent classes and
    a count below 1.
    """
    check_config(config)
    patches = PatchSet(config.patches_dir)

    def work(groups: Sequence[tuple[str, str]], run: Run) -> None:
        sheets = []
        with progress_bar(len(groups), "Contact sheets", "sheets") as bar:
            for split, name in groups:
                sheets.append(write_sheet(run.directory, patches, split, name, config))
                bar.update()
        finish_run(run.directory, PROGRAM, {"sheets": sheets})
        print(f"{run.directory}: {', '.join(sheet['file'] for sheet in sheets)}")

    run_to_the_end(
        config.output_dir or patches.directory / FOLDER,
        PROGRAM,
        config,
        lambda: groups_of(patches, config),
        work,
    )


def check_config(config: ShowPatchesConfig) -> None:
    """Raises `UserError` for unknown classes and for a count below 1."""
    unknown = sorted(set(config.classes) - set(PATCH_CLASSES))
    if unknown:
        raise UserError(f"--classes: expected some of {', '.join(PATCH_CLASSES)}, found {unknown}")
    check_ranges(config)


def groups_of(patches: PatchSet, config: ShowPatchesConfig) -> list[tuple[str, str]]:
    """(split, class) of every sheet; `UserError` when a class asked for has no patch."""
    splits = (config.split,) if config.split else SPLITS
    classes = config.classes or PATCH_CLASSES
    groups = [(s, name) for s in splits for name in classes if patches.count(s, name)]
    missing = sorted(set(config.classes) - {name for _, name in groups})
    if missing or not groups:
        found = [f"{s}/{name}" for s in SPLITS for name in PATCH_CLASSES if patches.count(s, name)]
        raise UserError(
            f"{patches.directory}: expected patches of {', '.join(missing) or 'any class'} in "
            f"{' or '.join(splits)}, found {', '.join(found) or 'none at all'}"
        )
    return groups


def write_sheet(
    directory: Path, patches: PatchSet, split: str, name: str, config: ShowPatchesConfig
) -> Json:
    """Writes one sheet; returns its entry in the manifest."""
    index = patches.index(split, name)
    content, records = draw_sheet(index, split, name, config.count, config.seed, are_drawn(patches))
    file = f"{split}_{name}.png"
    write_bytes(directory / file, content)
    return {
        "file": file,
        "split": split,
        "class": name,
        "patches": len(index),
        "clients_shown": len({record.client_id for record in records}),
        "patch_ids": [record.patch_id for record in records],
    }


def draw_sheet(
    index: PatchIndex, split: str, name: str, count: int, seed: int, phantom: bool = False
) -> tuple[bytes, list[PatchRecord]]:
    """(a sheet of at most `count` patches as PNG, the patches on it).

    `phantom`: its title says that the patches are drawn.
    """
    key = [seed, SPLITS.index(split), PATCH_CLASSES.index(name)]
    records = choose_patches(index, count, np.random.default_rng(key))
    clients = len({record.client_id for record in records})
    women = f"{clients} {'woman' if clients == 1 else 'women'}"
    choice = f"{len(records):,} of {len(index):,} patches, drawn at random (seed {seed})"
    kind = f", synthetic ({records[0].task})" if records[0].task else ""
    origin = "Phantom, " if phantom else ""
    title = f"{origin}{split}: {name.replace('_', ' ')}{kind}"
    return sheet_png(title, f"{choice}, from {women}", records), records


def choose_patches(
    index: PatchIndex, count: int, generator: np.random.Generator
) -> list[PatchRecord]:
    """At most `count` random patches of as many women as possible, in the order of the women."""
    drawn = generator.permutation(len(index))[: count * CANDIDATES]
    clients = [decode_text(index.payload(int(i)), "client_id", index.name) for i in drawn]
    chosen = spread_over_clients(clients, count)
    chosen.sort(key=lambda place: (clients[place], drawn[place]))
    return [index.record(int(drawn[place])) for place in chosen]


def spread_over_clients(clients: Sequence[str], count: int) -> list[int]:
    """Places of `count` patches, the first of every client before the second of any."""
    seen: collections.Counter[str] = collections.Counter()
    turns = []
    for place, client in enumerate(clients):
        turns.append((seen[client], place))
        seen[client] += 1
    return [place for _, place in sorted(turns)[:count]]
