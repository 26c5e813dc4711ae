"""Report part: mammograms beside the heat maps of the classifiers that scored them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np

from cgan_tf.detection.models import model_and_seed
from cgan_tf.detection.page import HOW_TO_VIEW, VIEWER, comparisons_of, shown_images
from cgan_tf.detection.predictions import read_predictions
from cgan_tf.pages import html
from cgan_tf.pages.html import Comparison, Fold, Heading, Paragraph, Part, Picture, Sliders
from cgan_tf.pages.patches import decode, encode

SHOWN = {1: 2, 0: 1}  # images of a classifier: with a malignant lesion, and without
LONGEST_SIDE = 700  # pixels of an image in the report


def heat_maps(directories: Sequence[str]) -> Fold | None:
    """The same few images as every classifier sees them; None without any picture.

    They are the first of each kind by name, so none is chosen for its heat map.
    """
    parts: list[Part] = []
    for number, directory in enumerate(map(Path, directories), 1):
        name, _ = model_and_seed(read_predictions(directory))
        shown = shown_images(directory)
        images = [
            image
            for malignant, count in SHOWN.items()
            for image in [each for each in shown if (each.malignant or 0) == malignant][:count]
        ]
        if images:
            note = f"{len(images)} of {len(shown):,} images; {directory / VIEWER} shows all."
            compared = comparisons_of(directory, images, f"heat-map-{number}")
            embedded = [_embedded(directory, comparison) for comparison in compared]
            parts += [Heading(name), Paragraph(note, "note"), Sliders(embedded)]
    return Fold("Heat maps", [Paragraph(HOW_TO_VIEW, "note"), *parts]) if parts else None


def _embedded(directory: Path, comparison: Comparison) -> Comparison:
    """The comparison with its pictures in the page, reduced to what a page can hold."""
    longest = max(comparison.width, comparison.before.height)
    factor = min(1.0, LONGEST_SIDE / longest)
    before, after = (
        _reduced(directory / unquote(picture.address), factor)
        for picture in (comparison.before, comparison.after)
    )
    scale = np.tile((before.width / comparison.width, before.height / comparison.before.height), 2)
    boxes = [(tuple(np.multiply(box, scale).tolist()), name) for box, name in comparison.boxes]
    return dataclasses.replace(comparison, before=before, after=after, boxes=boxes)


def _reduced(path: Path, factor: float) -> Picture:
    levels = decode(path.read_bytes(), str(path), cv2.IMREAD_UNCHANGED)
    height, width = levels.shape[:2]
    size = (round(width * factor), round(height * factor))
    return html.embedded(encode([cv2.resize(levels, size, interpolation=cv2.INTER_AREA)]))
