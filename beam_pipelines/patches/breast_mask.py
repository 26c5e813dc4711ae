"""The breast on a mammogram, digital or film, its pectoral muscle, and the film in its padding.

Otsu's threshold on grey levels loses fatty tissue and the skin line; in the logarithm of the
exposure both are as far from the background as dense tissue is. The skin itself is fainter still:
the breast begins half way between the background and Otsu's threshold.

A digital image's background is 0. A film has a base: it is measured where nothing was in the beam
and taken away, and fog along the edges with it. Exposures below the noise of what is left are all
the same: asinh(x / floor) is x / floor for a small x and a logarithm for a large one.
"""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels
from beam_pipelines.rejections import Reason, Rejected
from cgan_tf.synthesis.postprocess import largest_object

# Long side of the image that the mask is computed on, about: 1/8 of a 3328x2560 mammogram, so that
# a pixel is 0.6 mm. The lengths below are in pixels at that size.
_WORKING_SIDE = 416
MLO = "MLO"  # the view that shows the pectoral muscle
_SAMPLES = 4  # rows and columns of the image that make one of the mask, at least
_OPENING = 15  # removes view labels and the films' scratches
_FRAME = 4  # films have a bright rim
_SKIN = 0.5  # of the way from the background to Otsu's threshold, in the logarithm
_SMALLEST, _LARGEST = 0.03, 0.99  # of the film; outside, the mask is not of a breast
# The floor of the logarithm: the step of 12 bits, the commonest depth; twice the base's noise; four
# grey steps, in an average of which each sample removes its share of the rounding.
_FINEST, _NOISES, _STEPS = 1 / 4095, 2.0, 4.0
_SHADES = 64  # the darkest grey levels in use, in whose differences the smallest step is seen
# The base has at most a fifth of the exposure of the median breast on films that can be read. Where
# the darkest part has a quarter, it is breast itself: no background is in sight.
_BRIGHTEST_BASE = 0.25
# Films are fogged along their edges: most at the edge, and gone within a few millimetres of it. The
# bound keeps what is brighter, which is the skin of the abdomen on an MLO.
_FOG = 0.18  # at the edge, of the brightest exposure
_FOG_DECAY = 11.0  # until it is 1/e of that
_FOG_VARIES = 1.2  # from where it is seen to the breast, at most so many times
_FOG_FALLS = 0.5  # of the fog at an edge, at most so much is left after three decays
_FOG_RIM, _FOG_INSIDE = 4, 8  # lines whose medians are "at the edge" and "after three decays"
_CORNER = (8, 32)  # rows from the top or the bottom that show the fog of a left or right edge
_BESIDE = 0.15  # of a row at least is beside the breast and shows the fog of the top or the bottom
# Between tissue and air there is skin and a round edge: no tissue that is brighter than half of the
# breast is next to what is 30% darker, 1 mm away, along half of its border. Lead letters, paper
# labels and light past the film's edge are.
_LABEL = 0.0005  # of the image: smaller ones go with the opening
_LABEL_RING, _ABRUPT = 1.5, 0.7
# A label that lets light through is darker than that. It is looked for as what is brighter than
# these shares of the median breast and is joined to no chest wall.
_DIM_LABELS = (0.5, 0.25, 0.125)
# Rows grow shorter from the nipple up and down. Where they grow longer again near the top or the
# bottom there is the arm, the abdomen, or a strip of fogged film; tissue is not a tenth as bright
# as the breast throughout, and fog is.
_CORNERS = 0.15  # of the height: where strips are looked for
_STRIP, _FAINT = 0.005, 0.1
# Padding around a film is the darkest value alone, from the image's edge to a straight line.
_STRAIGHT = 0.25  # of an image's side: no outline of a breast is straight to 2 px for so long
_SPECKS = 5  # px: what is smaller does not make padding film
# The pectoral muscle:
_BLUR = 3.0  # sigma; the fibres of the muscle and the noise are finer
_STEP_ACROSS = 4.0  # from the line to where the levels on its two sides are read
_BETWEEN_LINES = (4.0, 5.0)  # along the top, along the chest wall
_FROM_TOP, _FROM_CHEST_WALL = (0.04, 1.0), (0.1, 1.3)  # of the breast's width there, the height
_STEEPEST, _FLATTEST = 85.0, 35.0  # degrees to the horizontal
_POINTS = 48  # at which a line is looked at; half of them must be in the breast
_LARGEST_STEP = 0.5  # of the median exposure: a label beside the line counts no more
_UNEVEN = 0.5  # of its standard deviation is taken from the mean step: a gland is uneven


@dataclasses.dataclass(frozen=True)
class Bounds:
    """A rectangle in pixels of an image; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def film_bounds(grey: np.ndarray | GreyLevels) -> Bounds:
    """The film in its padding; the whole image where no side of it is padding.

    A side is padding when it holds the darkest grey level alone up to a straight edge: the film's,
    or the chest wall's on a film whose background is as black as the padding.

    Args:
      grey: float32 [H, W] in [-1, 1], background dark.
    """
    shrink = max(1, round(max(grey.shape) / _WORKING_SIDE))
    sampled = grey[::shrink, ::shrink]
    darkest = float(sampled.min())
    specks = cv2.getStructuringElement(cv2.MORPH_RECT, (_SPECKS, _SPECKS))
    film = cv2.morphologyEx((sampled > darkest).astype(np.uint8), cv2.MORPH_OPEN, specks)
    rows = _between_straight_edges(film)
    columns = _between_straight_edges(film[slice(*rows)].T)
    top, bottom = _in_pixels(grey, darkest, rows, shrink, 0)
    left, right = _in_pixels(grey, darkest, columns, shrink, 1)
    return Bounds(left, top, right, bottom)


def breast_mask(grey: np.ndarray | GreyLevels) -> np.ndarray:
    """The breast; burnt-in labels and the fogged edges of films left out.

    Args:
      grey: float32 [H, W] in [-1, 1], background dark, without padding (`film_bounds`).

    Returns:
      uint8 [h, w], 1 inside the breast; a pixel is the average of several pixels of the image
      each way, about `_WORKING_SIDE` in all.

    Raises `Rejected` when no background is in sight, and when the mask covers less than 3% or more
    than 99% of the image.
    """
    exposure, unit, samples = working_size(grey)
    base, noise = _base(np.ascontiguousarray(exposure[::2, ::2]))
    floor = max(_FINEST, _NOISES * noise, _STEPS * _grey_step(grey) / samples)
    exposure -= base
    clear = np.maximum(exposure - _fog(exposure, unit), 0.0)
    seen = _above_background(np.arcsinh(clear * (1 / floor)))
    lit = _median_inside(exposure[::2, ::2], seen[::2, ::2])
    if base > _BRIGHTEST_BASE * (base + lit):
        share = f"what is darkest has {base / (base + lit):.0%} of the exposure of the rest"
        raise Rejected(Reason.IMPLAUSIBLE_TISSUE_MASK, f"no background in sight: {share}")
    _leave_out_labels(seen, exposure, lit, unit)
    mask = _breast_component(seen, unit)
    _leave_out_strips(mask, exposure, lit)
    covered = float(mask.mean())
    if not _SMALLEST <= covered <= _LARGEST:
        raise Rejected(Reason.IMPLAUSIBLE_TISSUE_MASK, f"{covered:.1%} of the image")
    return mask


def chest_wall_is_left(mask: np.ndarray) -> bool:
    """Whether a breast mask [h, w] meets the left edge along more rows than the right one."""
    return bool(mask[:, :_FRAME].sum() >= mask[:, -_FRAME:].sum())


def working_size(grey: np.ndarray | GreyLevels) -> tuple[np.ndarray, float, float]:
    """(exposure, unit, samples): 0 to 1, float32 [h, w], of the size that masks are made at; its
    long side in `_WORKING_SIDE`s; the pixels of the image that make one, a side."""
    height, width = grey.shape
    shrink = max(1, round(max(height, width) / _WORKING_SIDE))
    size = (max(1, width // shrink), max(1, height // shrink))
    step = max(1, shrink // _SAMPLES)
    sampled = np.ascontiguousarray(grey[::step, ::step])
    exposure = 0.5 * (cv2.resize(sampled, size, interpolation=cv2.INTER_AREA) + 1.0)
    return exposure.astype(np.float32, copy=False), max(size) / _WORKING_SIDE, shrink / step


def _between_straight_edges(film: np.ndarray) -> tuple[int, int]:
    """(first, end) of the lines of `film` [n, m] between its padding."""
    share = film.mean(axis=1)
    seen = np.flatnonzero(share)
    if not len(seen):
        return 0, len(share)
    first, last = int(seen[0]), int(seen[-1])
    return (
        first if share[first : first + 2].max() >= _STRAIGHT else 0,
        last + 1 if share[max(last - 1, 0) : last + 1].max() >= _STRAIGHT else len(share),
    )


def _in_pixels(
    grey: np.ndarray | GreyLevels, darkest: float, lines: tuple[int, int], shrink: int, axis: int
) -> tuple[int, int]:
    """(first, end) of lines of the image that hold film, of those of every `shrink`th line."""
    length = grey.shape[axis]
    whole = -(-length // shrink)
    first, end = 0, length
    if lines[0] > 0:
        start = (lines[0] - 1) * shrink
        first = start + int(np.argmax(_film_share(grey, darkest, start, 2 * shrink, axis)))
    if lines[1] < whole:
        start = (lines[1] - 1) * shrink
        share = _film_share(grey, darkest, start, 2 * shrink, axis)
        end = start + len(share) - int(np.argmax(share[::-1]))
    return first, end


def _film_share(
    grey: np.ndarray | GreyLevels, darkest: float, start: int, count: int, axis: int
) -> np.ndarray:
    """bool [count]: whether lines hold at least half as much film as the one that holds most."""
    band = slice(start, start + count)
    found = (grey[band] if axis == 0 else grey[:, band].T) > darkest
    share = found.mean(axis=1)
    return share >= 0.5 * share.max()


def _grey_step(grey: np.ndarray | GreyLevels) -> float:
    """The smallest step of exposure between the darkest grey levels that occur."""
    stride = max(1, 2 * max(grey.shape) // _WORKING_SIDE)
    if isinstance(grey, GreyLevels):
        patterns = np.ascontiguousarray(grey.patterns[::stride, ::stride])
        levels = np.unique(grey.table[np.flatnonzero(np.bincount(patterns.ravel()))])
    else:
        levels = np.unique(grey[::stride, ::stride])
    return 0.5 * float(np.diff(levels[:_SHADES]).min()) if len(levels) > 1 else _FINEST


def _base(exposure: np.ndarray) -> tuple[float, float]:
    """(level, noise) of a film where nothing was in the beam: the inner half of what is dark."""
    scaled, otsu = _otsu(np.log(exposure + 0.02))
    dark = (scaled <= otsu).astype(np.uint8)
    depth = cv2.distanceTransform(dark, cv2.DIST_L2, 3)
    inner = exposure[depth > 0.5 * depth.max()]
    if not inner.size:
        return 0.0, 0.0
    base = float(np.median(inner))
    return base, 1.4826 * float(np.median(np.abs(inner - base)))


def _otsu(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Values as uint8, least to greatest, and Otsu's threshold of those."""
    scaled = np.rint(cv2.normalize(values, None, 0, 255, cv2.NORM_MINMAX)).astype(np.uint8)
    return scaled, cv2.threshold(scaled, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]


def _fog(exposure: np.ndarray, unit: float) -> np.ndarray:
    """float32 [H, W]: a film's fog above its base.

    Of the left and right edges it is seen in the darker of the upper and lower corners, of the top
    and bottom edges beside the breast.
    """
    rows = slice(*(round(row * unit) for row in _CORNER))
    upper, lower = exposure[rows], exposure[::-1][rows]
    if not upper.size:
        return np.zeros_like(exposure)
    across = np.minimum(np.median(upper, axis=0), np.median(lower, axis=0))
    every_other = exposure[:, ::2]
    place = int(_BESIDE * every_other.shape[1])
    down = np.partition(every_other, place, axis=1)[:, place]
    return np.maximum(_fog_from_edges(across, unit), _fog_from_edges(down, unit)[:, None])


def _fog_from_edges(seen: np.ndarray, unit: float) -> np.ndarray:
    """float32 [n]: the fog along a line, seen [n] in it, from each end where it really falls."""
    decay = np.exp(np.arange(len(seen), dtype=np.float32) / (-_FOG_DECAY * unit))
    rim, inside = max(1, round(_FOG_RIM * unit)), round(3 * _FOG_DECAY * unit)
    fog = np.zeros_like(decay)
    for way in (slice(None), slice(None, None, -1)):
        level = np.maximum(seen[way], 0.0)
        further = level[inside : inside + max(1, round(_FOG_INSIDE * unit))]
        if len(further) and np.median(further) < _FOG_FALLS * np.median(level[:rim]):
            fog[way] += np.minimum(_FOG_VARIES * level, _FOG * decay)
    return fog


def _above_background(logarithm: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: 1 where there is more than background."""
    scaled, otsu = _otsu(logarithm)
    background = _median_inside(scaled, (scaled <= otsu).astype(np.uint8))
    return (scaled > background + _SKIN * (otsu - background)).astype(np.uint8)


def _median_inside(values: np.ndarray, mask: np.ndarray) -> float:
    """The median of values in a mask; 0 when that is empty."""
    inside = values[mask.astype(bool)]
    return float(np.median(inside)) if inside.size else 0.0


def _leave_out_labels(seen: np.ndarray, exposure: np.ndarray, lit: float, unit: float) -> None:
    """Clears in `seen` what is bright up to an abrupt edge."""
    coarse = np.ascontiguousarray(exposure[::2, ::2])
    reach = max(1, round(0.5 * _LABEL_RING * unit))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    chest_wall = np.s_[:, :_FRAME] if chest_wall_is_left(seen) else np.s_[:, -_FRAME:]
    for level in (1.0, *_DIM_LABELS):
        brighter: np.ndarray = (coarse > level * lit).astype(np.uint8)
        if level < 1:  # scratches go with the mask's own opening
            brighter = cv2.morphologyEx(brighter, cv2.MORPH_OPEN, kernel)
        _, labels = cv2.connectedComponents(brighter, connectivity=4, ltype=cv2.CV_32S)
        areas = np.bincount(labels.ravel())  # OpenCV's own statistics take longer
        areas[0] = 0
        if level < 1:
            areas[np.argmax(areas)] = 0  # the breast, whatever lies at the chest wall
            areas[labels[chest_wall]] = 0
        for number in np.flatnonzero(areas >= _LABEL * coarse.size):
            part = (labels == number).astype(np.uint8)
            wider = cv2.dilate(part, kernel)
            if _median_inside(coarse, wider - part) < _ABRUPT * level * lit:
                seen[cv2.resize(wider, seen.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0] = 0


def _breast_component(mask: np.ndarray, unit: float) -> np.ndarray:
    """The largest opened component without holes, found inside the frame and extended over it."""
    frame = max(1, round(_FRAME * unit))
    inner = mask[frame:-frame, frame:-frame]
    if not inner.size:
        return np.zeros_like(mask)
    opening = 2 * round(0.5 * (_OPENING - 1) * unit) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening, opening))
    opened = cv2.morphologyEx(inner, cv2.MORPH_OPEN, kernel)
    largest, area = largest_object(opened)
    if not area:
        return np.zeros_like(mask)
    outlines, _ = cv2.findContours(
        largest.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = cv2.drawContours(np.zeros_like(opened), outlines, -1, 1, cv2.FILLED)
    return np.pad(filled, frame, mode="edge")


def _leave_out_strips(mask: np.ndarray, exposure: np.ndarray, lit: float) -> None:
    """Clears fogged film in the corners of a mask that are away from the chest wall."""
    area = np.count_nonzero(mask)
    for part, level in _corners(mask, exposure):
        reach = np.where(part.any(axis=1), part.shape[1] - np.argmax(part[:, ::-1], axis=1), 0)
        shortest = np.minimum.accumulate(reach)
        beyond = (part > 0) & (np.arange(part.shape[1]) >= shortest[:, None])
        if (
            np.count_nonzero(beyond) > _STRIP * area
            and np.quantile(level[beyond], 0.9) < _FAINT * lit
        ):
            part[beyond] = 0


def _corners(mask: np.ndarray, exposure: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The top and the bottom of a mask and of its exposure, as views: the row furthest inside
    first, the chest wall left."""
    columns = slice(None) if chest_wall_is_left(mask) else slice(None, None, -1)
    rows = round(_CORNERS * len(mask))
    for way in (slice(rows, None, -1), slice(len(mask) - 1 - rows, None)):
        yield mask[way, columns], exposure[way, columns]


def pectoral_mask(grey: np.ndarray | GreyLevels, breast: np.ndarray) -> np.ndarray:
    """The part of the breast mask that is pectoral muscle, of an MLO view.

    It is what lies beyond the straight line that it ends at best. The muscle is brighter than the
    breast before it, and its edge runs from the top of the film to the chest wall, steeper than 35
    degrees. Every such line is tried; the best one has the largest mean step of exposure across it,
    along its whole length. The edge of a real muscle is a little curved.

    Args:
      grey: float32 [H, W] in [-1, 1], without padding. breast: uint8 [h, w], its `breast_mask`.

    Returns:
      uint8 [h, w]; empty where nothing gets darker across any line.
    """
    exposure, unit, _ = working_size(grey)
    way = slice(None) if chest_wall_is_left(breast) else slice(None, None, -1)
    exposure, inside = (np.ascontiguousarray(image[:, way]) for image in (exposure, breast))
    lines = _lines(inside, unit)
    found = np.zeros_like(inside)
    if len(lines):
        scores = _scores(cv2.GaussianBlur(exposure, (0, 0), _BLUR * unit), inside, lines, unit)
        best = int(np.argmax(scores))
        if scores[best] > 0:
            x, y = lines[best]
            rows, columns = np.ogrid[: inside.shape[0], : inside.shape[1]]
            found = inside * (columns / x + rows / y < 1)
    return np.ascontiguousarray(found[:, way])


def _lines(inside: np.ndarray, unit: float) -> np.ndarray:
    """float64 [n, 2]: the x at the top and the y at the chest wall of every line to be tried."""
    height = len(inside)
    top = np.flatnonzero(inside[: max(1, round(0.03 * height))].any(axis=0))
    if not len(top):
        return np.zeros((0, 2))
    starts, ends = (
        np.arange(low * length, high * length, step * unit)
        for (low, high), length, step in zip(
            (_FROM_TOP, _FROM_CHEST_WALL), (int(top[-1]), height), _BETWEEN_LINES, strict=True
        )
    )
    lines = np.stack(np.meshgrid(starts[starts > 0], ends, indexing="ij"), axis=-1).reshape(-1, 2)
    angle = np.degrees(np.arctan2(lines[:, 1], lines[:, 0]))
    return lines[(angle > _FLATTEST) & (angle < _STEEPEST)]


def _scores(exposure: np.ndarray, inside: np.ndarray, lines: np.ndarray, unit: float) -> np.ndarray:
    """float [n]: the mean fall across each line, less what it varies, more for longer lines."""
    part = (np.arange(_POINTS) + 0.5) / _POINTS
    x, y = lines[:, :1] * (1 - part), lines[:, 1:] * part  # [n, points]
    length = np.hypot(*lines.T)
    across_x, across_y = (_STEP_ACROSS * unit * lines[:, place] / length for place in (1, 0))
    muscle = _read(exposure, x - across_x[:, None], y - across_y[:, None])
    before = _read(exposure, x + across_x[:, None], y + across_y[:, None])
    used = (y < len(inside) - 1) & (_read(inside, x, y, cv2.INTER_NEAREST) > 0)
    bound = _LARGEST_STEP * float(np.median(exposure[inside > 0]))
    falls = np.clip(muscle - before, -bound, bound)
    count = used.sum(axis=1)
    mean = np.where(used, falls, 0).sum(axis=1) / np.maximum(count, 1)
    variance = np.where(used, (falls - mean[:, None]) ** 2, 0).sum(axis=1) / np.maximum(count, 1)
    score = (mean - _UNEVEN * np.sqrt(variance)) * np.sqrt(length * count)
    return np.where(count >= _POINTS // 2, score, -np.inf)


def _read(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, way: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """Values of an image at places, that of the nearest edge beyond it."""
    return cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), way, borderMode=cv2.BORDER_REPLICATE
    )
