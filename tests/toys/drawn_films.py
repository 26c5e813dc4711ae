"""Films drawn with what archives have on them: a dim base, fog, labels, wedges, borders, padding.

8 bits and 0.2 mm, as in mini-MIAS: 1024 rows of film, the chest wall left, the nipple at 0.45 of
the height.
"""

import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels

HEIGHT, WIDTH = 1024, 640
TISSUE = 150  # of 255
RIM = 60  # px over which the thickness of the breast falls to nothing


def draw_film(
    base: float = 8.0,
    noise: float = 0.7,
    reach: float = 480.0,
    half_height: float = 420.0,
    width: int = WIDTH,
) -> tuple[np.ndarray, np.ndarray]:
    """A film's exposure, float [H, W] from 0 to 255, and bool [H, W]: the breast, half an ellipse.

    Under the skin the thickness is that of a round edge: exposure^2 grows linearly.
    """
    rows, columns = np.mgrid[:HEIGHT, :width]
    radius = np.hypot((rows - 0.45 * HEIGHT) / half_height, columns / reach)
    thickness = np.sqrt(np.clip((1 - radius) * reach / RIM, 0, 1))
    random = np.random.default_rng(0)
    gland = 20 * np.sin(rows / 37) * np.cos(columns / 29)
    film = base + (TISSUE + gland) * thickness + noise * random.normal(size=radius.shape)
    return film, radius < 1


def stored(film: np.ndarray) -> GreyLevels:
    """A film as 8-bit pixels."""
    pixels = np.rint(film).clip(0, 255).astype(np.uint8)
    return GreyLevels(pixels, np.linspace(-1, 1, 256, dtype=np.float32))


def padded(
    film: np.ndarray, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0
) -> np.ndarray:
    """A film in black."""
    return np.pad(film, ((top, bottom), (left, right)))


def fog_from_top(film: np.ndarray, level: float, decay: float) -> np.ndarray:
    """A film with fog that is brightest at its upper edge and falls to 1/e over `decay` rows."""
    return film + level * np.exp(-np.arange(len(film)) / decay)[:, None]


def dim_label(film: np.ndarray, exposure: float) -> tuple[np.ndarray, np.ndarray]:
    """A film with a label that lets light through, and bool [H, W]: where that is.

    For a film whose breast reaches its upper edge. What lies between the two is as dim as skin and
    joins them.
    """
    film, label = film.copy(), np.zeros(film.shape, bool)
    film[20:160, 340:440] = np.maximum(film[20:160, 340:440], film.min() + 12)
    label[20:160, 440:600] = True
    film[label] += exposure
    return film, label
