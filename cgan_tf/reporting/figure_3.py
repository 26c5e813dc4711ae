"""Report section on whole mammograms: rows of patches as in Figure 3, and images.

Figure 3 of the paper: "five 256x256px patches in a row is selected for augmentation [...] (above)
[...] the patches are then reinserted back into the mammogram (below)".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cgan_tf.pages import html
from cgan_tf.pages.html import Box, Comparison, Part, Plot, Section, Sliders, embedded, section_of
from cgan_tf.pages.patches import decode, encode
from cgan_tf.pages.style import NEUTRAL, PAGE_INCHES, house_style, without_background
from cgan_tf.pages.viewer import InsertedImage, PatchRow, image_comparison, read_images
from cgan_tf.reporting.inputs import ReportInputs
from cgan_tf.runs.directory import read_manifest
from cgan_tf.runs.errors import UserError

_GAP, _TITLE = 0.12, 0.3  # inches between the strips of a row, and above it

# (name, number of patches, before, after, boxes): strips uint8 [height, width] of one size, and
# what was changed, in their pixels.
Row = tuple[str, int, np.ndarray, np.ndarray, Sequence[Box]]


@house_style
def rows_figure(rows: Sequence[Row]) -> Figure:
    """Each row as wide as the page, before above after, with ticks where patches meet."""
    heights = [PAGE_INCHES * before.shape[0] / before.shape[1] for _, _, before, *_ in rows]
    total = sum(2 * (height + _GAP) + _TITLE for height in heights)
    figure = without_background(Figure(figsize=(PAGE_INCHES, total)))
    text: dict[str, Any] = {
        "fontsize": 9,
        "fontweight": "bold",
        "color": NEUTRAL,
        "parse_math": False,
    }
    top = total
    for (name, patches, *views, boxes), height in zip(rows, heights, strict=True):
        figure.text(0, (top - 0.2) / total, name, **text)
        top -= _TITLE
        for number, view in enumerate(views):
            axes = figure.add_axes((0, (top - height) / total, 1, height / total))
            axes.imshow(view, cmap="gray", vmin=0, vmax=255, aspect="auto")
            edges = np.arange(1, patches) * view.shape[1] / patches - 0.5
            axes.set(xticks=edges, xticklabels=[], yticks=[])
            axes.tick_params(top=True, direction="in", color="#ffb000", length=5)
            axes.spines[:].set_visible(False)
            for x0, y0, x1, y1 in boxes if number else ():  # what was changed, after
                corner, size = (x0 - 0.5, y0 - 0.5), (x1 - x0, y1 - y0)
                outline: dict[str, Any] = {
                    "edgecolor": "#ffb000",
                    "linewidth": 0.9,
                    "linestyle": ":",
                }
                axes.add_patch(Rectangle(corner, *size, fill=False, **outline))
            top -= height + _GAP
    return figure


FIGURE_3 = "Figure 3. Lesions in whole mammograms"
ROWS_SHOWN, IMAGES_SHOWN = 2, 2  # of a run; the viewer has all images
LONGEST_SIDE = 900  # pixels of an image in the report
TITLES = {
    "mass": "Masses inserted",
    "calcification": "Calcifications inserted",
    "removal": "Lesions removed",
}


def section(inputs: ReportInputs) -> Section | None:
    """Rows of patches and whole images; None without a run of insert_lesions."""
    parts: list[Part] = []
    for number, directory in enumerate(inputs.config.insertion_dirs, 1):
        task = str(read_manifest(directory, "insert_lesions")["task"])
        images = read_images(directory)
        parts.append(html.Heading(TITLES.get(task, task)))
        if any(image.row for image in images):
            parts.append(_rows_plot(f"figure_3_{number}_{task}", directory, images))
        parts += _images(directory, images, f"inserted-{number}")
    return section_of(FIGURE_3, *parts)


def _rows_plot(name: str, directory: str, images: Sequence[InsertedImage]) -> Plot:
    rows = [
        (image.view, image.row.patches, *_pictures(directory, image.row), image.row.boxes)
        for image in images
        if image.row
    ][:ROWS_SHOWN]
    caption = (
        f"Figure 3. {rows[0][1]} contiguous patches in a row of a mammogram before (above) and "
        "after (below) each passed through the generator and was put back in its place. Ticks "
        "mark the edges of the patches, dotted boxes what was changed."
    )
    return Plot(name, rows_figure(rows), caption)


def _images(directory: str, images: Sequence[InsertedImage], key: str) -> list[Part]:
    """Some images, reduced to what a page can hold."""
    shown = images[:IMAGES_SHOWN]
    if not shown:
        return []
    note = f"{len(shown)} of {len(images):,} images; {Path(directory) / 'viewer.html'} shows all."
    comparisons = [_comparison(directory, image, f"{key}-{n}") for n, image in enumerate(shown, 1)]
    return [html.Paragraph(note, "note"), Sliders(comparisons)]


def _comparison(directory: str, image: InsertedImage, key: str) -> Comparison:
    views = _pictures(directory, image)
    height, width = views[0].shape
    factor = min(1.0, LONGEST_SIDE / max(width, height))
    size = (round(width * factor), round(height * factor))
    before, after = (
        embedded(encode([cv2.resize(view, size, interpolation=cv2.INTER_AREA)])) for view in views
    )
    scale = np.tile(np.divide(size, (width, height)), 2)
    boxes = [tuple(np.multiply(box, scale).tolist()) for box in image.boxes]
    return image_comparison(image, key, before, after, boxes)


def _pictures(directory: str, shown: InsertedImage | PatchRow) -> tuple[np.ndarray, np.ndarray]:
    """(before, after) uint8 [height, width]; `UserError` when they are not of one size."""
    paths = [Path(directory) / address for address in (shown.before, shown.after)]
    before, after = (decode(path.read_bytes(), str(path), cv2.IMREAD_GRAYSCALE) for path in paths)
    if after.shape != before.shape:
        raise UserError(f"{paths[1]}: expected the size of {paths[0].name}, found something else")
    return before, after
