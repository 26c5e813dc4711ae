"""The report's Figure 3: lesions on contiguous patches of a mammogram, and whole images."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cgan_tf import report_html
from cgan_tf.before_after import Comparison, embedded
from cgan_tf.errors import UserError
from cgan_tf.inserted_images import InsertedImage, PatchRow, read_images
from cgan_tf.report_content import Part, Plot, Section, Sliders, section
from cgan_tf.report_pictures import encode
from cgan_tf.report_rows_figure import rows_figure
from cgan_tf.run_directory import read_manifest
from cgan_tf.viewer import image_comparison

FIGURE_3 = "Figure 3. Lesions in whole mammograms"
ROWS_SHOWN, IMAGES_SHOWN = 2, 2  # of a run; the viewer has all images
LONGEST_SIDE = 900  # pixels of an image in the report
TITLES = {
    "mass": "Masses inserted",
    "calcification": "Calcifications inserted",
    "removal": "Lesions removed",
}


def insertions(directories: Sequence[str]) -> Section | None:
    """The section; None without a run of insert_lesions."""
    parts: list[Part] = []
    for number, directory in enumerate(directories, 1):
        task = str(read_manifest(directory, "insert_lesions")["task"])
        images = read_images(directory)
        parts.append(report_html.heading(TITLES.get(task, task)))
        if any(image.row for image in images):
            parts.append(_rows_plot(f"figure_3_{number}_{task}", directory, images))
        parts += _images(directory, images, f"inserted-{number}")
    return section(FIGURE_3, *parts)


def _rows_plot(name: str, directory: str, images: Sequence[InsertedImage]) -> Plot:
    rows = [
        (image.view, image.row.patches, *_pictures(directory, image.row))
        for image in images
        if image.row
    ][:ROWS_SHOWN]
    caption = (
        f"Figure 3. {rows[0][1]} contiguous patches in a row of a mammogram before (above) and "
        "after (below) each went through the generator and back into its place. Ticks are the "
        "edges of the patches."
    )
    return Plot(name, rows_figure(rows), caption)


def _images(directory: str, images: Sequence[InsertedImage], key: str) -> list[Part]:
    """Some images, reduced to what a page can hold."""
    shown = images[:IMAGES_SHOWN]
    if not shown:
        return []
    note = f"{len(shown)} of {len(images):,} images; {Path(directory) / 'viewer.html'} shows all."
    comparisons = [_comparison(directory, image, f"{key}-{n}") for n, image in enumerate(shown, 1)]
    return [report_html.paragraph(note, "note"), Sliders(comparisons)]


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
    before, after = (
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE) for path in paths
    )
    for path, levels in zip(paths, (before, after), strict=True):
        if levels is None or levels.shape != before.shape:
            expected = "a PNG" if levels is None else f"the size of {paths[0].name}"
            raise UserError(f"{path}: expected {expected}, found something else")
    return before, after
