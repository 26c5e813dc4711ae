"""The report's Figure 3: lesions on contiguous patches of a mammogram, and whole images."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from cgan_tf import report_html
from cgan_tf.before_after import Comparison, embedded
from cgan_tf.errors import UserError
from cgan_tf.inserted_images import InsertedImage, PatchRow, read_images, read_rows
from cgan_tf.report_content import Part, Plot, Section, Sliders, section
from cgan_tf.report_pictures import encode
from cgan_tf.report_rows_figure import rows_figure
from cgan_tf.run_directory import read_manifest

FIGURE_3 = "Figure 3. Lesions in whole mammograms"
IMAGES_SHOWN = 2  # of a run; the viewer has all
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
        task = str(read_manifest(directory, "insert_lesions").get("task", ""))
        parts.append(report_html.heading(TITLES.get(task, task)))
        rows = read_rows(directory)
        if rows:
            parts.append(_rows_plot(f"figure_3_{number}_{task}", directory, rows))
        parts += _images(directory, f"inserted-{number}")
    return section(FIGURE_3, *parts)


def _rows_plot(name: str, directory: str, rows: Sequence[PatchRow]) -> Plot:
    caption = (
        f"Figure 3. {rows[0].patches} contiguous patches in a row of a mammogram before (above) "
        "and after (below) each went through the generator and back into its place. Ticks are "
        "the edges of the patches."
    )
    views = [(row.image.name, row.patches, *_pictures(directory, row.image)) for row in rows]
    return Plot(name, rows_figure(views), caption)


def _images(directory: str, key: str) -> list[Part]:
    """Some images that were changed, reduced to what a page can hold."""
    images = read_images(directory)
    shown = ([image for image in images if image.boxes] or images)[:IMAGES_SHOWN]
    if not shown:
        return []
    note = f"{len(shown)} of {len(images):,} images; {Path(directory) / 'viewer.html'} shows all."
    comparisons = [_comparison(directory, image, f"{key}-{n}") for n, image in enumerate(shown, 1)]
    return [report_html.paragraph(note, "note"), Sliders(comparisons)]


def _comparison(directory: str, image: InsertedImage, key: str) -> Comparison:
    views = _pictures(directory, image)
    factor = min(1.0, LONGEST_SIDE / max(image.width, image.height))
    size = (round(image.width * factor), round(image.height * factor))
    before, after = (
        embedded(encode([cv2.resize(view, size, interpolation=cv2.INTER_AREA)])) for view in views
    )
    scale = np.tile(np.divide(size, (image.width, image.height)), 2)
    boxes = [(tuple(np.multiply(box, scale).tolist()), category) for box, category in image.boxes]
    return Comparison(key, image.name, image.name, before, after, boxes=boxes)


def _pictures(directory: str, image: InsertedImage) -> tuple[np.ndarray, np.ndarray]:
    """(before, after) uint8 [height, width]; `UserError` when they are not of the size said."""
    before, after = (
        _read(Path(directory) / address, image) for address in (image.before, image.after)
    )
    return before, after


def _read(path: Path, image: InsertedImage) -> np.ndarray:
    levels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    if levels is None or levels.shape != (image.height, image.width):
        found = "none" if levels is None else f"{levels.shape[1]} x {levels.shape[0]} px"
        expected = f"{image.width} x {image.height} px"
        raise UserError(f"{path}: expected a picture of {expected}, found {found}")
    return levels
