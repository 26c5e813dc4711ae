"""viewer.html of a directory of predictions: mammograms and their heat maps, side over side.

The pictures are files beside the page, which needs no network.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cgan_tf.data.provenance import PHANTOM_NOTICE, attribution
from cgan_tf.detection.heat_maps import file_stem
from cgan_tf.detection.overlays import MAMMOGRAMS, OVERLAYS, SHOWN_CANDIDATES
from cgan_tf.detection.predictions import (
    CANDIDATES,
    IMAGES,
    LESIONS,
    Candidate,
    KnownLesion,
    ScoredImage,
    read_rows,
)
from cgan_tf.pages import html
from cgan_tf.pages.html import (
    Comparison,
    Links,
    Paragraph,
    Part,
    Picture,
    Section,
    Sliders,
)
from cgan_tf.pages.viewer import shortened
from cgan_tf.runs.directory import write_bytes

VIEWER = "viewer.html"
TITLE = "Mammograms and what a classifier sees in them"
HOW_TO_VIEW = (
    "Drag the divider in a picture, or move it with the arrow keys: the mammogram is on its left, "
    "the heat map on its right. The colour is the probability of a malignant lesion in the window "
    "around a place: none below 0.1, then dark red to yellow. White boxes are the candidates with "
    f"the highest scores, {SHOWN_CANDIDATES} at most. Amber boxes are malignant lesions that the "
    "data set marks, blue ones benign; the switch shows and hides them on the mammograms."
)
MODEL_NOTICE = (
    "The classifier has learnt from a phantom, lesions drawn by a computer: of mammograms it knows "
    "nothing."
)
_START = 8  # per cent of the width: the heat map is seen first
_NAMES = {  # one and several lesions of a class
    "malignant_mass": ("malignant mass", "malignant masses"),
    "benign_mass": ("benign mass", "benign masses"),
    "malignant_calcification": ("malignant calcification", "malignant calcifications"),
    "benign_calcification": ("benign calcification", "benign calcifications"),
}
_PNG_SIZE = slice(16, 20), slice(20, 24)  # width and height in the header of a PNG


def write_viewer(directory: Path, phantom: bool, model_phantom: bool = False) -> Path | None:
    """Writes the page of the images that have pictures; None where no image has.

    `phantom`: whether the images are drawn: the page and every picture say so. `model_phantom`:
    whether what scored them has learnt from drawn ones.
    """
    images = shown_images(directory)
    if not images:
        return None
    images.sort(key=lambda image: (image.malignant != 1, -image.score, image.sop_uid))
    comparisons = comparisons_of(directory, images, "image")
    path = directory / VIEWER
    notice = PHANTOM_NOTICE if phantom else MODEL_NOTICE if model_phantom else ""
    write_bytes(path, _page(images, comparisons, phantom, notice).encode())
    return path


def shown_images(directory: Path) -> list[ScoredImage]:
    """The images of a run that have pictures, in the order of its table."""
    return [
        image
        for image in read_rows(directory / IMAGES, ScoredImage)
        if _picture(directory, OVERLAYS, image) and _picture(directory, MAMMOGRAMS, image)
    ]


def comparisons_of(directory: Path, images: Sequence[ScoredImage], prefix: str) -> list[Comparison]:
    """Each image beside its heat map, with the lesions that are known; keys begin with `prefix`.

    The addresses of the pictures are relative to `directory`.
    """
    shown = {image.sop_uid for image in images}
    lesions: dict[str, list[KnownLesion]] = defaultdict(list)
    for lesion in read_rows(directory / LESIONS, KnownLesion):
        if lesion.sop_uid in shown:
            lesions[lesion.sop_uid].append(lesion)
    found = Counter(
        candidate.sop_uid
        for candidate in read_rows(directory / CANDIDATES, Candidate)
        if candidate.sop_uid in shown
    )
    return [
        _comparison(directory, f"{prefix}-{number}", image, lesions[image.sop_uid], found)
        for number, image in enumerate(images, 1)
    ]


def _page(
    images: Sequence[ScoredImage], comparisons: Sequence[Comparison], phantom: bool, notice: str
) -> str:
    parts: list[Part] = [Sliders(comparisons, large=True)]
    if len(images) > 1:
        targets = [(f"{n}. {each.title}", f"#image-{n}") for n, each in enumerate(comparisons, 1)]
        parts.insert(0, Links(targets))
    opening = [Paragraph(_facts(images), "lead"), Paragraph(HOW_TO_VIEW, "lead")]
    if source := attribution(image.sop_uid for image in images):
        opening.append(Paragraph(source, "lead"))
    sections = [Section("Images", html.marked_as_phantom(parts) if phantom else parts)]
    # To some browsers a file on disk is not 'self'.
    return html.page(TITLE, opening, sections, images="'self' file:", notice=notice)


def _facts(images: Sequence[ScoredImage]) -> str:
    shown = f"{len(images):,} image{'s are' if len(images) > 1 else ' is'} shown"
    if all(image.malignant is None for image in images):
        return f"{shown}; nothing is known of lesions."
    malignant = sum(image.malignant == 1 for image in images)
    return f"{shown}, {malignant:,} of them with a malignant lesion."


def _comparison(
    directory: Path,
    key: str,
    image: ScoredImage,
    lesions: Sequence[KnownLesion],
    found: Counter[str],
) -> Comparison:
    before, after = (_picture(directory, name, image) for name in (MAMMOGRAMS, OVERLAYS))
    assert before
    assert after
    scale = before.width / image.width, before.height / image.height
    boxes = [
        tuple(round(edge * scale[axis % 2], 2) for axis, edge in enumerate(lesion.box))
        for lesion in lesions
    ]
    named = [
        (box, _NAMES[lesion.patch_class][0]) for box, lesion in zip(boxes, lesions, strict=True)
    ]
    view = f"{image.laterality} {image.view}".strip()
    title = f"{view} {shortened(image.source_file)}".strip()
    return Comparison(
        *(key, title, _caption(image, view, lesions, found[image.sop_uid]), before, after),
        labels=("mammogram", "heat map"),
        boxes=named,
        boxes_label="Known lesions",
        start=_START,
    )


def _caption(image: ScoredImage, view: str, lesions: Sequence[KnownLesion], candidates: int) -> str:
    score = f"score {image.score:.3f}"
    if image.calibrated_score is not None:
        score += f", calibrated {image.calibrated_score:.3f}"
    counts = Counter(lesion.patch_class for lesion in lesions)
    known = ", ".join(
        f"{count} {_NAMES[name][count > 1]}" for name, count in sorted(counts.items())
    )
    truth = {
        1: known or "malignant",
        0: known or "no lesion known",
        None: "nothing known of lesions",
    }
    found = f"{candidates} candidate{'s' if candidates != 1 else ''}"
    return f"{view} {image.source_file}: {score}, {found}; {truth[image.malignant]}".strip()


def _picture(directory: Path, folder: str, image: ScoredImage) -> Picture | None:
    address = f"{folder}/{file_stem(image.sop_uid)}.png"
    path = directory / address
    if not path.is_file():
        return None
    with path.open("rb") as file:
        header = file.read(24)
    width, height = (int.from_bytes(header[place]) for place in _PNG_SIZE)
    return Picture(quote(address), width, height)
