"""A page to look at whole mammograms before and after lesions were inserted or removed.

It lies in the run's directory beside the previews that it shows, and needs no network.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cgan_tf import report_html
from cgan_tf.before_after import Box, Comparison, Picture, middle_of
from cgan_tf.inserted_images import InsertedImage, read_images
from cgan_tf.report_content import Section, Sliders
from cgan_tf.run_directory import write_bytes

VIEWER = "viewer.html"
TITLE = "Mammograms before and after"
HOW_TO_VIEW = (
    "Pull the edge in a picture, or move it with the arrow keys: left of it is the image before, "
    "right of it the one after. The switch shows and hides the boxes of all images. Pictures are "
    "reduced, for the screen alone; the DICOM files have every pixel."
)


def write_viewer(directory: str | Path) -> Path:
    """Writes viewer.html for the previews of a run; `UserError` where they are missing."""
    path = Path(directory) / VIEWER
    write_bytes(path, viewer_page(read_images(directory)).encode())
    return path


def viewer_page(images: Sequence[InsertedImage]) -> str:
    """The page; its pictures are fetched from beside it as they are scrolled to."""
    opening = "\n".join(
        [
            f"<header><h1>{TITLE}</h1>",
            report_html.paragraph(_facts(images), "lead"),
            report_html.paragraph(HOW_TO_VIEW, "lead"),
            "</header>",
        ]
    )
    comparisons = [_comparison(image, f"image-{n}") for n, image in enumerate(images, 1)]
    links = report_html.links([(each.title, f"#{each.key}") for each in comparisons])
    parts = (*([links] if len(images) > 1 else []), Sliders(comparisons, large=True))
    # 'self' is no file on disk to every browser.
    return report_html.page(TITLE, opening, [Section("Images", parts)], images="'self' file:")


def _facts(images: Sequence[InsertedImage]) -> str:
    counts = Counter(image.category for image in images for _ in image.boxes)
    lesions = ", ".join(f"{count:,} {category}" for category, count in sorted(counts.items()))
    return f"{len(images):,} images, lesions: {lesions or 'none'}."


def image_comparison(
    image: InsertedImage, key: str, before: Picture, after: Picture, boxes: Sequence[Box]
) -> Comparison:
    """An image in two pictures, with its boxes in their pixels."""
    name = f"{image.view} {image.name}".strip()
    lesions = f"{len(boxes)} {image.category}" if boxes else "no lesion"
    named = [(box, image.category) for box in boxes]
    start = middle_of(boxes, before.width)
    return Comparison(key, name, f"{name}: {lesions}", before, after, boxes=named, start=start)


def _comparison(image: InsertedImage, key: str) -> Comparison:
    before, after = (
        Picture(quote(address), image.width, image.height)
        for address in (image.before, image.after)
    )
    return image_comparison(image, key, before, after, image.boxes)
